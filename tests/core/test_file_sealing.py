"""Sealing of files: whatever is done to what was sealed is found out."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.file_sealing import OVERHEAD, Opener, Sealer, chunks_in, place_in, sealed_size
from p2pim.errors import SealBroken

KEY, FILE, CHUNK = b"k" * 32, b"f" * 16, 16


def seal(content: bytes, prefix: bytes = b"p" * 7, key: bytes = KEY, file: bytes = FILE) -> list[bytes]:
    """The sealed chunks of ``content``."""
    sealer = Sealer(key, file, len(content), prefix, CHUNK)
    pieces = [content[at * CHUNK : (at + 1) * CHUNK] for at in range(chunks_in(len(content), CHUNK))]
    return [sealer.seal(number, piece) for number, piece in enumerate(pieces)]


def opened(stream: bytes, size: int, key: bytes = KEY, file: bytes = FILE) -> bytes:
    """What the recipient gets of ``stream``: all of it or `SealBroken`."""
    opener, content, at = Opener(key, file, size, CHUNK), [], 0
    for number in range(chunks_in(size, CHUNK)):
        length = opener.sealed_length(number)
        content.append(opener.open(number, stream[at : at + length]))
        at += length
    if at != len(stream):
        raise SealBroken
    return b"".join(content)


contents = st.binary(max_size=5 * CHUNK + 3)


class TestSealing(SynchronousTestCase):
    """`Sealer` and `Opener`."""

    @given(contents)
    def test_what_is_sealed_opens(self, content: bytes) -> None:
        """All of it, at its stated size, and nothing of it is to be seen."""
        stream = b"".join(seal(content))
        self.assertEqual(len(stream), sealed_size(len(content), CHUNK))
        self.assertEqual(opened(stream, len(content)), content)
        if len(content) > 3:
            self.assertNotIn(content, stream)

    @given(contents, st.data())
    def test_a_changed_byte_is_found_out(self, content: bytes, data: st.DataObject) -> None:
        """Anywhere."""
        stream = bytearray(b"".join(seal(content)))
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at] ^= data.draw(st.integers(1, 255))
        self.assertRaises(SealBroken, opened, bytes(stream), len(content))

    @given(contents, st.data())
    def test_what_is_cut_off_or_added_is_found_out(self, content: bytes, data: st.DataObject) -> None:
        """Also when whoever did it lies about the size, and at the end of a chunk."""
        stream = b"".join(seal(content))
        shorter = stream[: data.draw(st.integers(0, len(stream) - 1))]
        self.assertRaises(SealBroken, opened, shorter, len(content))
        self.assertRaises(SealBroken, opened, stream + (shorter or b"-"), len(content))
        claimed = data.draw(st.integers(0, 7 * CHUNK))
        assume(claimed != len(content))
        for forged in (stream[: sealed_size(claimed, CHUNK)], stream + bytes(claimed)):
            self.assertRaises(SealBroken, opened, forged, claimed)

    @given(st.binary(min_size=CHUNK + 1, max_size=6 * CHUNK), st.randoms())
    def test_another_order_is_found_out(self, content: bytes, rng: object) -> None:
        """Chunks that change places, or stand twice, even where their lengths agree."""
        chunks = seal(content)
        shuffled = list(chunks)
        rng.shuffle(shuffled)  # type: ignore[attr-defined]
        assume(shuffled != chunks)
        self.assertRaises(SealBroken, opened, b"".join(shuffled), len(content))
        self.assertRaises(SealBroken, opened, b"".join([chunks[0], chunks[0], *chunks[2:]]), len(content))

    @given(contents)
    def test_only_the_key_opens_it_and_only_as_this_file(self, content: bytes) -> None:
        """A chunk of one file is none of another."""
        stream = b"".join(seal(content))
        self.assertRaises(SealBroken, opened, stream, len(content), key=b"K" * 32)
        self.assertRaises(SealBroken, opened, stream, len(content), file=b"F" * 16)

    @given(contents, st.data())
    def test_an_upload_may_go_on_with_another_prefix(self, content: bytes, data: st.DataObject) -> None:
        """What was sealed before the break opens beside what was sealed after it."""
        before, after = seal(content, b"before!"), seal(content, b"after!!")
        broken = data.draw(st.integers(0, len(before)))
        self.assertEqual(opened(b"".join(before[:broken] + after[broken:]), len(content)), content)
        if broken:
            self.assertNotEqual(before[0][OVERHEAD:], after[0][OVERHEAD:] or b"-")

    def test_a_chunk_is_sealed_once(self) -> None:
        """Its nonce would meet another content."""
        sealer = Sealer(KEY, FILE, 3 * CHUNK, b"p" * 7, CHUNK)
        sealer.seal(1, bytes(CHUNK))
        for number, length in ((1, CHUNK), (0, CHUNK), (2, CHUNK - 1), (3, CHUNK)):
            with self.assertRaises(ValueError):
                sealer.seal(number, bytes(length))

    @given(contents)
    def test_the_end_of_every_chunk_is_a_place_to_go_on_from(self, content: bytes) -> None:
        """And nothing else is."""
        size, at = len(content), 0
        places = {0: 0}
        for number, chunk in enumerate(seal(content)):
            at += len(chunk)
            places[at] = min((number + 1) * CHUNK, size)
        for sealed in range(sealed_size(size, CHUNK) + 2):
            self.assertEqual(place_in(sealed, size, CHUNK), places.get(sealed))
