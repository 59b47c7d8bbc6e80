"""Sealing for a peer: everything that goes through the server is sealed here before and opened here after.

What is sealed or opened is committed together with the ratchet that did it (`p2pim.core.sealing`). Signals are sealed
in one transaction and then sent, in order per device; those of one turn of the reactor share a commit. A device with
which there is no session yet is made ready first, and what is for it waits meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from vodozemac import PickleException

from p2pim.core.limits import WAITING_SIGNALS
from p2pim.core.message_ids import make_message_id
from p2pim.core.sealing import DeviceRef, Sealer
from p2pim.errors import BadMessage, CannotOpen, NoSession, NotMeant, NotSignedIn, P2pimError, Replayed, StorageError
from p2pim.peer.device_directory import AskingSession, Directory
from p2pim.peer.events import Event
from p2pim.peer.healing import Healer
from p2pim.peer.key_stock import KeyStock
from p2pim.storage.database import Database
from p2pim.storage.sealing import SealingRows
from p2pim.wire.keys import DeviceList, Identity
from p2pim.wire.messages import SIGNAL, Welcome
from p2pim.wire.signals import AnySignal, AskAgain, Inner, Sas, Sealed, Signal, decode_signal, encode_signal

OnFailed = Callable[[P2pimError], None]


class SealingSession(AskingSession, Protocol):
    """What is needed of the session."""

    def send_envelope(
        self,
        user: str,
        device: bytes,
        kind: int,
        payload: bytes,
        on_failed: OnFailed | None = None,
        message: bytes = b"",
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class _Outgoing:
    signal: Signal
    kind: int
    failed: OnFailed | None
    message: bytes


class Seals:
    """See the module.

    :param user: whose device this is, by canonical name.
    :param key: 32 bytes that encrypt what is stored (`p2pim.peer.home.Home.pickle_key`).
    :param wall: seconds since 1970.
    :param again: seals messages of the outbox again, for a device that could not open them: user, device, ids.
    :param from_thread: runs a function in the reactor's thread, called from the database's.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        *,
        database: Database,
        session: SealingSession,
        user: str,
        device: bytes,
        key: bytes,
        emit: Callable[[Event], None],
        journal: Callable[[str, str, str], None],
        random_bytes: Callable[[int], bytes],
        again: Callable[[str, bytes, list[bytes]], None] = lambda user, device, ids: None,
        from_thread: Callable[[Callable[[], object]], object] = lambda work: work(),
    ) -> None:
        self._wall = wall
        self._database = database
        self._session = session
        self._journal = journal
        self._random_bytes = random_bytes
        self._from_thread = from_thread
        self.sealer = Sealer(DeviceRef(user, device), key)
        self.directory = Directory(clock, wall, database, session, self.sealer, emit, journal)
        self.stock = KeyStock(wall, database, session, self.sealer, journal)
        self._healer = Healer(clock, database, self.directory, self._ask_again, again, journal)
        self._waiting: dict[DeviceRef, deque[_Outgoing]] = {}
        self._stopped = False
        self.devices = self.directory.devices
        self.ready = self.directory.ready
        self.blocked_by_change = self.directory.blocked_by_change
        self.devices_changed: Callable[[DeviceList], None] = self.directory.changed
        self.keys_left: Callable[[int], None] = self.stock.left
        self.hear_sas: Callable[[str, bytes, Signal], None] = lambda user, device, signal: None

    # --- its life

    async def load(self) -> None:
        """Make this device's keys at first use, before anything else.

        :raises StorageError: those that are there cannot be read.
        """
        self.sealer.remember(await self._database.write(self._own_identity))
        await self.directory.load()

    def _own_identity(self, db: sqlite3.Connection) -> Identity:
        rows = SealingRows(db, self._wall())
        try:
            identity = self.sealer.identity(rows)
        except PickleException:
            raise StorageError(
                "The keys in home.db cannot be read with pickle.key; restore both files from one backup."
            ) from None
        if rows.identity(self.sealer.me) is None:
            rows.pin(self.sealer.me, identity)
        return identity

    def own_identity(self) -> Identity:
        """This device's identity; after `load`."""
        return self.sealer.own()

    @property
    def alone(self) -> bool:
        """Whether the account has no other device."""
        return all(each.id == self.sealer.me.device for each in self.devices(self.sealer.me.user))

    def signed_in(self, welcome: Welcome) -> None:
        """A session with the server stands."""
        self.stock.left(welcome.keys_left)
        self._healer.connected(True)
        self.directory.prepare(self.sealer.me.user)
        for person in welcome.contacts:
            if person.relation != "blocked":
                self.directory.prepare(person.user)

    def interrupted(self) -> None:
        """It ended."""
        self._healer.connected(False)
        self.directory.interrupted()

    def stop(self) -> None:
        """Send nothing any more."""
        self._stopped = True
        self._waiting.clear()

    # --- inside transactions

    def seal_in(self, db: sqlite3.Connection, user: str, device: bytes, signal: Signal, message: bytes = b"") -> bytes:
        """``signal`` sealed for a device, encoded; call it inside `Database.write`.

        :raises NoSession: `ready` first.
        """
        sealed = self.sealer.seal(SealingRows(db), DeviceRef(user, device), encode_signal(signal), message)
        return encode_signal(sealed)

    def open_in(self, db: sqlite3.Connection, user: str, device: bytes, sealed: Sealed) -> AnySignal:
        """What a device sealed for this one; call it inside `Database.write`.

        :raises CannotOpen: and what then is to be done is `cannot_open`'s, in any thread but this one.
        """
        ref = DeviceRef(user, device)
        rows = SealingRows(db, self._wall())
        known = rows.identity(ref) is not None
        body = self.sealer.open(rows, ref, sealed)
        try:
            signal = decode_signal(body)
        except BadMessage as error:
            raise NotMeant(f"What was sealed makes no sense: {error.message}") from None
        if isinstance(signal, Sealed | Inner):
            raise NotMeant("What was sealed is sealed once more.")
        if sealed.message:
            rows.asked(ref, sealed.message)
        if not known:
            self._from_thread(self._news)
        return signal

    def _news(self) -> None:
        """A device was pinned; it is told when that is committed, which is before what is handed in now."""
        done = Deferred.fromCoroutine(self.directory.tell_news())
        done.addErrback(lambda failure: self._log.failure("cannot tell of a new device", failure))

    async def cannot_open(self, user: str, device: bytes, sealed: Sealed, error: CannotOpen) -> None:
        """Have it sent again in a new session; when this is done, what came may be acknowledged."""
        await self._healer.cannot_open(DeviceRef(user, device), sealed, error)

    # --- sending

    def send(
        self,
        user: str,
        device: bytes,
        signal: Signal,
        failed: OnFailed | None = None,
        message: bytes = b"",
        kind: int = SIGNAL,
    ) -> None:
        """Send a signal through the server: sealed, committed, and then sent, in order per device.

        :param failed: told (never from within) why it was not.
        :param message: the id under which the server keeps it, when it is mail.
        """
        ref, outgoing = DeviceRef(user, device), _Outgoing(signal, kind, failed, message)
        waiting = self._waiting.get(ref)
        if waiting is None:
            self._seal(ref, outgoing)
            return
        waiting.append(outgoing)
        if len(waiting) > WAITING_SIGNALS:
            waiting.popleft()

    def _seal(self, ref: DeviceRef, outgoing: _Outgoing) -> None:
        sealed = self._database.write(
            lambda db: self.seal_in(db, ref.user, ref.device, outgoing.signal, outgoing.message)
        )
        sealed.addCallbacks(
            self._send_sealed, self._not_sealed, callbackArgs=(ref, outgoing), errbackArgs=(ref, outgoing)
        )
        sealed.addErrback(lambda failure: self._log.failure("after sealing a signal", failure))

    def _send_sealed(self, payload: bytes, ref: DeviceRef, outgoing: _Outgoing) -> None:
        if not self._stopped:
            self._session.send_envelope(ref.user, ref.device, outgoing.kind, payload, outgoing.failed, outgoing.message)

    def _not_sealed(self, failure: Failure, ref: DeviceRef, outgoing: _Outgoing) -> None:
        if self._stopped:
            return
        if failure.check(NoSession) is None:
            self._give_up(failure, ref, [outgoing])
            return
        waiting = self._waiting.get(ref)
        if waiting is not None:
            waiting.append(outgoing)
            return
        self._waiting[ref] = deque([outgoing])
        ready = Deferred.fromCoroutine(self._make_ready(ref))
        ready.addCallbacks(lambda _: self._flush(ref), lambda why: self._give_up(why, ref, self._waiting.pop(ref, ())))
        ready.addErrback(lambda why: self._log.failure("after getting ready to seal", why))

    async def _make_ready(self, ref: DeviceRef) -> None:
        if ref.device not in await self.ready(ref.user):
            raise NoSession(f"There is no session with that device of {ref.user}, and none can be begun.")

    def _flush(self, ref: DeviceRef) -> None:
        for outgoing in self._waiting.pop(ref, ()):
            self._seal(ref, outgoing)

    def _give_up(
        self, failure: Failure, ref: DeviceRef, several: list[_Outgoing] | deque[_Outgoing] | tuple[()]
    ) -> None:
        error = failure.value if isinstance(failure.value, P2pimError) else None
        if error is None:
            self._log.failure("a signal cannot be sealed", failure)
        elif not isinstance(error, NotSignedIn):
            self._journal("keys", ref.user, f"not sealed: {error.message}")
        for outgoing in several:
            if outgoing.failed is not None:
                outgoing.failed(error or P2pimError(failure.getErrorMessage()))

    # --- receiving

    def received(
        self, user: str, device: bytes, sealed: Sealed, deliver: Callable[[AnySignal], object]
    ) -> Deferred[None]:
        """Open a signal (no person's message: that is stored where it is opened) and hand it to ``deliver``.

        Fires when what came may be acknowledged: it was delivered, is a repetition, or will be asked for again.
        """
        ref = DeviceRef(user, device)
        opened = self._database.write(lambda db: self._open_signal(db, ref, sealed))
        done = opened.addCallbacks(
            self._deliver, self._not_opened, callbackArgs=(ref, deliver), errbackArgs=(ref, sealed)
        )
        done.addErrback(lambda failure: self._log.failure("after opening a signal", failure))
        return done

    def _open_signal(self, db: sqlite3.Connection, ref: DeviceRef, sealed: Sealed) -> AnySignal | None:
        rows = SealingRows(db)
        if sealed.message and rows.opened_before(ref, sealed.message):
            return None
        signal = self.open_in(db, ref.user, ref.device, sealed)
        if sealed.message:
            rows.note_opened(ref, sealed.message)
        return signal

    def _deliver(self, signal: AnySignal | None, ref: DeviceRef, deliver: Callable[[AnySignal], object]) -> None:
        if signal is None or self._stopped:
            return
        if isinstance(signal, AskAgain):
            self._healer.asked(ref, signal)
        elif isinstance(signal, Sas):
            self.hear_sas(ref.user, ref.device, signal)
        else:
            deliver(signal)

    def _not_opened(self, failure: Failure, ref: DeviceRef, sealed: Sealed) -> Deferred[None] | None:
        if self._stopped:
            return None
        failure.trap(CannotOpen)
        assert isinstance(failure.value, CannotOpen)
        if isinstance(failure.value, Replayed) and not sealed.message:
            self._journal("keys", ref.user, "a signal came once more and was dropped")
        return Deferred.fromCoroutine(self._healer.cannot_open(ref, sealed, failure.value))

    # --- healing

    def asked_again(self, user: str, device: bytes, signal: AskAgain) -> None:
        """A device could not open messages of mine; it said so by mail that was opened elsewhere."""
        self._healer.asked(DeviceRef(user, device), signal)

    def _ask_again(self, ref: DeviceRef, signal: AskAgain, mail: bool) -> None:
        id = make_message_id(round(self._wall() * 1000), self._random_bytes(10)) if mail else b""
        self.send(ref.user, ref.device, signal, message=id)
