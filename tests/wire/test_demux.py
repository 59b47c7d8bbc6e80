"""Datagrams are told apart by their first byte, also where the kernel has glued them together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.wire.demux import Batch, Kind, has_long_header, kind_of, read_long_header, sort_batch

INITIAL = b"\xc3\x00\x00\x00\x01\x04dest\x03src\x40\x05token" + bytes(40)


class KindTests(SynchronousTestCase):
    def test_every_first_byte_has_the_kind_that_rfc_9443_gives_it(self) -> None:
        """STUN 0-3, QUIC 64-127 and 192-255; 128-191 is ours; the rest is noise."""
        kinds = {first: kind_of(bytes([first, 1, 2])) for first in range(256)}
        self.assertEqual([first for first in kinds if kinds[first] is Kind.STUN], [0, 1, 2, 3])
        self.assertEqual([first for first in kinds if kinds[first] is Kind.QUIC], [*range(64, 128), *range(192, 256)])
        self.assertEqual([first for first in kinds if kinds[first] is Kind.OWN], [*range(128, 192)])

    def test_an_empty_datagram_is_noise(self) -> None:
        """Nothing looks into it."""
        self.assertIs(kind_of(b""), Kind.NOISE)
        self.assertEqual(sort_batch(b"", 0), [])

    @given(st.lists(st.integers(0, 255), min_size=1, max_size=60), st.integers(1, 30), st.data())
    def test_a_batch_comes_apart_into_its_datagrams_in_order(
        self, firsts: list[int], size: int, data: st.DataObject
    ) -> None:
        """Whatever was glued together, each datagram goes where it would have gone alone."""
        last = data.draw(st.integers(1, size))
        datagrams = [bytes([first]) + bytes(size - 1) for first in firsts]
        datagrams[-1] = datagrams[-1][:last]
        batches = sort_batch(b"".join(datagrams), size)
        self.assertEqual([datagram for batch in batches for datagram in batch.datagrams()], datagrams)
        for batch in batches:
            self.assertEqual({kind_of(datagram) for datagram in batch.datagrams()}, {batch.kind})
        for before, after in pairwise(batches):
            self.assertIsNot(before.kind, after.kind)

    def test_a_batch_of_one_kind_is_not_copied(self) -> None:
        """Nearly all of a file passes this way."""
        data = b"\x40abc" * 40
        (batch,) = sort_batch(data, 4)
        self.assertIs(batch.data, data)


class HeaderTests(SynchronousTestCase):
    def test_an_initial_is_read(self) -> None:
        """Its connection ids, and the token."""
        header = read_long_header(INITIAL)
        assert header is not None
        self.assertEqual(header, (1, b"dest", b"src", True, b"token"))

    def test_other_long_headers_are_no_initials(self) -> None:
        """A handshake packet, and another version, whose types mean something else."""
        for other in (b"\xe3" + INITIAL[1:], INITIAL[:1] + b"\x6b\x33\x43\xcf" + INITIAL[5:]):
            header = read_long_header(other)
            assert header is not None
            self.assertFalse(header.initial)

    def test_long_headers_in_a_batch_are_noticed(self) -> None:
        """Any one of them is enough."""
        self.assertFalse(has_long_header(Batch(Kind.QUIC, b"\x7fabc" * 3, 4)))
        self.assertTrue(has_long_header(Batch(Kind.QUIC, b"\x7fabc\x40abc\xc0abc", 4)))

    @given(st.binary(max_size=60))
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        """A stranger's bytes raise nothing."""
        read_long_header(data)
        read_long_header(b"\xc0\x00\x00\x00\x01" + data)

    def test_cut_off_headers_are_refused(self) -> None:
        """Up to the end of the token."""
        for length in range(len(INITIAL) - 40):
            self.assertIsNone(read_long_header(INITIAL[:length]))
