"""The classic text protocol: its lines and its user list, as bytes and as values. No I/O.

::

    login  = "login," name "," endpoint            ; UDP, client -> server; and server -> every other user
    accept = "Accept," port                        ; UDP, server -> client
    list   = *( name "," endpoint ";" ) "end"      ; TCP, pushed as soon as the connection is accepted
    logout = "logout," name "," endpoint           ; UDP, client -> server; and server -> every other user
    talk   = "talk," time "," name "," text        ; UDP, user -> user; text is all the rest, commas included
    endpoint = IPv4 ":" port | "[" IPv6 "]:" port
    name   = 1*32 ( any character except "," ";" CR LF NUL )

    refuse = "Refuse," reason                      ; UDP, server -> client: an addition, which old clients ignore
    alive  = "Alive," name                         ; UDP, server -> client: another; whoever knows it repeats its login

Text is UTF-8, or UTF-16LE from clients that speak so; which of the two is told by the second byte, since each line
begins with an ASCII letter. A list for such a client is a .NET ``BinaryWriter`` string: its length in bytes as a
varint of 7 bits per byte, then UTF-8. A trailing CR LF (or LF) is dropped from every line but ``talk``, whose text is
all the rest.

Whatever the bytes, `decode_text`, `parse` and `parse_list` return a value or raise a `BadClassicLine`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from p2pim.errors import BadClassicLine, BadClassicList, BadClassicName

NAME_LENGTH: Final = 32
TAKEN: Final = "name taken"
TOO_LONG: Final = "name too long"
BAD_NAME: Final = "bad name"
NOT_NOW: Final = "try later"
"""Reasons of ``Refuse``. None makes a line longer than the shortest login that it can be the answer to."""

_FORBIDDEN: Final = re.compile("[,;\r\n\0]")
_PORT: Final = re.compile("[0-9]{1,5}")
_VARINT_BYTES: Final = 5


class Coding(Enum):
    """How a client writes text."""

    UTF8 = "utf-8"
    UTF16 = "utf-16-le"


class Endpoint(NamedTuple):
    """Where a user receives datagrams: a numeric address and a port from 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """A user comes."""

    name: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Logout:
    """A user goes."""

    name: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Accept:
    """Welcome; the user list is at this TCP port."""

    port: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Not welcome, because of this."""

    reason: str


@dataclass(frozen=True, slots=True)
class Alive:
    """Are you still there, ``name``?"""

    name: str


@dataclass(frozen=True, slots=True)
class Talk:
    """What ``name`` says. ``time`` is text, in whatever form its sender writes it."""

    time: str
    name: str
    text: str


Line = Login | Logout | Accept | Refuse | Alive | Talk


@dataclass(frozen=True, slots=True)
class UserList:
    """Who is there; and how many entries could not be read and were passed over."""

    users: tuple[Login, ...]
    bad: int = 0


# --- names and endpoints


def check_name(name: str) -> str:
    """``name``, when the grammar lets it be one.

    :raises BadClassicName: it does not; ``reason`` says why in the words of ``Refuse``.
    """
    if len(name) > NAME_LENGTH:
        raise BadClassicName(f"The name has {len(name)} characters, {NAME_LENGTH} are the most.", reason=TOO_LONG)
    if not name or _FORBIDDEN.search(name):
        raise BadClassicName(reason=BAD_NAME)
    return name


def parse_endpoint(text: str) -> Endpoint:
    """``IPv4:port`` or ``[IPv6]:port``; names of hosts and zones are none.

    :raises BadClassicLine: it is no endpoint.
    """
    host, _, port = text.rpartition(":")
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise BadClassicLine("The endpoint has no port from 1 to 65535.")
    try:
        if host.startswith("[") and host.endswith("]") and "%" not in host:
            return Endpoint(str(IPv6Address(host[1:-1])), int(port))
        return Endpoint(str(IPv4Address(host)), int(port))
    except AddressValueError:
        raise BadClassicLine("The endpoint is neither IPv4:port nor [IPv6]:port.") from None


# --- lines


def decode_text(data: bytes) -> tuple[str, Coding]:
    """A datagram as text, and how it was written.

    :raises BadClassicLine: it is text in neither way.
    """
    coding = Coding.UTF16 if data[1:2] == b"\0" else Coding.UTF8
    try:
        return data.decode(coding.value), coding
    except UnicodeDecodeError:
        raise BadClassicLine(f"The datagram is no {coding.value.upper()} text.") from None


def strip_end(text: str) -> str:
    """``text`` without the line end that it may have."""
    return text.removesuffix("\n").removesuffix("\r")


def parse(text: str) -> Line:
    """One line.

    :raises BadClassicName: a login or logout whose endpoint can be read, but not its name.
    :raises BadClassicLine: it is none.
    """
    keyword, comma, rest = text.partition(",")
    if not comma or keyword not in _PARSERS:
        raise BadClassicLine("The line begins with no keyword of the classic protocol.")
    return _PARSERS[keyword](rest)


def _user(rest: str) -> Login:
    name, comma, endpoint = strip_end(rest).rpartition(",")
    if not comma:
        raise BadClassicLine("A login or logout has a name and an endpoint.")
    where = parse_endpoint(endpoint)
    try:
        return Login(check_name(name), where)
    except BadClassicName as error:
        error.endpoint = where
        raise


def _accept(rest: str) -> Accept:
    port = strip_end(rest)
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise BadClassicLine("Accept names a port from 1 to 65535.")
    return Accept(int(port))


def _talk(rest: str) -> Talk:
    parts = rest.split(",", 2)
    if len(parts) < 3:
        raise BadClassicLine("A talk line has a time, a name and a text.")
    return Talk(parts[0], check_name(parts[1]), parts[2])


def _logout(rest: str) -> Logout:
    user = _user(rest)
    return Logout(user.name, user.endpoint)


_PARSERS: Final[dict[str, Callable[[str], Line]]] = {
    "login": _user,
    "logout": _logout,
    "Accept": _accept,
    "Refuse": lambda rest: Refuse(strip_end(rest)),
    "Alive": lambda rest: Alive(check_name(strip_end(rest))),
    "talk": _talk,
}


def write(line: Line) -> str:
    """``line`` as text.

    :raises BadClassicLine: the grammar has no way to say it, such as a comma in a name.
    """
    match line:
        case Login(name, endpoint):
            return f"login,{check_name(name)},{endpoint}"
        case Logout(name, endpoint):
            return f"logout,{check_name(name)},{endpoint}"
        case Accept(port):
            return f"Accept,{port}"
        case Refuse(reason):
            return f"Refuse,{reason}"
        case Alive(name):
            return f"Alive,{check_name(name)}"
        case Talk(time, name, text):
            if "," in time:
                raise BadClassicLine("A time has no comma.")
            return f"talk,{time},{check_name(name)},{text}"


def encode_text(text: str, coding: Coding = Coding.UTF8) -> bytes:
    """``text`` as a datagram.

    :raises BadClassicLine: it holds half a character.
    """
    try:
        return text.encode(coding.value)
    except UnicodeEncodeError:
        raise BadClassicLine("The text holds half a character.") from None


def encode(line: Line, coding: Coding = Coding.UTF8) -> bytes:
    """``line`` as a datagram.

    :raises BadClassicLine: as `write` and `encode_text` do.
    """
    return encode_text(write(line), coding)


def decode(data: bytes) -> Line:
    """The line in a datagram.

    :raises BadClassicLine: there is none.
    """
    return parse(decode_text(data)[0])


# --- the list


def encode_list(users: Sequence[Login], coding: Coding = Coding.UTF8) -> bytes:
    """The user list; for a client that speaks UTF-16LE as a ``BinaryWriter`` string.

    :raises BadClassicLine: a name is none.
    """
    body = encode_text("".join(f"{check_name(user.name)},{user.endpoint};" for user in users) + "end")
    return _varint(len(body)) + body if coding is Coding.UTF16 else body


def parse_list(data: bytes, coding: Coding = Coding.UTF8) -> UserList:
    """The user list in all that came over a connection.

    ``end`` may come with or without a semicolon before it, semicolons may be doubled, and CR LF may follow. An entry
    that cannot be read is passed over and counted: it must not cost the others.

    :param coding: of the login; whatever it was, a list in the other form is understood, too.
    :raises BadClassicList: it is none, or not whole.
    """
    body = _string(data) if coding is Coding.UTF16 else data
    try:
        return _entries(body if body is not None else data)
    except BadClassicList:
        other = _string(data) if coding is Coding.UTF8 else None
        if other is None:
            raise
        return _entries(other)


def list_is_whole(data: bytes) -> bool:
    """Whether nothing has to follow ``data`` for it to be a list, so that a server that does not close can be left."""
    return strip_end(data[-8:].decode("latin-1")).endswith("end") and (data[:3] == b"end" or b";end" in data[-8:])


def _entries(body: bytes) -> UserList:
    try:
        text = strip_end(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadClassicList("The user list is no UTF-8 text.") from None
    if not text.endswith("end"):
        raise BadClassicList("The user list does not end with “end”: it is not whole.")
    users: list[Login] = []
    entries = [entry for entry in text[: -len("end")].split(";") if entry]
    for entry in entries:
        try:
            users.append(_user(entry))
        except BadClassicLine:
            continue
    return UserList(tuple(users), len(entries) - len(users))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _string(data: bytes) -> bytes | None:
    """What is in a ``BinaryWriter`` string; None when ``data`` is none, or not a whole one."""
    length = 0
    for index, byte in enumerate(data[:_VARINT_BYTES]):
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            body = data[index + 1 :]
            return body if len(body) == length else None
    return None
