"""A classic client's side: the list that it keeps, and what the lines that come mean to it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from p2pim.core.limits import CLASSIC_USERS
from p2pim.errors import NoSuchUser
from p2pim.wire.classic import Coding, Endpoint, Line, Login, Logout, Talk


@dataclass(frozen=True, slots=True)
class Came:
    """The server says that a user logged in, at ``endpoint``."""

    name: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Went:
    """The server says that a user logged out."""

    name: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Said:
    """Somebody says to be ``name`` and says this.

    ``listed``: it came from the host where the list has that user; otherwise it may be anybody.
    """

    name: str
    time: str
    text: str
    source: Endpoint
    listed: bool


class UserBook:
    """The users that a client knows of.

    :param name: its own.
    :param server: the host of the server, which alone is believed about who is there.
    """

    def __init__(self, name: str, server: str, coding: Coding) -> None:
        self.name = name
        self.users: dict[str, Endpoint] = {}
        self._server = server
        self._coding = coding
        self._codings: dict[str, Coding] = {}
        self._changes: dict[str, Endpoint | None] | None = None
        """What has changed since the list was asked for: it may be older."""

    # --- the list

    def asking(self) -> None:
        """The list is asked for now."""
        self._changes = {}

    def take_list(self, users: Iterable[Login]) -> None:
        """The list, with what has changed since it was asked for."""
        changes, self._changes = self._changes or {}, None
        self.users = {}
        for user in users:
            self._put(user.name, user.endpoint)
        for name, endpoint in changes.items():
            if endpoint is None:
                self.users.pop(name, None)
            else:
                self._put(name, endpoint)

    def _put(self, name: str, endpoint: Endpoint) -> None:
        if name in self.users or len(self.users) < CLASSIC_USERS:
            self.users[name] = endpoint

    # --- lines

    def take(self, line: Line, coding: Coding, source: Endpoint) -> Came | Went | Said | None:
        """What a line from ``source`` means; None: nothing, or it is not for its sender to say."""
        match line:
            case Talk():
                return self._talk(line, coding, source)
            case Login() if source.host == self._server:
                if self._changes is not None and len(self._changes) < CLASSIC_USERS:
                    self._changes[line.name] = line.endpoint
                self._put(line.name, line.endpoint)
                return Came(line.name, line.endpoint)
            case Logout() if source.host == self._server:
                if self._changes is not None and len(self._changes) < CLASSIC_USERS:
                    self._changes[line.name] = None
                known = self.users.pop(line.name, None)
                self._codings.pop(line.name, None)
                return Went(line.name, line.endpoint) if known is not None else None
            case _:
                return None

    def _talk(self, line: Talk, coding: Coding, source: Endpoint) -> Said:
        where = self.users.get(line.name)
        listed = where is not None and where.host == source.host
        if listed:
            self._codings[line.name] = coding
        return Said(line.name, line.time, line.text, source, listed)

    # --- talking

    def where(self, name: str) -> tuple[Endpoint, Coding]:
        """Where to send what is for ``name``, and how to write it: as they do, once they have said something.

        :raises NoSuchUser: they are not in the list, or at an address that is nobody's.
        """
        endpoint = self.users.get(name)
        if endpoint is None:
            raise NoSuchUser(f"There is no {name!r} in the list; /list shows who is there.")
        address = ip_address(endpoint.host)
        if address.is_multicast or address.is_unspecified or endpoint.host == "255.255.255.255":
            raise NoSuchUser(f"{name!r} is listed at {endpoint}, which is the address of nobody.")
        return endpoint, self._codings.get(name, self._coding)

    def address_line(self, text: str) -> tuple[str, str]:
        """The parts of ``NAME text`` or ``NAME: text``; names may hold spaces, so the longest that fits counts.

        :raises NoSuchUser: it begins with the name of nobody in the list.
        """
        fitting = [
            name for name in self.users if text.startswith(name) and text[len(name) : len(name) + 1] in (" ", ":")
        ]
        if not fitting:
            raise NoSuchUser(f"There is no {text.partition(' ')[0]!r} in the list; /list shows who is there.")
        name = max(fitting, key=len)
        return name, text[len(name) + 1 :].lstrip(" ")
