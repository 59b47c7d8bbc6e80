"""Files by way of the server's store: which go there, which come from there, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

from p2pim.core.file_sealing import KEY_BYTES
from p2pim.core.limits import STORED_ASKED
from p2pim.core.transfer import State
from p2pim.errors import NoStore, P2pimError, TransferError, Usage
from p2pim.peer.store_access import MAILBOX
from p2pim.peer.transfer import Transfer
from p2pim.peer.transfer_acceptance import Acceptance, incoming_record
from p2pim.peer.transfer_context import TransferContext
from p2pim.peer.transfer_fetching import Fetching
from p2pim.peer.transfer_incoming import Incoming
from p2pim.peer.transfer_leaving import Leaving
from p2pim.peer.transfer_left import Access, LeftDesk
from p2pim.peer.transfer_outgoing import Outgoing
from p2pim.storage.left_files import LeftRecord, LeftStore
from p2pim.storage.transfers import TransferRecord
from p2pim.wire.signals import FileLeft, FileOffer

LEAVE: Final = ("auto", "always", "never")
"""When a file is left at the server: when its recipient is away, in any case, or not at all."""
_CONVERTIBLE: Final = (State.OFFERED, State.WAITING, State.PAUSED)


class LeftFiles:
    """See the module.

    :param table: all transfers of the peer.
    :param access: the server's store; None: there is none, and nothing is left there.
    """

    def __init__(
        self,
        context: TransferContext,
        table: MutableMapping[bytes, Any],
        acceptance: Acceptance,
        store: LeftStore,
        downloads: Path,
        access: Access | None,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._context = context
        self._table = table
        self._acceptance = acceptance
        self._store = store
        self.downloads = downloads
        self._random_bytes = random_bytes
        self._desk = None if access is None else LeftDesk(access, store, random_bytes, self._fall_back)
        self._lefts: dict[bytes, LeftRecord] = {}
        self._declined: dict[bytes, FileLeft] = {}

    async def load(self) -> None:
        """What is known of earlier ones; before `restored`."""
        self._lefts = await self._store.load()

    def restored(self, record: TransferRecord) -> Transfer | None:
        """A transfer of an earlier run, where it goes by the store."""
        left = self._lefts.pop(record.id, None)
        if record.route != MAILBOX or left is None or self._desk is None:
            return None
        cls = Leaving if record.direction == "out" else Fetching
        return cls(record, self._context, self._desk, left)

    def _here(self) -> LeftDesk:
        if self._desk is None:
            raise NoStore
        return self._desk

    # --- sending

    def wanted(self, leave: str, route: str, *, away: bool) -> bool:
        """Whether a new transfer goes to the server.

        :raises Usage: there is no such choice.
        :raises NoStore: it should, and there is no store.
        """
        if leave not in LEAVE:
            raise Usage(f"A file is left at the server {', '.join(LEAVE)}; not {leave!r}.")
        if leave == "always":
            self._here()
            return True
        return leave == "auto" and away and route == "auto" and self._desk is not None

    async def begin(self, record: TransferRecord, manifest: bytes | None, *, falls_back: bool) -> Leaving:
        """Leave a new transfer at the server."""
        desk = self._here()
        record.route, record.state = MAILBOX, State.WAITING
        left = LeftRecord(record.id, b"", self._random_bytes(KEY_BYTES), falls_back=falls_back)
        transfer = Leaving(record, self._context, desk, left, manifest)
        await self._store.begin(record, left, manifest)
        self._table[record.id] = transfer
        transfer.emit_offer()
        transfer.go_on()
        return transfer

    async def leave(self, transfer: Transfer, *, falls_back: bool = False) -> Leaving:
        """Leave at the server what waits for its recipient.

        :param falls_back: if the server does not take it, it waits on.
        :raises TransferError: it is nothing that waits to be sent.
        """
        desk, r = self._here(), transfer.record
        if not isinstance(transfer, Outgoing) or r.state not in _CONVERTIBLE:
            raise TransferError("Only what waits for its recipient can be left at the server.")
        await transfer.stop()
        left = LeftRecord(r.id, b"", self._random_bytes(KEY_BYTES), falls_back=falls_back)
        r.route, r.state, r.reason, r.message, r.device = MAILBOX, State.WAITING, "", "", b""
        r.paused_here = r.paused_there = False
        leaving = Leaving(r, self._context, desk, left)
        leaving.take_waiters(transfer)
        self._table[r.id] = leaving
        await self._store.begin(r, left)
        leaving.note("is left at the server")
        leaving.go_on()
        return leaving

    def _fall_back(self, transfer: Leaving, why: str) -> None:
        """The server does not take it: it is offered, as it would have been, when both are there."""
        r = transfer.record
        r.route, r.state, r.position, r.used_route = "auto", State.OFFERED, 0, ""
        outgoing = Outgoing(r, self._context)
        outgoing.take_waiters(transfer)
        self._table[r.id] = outgoing
        self._context.watch(self._store.forget(r))
        outgoing.went_offline("peer-offline", why)

    # --- receiving

    async def take_up(self) -> None:
        """Offers that came just before an earlier run ended; when all transfers are restored."""
        for user, device, signal in await self._store.offers():
            self.offered(user, device, signal)

    def offered(self, user: str, device: bytes, signal: FileLeft) -> None:
        """A file waits at the server. The offer is on the disk already (`p2pim.storage.left_files.keep_offer`)."""
        known = self._table.get(signal.transfer)
        offer = _offer_of(signal)
        refusal = self._acceptance.refusal(user, offer) if known is None else ""
        if refusal:
            self._context.journal("transfer", user, f"{signal.name}: an offer is not shown: {refusal}")
        if refusal and self._acceptance.policy == "never" and self._desk is not None and self._desk.access.alone():
            self._declined[signal.transfer] = signal
            self._context.spawn(self._decline(signal))
            return
        new = known is None or self._converts(known, user, device, signal)
        if self._desk is None or refusal or not new:
            self._context.watch(self._store.ignore(signal.transfer))
            return
        left = LeftRecord(signal.transfer, signal.file, signal.key, signal.digest, signal.expires)
        if known is None:
            record = incoming_record(user, device, offer, self._context.wall())
        else:
            record = known.record
        record.route = MAILBOX
        fetching = Fetching(record, self._context, self._desk, left)
        self._table[signal.transfer] = fetching
        self._context.spawn(self._take(fetching, known))

    async def _decline(self, signal: FileLeft) -> None:
        """Nobody here wants it: it goes, and its sender hears so; another time when the server cannot be told now."""
        try:
            await self._here().access.drop(signal.file, "rejected")
        except P2pimError as error:
            self._context.journal("transfer", "", f"{signal.name}: cannot be declined now: {error.message}")
        else:
            self._declined.pop(signal.transfer, None)
            self._context.watch(self._store.ignore(signal.transfer))

    async def _take(self, fetching: Fetching, known: Incoming | None) -> None:
        if known is not None:
            await known.stop()
            fetching.take_waiters(known)
            fetching.step_back()
        await self._store.begin(fetching.record, fetching.left)
        if known is None:
            fetching.emit_offer()
        if fetching.record.state is State.OFFERED:
            await self._acceptance.take_again(fetching, self.downloads)
        else:
            fetching.go_on()

    @staticmethod
    def _converts(known: Any, user: str, device: bytes, signal: FileLeft) -> bool:
        """Whether what was offered to this device before waits at the server now."""
        r = known.record
        return (
            isinstance(known, Incoming) and not isinstance(known, Fetching)
            and (r.user, r.device, r.total) == (user, device, signal.size + signal.manifest_size)
            and r.state in (*_CONVERTIBLE, State.RUNNING)
        )  # fmt: skip

    # --- what becomes of them

    def server_appeared(self) -> None:
        """A session stands: everything goes on, and what happened meanwhile is asked for."""
        for signal in list(self._declined.values()):
            self._context.spawn(self._decline(signal))
        mine = [each for each in self._table.values() if isinstance(each, Leaving | Fetching)]
        for transfer in mine:
            transfer.server_appeared()
        asked = [each.left.file for each in mine if each.left.file and not each.ended]
        for start in range(0, len(asked), STORED_ASKED):
            self._context.spawn(self._ask(asked[start : start + STORED_ASKED]))

    async def _ask(self, files: list[bytes]) -> None:
        try:
            states = await self._here().access.states(files)
        except P2pimError:
            return
        for file, state in states.items():
            if state not in ("uploading", "waiting"):
                self.ended(file, state)

    def ended(self, file: bytes, outcome: str) -> None:
        """The server says that ``file`` has ended so."""
        for transfer in list(self._table.values()):
            if isinstance(transfer, Leaving | Fetching) and transfer.left.file == file:
                transfer.store_says(outcome)


def _offer_of(signal: FileLeft) -> FileOffer:
    return FileOffer(
        signal.transfer, signal.name, signal.size, signal.files, signal.manifest_size, signal.modified_ns,
        signal.comment, signal.folder, signal.executable,
    )  # fmt: skip
