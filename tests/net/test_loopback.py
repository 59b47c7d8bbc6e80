"""Whose connection it is."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from p2pim.net import loopback
from p2pim.net.loopback import TABLES, connecting_user, is_own

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2120 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:C350 0100007F:2120 01 00000000:00000000 00:00000000 00000000  1001        0 2 1 0 20 4 30 10 -1
   2: 0000000000000000FFFF00000100007F:C351 0000000000000000FFFF00000100007F:2120 01 0:0 00:0 0 1002 0 3 1
   3: 00000000000000000000000001000000:C352 00000000000000000000000001000000:2120 01 0:0 00:0 0 1003 0 4 1
"""


class Ends:
    """Of a connection."""

    def __init__(self, peer: tuple[str, int], own: tuple[str, int]) -> None:
        self._peer, self._own = peer, own

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", *self._peer)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", *self._own)


class LoopbackTests(SynchronousTestCase):
    def test_the_tables_name_the_user_at_the_other_end(self) -> None:
        """Of IPv4, of IPv4 by a socket for IPv6, and of IPv6; of the end that connects, not of ours."""
        if sys.byteorder != "little":
            self.skipTest("the table above is of a little-endian machine")
        for host, port, user in (
            ("127.0.0.1", 50000, 1001), ("127.0.0.1", 50001, 1002), ("::1", 50002, 1003), ("127.0.0.1", 50003, None),
        ):  # fmt: skip
            self.assertEqual(connecting_user((host, port), (host, 8480), TABLE.splitlines()), user)

    def test_ones_own_connection_is_known(self) -> None:
        """By what the kernel says."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            with socket.create_connection(listening.getsockname()) as mine:
                if TABLES[0].exists():
                    lines = TABLES[0].read_text().splitlines()
                    self.assertEqual(connecting_user(mine.getsockname(), mine.getpeername(), lines), os.getuid())
                self.assertTrue(is_own(Ends(mine.getsockname(), mine.getpeername())))

    def test_what_is_unknown_is_left_to_the_cookie(self) -> None:
        """Other systems have no such tables."""
        self.patch(loopback, "TABLES", (Path("/nowhere/tcp"),))
        self.assertTrue(is_own(Ends(("127.0.0.1", 1), ("127.0.0.1", 2))))
        self.assertIsNone(connecting_user(("127.0.0.1", 1), ("127.0.0.1", 2), ["rubbish", "a b c d e f g h"]))

    def test_who_has_hung_up_already_is_nobody(self) -> None:
        """The kernel shows root for a connection whose program has closed it; what it left does not count."""
        if not TABLES[0].exists():
            self.skipTest("there are no such tables")
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            theirs = socket.create_connection(listening.getsockname())
            ends = Ends(theirs.getsockname(), theirs.getpeername())
            theirs.send(b"POST /api/1/send HTTP/1.1")
            theirs.close()
            accepted, _ = listening.accept()
            with accepted:
                self.assertFalse(is_own(ends))
