"""Which devices people have, whether their keys are to be believed, and sessions with all of them."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.limits import DEVICE_LIST_AGE, PEOPLE
from p2pim.core.sealing import MAIL, SIGNALS, DeviceRef, Sealer
from p2pim.errors import BadKeys, BadMessage, NoKeys, NoSession, NoSuchUser, P2pimError
from p2pim.peer.events import DeviceAdded, Event, IdentityChanged
from p2pim.storage.database import Database
from p2pim.storage.sealing import PinnedDevice, SealingRows
from p2pim.wire.keys import (
    Claim,
    ClaimedKey,
    ClaimedKeys,
    ClaimKeys,
    DeviceList,
    DeviceLists,
    KnownDevice,
    ListDevices,
)
from p2pim.wire.messages import Message

CLAIMS_AT_ONCE = 64


class AskingSession(Protocol):
    """The part of a session that asks."""

    async def request(self, message_factory: Callable[[int], Message]) -> Message: ...


@dataclass(slots=True)
class _Learned:
    """What a list of devices came to."""

    usable: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    missing: list[tuple[DeviceRef, int]] = field(default_factory=list)


class Directory:
    """Devices of users, mine among them.

    :param wall: seconds since 1970.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        database: Database,
        session: AskingSession,
        sealer: Sealer,
        emit: Callable[[Event], None],
        journal: Callable[[str, str, str], None],
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._database = database
        self._session = session
        self._sealer = sealer
        self._emit = emit
        self._journal = journal
        self._lists: OrderedDict[str, tuple[float, list[KnownDevice]]] = OrderedDict()
        self._ready: dict[str, list[bytes]] = {}
        self._preparing: dict[str, list[Deferred[list[bytes]]]] = {}
        self._refused: set[bytes] = set()
        self._unaccepted: set[str] = set()

    async def load(self) -> None:
        """Remember at whose devices somebody must look."""
        self._unaccepted = await self._database.read(lambda db: SealingRows(db).unaccepted())

    # --- what is known

    def devices(self, user: str) -> list[KnownDevice]:
        """The devices of ``user`` as the server listed them last."""
        return self._lists.get(user, (0.0, []))[1]

    def blocked_by_change(self, user: str) -> bool:
        """Whether a verified user has a device that nobody has looked at."""
        return user in self._unaccepted

    def interrupted(self) -> None:
        """What changes now is not told: ask again next time."""
        self._lists.clear()
        self._ready.clear()

    def forget(self, user: str) -> None:
        """The devices of ``user`` are others than before: ask next time."""
        self._lists.pop(user, None)
        self._ready.pop(user, None)

    def changed(self, changed: DeviceList) -> None:
        """The server says that the devices of a user changed."""
        self._note(changed.user, changed.devices)
        self.prepare(changed.user)

    def _note(self, user: str, devices: list[KnownDevice]) -> None:
        self._lists.pop(user, None)
        self._ready.pop(user, None)
        self._lists[user] = (self._clock.seconds(), devices)
        if len(self._lists) > PEOPLE:
            self._ready.pop(self._lists.popitem(last=False)[0], None)

    # --- getting ready

    def prepare(self, user: str) -> None:
        """Get ready to seal for ``user``, in the background."""
        done = Deferred.fromCoroutine(self.ready(user))
        done.addErrback(self._not_prepared, user)

    def _not_prepared(self, failure: Failure, user: str) -> None:
        if failure.check(P2pimError) is None:
            self._log.failure("cannot get ready for {user}", failure, user=user)
            return
        assert isinstance(failure.value, P2pimError)
        self._journal("keys", user, f"not ready to seal: {failure.value.message}")

    async def ready(self, user: str) -> list[bytes]:
        """The devices of ``user`` for which can be sealed now.

        :raises NoKeys: there is none.
        :raises P2pimError: the server cannot be asked, or does not know the user.
        """
        at, _ = self._lists.get(user, (0.0, []))
        if user in self._ready and self._clock.seconds() - at < DEVICE_LIST_AGE:
            return self._ready[user]
        mine: Deferred[list[bytes]] = Deferred()
        waiting = self._preparing.setdefault(user, [])
        waiting.append(mine)
        if len(waiting) == 1:
            prepared = Deferred.fromCoroutine(self._prepare(user))
            prepared.addBoth(self._prepared, user)
        return await mine

    def _prepared(self, result: list[bytes] | Failure, user: str) -> None:
        for waiting in self._preparing.pop(user, []):
            if waiting.called:
                continue
            if isinstance(result, Failure):
                waiting.errback(result)
            else:
                waiting.callback(result)

    async def _prepare(self, user: str) -> list[bytes]:
        at, devices = self._lists.get(user, (0.0, []))
        if user not in self._lists or self._clock.seconds() - at >= DEVICE_LIST_AGE:
            devices = await self._ask(user)
            self._note(user, devices)
        learned = await self._database.write(lambda db: self._learn(db, user, devices))
        await self.tell_news()
        self._tell_refused(user, learned.refused)
        begun = await self.begin(learned.missing)
        ready = [device for device in learned.usable if begun.get(device, True)]
        if any(device.identity is None for device in devices):
            self._lists.pop(user, None)  # they will publish keys, and nobody tells those who are no contacts
        if not ready and user != self._sealer.me.user:
            self._lists.pop(user, None)
            raise self._nobody(user, devices, learned)
        if self._lists.get(user, (0.0, []))[1] is devices:
            self._ready[user] = ready
        return ready

    def _nobody(self, user: str, devices: list[KnownDevice], learned: _Learned) -> P2pimError:
        if learned.refused:
            return BadKeys(
                f"The keys that the server shows for {user} are not those it showed before; nothing is sent."
            )
        if learned.usable:
            return BadKeys(f"With no device of {user} a session could be begun; `p2pim log` says why.")
        return NoKeys(f"No device of {user} has published keys yet; they must sign in once with a current p2pim.")

    async def _ask(self, user: str) -> list[KnownDevice]:
        answer = await self._session.request(lambda number: ListDevices(number, [user]))
        if not isinstance(answer, DeviceLists):
            raise BadMessage("The server answered the question for devices with something else.")
        for each in answer.lists:
            if each.user == user:
                return each.devices
        raise NoSuchUser(f"There is no user {user} on this server.")

    def _learn(self, db: sqlite3.Connection, user: str, devices: Sequence[KnownDevice]) -> _Learned:
        """Pin what is new; find out with whom sessions are missing. Inside a transaction."""
        rows = SealingRows(db, self._wall())
        known = bool(rows.pinned(user))
        learned = _Learned()
        for device in devices:
            ref = DeviceRef(user, device.id)
            if device.identity is None or ref == self._sealer.me:
                continue
            try:
                self._sealer.check_identity(rows, ref, device.identity)
            except BadKeys:
                learned.refused.append(device.id)
                continue
            learned.usable.append(device.id)
            lanes = rows.lanes(ref)
            learned.missing += [(ref, lane) for lane in (SIGNALS, MAIL) if lane not in lanes]
        if not known:
            rows.announced(user)
        rows.listed(user, {device.id: device.name for device in devices})
        return learned

    # --- sessions

    async def begin(self, wanted: Sequence[tuple[DeviceRef, int]]) -> dict[bytes, bool]:
        """Claim keys and begin sessions (device, lane); whether that went well, by device.

        :raises P2pimError: the server cannot be asked.
        """
        begun: dict[bytes, bool] = {}
        for start in range(0, len(wanted), CLAIMS_AT_ONCE):
            part = wanted[start : start + CLAIMS_AT_ONCE]
            claims = [Claim(ref.user, ref.device) for ref, _ in part]
            answer = await self._session.request(lambda number, claims=claims: ClaimKeys(number, claims))  # type: ignore[misc]
            keys = answer.keys if isinstance(answer, ClaimedKeys) else []
            results = await self._database.write(lambda db, part=part, keys=keys: self._start(db, part, keys))  # type: ignore[misc]
            for (ref, _), problem in zip(part, results, strict=True):
                begun[ref.device] = begun.get(ref.device, True) and not problem
                if problem:
                    self._journal("keys", ref.user, f"no session with device {ref.device.hex()[:8]}: {problem}")
        return begun

    def _start(
        self, db: sqlite3.Connection, wanted: Sequence[tuple[DeviceRef, int]], keys: Sequence[ClaimedKey]
    ) -> list[str]:
        """Begin a session by each key; what was wrong with it, or nothing. Inside a transaction."""
        rows = SealingRows(db, self._wall())
        problems = []
        for (ref, lane), key in zip_longest(wanted, keys[: len(wanted)]):
            if key is None or (key.user, key.device) != (ref.user, ref.device):
                problems.append("the server gave no key for it")
                continue
            try:
                self._sealer.start(rows, key, lane)
                problems.append("")
            except (BadKeys, NoSession) as error:
                problems.append(error.message)
        return problems

    # --- what people are told

    async def tell_news(self) -> None:
        """Announce devices that were pinned lately, and look whose keys somebody must look at."""

        def work(db: sqlite3.Connection) -> tuple[list[PinnedDevice], set[str]]:
            rows = SealingRows(db)
            return rows.news(), rows.unaccepted()

        news, self._unaccepted = await self._database.write(work)
        for pinned in news:
            self._journal("keys", pinned.user, f"has a new device: {pinned.name or pinned.device.hex()[:8]}")
            self._emit(DeviceAdded(at=self._wall(), user=pinned.user, device=pinned.device.hex(), name=pinned.name))
            if not pinned.accepted:
                self._emit(
                    IdentityChanged(at=self._wall(), user=pinned.user, device=pinned.device.hex(), accepted=False)
                )

    def _tell_refused(self, user: str, devices: list[bytes]) -> None:
        for device in devices:
            if device not in self._refused:
                self._refused.add(device)
                self._journal("keys", user, f"other keys than before for device {device.hex()[:8]} are refused")
                self._emit(IdentityChanged(at=self._wall(), user=user, device=device.hex(), accepted=False))

    async def judge(self, user: str, devices: Sequence[bytes], *, verified: bool) -> None:
        """A person has compared, or else accepted, the keys of these devices."""
        await self._database.write(lambda db: SealingRows(db).judge(user, devices, verified=verified))
        await self.tell_news()

    def pinned(self, user: str) -> Deferred[list[PinnedDevice]]:
        """The devices of ``user`` whose keys are pinned, as far as the server lists them."""
        return self._database.read(lambda db: [each for each in SealingRows(db).pinned(user) if not each.gone])
