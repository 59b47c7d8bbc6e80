"""Where the chat page is served: this machine's loopback, and nowhere else."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from p2pim.errors import Usage


@dataclass(frozen=True)
class PageAddress:
    """``port`` 0 is any free one; ``remembered`` means the same as the last time, if it is free."""

    host: str = "127.0.0.1"
    port: int = 0
    remembered: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_page_address(text: str) -> PageAddress | None:
    """``auto``, ``none`` (None) or ``ADDR:PORT``.

    :raises Usage: it is something else, or leads out of this machine.
    """
    if text == "none":
        return None
    if text in ("", "auto"):
        return PageAddress(remembered=True)
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise Usage(f"{text!r} is no address for the chat page; say 127.0.0.1:PORT, auto or none.")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise Usage(f"The chat page is served on this machine's loopback only, 127.0.0.1 or [::1], not on {host}.")
    return PageAddress(host, int(port))
