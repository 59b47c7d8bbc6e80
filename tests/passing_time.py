"""Letting the time of a test clock pass as it does outside of tests."""

from __future__ import annotations

from twisted.internet.task import Clock


def pass_time(clock: Clock, seconds: float) -> None:
    """Let ``seconds`` pass, event by event: a clock's own `advance` would let them all happen at the end."""
    until = clock.seconds() + seconds
    while (at := min((call.getTime() for call in clock.getDelayedCalls()), default=until + 1.0)) <= until:
        clock.advance(max(at - clock.seconds(), 0.0))
    clock.advance(max(until - clock.seconds(), 0.0))
