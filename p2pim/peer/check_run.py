"""The checks of one negotiation, carried out: `p2pim.core.connectivity` with a clock and a peer's sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall

from p2pim.core import limits
from p2pim.core.addresses import is_loopback
from p2pim.core.candidates import UDP, Endpoint
from p2pim.core.connectivity import CheckList, ChecksFailed, PairSucceeded
from p2pim.wire.signals import Candidate


class CheckSockets(Protocol):
    """What checks ask of a peer's sockets (`p2pim.peer.udp_paths`)."""

    def check(self, run: CheckRun) -> None:
        """Give the datagrams of ``run`` to it."""

    def checked(self, run: CheckRun) -> None:
        """No more of them."""

    def may_send(self, target: Endpoint, user: str) -> bool:
        """Whether ``target``, which ``user`` has named and which has not answered, may get one more datagram."""

    def send(self, data: bytes, target: Endpoint) -> None:
        """Send one datagram."""

    def expect(self, source: Endpoint, *, answered: bool) -> None:
        """QUIC may come from there, and is heard once a check has been ``answered`` there."""

    def unexpect(self, sources: Iterable[Endpoint]) -> None:
        """Not any more."""


class CheckRun:
    """The checks of one negotiation, over a peer's sockets.

    It answers the other side's checks from the beginning, sends its own once it is given remotes, and lingers a while
    after it was stopped, since the other side may still be asking.

    :param user: with whom the negotiation is.
    :param found: called with each path that proved itself, and its round-trip time in seconds.
    :param failed: called once, with the reason, when none can.
    :param confined: only this machine is heard: to others it is as if nobody were here.
    """

    def __init__(
        self,
        sockets: CheckSockets,
        clock: Any,
        *,
        user: str,
        username: str,
        key: bytes,
        controlling: bool,
        tie_breaker: int,
        rng: Random,
        found: Callable[[Candidate, float], None],
        failed: Callable[[str], None],
        confined: bool = False,
    ) -> None:
        self._confined = confined
        self.username = username
        self._user = user
        self._sockets = sockets
        self._clock = clock
        self._controlling = controlling
        self._found = found
        self._failed = failed
        self._checks = CheckList(
            username=username,
            key=key,
            controlling=controlling,
            tie_breaker=tie_breaker,
            rng=rng,
            now=clock.seconds(),
        )
        self._timer: IDelayedCall | None = None
        self._stopped = False
        sockets.check(self)

    def add(self, candidates: Iterable[Candidate], *, complete: bool) -> None:
        """Remotes to check; ``complete``: there will be no more. Paths that are known are told again."""
        if self._stopped:
            return
        now = self._clock.seconds()
        self._checks.add_remote((((each.host, each.port), each.kind, each.priority) for each in candidates), now)
        if complete:
            self._checks.no_more_remotes()
        for pair in self._checks.pairs.values():
            if pair.rtt is not None:
                self._tell(PairSucceeded(pair.remote, pair.kind, pair.rtt))
        self._cancel()
        self._turn()

    def received(self, data: bytes, source: Endpoint) -> bool:
        """A datagram that may be ours; whether it was."""
        if self._confined and not is_loopback(source[0]):
            return False
        ours = self._checks.receive(data, source, self._clock.seconds())
        if not ours:
            return False
        if self.expects(source):
            self._sockets.expect(source, answered=self._checks.answered(source))
        self._pump()
        self._set_timer()
        return True

    def awaits(self, source: Endpoint) -> bool:
        """Whether ``source`` has been sent a check that it has not answered."""
        return self._checks.awaits(source)

    def expects(self, source: Endpoint) -> bool:
        """Whether the other side is known to be at ``source`` and is to call from there."""
        return not self._stopped and not self._controlling and self._checks.proved(source)

    @property
    def lingers(self) -> bool:
        """Whether it only answers the other side's checks any more."""
        return self._stopped

    def stop(self) -> None:
        """Send no more checks of our own, and after a while answer none either."""
        if self._stopped:
            return
        self._stopped = True
        self._checks.stop()
        self._cancel()
        self._sockets.unexpect(self._checks.pairs)
        self._timer = self._clock.callLater(limits.CHECKS_LINGER, self._sockets.checked, self)

    def end(self, reason: str) -> None:
        """Answer nothing any more, at once; if it still sends checks, it has failed for this ``reason``."""
        stopped, self._stopped = self._stopped, True
        self._cancel()
        self._sockets.checked(self)
        if not stopped:
            self._failed(reason)

    # --- inside

    def _turn(self) -> None:
        self._timer = None
        self._checks.handle_timer(self._clock.seconds())
        self._pump()
        self._set_timer()

    def _pump(self) -> None:
        for data, target in self._checks.to_send():
            if self._checks.answered(target) or self._sockets.may_send(target, self._user):
                self._sockets.send(data, target)
        while (event := self._checks.next_event()) is not None:
            if self._stopped:
                continue
            if isinstance(event, ChecksFailed):
                self._failed(event.reason)
            else:
                self._tell(event)

    def _tell(self, event: PairSucceeded) -> None:
        self._found(Candidate(event.kind, UDP, *event.remote), event.rtt)

    def _set_timer(self) -> None:
        if self._stopped:
            return
        self._cancel()
        at = self._checks.timer()
        if at is not None:
            self._timer = self._clock.callLater(max(at - self._clock.seconds(), 0.001), self._turn)

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
