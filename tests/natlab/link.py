"""A link with delay, rate, queue and loss between two network namespaces.

The kernel's own netem is not everywhere, so this is a process with one TAP device in each namespace: frames read from
one are written to the other when their time has come. Each direction has a serialiser (``rate``), a drop-tail queue
(``queue``, in seconds at that rate) and independent random loss. A hundred megabits a second are no trouble for it.

    python -m tests.natlab.link NAMESPACE1 DEVICE1 NAMESPACE2 DEVICE2 --delay 0.02 --rate 100e6 --loss 0.01

It prints "ready" when both devices stand, and ends with its standard input.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import secrets
import select
import struct
import subprocess
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
FRAME = 2048
BATCH = 64


def open_tap(namespace: str, device: str) -> int:
    """The file descriptor of a new TAP device that stands, up, in ``namespace`` under the name ``device``."""
    name = f"t{secrets.token_hex(5)}"
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    for command in (
        ["ip", "link", "set", name, "netns", namespace],
        ["ip", "-n", namespace, "link", "set", name, "name", device],
        ["ip", "-n", namespace, "link", "set", device, "up", "txqueuelen", "10000"],
    ):
        subprocess.run(command, check=True)
    return descriptor


class Direction:
    """One way: frames in, frames out later or never."""

    def __init__(self, source: int, target: int, delay: float, rate: float, queue: float, loss: float) -> None:
        self.source, self.target = source, target
        self.delay, self.rate, self.queue, self.loss = delay, rate, queue, loss
        self.frames: deque[tuple[float, bytes]] = deque()
        self.free_at = 0.0

    def take(self, now: float) -> None:
        """Read what has come."""
        for _ in range(BATCH):
            try:
                frame = os.read(self.source, FRAME)
            except BlockingIOError:
                return
            begin = max(now, self.free_at)
            if (self.rate and begin - now > self.queue) or random.random() < self.loss:
                continue
            self.free_at = begin + (len(frame) * 8 / self.rate if self.rate else 0.0)
            self.frames.append((self.free_at + self.delay, frame))

    def give(self, now: float) -> None:
        """Write what is due."""
        while self.frames and self.frames[0][0] <= now:
            try:
                os.write(self.target, self.frames[0][1])
            except BlockingIOError:
                return
            except OSError:
                pass  # the device is down: the frame is lost, as on a pulled cable
            self.frames.popleft()


def run(directions: list[Direction]) -> None:
    """Carry frames until standard input ends."""
    poll = select.epoll()
    poll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
    for direction in directions:
        poll.register(direction.source, select.EPOLLIN)
    by_source = {direction.source: direction for direction in directions}
    while True:
        due = min((d.frames[0][0] for d in directions if d.frames), default=None)
        wait = -1.0 if due is None else max(0.0, due - time.monotonic())
        for descriptor, _ in poll.poll(wait):
            if descriptor not in by_source:
                return
            by_source[descriptor].take(time.monotonic())
        now = time.monotonic()
        for direction in directions:
            direction.give(now)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for word in ("namespace1", "device1", "namespace2", "device2"):
        parser.add_argument(word)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds, each way")
    parser.add_argument("--rate", type=float, default=0.0, help="bits per second, each way; 0: unlimited")
    parser.add_argument("--queue", type=float, default=0.1, help="seconds of queue at that rate")
    parser.add_argument("--loss", type=float, default=0.0, help="share of frames lost, each way")
    given = parser.parse_args()
    one = open_tap(given.namespace1, given.device1)
    other = open_tap(given.namespace2, given.device2)
    shape = (given.delay, given.rate, given.queue, given.loss)
    print("ready", flush=True)
    run([Direction(one, other, *shape), Direction(other, one, *shape)])


if __name__ == "__main__":
    main()
