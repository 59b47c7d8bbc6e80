"""The local API over HTTP, version 1: ``POST /api/1/METHOD`` and ``GET /api/1/events``; see ``docs/api.md``.

The same routes are served on the agent's Unix socket and, behind a `p2pim.web.guard.Guard`, to the chat page.
"""

from __future__ import annotations

from typing import Any, Final

from p2pim import __version__
from p2pim.errors import NoSuchPage, P2pimError
from p2pim.peer.local_api import LocalApi
from p2pim.web.answers import Answer, encode, error_report, failed, json_answer
from p2pim.web.http import WebRequest
from p2pim.web.routing import API, Routes
from p2pim.web.sse import EventLog, Stream, serve_events

API_VERSION: Final = 1
ITEMS: Final = "application/x-ndjson"
ENDLESS: Final = ("events", "log", "answer")
"""Methods whose items may be long in coming: the head of the answer says at once that they are under way."""


class LocalHttp:
    """Serves ``api``.

    :param events: what ``GET /api/1/events`` tells.
    :param clock: for signs of life in it.
    :param without: methods that are not there.
    """

    def __init__(self, api: LocalApi, events: EventLog, clock: Any, without: tuple[str, ...] = ()) -> None:
        self._api = api
        self._events = events
        self._clock = clock
        self._without = without

    def serve(self, routes: Routes) -> None:
        """Put the API where it belongs."""
        routes.add("GET", "/api/1", self._about, API)
        routes.add("GET", "/api/1/events", self._get_events, API)
        routes.add("POST", "/api/1/{method}", self._call, API)

    async def _about(self, request: WebRequest) -> Answer:
        methods = [name for name in self._api.methods if name not in self._without]
        return json_answer({"api": API_VERSION, "version": __version__, "methods": methods})

    async def _get_events(self, request: WebRequest) -> None:
        await serve_events(request, self._events.watch, self._clock)

    async def _call(self, request: WebRequest) -> Answer | None:
        method, params = request.facts["method"], request.json()
        if method in self._without:
            raise NoSuchPage
        if ITEMS not in request.header("accept"):
            return json_answer(await self._api.call(method, params, lambda item: None))
        return await self._call_with_items(request, method, params)

    async def _call_with_items(self, request: WebRequest, method: str, params: dict[str, Any]) -> Answer | None:
        items = _Items(request)
        if method in ENDLESS:
            items.start()
        try:
            result = await self._api.call(method, params, items.item)
        except (P2pimError, ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            if items.stream is None:
                raise
            failed(error)
            return items.end(error_report(error))
        return items.end({"result": result})


class _Items:
    """Lines of JSON: the head goes out with the first item, or with the end."""

    def __init__(self, request: WebRequest) -> None:
        self._request = request
        self.stream: Stream | None = None

    def start(self) -> None:
        """Send the head now."""
        self.stream = Stream(self._request)
        self.stream.start(Answer(kind=ITEMS))

    def item(self, item: dict[str, Any]) -> None:
        """A line with an item."""
        if self.stream is None:
            self.start()
        assert self.stream is not None
        self.stream.write(encode({"item": item}) + b"\n")

    def end(self, value: dict[str, Any]) -> Answer | None:
        """The last line."""
        if self.stream is None:
            return Answer(body=encode(value) + b"\n", kind=ITEMS)
        self.stream.write(encode(value) + b"\n")
        self.stream.finish()
        return None
