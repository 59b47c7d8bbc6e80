"""Signing a home in: the one thing that the local API cannot do, since there is nobody yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from p2pim.cli.trust import TrustChoice
from p2pim.core.p2p_choice import NONE
from p2pim.errors import Usage
from p2pim.net.certificates import parse_fingerprint
from p2pim.net.trust import Trust
from p2pim.peer.api import Peer
from p2pim.peer.states import PeerSettings


async def sign_in(
    reactor: Any, home: Path, account: str, password: str, choice: TrustChoice, *, register: bool, invite: str = ""
) -> dict[str, Any]:
    """Register or log in, keep the credentials in ``home``, and tell who is signed in where."""
    trust = as_trust(choice)
    peer = Peer(reactor, home, PeerSettings(p2p_server=NONE, channel="none"))  # only signs in
    try:
        if register:
            await peer.register(account, password, invite=invite, trust=trust)
        else:
            await peer.login(account, password, trust=trust)
        return dict(peer.identity())
    finally:
        await peer.stop()


def as_trust(choice: TrustChoice) -> Trust | None:
    """``choice`` as the peer takes it; None leaves it to what the home knows and to the system's authorities."""
    if not choice.made:
        return None
    try:
        fingerprint = parse_fingerprint(choice.fingerprint) if choice.fingerprint else None
    except ValueError as error:
        raise Usage(f"{error}.") from None
    ca_file = choice.ca_file.expanduser().absolute() if choice.ca_file else None
    return Trust(fingerprint=fingerprint, ca_file=ca_file, first_use=choice.first_use)
