"""Values as people read them: sizes, rates, times, routes; and other people's text made safe for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from p2pim.core.names import is_guest_user

_INVISIBLE = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that reorder what is around them: a name must not be able to pose as another."""


def printable(text: str, *, keep: str = "") -> str:
    """``text`` with control and direction characters made visible, but for those in ``keep``.

    What another person wrote must not be able to move the cursor, retitle the window or fake a line.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep else _visible(c) for c in text)


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return " " if character == "\t" else chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if character in _INVISIBLE or unicodedata.category(character) in ("Cc", "Cs"):
        return f"<U+{code:04X}>"
    return character


def size_text(count: float) -> str:
    """Bytes in binary units: ``512 B``, ``1.5 KiB``, ``256 MiB``."""
    if count < 1024:
        return f"{int(count)} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        count /= 1024
        if count < 1024 or unit == "TiB":
            break
    return f"{count:.0f} {unit}" if count >= 100 or count == int(count) else f"{count:.1f} {unit}"


def count_text(count: int, what: str) -> str:
    """``1 account``, ``2 accounts``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def rate_text(bytes_per_second: float) -> str:
    """``12.3 MiB/s``."""
    return f"{size_text(bytes_per_second)}/s"


def duration_text(seconds: float) -> str:
    """``0.4 s``, ``42 s``, ``3:07``, ``2:05:09``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def milliseconds_text(value: object) -> str:
    """``1.3 ms``, or a dash when it was not measured."""
    return f"{float(value):.1f} ms" if isinstance(value, int | float) else "-"


def local_time(stamp: object) -> datetime | None:
    """A moment in this machine's time zone, from RFC 3339 text or seconds since 1970; None when it is neither."""
    try:
        if isinstance(stamp, int | float):
            return datetime.fromtimestamp(stamp).astimezone()
        return datetime.fromisoformat(str(stamp)).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def clock_text(stamp: object) -> str:
    """The time of day of ``stamp``: ``14:03:59``."""
    moment = local_time(stamp)
    return moment.strftime("%H:%M:%S") if moment else "--:--:--"


def date_text(stamp: object) -> str:
    """Date and time of ``stamp``: ``2026-01-31 14:03``."""
    moment = local_time(stamp)
    return moment.strftime("%Y-%m-%d %H:%M") if moment else "-"


def route_text(route: object, address: object = "") -> str:
    """A route in words: ``direct TCP 192.168.1.7:50122``, ``relayed``, ``mailbox``; a dash for none."""
    match route:
        case "tcp" | "udp":
            return f"direct {str(route).upper()} {address or ''}".rstrip()
        case "relay":
            return "relayed"
        case "classic":
            return "guest, NOT encrypted"
        case None | "":
            return "-"
        case _:
            return str(route)


def conversation_title(user: str, channel: Mapping[str, Any] | None) -> str:
    """How a conversation goes: ``bob — direct TCP 192.168.1.7:50122``, or ``bob — relayed`` without a channel."""
    if is_guest_user(user):
        return f"{user} — {route_text('classic')}"
    if channel is not None and channel.get("kind") in ("tcp", "udp"):
        return f"{user} — {route_text(channel['kind'], channel.get('address'))}"
    return f"{user} — relayed"


def state_mark(state: object) -> str:
    """How far a message of mine has come, in a few cells."""
    return _MARKS.get(str(state), str(state or ""))


_MARKS = {
    "sending": "·", "waiting": "·", "sent": "✓", "stored": "✓", "delivered": "✓✓", "read": "✓✓ read", "failed": "✗",
}  # fmt: skip
"""On its way here, on its way or in a mailbox, on a device of theirs, before their eyes."""

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def message_line(message: Mapping[str, Any], lit: bool = False, *, everyone: bool = False) -> str:
    """``2026-01-31 14:03 bob: text  (direct TCP 192.0.2.7:50122 ✓✓)``, safe for a terminal.

    :param lit: the message's ``hits`` are in bold.
    :param everyone: among messages of other conversations, so that mine need their recipient.
    """
    user, mine = printable(str(message["user"])), message.get("direction") == "out"
    when = date_text(message.get("sent_at") if mine else message.get("received_at") or message.get("sent_at"))
    who = (f"me to {user}" if everyone else "me") if mine else printable(str(message.get("sender") or user))
    text = lit_text(str(message["text"]), message.get("hits", ()) if lit else ())
    return f"{when} {who}: {text}  ({printable(_way(message, mine))})"


def _way(message: Mapping[str, Any], mine: bool) -> str:
    way = route_text(message.get("route"), message.get("address"))
    if not mine:
        return way
    return "waits in the outbox" if message.get("state") == "waiting" else f"{way} {state_mark(message.get('state'))}"


def lit_text(text: str, hits: Sequence[Sequence[int]]) -> str:
    """``text`` safe for a terminal, with these parts (beginnings and ends, in order) in bold."""
    parts, at = [], 0
    for start, end in hits:
        parts += [printable(text[at:start], keep="\n"), _BOLD, printable(text[start:end], keep="\n"), _PLAIN]
        at = end
    return "".join([*parts, printable(text[at:], keep="\n")])
