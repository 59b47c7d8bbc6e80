"""Which offers are taken, and what accepting one takes: room, a place, and what an earlier try has left there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from p2pim.core.limits import FREE_SPACE_KEPT, MANIFEST, MANIFEST_ENTRIES, OFFERS_WAITING
from p2pim.core.transfer import State
from p2pim.errors import NoSpace, QuotaExceeded, TransferError
from p2pim.peer.transfer_files import explained, prepared_space
from p2pim.peer.transfer_incoming import Incoming
from p2pim.peer.transfer_sink import discard_empty_part, discard_part, free_part, make_part
from p2pim.storage.transfers import TransferRecord, TransferStore
from p2pim.wire.signals import FileOffer

POLICIES: Final = ("always", "contacts", "ask", "never")
ROUTES: Final = ("auto", "direct", "relay")


def incoming_record(user: str, device: bytes, offer: FileOffer, now: float) -> TransferRecord:
    """What is kept of an offer."""
    return TransferRecord(
        id=offer.transfer, direction="in", user=user, device=device, name=offer.name, size=offer.size,
        files=offer.files, manifest_size=offer.manifest_size, modified_ns=offer.modified_ns,
        comment=offer.comment, folder=offer.folder, executable=offer.executable,
        route=offer.route if offer.route in ROUTES else "auto", state=State.OFFERED, created=now, changed=now,
    )  # fmt: skip


def left_for(old: TransferRecord, new: TransferRecord, directory: str) -> bool:
    """Whether ``old`` failed and left a partial in ``directory`` with which ``new`` may go on."""
    content = ("user", "name", "size", "modified_ns", "manifest_size", "folder")
    same = old.directory == directory and all(getattr(old, key) == getattr(new, key) for key in content)
    return same and old.state is State.DISRUPTED and bool(old.part)


class Acceptance:
    """The rules of one peer.

    :param incoming: gives all transfers that are or were received.
    :param policy: one of `POLICIES`: which offers are accepted without asking anybody; "never" refuses all.
    :param quota: bytes that unfinished incoming transfers may have together; None for no bound.
    """

    def __init__(
        self,
        store: TransferStore,
        incoming: Callable[[], Sequence[Incoming]],
        policy: str,
        quota: int | None,
        is_contact: Callable[[str], bool],
    ) -> None:
        self.policy = policy
        self.quota = quota
        self._store = store
        self._incoming = incoming
        self._is_contact = is_contact
        self._under_way: set[bytes] = set()

    def refusal(self, user: str, offer: FileOffer) -> str:
        """Why an offer is refused without being shown to anybody; empty when it is not."""
        if self.policy == "never":
            return "never: this device accepts no files"
        waiting = sum(t.record.user == user and t.record.state is State.OFFERED for t in self._incoming())
        if waiting >= OFFERS_WAITING:
            return "too-many: too many offers wait for an answer"
        if offer.files > MANIFEST_ENTRIES or offer.manifest_size > MANIFEST:
            return "too-many: too many files in one folder"
        if (offer.manifest_size > 0) != offer.folder or (not offer.folder and offer.files != 1):
            return "bad-message: the offer makes no sense"
        return ""

    async def take(self, transfer: Incoming, downloads: Path) -> None:
        """Store a new offer, show it, and accept it where that is the rule; what does not fit waits for a person."""
        await transfer.save()
        transfer.emit_offer()
        await self.take_again(transfer, downloads)

    async def take_again(self, transfer: Incoming, downloads: Path) -> None:
        """Accept an offer that nobody has answered, where that is the rule."""
        r = transfer.record
        if self.policy == "always" or (self.policy == "contacts" and self._is_contact(r.user)):
            try:
                await self.accept(transfer, downloads.absolute())
            except TransferError as error:
                r.reason, r.message = error.code, error.message
                transfer.note(f"not accepted by itself: {error.message}")

    async def accept(self, transfer: Incoming, directory: Path) -> None:
        """Accept an offer into ``directory``; nothing happens while that is being done already.

        :raises QuotaExceeded: it is larger than what is accepted here.
        :raises NoSpace: it does not fit on the disk.
        :raises TransferError: the disk cannot be used.
        """
        id = transfer.record.id
        if id in self._under_way:
            return
        self._under_way.add(id)
        try:
            await self._make_room(transfer, str(directory))
            await self._make_place(transfer, str(directory))
        except OSError as error:
            raise explained(error) from error
        finally:
            self._under_way.discard(id)

    async def _make_room(self, transfer: Incoming, directory: str) -> None:
        unfinished = sum(t.missing for t in self._incoming())
        if self.quota is not None and transfer.record.size + unfinished > self.quota:
            raise QuotaExceeded
        free = await transfer.lane.run(partial(prepared_space, directory))
        if transfer.record.total + unfinished + FREE_SPACE_KEPT > free:
            raise NoSpace

    async def _make_place(self, transfer: Incoming, directory: str) -> None:
        r = transfer.record
        if r.state is not State.OFFERED or await self._adopt(transfer, directory):
            return
        part = await self._claim(transfer, directory)
        if not await transfer.accept_into(directory, part, self._store.save):
            await transfer.lane.run(partial(discard_part, directory, part))

    async def _claim(self, transfer: Incoming, directory: str) -> str:
        """An empty partial, whose name is committed before it is made: a crash leaves nothing that nobody knows of."""
        r = transfer.record
        while True:
            part = await transfer.lane.run(partial(free_part, directory, r.name, folder=r.folder))
            r.directory, r.part = directory, part
            await self._store.save(r)
            make = partial(make_part, directory, part, folder=r.folder, executable=r.executable)
            if await transfer.lane.run(make):
                return part

    async def forget_claim(self, transfer: Incoming) -> None:
        """Remove what was made for an offer that was being accepted when everything stopped."""
        r = transfer.record
        part, r.part = r.part, ""
        await transfer.lane.run(partial(discard_empty_part, r.directory, part))

    async def _adopt(self, transfer: Incoming, directory: str) -> bool:
        """Go on with what an earlier transfer of the same content has left, if there is one."""
        for old in self._incoming():
            if left_for(old.record, transfer.record, directory):
                return await self._take_over(transfer, old.record)
        return False

    async def _take_over(self, transfer: Incoming, old: TransferRecord) -> bool:
        part, old.part = old.part, ""
        return await transfer.accept_into(old.directory, part, lambda new: self._store.adopt(new, old))
