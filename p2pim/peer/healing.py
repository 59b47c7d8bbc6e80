"""What cannot be opened is asked for again, in a session begun anew.

It happens when one side lost its state (a restored backup, a new database), when a key was used that is not there any
more, and when somebody meddles. For mail the question lives in the database until the message has come or was asked
for `ASKED_AGAIN` times; for signals, which may be lost anyway, the new session is all that is needed.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.limits import ASKED_AGAIN, ASKS_KEPT, HEAL_EVERY, HEALED_KEPT
from p2pim.core.sealing import MAIL, SIGNALS, DeviceRef
from p2pim.errors import CannotOpen, NotMeant, P2pimError
from p2pim.peer.device_directory import Directory
from p2pim.storage.database import Database
from p2pim.storage.sealing import SealingRows
from p2pim.wire.signals import AskAgain, Sealed

IDS_AT_ONCE = 256
"""As many ids as an `AskAgain` holds."""


class Healer:
    """See the module.

    :param ask: sends an `AskAgain` to a device, as mail or (the last argument False) as a signal.
    :param again: seals messages again: user, device and their ids.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        directory: Directory,
        ask: Callable[[DeviceRef, AskAgain, bool], None],
        again: Callable[[str, bytes, list[bytes]], None],
        journal: Callable[[str, str, str], None],
    ) -> None:
        self._clock = clock
        self._database = database
        self._directory = directory
        self._ask = ask
        self._again = again
        self._journal = journal
        self._wanted: OrderedDict[tuple[DeviceRef, int], None] = OrderedDict()
        self._healed: OrderedDict[tuple[DeviceRef, int], float] = OrderedDict()
        self._sealed_again: OrderedDict[tuple[DeviceRef, bytes], int] = OrderedDict()
        self._busy = False
        self._connected = False

    def connected(self, connected: bool) -> None:
        """The server can (not) be asked."""
        self._connected = connected
        if connected:
            done = self._database.read(lambda db: SealingRows(db).askable())
            done.addCallbacks(self._still_to_ask, lambda failure: self._log.failure("cannot read what to ask", failure))

    def _still_to_ask(self, refs: list[DeviceRef]) -> None:
        for ref in refs:
            self._want(ref, MAIL)
        self._next()

    # --- asking

    async def cannot_open(self, ref: DeviceRef, sealed: Sealed, error: CannotOpen) -> None:
        """``ref`` sent what could not be opened; when this is done, that has been noted and it may be acknowledged."""
        self._journal("keys", ref.user, f"from device {ref.device.hex()[:8]}: {error.message}")
        if isinstance(error, NotMeant) or sealed.scheme > 1:
            return
        if sealed.message:
            await self._database.write(lambda db: SealingRows(db).ask(ref, sealed.message))
        self._want(ref, MAIL if sealed.message else SIGNALS)
        self._next()

    def _want(self, ref: DeviceRef, lane: int) -> None:
        self._wanted[ref, lane] = None
        if len(self._wanted) > HEALED_KEPT:
            self._wanted.popitem(last=False)

    def _next(self) -> None:
        if self._busy or not self._connected or not self._wanted:
            return
        (ref, lane), _ = self._wanted.popitem(last=False)
        self._busy = True
        done = Deferred.fromCoroutine(self._heal(ref, lane))
        done.addBoth(self._ended, ref)

    def _ended(self, result: Failure | None, ref: DeviceRef) -> None:
        self._busy = False
        if isinstance(result, Failure):
            if result.check(P2pimError) is None:
                self._log.failure("a session cannot be healed", result)
            else:
                self._journal("keys", ref.user, f"no new session: {result.getErrorMessage()}")
        self._next()

    async def _heal(self, ref: DeviceRef, lane: int) -> None:
        fresh = self._clock.seconds() - self._healed.get((ref, lane), -HEAL_EVERY) >= HEAL_EVERY
        if not fresh and lane == SIGNALS:
            return
        if fresh:
            self._healed.pop((ref, lane), None)
            self._healed[ref, lane] = self._clock.seconds()
            if len(self._healed) > HEALED_KEPT:
                self._healed.popitem(last=False)
            if not (await self._directory.begin([(ref, lane)])).get(ref.device):
                return
            self._journal("keys", ref.user, f"a new session with device {ref.device.hex()[:8]}")
        ids = await self._database.write(lambda db: self._to_ask(db, ref)) if lane == MAIL else []
        if ids or lane == SIGNALS:
            self._ask(ref, AskAgain(ids, "it could not be opened"), lane == MAIL)

    @staticmethod
    def _to_ask(db: sqlite3.Connection, ref: DeviceRef) -> list[bytes]:
        return SealingRows(db).to_ask(ref, IDS_AT_ONCE)

    # --- being asked

    def asked(self, ref: DeviceRef, signal: AskAgain) -> None:
        """``ref`` could not open these messages of mine; the session in which it says so is used from now on."""
        ids = []
        for id in signal.messages:
            times = self._sealed_again.pop((ref, id), 0) + 1
            self._sealed_again[ref, id] = times
            if times <= ASKED_AGAIN:
                ids.append(id)
        while len(self._sealed_again) > ASKS_KEPT:
            self._sealed_again.popitem(last=False)
        self._journal("keys", ref.user, f"device {ref.device.hex()[:8]} could not open {len(signal.messages)} messages")
        if ids:
            self._again(ref.user, ref.device, ids)
