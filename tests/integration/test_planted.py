"""The operator reads along: nothing that people said, and no file's name, is in what the server has or passed on."""

from __future__ import annotations

from pathlib import Path

from p2pim.peer import MessageReceived, TransferCompleted
from p2pim.server import connection as server_connection
from p2pim.wire.messages import decode_from_client
from p2pim.wire.signals import Sealed, decode_signal
from tests.integration.neighbours import NeighboursCase

PLANTED = "xyzzy-planted-in-the-text"
FILE = "plugh-planted-in-the-name.txt"
INSIDE = b"frotz-planted-in-the-file"


class PlantedTests(NeighboursCase):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.seen: list[bytes] = []

        def decode(body: bytes) -> object:
            self.seen.append(bytes(body))
            return decode_from_client(body)

        self.patch(server_connection, "decode_from_client", decode)

    def written(self) -> list[Path]:
        return [path for path in (self.root / "server").rglob("*") if path.is_file()]

    async def test_nothing_planted_is_found_at_the_server(self) -> None:
        """Messages by relay and to somebody away, a file by a relayed channel: every frame and every byte on disk."""
        alice, bob = await self.join("alice", channel="none"), await self.join("bob", channel="none", accept="always")
        await alice.peer.send_message("bob", f"{PLANTED} one", route="relay")
        path = self.root / FILE
        path.write_bytes(INSIDE * 1000)
        transfer = await alice.peer.send_file("bob", path, comment=PLANTED)
        self.assertIsNotNone(transfer)
        await self.until(lambda: bob.had(TransferCompleted))
        self.assertEqual([m.text for m in bob.had(MessageReceived)], [f"{PLANTED} one"])
        await self.leave(bob)
        await alice.peer.send_message("bob", f"{PLANTED} two", wait=False)
        for planted in (PLANTED.encode(), FILE.encode(), INSIDE):
            for body in self.seen:
                self.assertNotIn(planted, body)
            for file in self.written():
                self.assertNotIn(planted, file.read_bytes(), file)
        self.assertGreater(sum(body[1:2] == b"\x04" for body in self.seen), 5)
        self.assertGreater(len(self.written()), 1)

    def test_the_search_would_find_it(self) -> None:
        """What is not sealed would be found by it: the strings stand in signals as they are."""
        from p2pim.wire.signals import ChatMessage, encode_signal

        self.assertIn(PLANTED.encode(), encode_signal(ChatMessage(b"i" * 16, 1, PLANTED, 1)))
        self.assertIsInstance(decode_signal(encode_signal(Sealed(0, b"x"))), Sealed)
