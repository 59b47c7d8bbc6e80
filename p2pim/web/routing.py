"""What is where: paths and methods to coroutines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from p2pim.errors import NoSuchPage, WrongVerb

OPEN: Final = "open"
"""For everybody: what tells nothing of anybody."""
PAGE: Final = "page"
"""A page that a browser goes to: by those who were let in."""
API: Final = "api"
"""What our own page or a program asks for: by those who were let in, and from no other page."""


@dataclass(frozen=True)
class Route:
    """One method at one path.

    :ivar parts: the path's segments; ``{name}`` takes any one, ``{name...}`` (the last) all the rest.
    :ivar sink: makes what takes the body as it comes, from the request and the length (None: not told); None: the body
        is kept in memory, and bounded.
    """

    method: str
    parts: tuple[str, ...]
    handler: Callable[[Any], Any]
    access: str
    sink: Callable[[Any, int | None], Any] | None = None

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The named parts of a path, or None when it is another's."""
        rest = self.parts[-1].endswith("...}")
        if len(segments) < len(self.parts) or (len(segments) > len(self.parts) and not rest):
            return None
        found: dict[str, str] = {}
        for position, part in enumerate(self.parts):
            if part.endswith("...}"):
                found[part[1:-4]] = "/".join(segments[position:])
            elif part.startswith("{"):
                found[part[1:-1]] = segments[position]
            elif part != segments[position]:
                return None
        return found


class Routes:
    """All of a site's. The first that fits is taken."""

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def add(
        self,
        method: str,
        path: str,
        handler: Callable[[Any], Any],
        access: str = API,
        sink: Callable[[Any, int | None], Any] | None = None,
    ) -> None:
        """Serve ``path`` (``/static/{hash}/{rest...}``) by the coroutine function ``handler``, which takes the request
        and gives an `Answer`, or None when it has answered by itself."""
        self._routes.append(Route(method, tuple(path.split("/")[1:]), handler, access, sink))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route, and the named parts of ``path``, which is decoded.

        :raises NoSuchPage: (or `WrongVerb`) there is none.
        """
        segments = path.split("/")[1:]
        verbs = []
        for route in self._routes:
            found = route.match(segments) if path.startswith("/") else None
            if found is None:
                continue
            if route.method == method or (method == "HEAD" and route.method == "GET"):
                return route, found
            verbs.append(route.method)
        if verbs:
            raise WrongVerb(f"This address takes {', '.join(verbs)}.")
        raise NoSuchPage


class Served(Protocol):
    """A part of what is served."""

    def serve(self, routes: Routes) -> None:
        """Put it in its place."""
