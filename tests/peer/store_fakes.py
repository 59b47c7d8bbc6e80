"""The server's store and mail, in memory, every step of which a test decides (see `tests.peer.transfer_world`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import succeed

from p2pim.errors import ChannelClosed, Offline, P2pimError, StoredFileGone
from p2pim.peer.store_access import StoreLink
from p2pim.storage.left_files import keep_offer
from p2pim.wire.signals import FileLeft
from p2pim.wire.store import DownloadOpened, UploadOpened
from tests.peer.transfer_world import Home, World

SLICE = 50_000


@dataclass
class Kept:
    """A file at the server."""

    sender: Home
    to: Home
    size: int
    data: bytearray = field(default_factory=bytearray)
    outcome: str = ""


class MemoryStore:
    """All files, by an id that is also their transfer's.

    :ivar refusal: what uploads are refused with.
    :ivar down: nobody reaches it.
    :ivar mail: what waits for a home.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.files: dict[bytes, Kept] = {}
        self.refusal: P2pimError | None = None
        self.down = False
        self.links: list[MemoryLink] = []
        self.mail: dict[str, list[tuple[Home, FileLeft]]] = {}

    def cut(self) -> None:
        """Every connection breaks."""
        links, self.links = self.links, []
        for link in links:
            link.over = True
            if link.home.alive:
                link.lost(ChannelClosed())

    def deliver(self, home: Home) -> None:
        """The mail of ``home`` arrives."""
        for sender, signal in self.mail.pop(home.user, []):
            assert home._database is not None
            keep_offer(home._database.connection, sender.user, sender.device, signal)
            home.signal_received(sender.user, sender.device, signal, None)

    def end(self, file: bytes, outcome: str, by: Home | None = None) -> None:
        """A file has ended, and whoever is there hears it."""
        kept = self.files[file]
        if kept.outcome:
            return
        kept.outcome = outcome
        kept.data.clear()
        for home in (kept.sender, kept.to):
            if home is not by and home.alive:
                home.transfers.left.ended(file, outcome)


class MemoryLink(StoreLink):
    """A connection for bulk."""

    def __init__(self, store: MemoryStore, home: Home, file: bytes, offset: int) -> None:
        super().__init__(bytes(32))
        self.over = False
        self.home = home
        self.offset = offset
        self._store = store
        self._file = file
        self.ready.callback(None)
        store.links.append(self)

    def _later(self, what: Callable[[], None]) -> None:
        self._store.world.put(("bulk", id(self)), self.home, lambda: None if self.over else what())

    async def send(self, offset: int, data: bytes) -> None:
        if self.over:
            raise ChannelClosed
        self._later(lambda: self._arrive(offset, data))
        await self._store.world.later(self.home, "room", lambda: None)
        if self.over:
            raise ChannelClosed

    def _arrive(self, offset: int, data: bytes) -> None:
        kept = self._store.files[self._file]
        assert offset == len(kept.data)
        kept.data += data
        self.committed(len(kept.data))

    def pour(self) -> None:
        """A download: everything, slice by slice."""
        data = bytes(self._store.files[self._file].data)
        for at in range(self.offset, len(data), SLICE):
            self._later(lambda at=at: self.took(at, data[at : at + SLICE]))  # type: ignore[misc]

    def read_on(self, on: bool) -> None:
        """What comes is in the test's hands."""

    def close(self) -> None:
        self.over = True


class MemoryAccess:
    """One home's way there."""

    def __init__(self, store: MemoryStore, home: Home) -> None:
        self._store = store
        self._home = home
        self._tickets: dict[bytes, tuple[bytes, int | None]] = {}
        self.others = False
        """Whether the account has further devices."""

    def alone(self) -> bool:
        return not self.others

    def _asked(self, what: Callable[[], Any]) -> Any:
        def answer() -> Any:
            if self._store.down:
                raise Offline
            return what()

        return self._store.world.later(self._home, "store", answer)

    async def open_upload(self, to: str, transfer: bytes, size: int) -> UploadOpened:
        def answer() -> UploadOpened:
            kept = self._store.files.get(transfer)
            if kept is None:
                if self._store.refusal is not None:
                    raise self._store.refusal
                kept = self._store.files[transfer] = Kept(self._home, self._home.other, size)
            ticket = bytes(31) + bytes([len(self._tickets)])
            self._tickets[ticket] = transfer, None
            return UploadOpened(1, transfer, len(kept.data), ticket, 30.0, 1_800_000_000.0)

        return await self._asked(answer)  # type: ignore[no-any-return]

    async def open_download(self, file: bytes, offset: int) -> DownloadOpened:
        def answer() -> DownloadOpened:
            kept = self._store.files[file]
            if kept.outcome:
                raise StoredFileGone
            ticket = bytes(31) + bytes([len(self._tickets)])
            self._tickets[ticket] = file, offset
            return DownloadOpened(1, kept.size, ticket, 30.0)

        return await self._asked(answer)  # type: ignore[no-any-return]

    async def link(self, ticket: bytes) -> StoreLink:
        file, offset = self._tickets[ticket]
        kept = self._store.files[file]
        link = MemoryLink(self._store, self._home, file, len(kept.data) if offset is None else offset)
        if offset is not None:
            link.pour()
        return link

    async def drop(self, file: bytes, outcome: str) -> None:
        await self._asked(lambda: self._store.end(file, outcome, self._home))

    async def states(self, files: list[bytes]) -> dict[bytes, str]:
        def answer() -> dict[bytes, str]:
            kept = {file: self._store.files.get(file) for file in files}
            return {
                file: "unknown" if each is None else each.outcome or ("waiting" if each.data else "uploading")
                for file, each in kept.items()
            }

        return await self._asked(answer)  # type: ignore[no-any-return]

    def post(self, user: str, signal: FileLeft) -> Any:
        """Mail to the other home's only device."""
        self._store.mail.setdefault(user, []).append((self._home, signal))
        return succeed(None)
