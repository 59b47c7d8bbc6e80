"""A world for each test of transfers."""

import os
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.peer.test_transfer_machine import tree
from tests.peer.transfer_world import Home, World


class TransferCase(SynchronousTestCase):
    """A world for each test."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.alice, self.bob = self.world.alice, self.world.bob

    def file(self, name: str = "report.pdf", size: int = 1_000) -> Path:
        path = self.world.source / name
        path.write_bytes(os.urandom(size))
        return path

    def offer(self, path: Path, **more: str) -> str:
        transfer = self.world.result(self.alice.transfers.offer("bob", path, **more))
        return str(transfer.id)

    def send(self, path: Path, **more: str) -> str:
        id = self.offer(path, **more)
        self.world.settle()
        return id

    def until(self, condition: Callable[[], bool], steps: int = 20_000) -> None:
        """Let things happen, one by one, until ``condition``."""
        for turn in range(steps):
            if condition():
                return
            self.world.step(turn)
        raise AssertionError("it never came to that")

    def half(self) -> None:
        """Let things happen until half of it is stored."""
        self.until(lambda: any(0 < status.total <= 2 * status.bytes for status in self.bob.transfers.list()))

    def state(self, home: Home) -> tuple[str, str]:
        return home.only().state, home.only().reason

    def assert_states(self, alice: tuple[str, str] | str, bob: tuple[str, str] | str) -> None:
        for home, expected in ((self.alice, alice), (self.bob, bob)):
            self.assertEqual(self.state(home), (expected, "") if isinstance(expected, str) else expected)

    def assert_arrived(self, path: Path, name: str | None = None) -> None:
        arrived = self.bob.downloads / (name or path.name)
        self.assertEqual(tree(arrived), tree(path))
        self.assert_states("completed", "completed")
        self.assertEqual(self.leftovers(), [])

    def leftovers(self) -> list[str]:
        return [path.name for path in self.bob.downloads.glob("*.p2pim-part")] if self.bob.downloads.exists() else []
