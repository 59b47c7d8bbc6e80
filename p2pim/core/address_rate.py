"""How often each address may be answered, in a table that never grows.

A row holds one number, the time at which the row's allowance would be whole again (the generic cell rate algorithm),
and which address and port it counted last. Addresses are spread over the rows by a multiplication with a secret odd
number, so that nobody can choose addresses that fall on another's row; addresses that share one by chance share its
allowance.
"""

from __future__ import annotations

from typing import Final

_WORD: Final = 64
_MASK: Final = (1 << _WORD) - 1


class AddressRates:
    """The table.

    :param rate: answers per second and address on average; ``burst`` of them at once.
    :param rows: a power of two.
    :param secret: 64 random bits.

    The server's loop for plain questions reads and writes ``full_at`` and ``askers`` itself, with the same arithmetic
    as `allow`: a call per datagram would cost it a tenth of its speed.
    """

    def __init__(self, rate: float, burst: float, rows: int, secret: int) -> None:
        if rows & (rows - 1) or rows < 2:
            raise ValueError("The number of rows must be a power of two.")
        self.cost = 1.0 / rate
        self.window = burst / rate
        self.factor = (secret | 1) & _MASK
        self.shift = _WORD - rows.bit_length() + 1
        self.full_at = [0.0] * rows
        self.askers = [-1] * rows

    def row(self, key: int) -> int:
        """The row of an address (see `address_key`)."""
        return (key * self.factor & _MASK) >> self.shift

    def allow(self, key: int, port: int, now: float, cost: float = 1.0) -> bool:
        """Count one answer to ``port`` of ``key``, or say that it has had enough; a refusal costs it nothing."""
        row = self.row(key)
        full_at = self.full_at[row]
        if full_at < now:
            full_at = now
        if full_at + self.cost * cost > now + self.window:
            return False
        self.full_at[row] = full_at + self.cost * cost
        self.askers[row] = key << 16 | port
        return True

    def heard(self, key: int, now: float, within: float) -> bool:
        """Whether ``key`` was answered within so many seconds, and nobody else on its row since then."""
        row = self.row(key)
        return self.askers[row] >> 16 == key and self.full_at[row] > now - within

    def heard_port(self, key: int, port: int, now: float, within: float) -> bool:
        """Whether ``port`` was the last of ``key`` that was answered, within so many seconds."""
        row = self.row(key)
        return self.askers[row] == key << 16 | port and self.full_at[row] > now - within


def address_key(ip: bytes) -> int:
    """The number by which an address is counted: IPv4 whole, of IPv6 the /64, since one customer has all of it.

    >>> address_key(bytes((192, 0, 2, 1))) == 0xC0000201
    True
    """
    return int.from_bytes(ip if len(ip) == 4 else ip[:8], "big")
