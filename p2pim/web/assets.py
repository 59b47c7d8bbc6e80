"""Templates, static files and strings of the pages.

Static files live under ``/static/HASH/…``, where HASH is that of all of them together: relative imports between modules
stay within one version, and a browser may keep each for ever. Strings are one flat JSON file per language.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from p2pim import __version__
from p2pim.errors import NoSuchPage
from p2pim.web.answers import Answer
from p2pim.web.http import WebRequest
from p2pim.web.routing import OPEN, Routes

FOLDER: Final = Path(__file__).parent
LANGUAGES: Final = {"en": "English", "zh-Hans": "简体中文"}
"""By their tags (BCP 47), and what they call themselves."""
DEFAULT_LANGUAGE: Final = "en"
LANGUAGE_COOKIE: Final = "p2pim-lang"
TYPES: Final = {
    ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
    ".json": "application/json", ".html": "text/html; charset=utf-8", ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}  # fmt: skip
LONGEST_PATH: Final = 200
"""Characters of the path of a static file; the system takes no names longer than 255 bytes."""
FOR_EVER: Final = "public, max-age=31536000, immutable"


class Assets:
    """All of them.

    :param folder: with ``templates``, ``static`` and ``strings`` in it.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._static = folder / "static"
        self._templates: Any = None
        self._strings: dict[str, tuple[int, dict[str, str]]] = {}

    def serve(self, routes: Routes) -> None:
        """Put the static files and the strings where pages look for them."""
        routes.add("GET", "/static/{hash}/{path...}", self._get_static, OPEN)
        routes.add("GET", "/strings/{file}", self._get_strings, OPEN)
        routes.add("GET", "/favicon.ico", self._get_icon, OPEN)

    # --- pages

    def page(self, template: str, request: WebRequest, *, status: int = 200, **values: Any) -> Answer:
        """A page in the language of ``request``, which is remembered when the address names it (``?lang=``).

        Templates get ``t(key, **vars)``, ``static(path)``, ``strings_url``, ``lang``, ``languages``, ``version``.
        """
        lang = language(request)
        strings, files = self.strings(lang), self.version

        def t(key: str, **variables: Any) -> str:
            return strings.get(key, key).format(**variables)

        body = self._environment().get_template(template).render(
            t=t, static=lambda path: f"/static/{files}/{path}", strings_url=f"/strings/{lang}.json?v={files}",
            lang=lang, languages=LANGUAGES, version=__version__, **values,
        )  # fmt: skip
        chosen = request.query("lang")
        keep = f"{LANGUAGE_COOKIE}={chosen}; Path=/; SameSite=Strict; Max-Age=31536000"
        return Answer(body=body.encode(), status=status, cookies=(keep,) if chosen in LANGUAGES else ())

    def _environment(self) -> Any:
        """Made with the first page: an agent without one never loads Jinja2."""
        if self._templates is None:
            from jinja2 import Environment, FileSystemLoader, StrictUndefined

            self._templates = Environment(
                loader=FileSystemLoader(self._folder / "templates"), autoescape=True, undefined=StrictUndefined,
                trim_blocks=True, lstrip_blocks=True,
            )  # fmt: skip
        return self._templates

    # --- strings

    def strings(self, lang: str) -> dict[str, str]:
        """Key to text with {placeholders}, in the language ``lang``; English where it lacks one."""
        if lang == DEFAULT_LANGUAGE:
            return self._read_strings(lang)
        return {**self._read_strings(DEFAULT_LANGUAGE), **self._read_strings(lang)}

    def _read_strings(self, lang: str) -> dict[str, str]:
        path = self._folder / "strings" / f"{lang}.json"
        changed = path.stat().st_mtime_ns
        known = self._strings.get(lang)
        if known is None or known[0] != changed:
            known = self._strings[lang] = (changed, json.loads(path.read_text("utf-8")))
        return known[1]

    async def _get_strings(self, request: WebRequest) -> Answer:
        lang, _, kind = request.facts["file"].rpartition(".")
        if lang not in LANGUAGES or kind != "json":
            raise NoSuchPage
        body = json.dumps(self.strings(lang), ensure_ascii=False).encode()
        return _cached(request, body, "application/json", for_ever=request.query("v") == self.version)

    # --- static files

    @property
    def version(self) -> str:
        """The hash of all static files and strings, as they are now."""
        files = _files(self._static) + _files(self._folder / "strings")
        return _hash_of(tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in files))

    async def _get_static(self, request: WebRequest) -> Answer:
        if "\0" in request.facts["path"] or len(request.facts["path"]) > LONGEST_PATH:
            raise NoSuchPage
        path = (self._static / request.facts["path"]).resolve()
        if not path.is_relative_to(self._static.resolve()) or not path.is_file():
            raise NoSuchPage
        kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return _cached(request, path.read_bytes(), kind, for_ever=request.facts["hash"] == self.version)

    async def _get_icon(self, request: WebRequest) -> Answer:
        path = self._static / "common" / "icon.svg"
        if not path.is_file():
            raise NoSuchPage
        return _cached(request, path.read_bytes(), "image/svg+xml", for_ever=False)


def language(request: WebRequest) -> str:
    """The language of a page: as the address says, as was chosen before, or as the browser prefers."""
    for chosen in (request.query("lang"), request.cookie(LANGUAGE_COOKIE)):
        if chosen in LANGUAGES:
            return chosen
    return preferred(request.header("accept-language"))


def preferred(accepted: str) -> str:
    """Of ``Accept-Language`` (RFC 9110, 12.5.4) the first that we have; Chinese of any kind is better than none."""
    wanted: list[tuple[float, str]] = []
    for part in accepted.split(",")[:32]:
        tag, _, quality = part.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        wanted.append((-weight, tag.strip().lower().partition("-")[0]))
    for weight, tag in sorted(wanted, key=lambda pair: pair[0]):
        if weight < 0 and tag in ("en", "zh"):
            return "zh-Hans" if tag == "zh" else "en"
    return DEFAULT_LANGUAGE


def _cached(request: WebRequest, body: bytes, kind: str, *, for_ever: bool) -> Answer:
    """``body``, or that the browser has it already."""
    tag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
    headers = (("ETag", tag), ("Cache-Control", FOR_EVER if for_ever else "no-cache"))
    if tag in request.header("if-none-match"):
        return Answer(status=304, kind=kind, headers=headers)
    return Answer(body=body, kind=kind, headers=headers)


def _files(folder: Path) -> list[tuple[Path, Any]]:
    return [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]


@lru_cache(maxsize=4)
def _hash_of(files: tuple[tuple[str, int, int], ...]) -> str:
    """The hash of the contents; files that have not changed are not read again."""
    digest = blake2b(digest_size=10)
    for name, _, _ in files:
        content = Path(name).read_bytes()
        digest.update(f"{Path(name).name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def error_pages(assets: Assets) -> Callable[[WebRequest, BaseException], Answer]:
    """Shows errors: as JSON to programs, as a page to people."""
    from p2pim.web.answers import error_answer, error_report, status_of

    def show(request: WebRequest, error: BaseException) -> Answer:
        wants_page = "text/html" in request.header("accept") and not request.path.startswith(b"/api/")
        if not wants_page:
            return error_answer(error)
        report = error_report(error)
        return assets.page("error.html", request, status=status_of(error), code=report["error"], **_words(report))

    return show


def _words(report: dict[str, Any]) -> dict[str, Any]:
    return {"message": report["message"]}
