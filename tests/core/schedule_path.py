"""A reliable link over a path that checks have found: what QUIC is to the machines, in as few lines as will do."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from p2pim.core.keepalive import KeepAlive, Trust
from tests.network import Endpoint

MARK: Final = b"@"
"""First byte of its datagrams, in QUIC's range."""
AGAIN: Final = 0.25
HELLO, WELCOME, FRAME, ACK, PROBE, ALIVE = b"HWFAPL"


class Path:
    """One end of a link: frames arrive in order and once, or the link dies.

    :param send: gives a datagram to the socket.
    :param up: called once, when both ends know of each other.
    :param frame: called with each frame.
    :param down: called once with the reason.
    """

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        name: bytes,
        remote: Endpoint,
        *,
        dialler: bool,
        send: Callable[[bytes, Endpoint], None],
        up: Callable[[Path], None],
        frame: Callable[[Path, object], None],
        down: Callable[[Path, str], None],
    ) -> None:
        self.clock, self.rng, self.name, self.remote, self.dialler = clock, rng, name, remote, dialler
        self.send, self.up, self.frame, self.down = send, up, frame, down
        self.life: KeepAlive | None = None
        self.over = False
        self.channel = False
        """Whether it was adopted."""
        self.waiting: deque[tuple[int, object]] = deque()
        self.next_out = self.next_in = 1
        self.frames: dict[int, object] = {}
        """What is on the wire, by number: the datagrams only name it."""
        self.other: Path | None = None
        self.end = clock.seconds() + 10.0
        self.timer: IDelayedCall | None = None
        if dialler:
            self.turn()
        else:
            self.stands()

    def say(self, kind: int, number: int = 0) -> None:
        self.send(MARK + self.name + bytes([kind]) + number.to_bytes(4), self.remote)

    def put(self, frame: object) -> None:
        """Send ``frame`` after those before it."""
        if not self.over:
            self.frames[self.next_out] = frame
            self.waiting.append((self.next_out, frame))
            self.say(FRAME, self.next_out)
            self.next_out += 1

    def stands(self) -> None:
        """Both ends know of each other."""
        if self.life is None:
            self.life = KeepAlive(self.clock.seconds(), self.rng)
            self.up(self)
            self.turn()

    def received(self, data: bytes) -> None:
        """A datagram from the other end."""
        kind, number = data[0], int.from_bytes(data[1:])
        if self.over:
            return
        if self.life is not None and kind in (ALIVE, ACK):
            self.life.answered(self.clock.seconds())
        if kind == HELLO:
            self.say(WELCOME)
        elif kind == WELCOME:
            self.stands()
        elif kind == PROBE:
            self.say(ALIVE)
        elif kind == ACK:
            while self.waiting and self.waiting[0][0] <= number:
                self.waiting.popleft()
        elif kind == FRAME:
            self._frame(number)

    def _frame(self, number: int) -> None:
        if number == self.next_in and self.other is not None and self.life is not None:
            self.next_in += 1
            self.frame(self, self.other.frames[number])
        self.say(ACK, self.next_in - 1)

    def turn(self) -> None:
        """Say again what was not confirmed; look whether it lives."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        if self.over:
            return
        now = self.clock.seconds()
        if self.life is None:
            if now >= self.end:
                self.drop("no handshake in time")
                return
            self.say(HELLO)
            self.timer = self.clock.callLater(AGAIN, self.turn)
            return
        if self.life.probe_due(now):
            self.say(PROBE)
        for number, _ in list(self.waiting)[:8]:
            self.say(FRAME, number)
        if self.life.trust(now) is Trust.DEAD:
            self.drop("silent for too long")
            return
        wait = AGAIN if self.waiting else max(min(self.life.next_time(now) - now, 1.0), 0.01)
        self.timer = self.clock.callLater(wait, self.turn)

    def drop(self, reason: str) -> None:
        """End it, without a word to the other end."""
        if not self.over:
            self.over = True
            if self.timer is not None and self.timer.active():
                self.timer.cancel()
            self.down(self, reason)
