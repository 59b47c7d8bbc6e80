"""The modules about files, keys and the network, without an agent behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p2pim.core.safety import EMOJI
from p2pim.core.transfer import REASONS
from tests.browser.modules import ModuleCase

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

BODY = '<div id="panel" hidden></div><div id="toasts"></div><div id="menu"></div><main id="conversation"></main>'

APP = """
async (module) => {
  const path = (name) => `/static/-/${name}`;
  const [{ loadTranslator }, { Api }, { Dialogs }, { Events }, { Panel }, { State }, { Timeline }] = await Promise.all([
    "common/i18n.js", "chat/api.js", "chat/dialog.js", "chat/events.js", "chat/panel.js", "chat/state.js",
    "chat/timeline.js",
  ].map((name) => import(path(name))));
  const t = await loadTranslator();
  window.app = {
    t, lang: t.lang, api: new Api(), events: new Events(), state: new State(), timeline: new Timeline(),
    dialog: new Dialogs(t), panel: new Panel(t), commands: {},
  };
}
"""


def transfer(**values: Any) -> dict[str, Any]:
    """One as the agent tells of it."""
    return {
        "transfer": "aa" * 16, "user": "bob", "name": "report.pdf", "direction": "in", "state": "offered", "bytes": 0,
        "total": 2048, "rate": 0, "route": "", "reason": "", "message": "", "path": "", "comment": "", "files": 1,
        "folder": False, "paused": "", "created": "2026-01-31T12:00:00.000Z", "expires": None, **values,
    }  # fmt: skip


def _took(route: Route, puts: list[str]) -> None:
    puts.append(route.request.url.partition("/drop/")[2])
    route.fulfill(json={})


class WordsTests(ModuleCase):
    """What people read."""

    def words(self, page: Page, transfers: list[dict[str, Any]]) -> list[str]:
        script = """async (module, transfers) => {
          const { formats } = await import("/static/-/chat/files/format.js");
          return transfers.map((one) => module.stateText(app.t, formats(app.t), one));
        }"""
        words: list[str] = self.evaluate(page, "chat/files/words.js", script, transfers)
        return words

    def test_every_reason_and_every_state_has_words_of_its_own(self) -> None:
        """In both languages: nobody is told only that it failed."""
        for language in ("en", "zh-Hans"):
            page = self.module_page(BODY)
            page.evaluate("(lang) => { document.documentElement.lang = lang; }", language)
            self.evaluate(page, "chat/dialog.js", APP)
            ended = [transfer(state="disrupted", reason=reason, direction="out") for reason in sorted(REASONS)]
            waiting = [
                transfer(direction="out"), transfer(direction="out", reason="peer-offline"), transfer(),
                transfer(state="waiting", reason="offline"), transfer(state="waiting"),
                transfer(state="paused", paused="me"),
                transfer(state="paused", paused="peer"), transfer(state="paused", paused="both"),
                transfer(state="paused", paused="me", reason="no-space"), transfer(state="running"),
                transfer(state="running", direction="out"), transfer(state="finishing"), transfer(state="completed"),
                transfer(state="stored", direction="out", expires="2026-02-14T12:00:00.000Z"),
            ]  # fmt: skip
            words = self.words(page, ended + waiting)
            self.assertEqual(len(set(words)), len(words), words)
            self.assertFalse([each for each in words if "files." in each or "{" in each])

    def test_all_pictures_of_a_comparison_have_names(self) -> None:
        """Those that the core may show."""
        page = self.module_page(BODY)
        self.evaluate(page, "chat/dialog.js", APP)
        script = "(m) => Object.entries(m.PICTURES).map(([name, [sign, key]]) => [name, sign, app.t.has(key)])"
        named = self.evaluate(page, "chat/files/sas_pictures.js", script)
        self.assertEqual([name for name, _, _ in named], list(EMOJI))
        self.assertTrue(all(sign and known for _, sign, known in named))
        self.assertEqual(len({sign for _, sign, _ in named}), len(EMOJI))


class StoreTests(ModuleCase):
    """What events make of the list."""

    def test_events_move_a_transfer_along_and_its_card_with_it(self) -> None:
        """Without asking again, and without making buttons anew under somebody's finger."""
        page = self.module_page(BODY)
        self.evaluate(page, "chat/dialog.js", APP)
        self.answers["transfers"] = {"transfers": [transfer(state="running", bytes=1)]}
        seen = self.evaluate(page, "chat/files/store.js", """async ({ Transfers }) => {
          const { Card } = await import("/static/-/chat/files/card.js");
          const { formats } = await import("/static/-/chat/files/format.js");
          const store = new Transfers(app);
          await store.refresh();
          const id = [...store.all.keys()][0];
          const card = new Card({ app, formats: formats(app.t), act: async () => {} }, store.all.get(id));
          document.querySelector("main").append(card.element);
          store.watch((one) => card.update(one));
          const at = "2026-01-31T12:00:01.000Z";
          const steps = [];
          const tell = (event) => {
            app.events.emit({ at, transfer: id, ...event });
            const buttons = [...card.element.querySelectorAll("button")].map((button) => button.dataset.testid);
            steps.push([card.element.dataset.state, card.bar.value, buttons.join(" ")]);
          };
          const pause = card.element.querySelector("[data-testid=pause]");
          pause.focus();
          tell({ event: "progress", bytes: 1024, total: 2048, rate: 100, route: "tcp" });
          const kept = document.activeElement === pause;
          tell({ event: "transfer", state: "paused", paused: "me", reason: "", message: "", bytes: 1024, total: 2048 });
          tell({ event: "progress", bytes: 1536, total: 2048, rate: 100, route: "tcp" });
          const moved = document.activeElement.dataset.testid;
          tell({ event: "completed", name: "report.pdf", path: "/d/r.pdf", bytes: 2048, seconds: 2, route: "tcp" });
          tell({ event: "progress", bytes: 1, total: 2048, rate: 1, route: "tcp" });
          store.told({ ...store.all.get(id), state: "waiting" });
          steps.push([card.element.dataset.state, 100, "show"]);
          return { steps, kept, moved };
        }""")  # fmt: skip
        self.assertEqual(seen["steps"], [
            ["running", 50, "pause cancel"], ["paused", 50, "resume cancel"], ["paused", 75, "resume cancel"],
            ["completed", 100, "show"], ["completed", 100, "show"], ["completed", 100, "show"],
        ])  # fmt: skip
        self.assertTrue(seen["kept"])
        self.assertEqual(seen["moved"], "resume")

    def test_an_answer_that_events_have_overtaken_undoes_nothing(self) -> None:
        """The agent answers and tells by two connections: which comes first is chance."""
        page = self.module_page(BODY)
        self.evaluate(page, "chat/dialog.js", APP)
        self.answers["transfers"] = {"transfers": [transfer(state="waiting")]}
        states = self.evaluate(page, "chat/files/store.js", """async ({ Transfers }, waiting) => {
          const store = new Transfers(app);
          await store.refresh();
          const state = () => store.all.get(waiting.transfer).state;
          const { heard } = store;
          const at = "2026-01-31T12:00:01.000Z";
          app.events.emit({ at, event: "transfer", transfer: waiting.transfer, state: "running", paused: "" });
          const states = [state()];
          store.told(waiting, heard);
          states.push(state());
          store.told({ ...waiting, state: "paused" }, store.heard);
          return [...states, state()];
        }""", transfer(state="waiting"))  # fmt: skip
        self.assertEqual(states, ["running", "running", "paused"])

    def test_an_offer_with_a_hostile_name_is_text(self) -> None:
        """Whatever the sender calls it."""
        page = self.module_page(BODY)
        self.evaluate(page, "chat/dialog.js", APP)
        name = "<img src=x onerror=alert(1)>\u202efdp.exe" + "x" * 300
        text = self.evaluate(page, "chat/files/card.js", """async ({ Card }, one) => {
          const { formats } = await import("/static/-/chat/files/format.js");
          const card = new Card({ app, formats: formats(app.t), act: async () => {} }, one);
          document.querySelector("main").append(card.element);
          return [card.title.textContent, card.element.querySelectorAll("img").length, card.title.firstChild.localName];
        }""", transfer(name=name, comment="<script>alert(1)</script>"))  # fmt: skip
        self.assertEqual(text, [name, 0, "bdi"])


class GatherTests(ModuleCase):
    """What is dropped, and what becomes of names on the way."""

    def test_folders_are_walked_with_all_that_is_in_them(self) -> None:
        """Empty ones, and more files than a browser gives at a time."""
        page = self.module_page(BODY)
        found = self.evaluate(page, "chat/files/gather.js", """async ({ fromDrop, tops }) => {
          const file = (name) => ({ isFile: true, name, file: (yes) => yes(new File(["12345"], name)) });
          const folder = (name, children) => ({ isFile: false, name, createReader: () => {
            let rest = [...children];
            return { readEntries: (yes) => { yes(rest.slice(0, 100)); rest = rest.slice(100); } };
          } });
          const many = folder("many", Array.from({ length: 250 }, (_, n) => file(`${n}`)));
          const photos = folder("photos", [file("%2e.jpg"), many, folder("empty", [])]);
          const roots = [file("a b#?.txt"), photos, folder("nothing", [])];
          const items = roots.map((entry) => ({ kind: "file", webkitGetAsEntry: () => entry }));
          const entries = await fromDrop({ items });
          return { paths: entries.map(({ path, file }) => [path.join("/"), file?.size ?? null]), tops: tops(entries) };
        }""")  # fmt: skip
        paths = dict(map(tuple, found["paths"]))
        self.assertEqual(len(paths), 254)
        self.assertEqual((paths["photos/empty"], paths["nothing"], paths["photos/many/249"]), (None, None, 5))
        self.assertEqual(found["tops"][1], {"name": "photos", "folder": True, "files": 251, "bytes": 1255})

    def test_names_reach_the_agent_as_they_are(self) -> None:
        """Each part of a path encoded for itself; at most three at once; a failure ends all of it, and says so."""
        page = self.module_page(BODY)
        self.evaluate(page, "chat/dialog.js", APP)
        self.answers |= {"drop": {"drop": "d1"}, "drop-send": {"transfers": []}}
        puts: list[str] = []
        page.route("**/api/1/drop/**", lambda route: _took(route, puts))
        seen = self.evaluate(page, "chat/files/staging.js", """async ({ Staging }) => {
          const names = ["a b#?.txt", "%2F..%2f", "空 ü.png", "\\\\back", "q&=+;"];
          const entries = names.map((name) => ({ path: ["top", name], file: new File([name], name) }));
          entries.push({ path: ["top", "empty"], file: null });
          const staging = new Staging(app.api, "bob", entries, () => {});
          await staging.send({ comment: "c", route: "auto" });
          return { files: staging.files, bytes: staging.bytes, total: staging.total };
        }""")  # fmt: skip
        self.assertEqual(seen["files"], 5)
        self.assertEqual(seen["bytes"], seen["total"])
        self.assertEqual(sorted(puts), sorted([
            "d1/top/a%20b%23%3F.txt", "d1/top/%252F..%252f", "d1/top/%E7%A9%BA%20%C3%BC.png", "d1/top/%5Cback",
            "d1/top/q%26%3D%2B%3B", "d1/top/empty/",
        ]))  # fmt: skip
        self.assertEqual(self.calls[-1], ("drop-send", {"drop": "d1", "comment": "c", "route": "auto"}))


class NetworkTests(ModuleCase):
    """The picture."""

    def test_nobody_stands_on_somebody_else(self) -> None:
        """However many there are, and all of them inside the picture."""
        page = self.module_page(BODY)
        for count in (1, 2, 12, 13, 22):
            places = self.evaluate(page, "chat/files/network_drawing.js", "(m, count) => m.places(count)", count)
            self.assertEqual(len(places), count)
            for place in places:
                self.assertTrue(40 <= place["x"] <= 800 and 30 <= place["y"] <= 520, place)
                near = [p for p in places if abs(p["x"] - place["x"]) < 44 and abs(p["y"] - place["y"]) < 44]
                self.assertEqual(len(near), 1, (count, place))
