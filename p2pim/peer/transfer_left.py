"""What transfers by way of the server's store share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from p2pim.errors import P2pimError
from p2pim.peer.store_access import Post, StoreLink
from p2pim.storage.left_files import LeftRecord, LeftStore
from p2pim.wire.store import DownloadOpened, UploadOpened


class Access(Protocol):
    """The server's store; see `p2pim.peer.store_access.StoreAccess`. Everything raises `P2pimError`."""

    async def open_upload(self, to: str, transfer: bytes, size: int) -> UploadOpened: ...
    async def open_download(self, file: bytes, offset: int) -> DownloadOpened: ...
    async def drop(self, file: bytes, outcome: str) -> None: ...
    async def states(self, files: list[bytes]) -> dict[bytes, str]: ...
    async def link(self, ticket: bytes) -> StoreLink: ...

    def alone(self) -> bool:
        """Whether the account has no other device, for which a file would be, too."""

    @property
    def post(self) -> Post:
        """Leaves a signal, sealed, with every device of a user; what it gives is awaited."""


class LeftTransfer(Protocol):
    """One of them."""

    left: LeftRecord

    def settle(self) -> None:
        """The server knows of the end."""


@dataclass
class LeftDesk:
    """Handed to each of them. ``random_bytes``: unpredictable ones."""

    access: Access
    store: LeftStore
    random_bytes: Callable[[int], bytes] = field(repr=False)
    fall_back: Callable[[Any, str], None] = lambda transfer, why: None
    """The server cannot take it, for the reason given: it is offered to a device instead."""

    async def dropped(self, transfer: LeftTransfer, outcome: str) -> None:
        """Tell the server that the file is not needed any more, or that its end was heard; later, when not now."""
        if transfer.left.file:
            try:
                await self.access.drop(transfer.left.file, outcome)
            except P2pimError:
                return
        transfer.settle()
