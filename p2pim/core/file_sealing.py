"""Files sealed in chunks, for a server that keeps them and must not read them.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", CRYPTO 2015) over AES-256-GCM, in the layout of nonces that Tink's AES-GCM-HKDF streaming uses: 7
bytes of prefix, 4 of the chunk's number, 1 that marks the last one. The mark, the number and the file's id are also
the chunk's associated data. So a chunk opens at its place in its file alone: what is cut off, turned round, repeated
or taken from another file is found out.

Unlike there the prefix is random for each attempt at sealing and stands before each chunk. A chunk that has to be
sealed again (an upload that was broken off) gets another nonce, so that a key never meets one nonce twice, even if
the file has changed unseen meanwhile. That the chunks are of *one* content is for the digest of the whole to say,
which travels with the key.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from p2pim.core.limits import SEALED_CHUNK
from p2pim.errors import SealBroken

KEY_BYTES: Final = 32
PREFIX_BYTES: Final = 7
OVERHEAD: Final = PREFIX_BYTES + 16
"""Bytes that a chunk grows by: the prefix, and GCM's tag."""
_CONTEXT: Final = b"p2pim stored file 1\0"


def sealed_size(size: int, chunk: int = SEALED_CHUNK) -> int:
    """Bytes of a stream of ``size`` bytes once it is sealed; an empty one has one empty chunk."""
    return size + OVERHEAD * chunks_in(size, chunk)


def chunks_in(size: int, chunk: int = SEALED_CHUNK) -> int:
    """How many chunks a stream of ``size`` bytes has."""
    return max(1, -(-size // chunk))


def place_in(sealed: int, size: int, chunk: int = SEALED_CHUNK) -> int | None:
    """How many bytes of a stream of ``size`` are in the first ``sealed`` sealed bytes; None when that is not the end
    of a chunk."""
    if sealed == sealed_size(size, chunk):
        return size
    number, rest = divmod(sealed, chunk + OVERHEAD)
    return None if rest or number >= chunks_in(size, chunk) else number * chunk


class _Chunks:
    """What sealing and opening have in common.

    :param key: `KEY_BYTES`, for this file alone.
    :param file: its id, which is bound into every chunk.
    :param size: bytes of the whole stream.
    """

    def __init__(self, key: bytes, file: bytes, size: int, chunk: int = SEALED_CHUNK) -> None:
        self._aead = AESGCM(key)
        self._context = _CONTEXT + len(file).to_bytes(2) + file + size.to_bytes(8)
        self._last = chunks_in(size, chunk) - 1
        self._size = size
        self.chunk = chunk

    def length(self, number: int) -> int:
        """Bytes of content in chunk ``number``."""
        return min(self.chunk, self._size - number * self.chunk)

    def _nonce(self, prefix: bytes, number: int) -> bytes:
        return prefix + number.to_bytes(4) + bytes([number == self._last])

    def _data(self, number: int) -> bytes:
        return self._context + number.to_bytes(4) + bytes([number == self._last])


class Sealer(_Chunks):
    """Seals chunks, each once; a further attempt takes a new `Sealer` with a new ``prefix``.

    :param prefix: `PREFIX_BYTES` unpredictable bytes.
    """

    def __init__(self, key: bytes, file: bytes, size: int, prefix: bytes, chunk: int = SEALED_CHUNK) -> None:
        super().__init__(key, file, size, chunk)
        self._prefix = prefix
        self._next = 0

    def seal(self, number: int, content: bytes) -> bytes:
        """Chunk ``number``, sealed. Numbers only grow.

        :raises ValueError: it was sealed already, or has not the length of its place.
        """
        if number < self._next or number > self._last or len(content) != self.length(number):
            raise ValueError("a chunk is sealed once, in order and whole")
        self._next = number + 1
        return self._prefix + self._aead.encrypt(self._nonce(self._prefix, number), content, self._data(number))


class Opener(_Chunks):
    """Opens chunks."""

    def sealed_length(self, number: int) -> int:
        """Bytes of chunk ``number`` as it is stored."""
        return self.length(number) + OVERHEAD

    def open(self, number: int, sealed: bytes) -> bytes:
        """The content of chunk ``number``.

        :raises SealBroken: that is not what was sealed there.
        """
        if number > self._last or len(sealed) != self.sealed_length(number):
            raise SealBroken
        prefix, rest = sealed[:PREFIX_BYTES], sealed[PREFIX_BYTES:]
        try:
            return self._aead.decrypt(self._nonce(prefix, number), rest, self._data(number))
        except InvalidTag:
            raise SealBroken from None
