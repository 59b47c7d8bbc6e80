"""All transfers of a peer: offering, answering, and bringing what arrives to the right one.

Both ends keep every transfer in the home's database, and say again where they stand whenever a route between them
appears; so whatever ended (a channel, a process, the day), both come to the same end.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2pim.core.limits import FREE_SPACE_KEPT, PIECE, TRANSFER_TICK
from p2pim.core.transfer import State
from p2pim.errors import NoSpace, NoSuchTransfer, Offline, TransferError, Usage
from p2pim.peer.events import Event
from p2pim.peer.interfaces import IChannel
from p2pim.peer.left_files import LeftFiles
from p2pim.peer.transfer import Transfer
from p2pim.peer.transfer_acceptance import ROUTES, Acceptance, incoming_record
from p2pim.peer.transfer_context import DiskPool, Threads, TransferContext, TransferRoutes
from p2pim.peer.transfer_files import prepared_space
from p2pim.peer.transfer_incoming import Incoming
from p2pim.peer.transfer_leaving import Leaving
from p2pim.peer.transfer_left import Access
from p2pim.peer.transfer_outgoing import Outgoing, outgoing_record
from p2pim.peer.transfer_sink import discard_part, named_already
from p2pim.peer.transfer_source import Scan, scan
from p2pim.peer.transfer_status import TransferStatus
from p2pim.storage.database import Database
from p2pim.storage.left_files import LeftStore
from p2pim.storage.transfers import TransferRecord, TransferStore
from p2pim.wire.signals import TRANSFER, AnySignal, FileAnswer, FileLeft, FileOffer, FileState, RangeRequest


class Transfers:
    """See the module.

    :param database: the home's.
    :param downloads: where accepted files go unless another folder is named.
    :param threads: runs disk jobs; None makes a small pool, started by `start` and stopped by `stop`.
    :param accept: which offers are accepted unasked: "always", "contacts" (others are asked about), "ask", "never".
    :param quota: bytes that unfinished incoming transfers may have together; None for no bound.
    :param routes: how to reach the other side.
    :param emit: takes the events.
    :param journal: takes (kind, user, text) for the readable log.
    :param is_contact: whether a user is in the contact list.
    :param wall: seconds since 1970.
    :param access: the server's store, where files are left for people who are away; None: there is none.
    """

    def __init__(
        self,
        clock: IReactorTime,
        *,
        database: Database,
        downloads: Path,
        routes: TransferRoutes,
        emit: Callable[[Event], None],
        threads: Threads | None = None,
        wall: Callable[[], float] = time.time,
        accept: str = "ask",
        quota: int | None = None,
        journal: Callable[[str, str, str], None] = lambda kind, user, text: None,
        is_contact: Callable[[str], bool] = lambda user: False,
        new_id: Callable[[], bytes] = lambda: secrets.token_bytes(16),
        piece: int = PIECE,
        access: Access | None = None,
    ) -> None:
        self.downloads = downloads
        self._store = TransferStore(database)
        self._pool = DiskPool(clock) if threads is None else None
        threads = threads or self._pool
        assert threads is not None
        self._context = TransferContext(
            clock, wall, threads, self._store, routes, emit, journal, slot_free=self._slot_free, piece=piece
        )
        self._new_id = new_id
        self._transfers: dict[bytes, Outgoing | Incoming | Leaving] = {}
        self.acceptance = Acceptance(self._store, self._incoming, accept, quota, is_contact)
        lefts = LeftStore(database)
        self.left = LeftFiles(
            self._context, self._transfers, self.acceptance, lefts, downloads, access, secrets.token_bytes
        )
        self._ticker: IDelayedCall | None = None
        self._slots_checked: IDelayedCall | None = None
        self._started = False

    # --- life

    async def start(self) -> None:
        """Load what is known; it goes on as routes appear."""
        if self._pool is not None:
            self._pool.start()
        await self.left.load()
        for record in await self._store.load():
            self._restore(record)
        for record in await self._store.expired(self._context.wall()):
            await self._context.threads(partial(discard_part, record.directory, record.part))
            record.part = ""
            await self._store.end(record)
        for id in await self._store.prune():
            self._transfers.pop(id, None)
        self._started = True
        await self.left.take_up()
        self._ticker = self._context.clock.callLater(TRANSFER_TICK, self._tick)
        for transfer in self._incoming():
            if transfer.record.state is State.FINISHING:
                self._context.spawn(self._recover(transfer))
            elif transfer.record.state is State.WAITING:
                transfer.try_later()
            elif transfer.record.state is State.OFFERED and transfer.record.part:
                self._context.spawn(self.acceptance.forget_claim(transfer))

    def _restore(self, record: TransferRecord) -> None:
        if record.state is State.RUNNING:
            record.state = State.WAITING
        record.reason = "" if record.state is State.WAITING else record.reason
        cls = Outgoing if record.direction == "out" else Incoming
        left = cast("Leaving | Incoming | None", self.left.restored(record))
        self._transfers[record.id] = left or cls(record, self._context)

    async def _recover(self, transfer: Incoming) -> None:
        """The process ended while a file was given its name: has it got it?"""
        r = transfer.record
        done = await self._context.threads(partial(named_already, r.directory, r.part, r.final, r.folder))
        if done:
            await self._context.threads(partial(discard_part, r.directory, r.part))
            await transfer.named()
        else:
            transfer.step_back()

    async def stop(self) -> None:
        """Let go of everything; what is unfinished goes on at the next start. The database may be closed afterwards."""
        self._started = False
        for call in (self._ticker, self._slots_checked):
            if call is not None and call.active():
                call.cancel()
        for transfer in list(self._transfers.values()):
            await transfer.stop()
        if self._pool is not None:
            self._pool.stop()

    # --- what people do

    async def offer(
        self, user: str, path: str | Path, comment: str = "", route: str = "auto", leave: str = "never"
    ) -> Transfer:
        """Offer a file or folder to ``user``, or leave it at the server for them.

        :param leave: "auto": when they are away; "always", or "never".

        :raises FileUnreadable: it cannot be read.
        :raises NoRoute: ``route`` is "direct" and no direct channel can be made.
        :raises NoSuchUser: there is no such user.
        """
        if route not in ROUTES:
            raise Usage(f"A route is one of {', '.join(ROUTES)}.")
        found: Scan = await self._context.threads(partial(scan, str(path)))
        for note in found.notes:
            self._context.journal("transfer", user, f"{found.name}: {note}")
        devices, connected = await self._devices_of(user)
        record = outgoing_record(self._new_id(), user, found, comment, route, self._context.wall())
        if self.left.wanted(leave, route, away=connected and not devices):
            return await self.left.begin(record, found.manifest, falls_back=leave == "auto")
        if route == "direct":
            await self._need_direct(user, devices)
        transfer = Outgoing(record, self._context, found.manifest)
        await self._store.save(transfer.record, found.manifest)
        self._transfers[transfer.record.id] = transfer
        transfer.emit_offer()
        if self.left.wanted(leave, route, away=connected):
            transfer.nobody_there = lambda: self._context.spawn(self.left.leave(transfer, falls_back=True))
        for device in devices:
            transfer.offer_to(device)
        if not devices:
            transfer.went_offline("peer-offline", "The offer is made when they are back.")
        return transfer

    async def _devices_of(self, user: str) -> tuple[list[bytes], bool]:
        """The devices that can be reached, and whether there was anybody to ask."""
        try:
            return await self._context.routes.devices_of(user), True
        except Offline:
            return [], False

    async def leave(self, id: str) -> Transfer:
        """Leave at the server what waits for its recipient.

        :raises NoStore: there is no store.
        :raises TransferError: it is nothing that waits to be sent.
        """
        return await self.left.leave(self._find(id))

    async def _need_direct(self, user: str, devices: list[bytes]) -> None:
        if not devices:
            raise Offline
        await self._context.routes.need_bulk_channel(user, devices[0], "direct")

    async def accept(self, id: str, to: str | Path | None = None) -> Transfer:
        """Accept an offer, into the folder ``to``.

        :raises QuotaExceeded: it is larger than what is accepted here.
        :raises NoSpace: it does not fit on the disk.
        :raises TransferError: it is no offer that waits for an answer.
        """
        transfer = self._find(id)
        if not isinstance(transfer, Incoming) or transfer.record.state is not State.OFFERED:
            raise TransferError("Only an offer that was made to you and waits for an answer can be accepted.")
        await self.acceptance.accept(transfer, Path(to or self.downloads).absolute())
        return transfer

    async def reject(self, id: str) -> None:
        """Refuse an offer.

        :raises TransferError: it is no offer that waits for an answer.
        """
        transfer = self._find(id)
        if not isinstance(transfer, Incoming) or transfer.record.state is not State.OFFERED:
            raise TransferError("Only an offer that was made to you and waits for an answer can be rejected.")
        transfer.reject()

    async def pause(self, id: str) -> None:
        """Stop a transfer for a while."""
        self._find(id).pause()

    async def resume(self, id: str) -> None:
        """Let a paused transfer go on.

        :raises NoSpace: the disk is still too full for it.
        """
        transfer = self._find(id)
        if isinstance(transfer, Incoming) and not transfer.ended:
            free = await transfer.lane.run(partial(prepared_space, transfer.record.directory or str(self.downloads)))
            if transfer.record.total - transfer.record.position + FREE_SPACE_KEPT > free:
                raise NoSpace
        transfer.resume()

    async def cancel(self, id: str) -> None:
        """End a transfer; a partial file is removed."""
        transfer = self._find(id)
        if isinstance(transfer, Incoming) and transfer.record.state is State.OFFERED:
            transfer.reject()
        else:
            transfer.cancel()

    def list(self) -> list[TransferStatus]:
        """All that are remembered, oldest first."""
        return [transfer.status() for transfer in self._transfers.values()]

    def get(self, id: str) -> Transfer:
        """The transfer whose id is or begins with ``id``.

        :raises NoSuchTransfer: none, or more than one.
        """
        return self._find(id)

    def _find(self, id: str) -> Outgoing | Incoming | Leaving:
        found = [transfer for transfer in self._transfers.values() if transfer.id.startswith(id.lower())]
        if len(found) != 1 or not id:
            raise NoSuchTransfer
        return found[0]

    def _incoming(self) -> Sequence[Incoming]:
        return [transfer for transfer in self._transfers.values() if isinstance(transfer, Incoming)]

    # --- what comes from the other side

    def signal_received(self, user: str, device: bytes, signal: AnySignal, channel: IChannel | None) -> None:
        """One of `p2pim.wire.signals.TRANSFER`, by ``channel`` or (None) through the server.

        :raises WireError: nobody sends that; whoever brings it ends the channel.
        """
        if not self._started or not isinstance(signal, TRANSFER):
            return
        transfer = self._transfers.get(signal.transfer)
        if transfer is not None and transfer.record.user != user:
            return
        if isinstance(signal, FileLeft):
            self.left.offered(user, device, signal)
        elif isinstance(signal, FileOffer):
            self._offered(user, device, signal, transfer)
        elif transfer is None:
            self._unknown(user, device, signal)
        elif isinstance(transfer, Outgoing):
            self._for_outgoing(transfer, device, signal, channel)
        elif isinstance(transfer, Incoming) and isinstance(signal, FileState) and device == transfer.record.device:
            transfer.told(signal)

    @staticmethod
    def _for_outgoing(
        transfer: Outgoing, device: bytes, signal: FileAnswer | RangeRequest | FileState, channel: IChannel | None
    ) -> None:
        if isinstance(signal, FileAnswer):
            transfer.answered(device, signal)
        elif isinstance(signal, FileState):
            transfer.told(device, signal)
        elif channel is not None:
            transfer.requested(device, signal, channel)

    def _unknown(self, user: str, device: bytes, signal: FileAnswer | RangeRequest | FileState) -> None:
        """About a transfer that is not, or no longer, known here."""
        if isinstance(signal, FileState) and signal.state in ("noted", "unknown", "restart"):
            return
        ended = isinstance(signal, FileState) and signal.state in ("cancelled", "failed", "completed")
        refused = isinstance(signal, FileAnswer) and not signal.accepted
        state = "noted" if ended or refused else "unknown"
        self._context.routes.send(user, device, FileState(signal.transfer, state))

    def _offered(self, user: str, device: bytes, offer: FileOffer, known: Transfer | None) -> None:
        if known is not None:
            if isinstance(known, Incoming) and known.record.device == device:
                known.offered_again()
                if known.record.state is State.OFFERED:
                    self._context.spawn(self.acceptance.take_again(known, self.downloads))
            return
        refusal = self.acceptance.refusal(user, offer)
        if refusal:
            self._context.routes.send(user, device, FileAnswer(offer.transfer, False, refusal))
            return
        transfer = Incoming(incoming_record(user, device, offer, self._context.wall()), self._context)
        self._transfers[offer.transfer] = transfer
        self._context.spawn(self.acceptance.take(transfer, self.downloads))

    # --- bulk

    def bulk_received(self, channel: IChannel, stream: int, data: bytes) -> None:
        """A slice of what was asked for.

        :raises WireError: more came than was asked for; whoever brings it ends the channel.
        """
        arrival = self._context.arrivals.get(stream)
        if arrival is not None and arrival.channel is channel:
            arrival.receive(data)

    def bulk_ended(self, channel: IChannel, stream: int, digest: bytes) -> None:
        """A range is complete.

        :raises WireError: it is not; whoever brings it ends the channel.
        """
        arrival = self._context.arrivals.get(stream)
        if arrival is not None and arrival.channel is channel:
            arrival.ended(digest)

    # --- routes

    def route_appeared(self, user: str, device: bytes) -> None:
        """``device`` of ``user`` can be reached, or reached better: by the server, or a new channel."""
        for transfer in list(self._transfers.values()):
            if transfer.record.user == user:
                transfer.route_appeared(device)

    def route_lost(self, channel: IChannel) -> None:
        """``channel`` has ended."""
        for transfer in list(self._transfers.values()):
            transfer.route_lost(channel)

    def route_doubted(self, channel: IChannel) -> None:
        """``channel`` has gone silent: what is received over it is asked for by another route, where any will do."""
        for transfer in self._incoming():
            if transfer.record.route == "auto":
                transfer.route_lost(channel)

    def peer_offline(self, user: str) -> None:
        """``user`` has left the server. What goes over a channel goes on; the rest waits for them."""
        for transfer in list(self._transfers.values()):
            if transfer.record.user == user:
                transfer.went_offline("peer-offline")

    def session_lost(self) -> None:
        """This end has left the server. What goes over a channel goes on; the rest waits."""
        for transfer in list(self._transfers.values()):
            transfer.went_offline("offline")

    # --- time

    def _tick(self) -> None:
        self._ticker = self._context.clock.callLater(TRANSFER_TICK, self._tick)
        now, today = self._context.clock.seconds(), self._context.wall()
        for transfer in list(self._transfers.values()):
            if isinstance(transfer, Incoming):
                transfer.tick(now)
            if transfer.record.state is State.OFFERED and today - transfer.record.created > transfer.offer_lifetime:
                transfer.disrupt("no-answer", settled=False)

    def _slot_free(self) -> None:
        """At the next turn, whoever waits for a slot may try."""
        if self._started and (self._slots_checked is None or not self._slots_checked.active()):
            self._slots_checked = self._context.clock.callLater(0, self._let_next_go_on)

    def _let_next_go_on(self) -> None:
        for transfer in self._incoming():
            transfer.turn_came()
