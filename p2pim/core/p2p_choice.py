"""Which P2P server a peer uses: its own setting, else the one that the server names, else none.

A P2P server is named ``HOST:PORT`` (``[HOST]:PORT`` for IPv6). The server may also say ``:PORT``, which means: at the
address at which you reached me; so an integrated P2P server need not know by which of its addresses clients come.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from p2pim.core.addresses import format_address
from p2pim.errors import BadP2pServer

NONE: Final = "none"
"""The setting that switches it off."""


class P2pServer(NamedTuple):
    """A P2P server by name or address."""

    host: str
    port: int

    def __str__(self) -> str:
        return format_address(self.host, self.port)


def choose_p2p_server(own: str | None, told: str | None, reached: str) -> P2pServer | None:
    """The P2P server to use; None when there is none.

    :param own: this peer's setting: ``HOST:PORT``, "none", or nothing.
    :param told: what the server's Welcome says.
    :param reached: the address at which the server was reached; empty when it was not.
    :raises BadP2pServer: whichever decides is no name of a P2P server.
    """
    if own:
        return None if own == NONE else read_p2p_server(own)
    if not told:
        return None
    if told.startswith(":"):
        return P2pServer(reached, _port(told[1:], told)) if reached else None
    return read_p2p_server(told)


def read_p2p_server(text: str) -> P2pServer:
    """``HOST:PORT`` or ``[HOST]:PORT``.

    :raises BadP2pServer: it is something else.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not _is_host(host) or (":" in host) != bracketed:
        raise BadP2pServer(f"{text!r} is no P2P server; name one as HOST:PORT, such as p2p.example.org:9901.")
    return P2pServer(host, _port(port, text))


def _is_host(host: str) -> bool:
    return 0 < len(host) <= 253 and host.isprintable() and not any(c in "[]/@ ," for c in host)


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65_536):
        raise BadP2pServer(f"{whole!r} is no P2P server: its port must be a number from 1 to 65535.")
    return int(text)
