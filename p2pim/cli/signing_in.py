"""Signing a home in: the one thing that the local API cannot do, since there is nobody yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from p2pim.cli.trust import Account, TrustChoice
from p2pim.errors import P2pimError, Usage


async def sign_in(
    reactor: Any, home: Path, account: Account, password: str, choice: TrustChoice, *, register: bool, invite: str = ""
) -> dict[str, Any]:
    """Register or log in, keep the credentials in ``home``, and tell who is signed in where."""
    from p2pim.net.certificates import parse_fingerprint
    from p2pim.net.server_connection import Trust
    from p2pim.peer.api import Peer

    try:
        fingerprint = parse_fingerprint(choice.fingerprint) if choice.fingerprint else None
    except (ValueError, P2pimError):
        raise Usage(
            f"{choice.fingerprint!r} is no fingerprint, such as SHA256:… as the server's log shows it."
        ) from None
    trust = Trust(fingerprint=fingerprint, ca_file=choice.ca_file, first_use=choice.first_use)
    peer = Peer(reactor, home=home)
    try:
        if register:
            await peer.register(str(account), password, invite=invite, trust=trust)
        else:
            await peer.login(str(account), password, trust=trust)
        return dict(peer.identity())
    finally:
        await peer.stop()
