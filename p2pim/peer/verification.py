"""Comparing keys with another person: safety numbers, and short authentication strings over the conversation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2pim.core.limits import SAS_RUNS, SAS_TIME
from p2pim.core.safety import fingerprint, safety_number
from p2pim.core.sas import Comparison, Party
from p2pim.core.sealing import DeviceRef
from p2pim.errors import P2pimError, TimedOut, VerificationFailed
from p2pim.peer.events import ComparisonAsked, Event
from p2pim.peer.seals import Seals
from p2pim.storage.sealing import PinnedDevice
from p2pim.wire.signals import Sas as Step
from p2pim.wire.signals import Signal

GIVEN_UP = "nobody waits for it any more"
"""Why one ends whose window was closed."""

_Answer = tuple[DeviceRef, bytes, bytes | None]
"""Who answers, in which run, with what commitment; None: they asked at the same time, and theirs stands."""


@dataclass
class _Run:
    """A comparison that goes on here."""

    comparison: Comparison
    shown: Deferred[None] = field(default_factory=Deferred)
    over: Deferred[None] = field(default_factory=Deferred)
    timer: IDelayedCall | None = None


class Verification:
    """See the module.

    :param random_bytes: for the ids of comparisons.
    :param wall: seconds since 1970.
    """

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        seals: Seals,
        emit: Callable[[Event], None],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._seals = seals
        self._emit = emit
        self._random_bytes = random_bytes
        self._asked: dict[bytes, DeviceRef] = {}
        self._runs: dict[bytes, _Run] = {}
        self._waiting: dict[str, tuple[bytes, Deferred[_Answer]]] = {}
        seals.hear_sas = self.heard

    # --- the safety number

    async def report(self, user: str) -> dict[str, Any]:
        """The safety number with ``user``, and the devices that it is over.

        :raises P2pimError: the devices cannot be asked for, or have no keys.
        """
        me = self._seals.sealer.me.user
        await self._seals.ready(me)
        if user != me:
            await self._seals.ready(user)
        mine, theirs = await self._seals.directory.pinned(me), await self._seals.directory.pinned(user)
        number = safety_number([(me, [d.identity for d in mine]), (user, [d.identity for d in theirs])])
        return {
            "user": user,
            "safety_number": number,
            "verified": all(device.verified for device in theirs),
            "changed": self._seals.blocked_by_change(user),
            "devices": [self._device(device) for device in [*theirs, *(mine if user != me else [])]],
        }

    def _device(self, device: PinnedDevice) -> dict[str, Any]:
        return {
            "user": device.user,
            "device": device.device.hex(),
            "name": device.name,
            "fingerprint": fingerprint(device.identity),
            "verified": device.verified,
            "accepted": device.accepted,
            "this": DeviceRef(device.user, device.device) == self._seals.sealer.me,
        }

    async def judge(self, user: str, *, verified: bool) -> None:
        """A person has compared, or else accepted without that, all devices of ``user`` that are known now."""
        devices = [each.device for each in await self._seals.directory.pinned(user)]
        await self._seals.directory.judge(user, devices, verified=verified)

    # --- short authentication strings

    async def compare(self, user: str, show: Callable[[dict[str, Any]], None]) -> bytes:
        """Begin a comparison with ``user``, or take the one up that they began; ``show`` gets what to compare.

        Gives the device that has been verified, once both sides said that they see the same (`match`).

        :raises VerificationFailed: (or `TimedOut`) it came to nothing, and why.
        """
        asked = next((run for run, ref in self._asked.items() if ref.user == user), None)
        if asked is not None:
            run = await self._take_up(self._asked.pop(asked), asked)
        else:
            run = await self._ask(user)
        try:
            await run.shown
            c = run.comparison
            show({"run": c.run.hex(), "emoji": c.emoji, "decimals": c.decimals, "device": c.other.ref.device.hex()})
            await run.over
        except (VerificationFailed, CancelledError) as error:
            reason = error.message[:300] if isinstance(error, P2pimError) else GIVEN_UP
            self._send(run, [Step(run.comparison.run, "cancel", reason=reason)])
            raise
        finally:
            self._end(run)
        await self._seals.directory.judge(user, [run.comparison.other.ref.device], verified=True)
        return run.comparison.other.ref.device

    async def _ask(self, user: str) -> _Run:
        devices = await self._seals.ready(user)
        id = self._random_bytes(16)
        answer: Deferred[_Answer] = Deferred()
        if user in self._waiting:
            raise VerificationFailed(f"A comparison with {user} is waited for already.")
        self._waiting[user] = id, answer
        for device in devices:
            self._seals.send(user, device, Step(id, "start"))
        try:
            answer.addTimeout(SAS_TIME, self._clock, onTimeoutCancel=lambda value, _: _nobody(user))
            ref, run_id, commitment = await answer
        except (TimedOut, CancelledError):
            for device in devices:
                self._seals.send(user, device, Step(id, "cancel", reason=GIVEN_UP))
            raise
        finally:
            self._waiting.pop(user, None)
        if commitment is None:
            return await self._take_up(ref, run_id)
        for device in devices:
            if device != ref.device:
                self._seals.send(user, device, Step(id, "cancel", reason="taken up on another device"))
        run = await self._make(ref, id, asker=True)
        self._send(run, run.comparison.take(Step(id, "accept", commitment)))
        return run

    async def _take_up(self, ref: DeviceRef, id: bytes) -> _Run:
        """Answer a comparison that ``ref`` began."""
        run = await self._make(ref, id, asker=False)
        self._send(run, [run.comparison.accept()])
        return run

    async def _make(self, ref: DeviceRef, id: bytes, *, asker: bool) -> _Run:
        pinned = {each.device: each for each in await self._seals.directory.pinned(ref.user)}
        mine = {each.device: each for each in await self._seals.directory.pinned(self._seals.sealer.me.user)}
        if ref.device not in pinned or len(self._runs) >= SAS_RUNS:
            raise VerificationFailed("That device is not known (any more), or too many comparisons go on.")
        me = self._seals.sealer.me
        comparison = Comparison(id, Party(me, mine[me.device].identity), Party(ref, pinned[ref.device].identity), asker)
        run = self._runs[id] = _Run(comparison)
        late = TimedOut("The comparison was not finished in time; start it again.")
        run.timer = self._clock.callLater(SAS_TIME, self._fail, run, late)
        return run

    def match(self, run_id: bytes, same: bool) -> None:
        """The person says whether both sides show the same.

        :raises VerificationFailed: there is no such comparison.
        """
        run = self._runs.get(run_id)
        if run is None or not run.comparison.emoji:
            raise VerificationFailed("There is no such comparison (any more).")
        if not same:
            self._fail(run, VerificationFailed("The two sides show different things: somebody may be in between."))
        else:
            self._step(run, run.comparison.match)

    def heard(self, user: str, device: bytes, signal: Signal) -> None:
        """A step of somebody's comparison."""
        assert isinstance(signal, Step)
        ref, run = DeviceRef(user, device), self._runs.get(signal.run)
        if run is not None:
            if run.comparison.other.ref == ref:
                self._step(run, lambda: run.comparison.take(signal))
        elif signal.step == "start":
            self._asked_by(ref, signal.run)
        elif signal.step == "cancel":
            self._asked.pop(signal.run, None)
        elif signal.step == "accept" and self._waiting.get(user, (b"",))[0] == signal.run:
            self._waiting.pop(user)[1].callback((ref, signal.run, signal.value))

    def _asked_by(self, ref: DeviceRef, run: bytes) -> None:
        """``ref`` begins a comparison. If I have asked them, too, the lesser id stands, and they must know of it."""
        mine = self._waiting.get(ref.user)
        if mine is None:
            self._note_asked(ref, run)
        elif run < mine[0]:
            self._waiting.pop(ref.user)[1].callback((ref, run, None))
        else:
            self._seals.send(ref.user, ref.device, Step(mine[0], "start"))

    def _note_asked(self, ref: DeviceRef, run: bytes) -> None:
        for old in [each for each, of in self._asked.items() if of.user == ref.user]:
            del self._asked[old]
        if len(self._asked) < SAS_RUNS:
            self._asked[run] = ref
            self._emit(ComparisonAsked(at=self._wall(), user=ref.user, device=ref.device.hex()))

    def _step(self, run: _Run, step: Callable[[], list[Step]]) -> None:
        try:
            self._send(run, step())
        except VerificationFailed as error:
            self._fail(run, error)
            return
        if run.comparison.emoji and not run.shown.called:
            run.shown.callback(None)
        if run.comparison.done and not run.over.called:
            run.over.callback(None)

    def _fail(self, run: _Run, error: P2pimError) -> None:
        for waiting in (run.shown, run.over):
            if not waiting.called:
                waiting.errback(error)
                break

    def _send(self, run: _Run, steps: list[Step]) -> None:
        ref = run.comparison.other.ref
        for step in steps:
            self._seals.send(ref.user, ref.device, step)

    def _end(self, run: _Run) -> None:
        self._runs.pop(run.comparison.run, None)
        if run.timer is not None and run.timer.active():
            run.timer.cancel()


def _nobody(user: str) -> None:
    raise TimedOut(f"Nobody took the comparison up; {user} must run `p2pim verify YOUR-NAME --sas` too.")
