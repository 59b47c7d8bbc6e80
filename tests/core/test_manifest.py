"""The list of a folder's files."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import MANIFEST_DEPTH, MANIFEST_ENTRIES, MANIFEST_PATH
from p2pim.core.manifest import (
    FILE,
    FOLDER,
    ManifestEntry,
    decode_manifest,
    encode_manifest,
    place,
    starts,
)
from p2pim.errors import ContentMismatch, UnsafeName

ENTRY = st.builds(
    ManifestEntry,
    path=st.binary(min_size=1, max_size=40),
    size=st.integers(0, 2**40),
    modified_ns=st.integers(-(2**62), 2**62),
    kind=st.sampled_from([0, 1]),
)
ENTRIES = st.lists(ENTRY, max_size=20)


def total(entries: list[ManifestEntry]) -> int:
    return sum(entry.size for entry in entries)


class ManifestTests(SynchronousTestCase):
    """`encode_manifest` and `decode_manifest`."""

    @given(ENTRIES)
    def test_it_comes_out_as_it_went_in(self, entries: list[ManifestEntry]) -> None:
        """Both ends speak of the same files."""
        self.assertEqual(decode_manifest(encode_manifest(entries), total(entries), len(entries)), entries)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_manifest_or_an_error(self, body: bytes) -> None:
        """Nothing a stranger sends gets past as something else."""
        with contextlib.suppress(ContentMismatch, UnsafeName):
            decode_manifest(body, 0, 0)

    @given(ENTRIES, st.integers(0, 10))
    def test_a_truncated_one_is_refused(self, entries: list[ManifestEntry], cut: int) -> None:
        """Half a list is no list."""
        body = encode_manifest(entries)
        with self.assertRaises(ContentMismatch):
            decode_manifest(body[: max(0, len(body) - 1 - cut)], total(entries), len(entries))

    @given(ENTRIES)
    def test_sizes_and_numbers_that_differ_from_the_offer_are_refused(self, entries: list[ManifestEntry]) -> None:
        """What was accepted is what is stored."""
        body = encode_manifest(entries)
        with self.assertRaises(ContentMismatch):
            decode_manifest(body, total(entries) + 1, len(entries))
        with self.assertRaises(ContentMismatch):
            decode_manifest(body, total(entries), len(entries) + 1)

    def test_a_list_that_claims_a_billion_entries_costs_nothing(self) -> None:
        """The claim is checked before anything is made for it."""
        with self.assertRaises(ContentMismatch):
            decode_manifest(b"\xdd\x3b\x9a\xca\x00" + b"\x90" * 100, 0, 0)
        with self.assertRaises(ContentMismatch):
            decode_manifest(b"\xdd" + (MANIFEST_ENTRIES + 1).to_bytes(4, "big"), 0, 0)

    def test_paths_too_deep_or_too_long_are_refused(self) -> None:
        """The receiver's descriptors and paths have an end."""
        deep = ManifestEntry(b"a/" * MANIFEST_DEPTH + b"a", 0, 0)
        with self.assertRaises(UnsafeName):
            encode_manifest([deep])
        with self.assertRaises(UnsafeName):
            encode_manifest([ManifestEntry(b"x" * (MANIFEST_PATH + 1), 0, 0)])

    def test_a_folder_has_no_bytes(self) -> None:
        """A size on a folder would shift every file after it."""
        with self.assertRaises(ContentMismatch):
            decode_manifest(encode_manifest([ManifestEntry(b"a", 5, 0, FOLDER)]), 5, 0)

    @given(ENTRIES)
    def test_every_entry_gets_a_place_of_its_own(self, entries: list[ManifestEntry]) -> None:
        """No file of a folder overwrites another."""
        placed = [p.parts for p in place(entries)]
        self.assertEqual(len(set(placed)), len(placed))

    def test_files_and_their_folder_agree_on_its_name(self) -> None:
        """A folder listed and a folder as a file's parent are one, whatever their name becomes."""
        placed = place([ManifestEntry(b"con", 0, 0, FOLDER), ManifestEntry(b"con/x", 1, 0, FILE)])
        self.assertEqual([p.parts for p in placed], [("_con",), ("_con", "x")])

    def test_the_bytes_follow_in_order(self) -> None:
        """Where each file begins in the stream."""
        self.assertEqual(starts([3, 0, 5], 10), [10, 13, 13, 18])
