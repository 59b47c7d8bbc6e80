"""Single modules of the pages, in a browser without any program behind it."""

from __future__ import annotations

import json
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import p2pim.web
from tests.browser.case import BrowserTestCase

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

WEB = Path(p2pim.web.__file__).parent
STATIC = WEB / "static"
ORIGIN = "http://modules.test"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'"
EMPTY = '<!doctype html><html lang="en"><meta charset="utf-8"><title>modules</title><body></body></html>'


class ModuleCase(BrowserTestCase):
    """Imports modules of ``p2pim/web/static`` and calls them.

    Nothing runs behind the page: its requests are answered with the files. ``self.calls`` are the requests to the local
    API, and ``self.answers[METHOD]`` what each is answered with.
    """

    timeout = 120

    def module_page(self, body: str = "", **options: Any) -> Page:
        """An empty page whose origin has the modules, at ``/static/-/PATH``."""
        self.calls: list[tuple[str, Any]] = []
        self.answers: dict[str, Any] = {}
        context = self.context("modules", **options)
        context.route(f"{ORIGIN}/**", lambda route: self._answer(route, body))
        page = context.new_page()
        page.goto(f"{ORIGIN}/")
        return page

    def evaluate(self, page: Page, module: str, function: str, argument: Any = None) -> Any:
        """What the JavaScript ``function`` of (the module, ``argument``) comes to.

        :param module: like ``common/dom.js``.
        """
        return page.evaluate(
            f"async ([path, argument]) => ({function})(await import(path), argument)",
            [f"{ORIGIN}/static/-/{module}", argument],
        )

    def _answer(self, route: Route, body: str) -> None:
        request = route.request
        path = request.url.removeprefix(ORIGIN).split("?")[0].lstrip("/")
        kind, _, rest = path.partition("/")
        if path == "":
            page = EMPTY.replace("<body>", f"<body>{body}")
            route.fulfill(body=page, content_type="text/html", headers={"Content-Security-Policy": POLICY})
        elif kind == "static":
            self._file(route, STATIC / rest.partition("/")[2])
        elif kind == "strings":
            self._file(route, WEB / "strings" / rest)
        elif kind == "api":
            method = rest.partition("/")[2]
            self.calls.append((method, request.post_data_json))
            route.fulfill(body=json.dumps(self.answers.get(method, {})), content_type="application/json")
        else:
            route.fulfill(status=404 if path != "favicon.ico" else 204)

    def _file(self, route: Route, path: Path) -> None:
        if not path.is_file():
            self.watch.found.append(f"no such file: {path}")
            route.fulfill(status=404)
            return
        route.fulfill(body=path.read_bytes(), content_type=mimetypes.guess_type(path.name)[0])
