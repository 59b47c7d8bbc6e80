"""Static files and strings."""

from __future__ import annotations

import json
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from p2pim.web.answers import error_answer
from p2pim.web.assets import FOLDER, FOR_EVER, LANGUAGES, Assets, preferred
from p2pim.web.http import WebSite
from p2pim.web.routing import Routes
from tests.web.visits import Visitor

PLACEHOLDER = re.compile(r"\{[^{}]*\}")


class AssetsTests(SynchronousTestCase):
    def setUp(self) -> None:
        from twisted.internet.task import Clock

        self.folder = Path(self.mktemp())
        for name, text in (("static/a/b.js", "export {}"), ("strings/en.json", '{"k": "v"}')):
            path = self.folder / name
            path.parent.mkdir(parents=True)
            path.write_text(text)
        self.assets = Assets(self.folder)
        routes = Routes()
        self.assets.serve(routes)
        self.visitor = Visitor(WebSite(Clock(), routes, lambda request, error: error_answer(error)))

    def test_a_file_is_kept_for_ever_under_the_hash_of_all(self) -> None:
        """Under any other it is asked for each time, and sent only when it has changed."""
        reply = self.visitor.ask("GET", f"/static/{self.assets.version}/a/b.js")
        self.assertEqual((reply.body, reply.headers["cache-control"]), (b"export {}", FOR_EVER))
        self.assertEqual(reply.headers["content-type"], "text/javascript; charset=utf-8")
        old = self.visitor.ask("GET", "/static/0/a/b.js", if_none_match=reply.headers["etag"])
        self.assertEqual((old.status, old.headers["cache-control"], old.body), (304, "no-cache", b""))

    def test_a_name_that_no_file_can_have_is_no_page(self) -> None:
        """A stranger gets no error of ours into the log."""
        self.assertEqual(self.visitor.ask("GET", "/static/0/" + "a" * 5_000).status, 404)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_file_that_changes_makes_another_hash(self) -> None:
        """Of strings, too."""
        versions = {self.assets.version}
        for name in ("static/a/b.js", "strings/en.json"):
            (self.folder / name).write_text('{"k": "changed, and longer"}')
            versions.add(self.assets.version)
        self.assertEqual(len(versions), 3)

    def test_the_language_that_is_preferred(self) -> None:
        """By Accept-Language (RFC 9110, 12.5.4)."""
        cases = {
            "": "en", "*": "en", "zh": "zh-Hans", "zh-TW,en;q=0.5": "zh-Hans", "de,zh;q=0.4,en;q=0.3": "zh-Hans",
            "en-GB,zh": "en", "zh;q=0,en;q=0.1": "en", "zh;q=x": "en", "," * 500: "en",
        }  # fmt: skip
        for accepted, lang in cases.items():
            self.assertEqual(preferred(accepted), lang, accepted)


class StringsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.strings = {
            lang: json.loads((FOLDER / "strings" / f"{lang}.json").read_text("utf-8")) for lang in LANGUAGES
        }

    def test_every_language_has_every_string(self) -> None:
        """With the same placeholders."""
        english = self.strings["en"]
        for lang, strings in self.strings.items():
            self.assertEqual(set(strings), set(english), lang)
            for key, text in strings.items():
                self.assertEqual(
                    set(PLACEHOLDER.findall(text)), set(PLACEHOLDER.findall(english[key])), f"{lang} {key}"
                )
                self.assertTrue(text.strip(), f"{lang} {key}")

    def test_every_string_is_used(self) -> None:
        """By its key, or by the part of it before what is put together."""
        sources = [*FOLDER.glob("templates/*.html"), *FOLDER.glob("static/**/*.js"), *FOLDER.glob("*.py")]
        text = "\n".join(path.read_text("utf-8") for path in sources if "vendor" not in path.parts)
        for key in self.strings["en"]:
            stems = [key[: match.start() + 1] for match in re.finditer(r"[._-]", key)]
            whole = [stem[:-1] for stem in stems]  # of which one part is added where it is looked up: .one, .other
            used = key in text or any(
                re.search(rf"[\"'`]{re.escape(stem)}(?:[\"'`]|\$)", text) for stem in stems + whole
            )
            self.assertTrue(used, f"nobody uses {key}")
