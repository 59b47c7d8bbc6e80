"""What a session says of itself, and when it comes back."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Final

from p2pim import __version__
from p2pim.errors import AlreadySignedIn, ServerFull, TooManyTries
from p2pim.wire.groups import Groups, GroupState
from p2pim.wire.guests import Guests
from p2pim.wire.messages import ClaimedKeys, DeviceLists, Done, Found, KeysLeft, Mail, Pong, SpliceTickets, Welcome
from p2pim.wire.store import DownloadOpened, StoredStates, UploadOpened

SOFTWARE: Final = f"p2pim {__version__}"
NO_CONNECTION: Final = "There is no connection to the server now."
FAREWELLS: Final = {"replaced": "replaced", "kicked": "kicked", "disabled": "kicked", "removed": "kicked"}
"""Reasons of the server's `SignedOut` after which a client stays away, and what the events call them."""
TRY_AGAIN: Final = (TooManyTries, ServerFull, AlreadySignedIn)
"""Refusals that pass: my own old connection, for one, may look alive to the server for another half minute."""
ANSWERS: Final = (
    Done, Found, SpliceTickets, Mail, ClaimedKeys, DeviceLists, KeysLeft, Pong, UploadOpened, DownloadOpened,
    StoredStates, GroupState, Groups, Guests,
)  # fmt: skip
"""What a request may be answered with, beside a failure."""
HEARTBEATS: Final = (1.0, 60.0)
"""What a server may ask for, in seconds between pings."""


def lost_keys(home: Path, device: bytes) -> str:
    """What to tell, and what to do, when the server knows the device of a home by other keys than are in it."""
    return (
        f"The keys of this device are not in {home} any more: its home.db was lost or replaced, and nothing that is"
        " sealed for it could be read. Restore home.db and pickle.key from one backup; or sign in from another home"
        f" directory, which is a new device, and say `p2pim devices remove {device.hex()[:8]}` there."
    )


class State(Enum):
    """How far a session is."""

    AWAY = "away"
    CALLING = "calling"
    SIGNED_IN = "signed in"
    ENDED = "ended"


def heartbeat(welcome: Welcome) -> tuple[float, float]:
    """Seconds between pings, and after which a silent server is dead: what it asked for, within `HEARTBEATS`."""
    interval = min(max(welcome.heartbeat, HEARTBEATS[0]), HEARTBEATS[1])
    return interval, max(welcome.patience, 2 * interval)


def words(error: BaseException) -> str:
    """Why a connection could not be made, in the words of the system."""
    number = getattr(error, "osError", None)
    if isinstance(number, int):
        return os.strerror(number).lower()
    return str(error).rstrip(".") or type(error).__name__
