"""Whose the other end of a connection is: the kernel's own tables, and written ones."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from p2pim.net.socket_owner import socket_owner

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  {uid}        0 4711 1 0 20 4 30 10 -1\n"


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tables = Path(self.mktemp())
        self.tables.mkdir()

    def write(self, name: str, *lines: tuple[str, str, str, int]) -> None:
        """A table of the kernel's."""
        rows = [LINE.format(local=a, remote=b, state=state, uid=uid) for a, b, state, uid in lines]
        (self.tables / name).write_text(HEAD + "".join(rows))

    def owner(self, theirs: tuple[str, int], ours: tuple[str, int]) -> int | None:
        """Whose it is."""
        return socket_owner(theirs, ours, self.tables)

    def test_it_is_told_by_both_ends_of_the_connection(self) -> None:
        """Not by our own end, nor by another connection from the same port."""
        self.write(
            "tcp",
            ("0100007F:11B4", "0100007F:C350", "01", 7),
            ("0100007F:C350", "0100007F:0050", "01", 8),
            ("0100007F:C350", "0100007F:11B4", "01", 1000),
        )
        self.assertEqual(self.owner(("127.0.0.1", 50_000), ("127.0.0.1", 4532)), 1000)
        self.assertIsNone(self.owner(("127.0.0.1", 50_001), ("127.0.0.1", 4532)))

    def test_a_connection_that_does_not_stand_is_nobodys(self) -> None:
        """Its line tells user 0, whoever made it."""
        self.write("tcp", ("0100007F:C350", "0100007F:11B4", "06", 0))
        self.assertIsNone(self.owner(("127.0.0.1", 50_000), ("127.0.0.1", 4532)))

    def test_ipv6_and_ipv4_through_an_ipv6_socket_are_found(self) -> None:
        """Browsers use both."""
        self.write(
            "tcp6",
            ("00000000000000000000000001000000:C350", "00000000000000000000000001000000:11B4", "01", 5),
            ("0000000000000000FFFF00000100007F:C351", "0000000000000000FFFF00000100007F:11B4", "01", 6),
        )
        self.assertEqual(self.owner(("::1", 50_000), ("::1", 4532)), 5)
        self.assertEqual(self.owner(("127.0.0.1", 50_001), ("127.0.0.1", 4532)), 6)

    def test_what_cannot_be_told_is_nobodys(self) -> None:
        """No tables, no addresses, half a line."""
        self.assertIsNone(self.owner(("127.0.0.1", 1), ("127.0.0.1", 2)))
        self.assertIsNone(self.owner(("name", 1), ("127.0.0.1", 2)))
        self.assertIsNone(self.owner(("::1", 1), ("127.0.0.1", 2)))
        (self.tables / "tcp").write_text(HEAD + "   0: 0100007F:0001 0100007F:0002 01 0000")
        self.assertIsNone(self.owner(("127.0.0.1", 1), ("127.0.0.1", 2)))


@skipUnless(Path("/proc/net/tcp").exists(), "needs the tables of Linux")
class KernelTests(SynchronousTestCase):
    def test_my_own_connection_is_mine(self) -> None:
        """Over IPv4 on this machine."""
        with ExitStack() as stack:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            ours = listening.getsockname()
            client = stack.enter_context(socket.create_connection(ours))
            stack.enter_context(listening.accept()[0])
            self.assertEqual(socket_owner(client.getsockname(), ours), os.geteuid())
