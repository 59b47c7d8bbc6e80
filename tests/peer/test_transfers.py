"""Transfers between two homes, every step in memory but the disk."""

from twisted.trial.unittest import SynchronousTestCase

from tests.peer.transfer_world import World


class TransferCase(SynchronousTestCase):
    """A world for each test."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.alice, self.bob = self.world.alice, self.world.bob


class FileTests(TransferCase):
    """A single file."""

    def test_a_file_arrives(self) -> None:
        """What is sent arrives under its name."""
        self.world.start()
        path = self.world.source / "report.pdf"
        path.write_bytes(bytes(range(256)) * 4)
        self.world.result(self.alice.transfers.offer("bob", path, "for you"))
        self.world.settle()
        self.assertEqual((self.bob.downloads / "report.pdf").read_bytes(), path.read_bytes())
        self.assertEqual([e.event for e in self.bob.events], ["offer", "progress", "completed"])
        self.assertEqual([e.event for e in self.alice.events], ["offer", "progress", "completed"])
