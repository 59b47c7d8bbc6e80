"""qh3's QUIC connection, configured and trimmed for a channel.

What is chosen here, and why:

- qh3 2.1's native core has one congestion control, CUBIC with HyStart++ and pacing (RFC 9438, RFC 9406). CUBIC's window
  grows with the cube of the seconds since the last loss, and with its constant a path that loses at random never gets
  far: 3.2 Mbit/s with the kernel's on a link of 100 Mbit/s and 40 ms that loses 1 %. So the core is told a clock that
  runs `CLOCK_RATE` times as fast, which is CUBIC with a constant so many times cubed and changes nothing else that
  matters, as every time in the core comes from that clock: 9.6 Mbit/s, and at 0.1 % 62 in place of 16. The price is
  that it takes more than half of a bottleneck that it shares with a kernel's CUBIC: 70 of 100 Mbit/s in one run.
- AES-128-GCM first: ChaCha20 was 17 % slower where the processor has AES.
- The dialler finds the path's size by itself (RFC 8899; qh3 probes 1280, 1350, 1452 and 1472 in the dialling role
  only), the listener sends what it is told to (`datagram_size`), 1200 unless the path is known to carry more. After a
  run of losses qh3 falls back to 1200.
- One address for ever: qh3 is told the same remote address whatever the path is, so that QUIC's own migration never
  starts. Which address is behind it is decided by keyed checks, outside.

The proof that the dialler knows the negotiation's secrets is a MAC over the TLS session. TLS has an exporter for that;
qh3 has none, but tells both ends' first traffic secrets to a key log (``secrets_log_file``). Those are derived from the
same master secret and the same transcript as the exporter's, both key shares, both randoms and the certificate among
them, so a value derived from them one-way is as unique to the session as an exporter value: no two connections share
it, and who stands in the middle of two has two different ones.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import logging
import ssl
from typing import Any, Final

from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection, QuicConnectionError
from qh3.quic.events import ConnectionTerminated
from qh3.tls import CipherSuite

from p2pim.core import limits
from p2pim.core.proof import EXPORTER_LABEL
from p2pim.net.certificates import CertificateAndKey
from p2pim.wire.demux import CONNECTION_ID_BYTES

ALPN: Final = "p2pim-channel/1"
SMALLEST_DATAGRAM: Final = 1200
INITIAL_RTT: Final = 0.2
"""Before the first sample, in seconds: a lost first packet is sent again after twice this."""
CLOCK_RATE: Final = 20.0
"""How many seconds qh3 sees pass in one. Both ends must agree, as delays of acknowledgements are told in them."""
_NOWHERE: Final = ("192.0.2.1", 4433)  # what qh3 takes the other end's address for (TEST-NET-1)
_NOWHERE_V6: Final = ("2001:db8::1", 4433)

_FULL: Final = "packet builder capacity exhausted"
"""What qh3's core says now and then while it repeats what was lost of a handshake. The connection is not at its end:
what was made by then is to be sent, and the rest comes with a later call."""

# A closed connection is nothing that anybody needs to read on standard error.
logging.getLogger("quic").addHandler(logging.NullHandler())
logging.getLogger("quic").propagate = False

__all__ = ["LeanConnection", "QuicConnectionError", "accept", "dial"]


class _Secrets:
    """Takes the place of a key log file and keeps the first traffic secrets until the binding has been made of them."""

    def __init__(self) -> None:
        self._secrets: dict[str, bytes] = {}

    def write(self, line: str) -> None:
        label, _, secret = line.split()
        if label in ("CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"):
            self._secrets[label] = bytes.fromhex(secret)

    def flush(self) -> None:
        """Nothing is buffered."""

    def take_binding(self) -> bytes:
        """32 bytes unique to the TLS session; the secrets are forgotten."""
        secrets = self._secrets
        key = secrets["CLIENT_TRAFFIC_SECRET_0"] + secrets["SERVER_TRAFFIC_SECRET_0"]
        secrets.clear()
        return hmac.digest(key, EXPORTER_LABEL, hashlib.sha256)


class LeanConnection(QuicConnection):
    """A `QuicConnection` without its per-datagram bookkeeping for qlog, a third of the time of a busy sender.

    Times are seconds of a monotonic clock.
    """

    def __init__(self, secrets: _Secrets, ipv6: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._kept_secrets = secrets
        self.paused = False
        self.nowhere = _NOWHERE_V6 if ipv6 else _NOWHERE
        self.most_datagram = 1452 if ipv6 else 1472
        """The largest datagram that qh3 tries."""

    def begin(self, now: float) -> None:
        """Dial."""
        self.connect(self.nowhere, now * CLOCK_RATE)

    def take_binding(self) -> bytes:
        """The session's binding, once, after the handshake."""
        return self._kept_secrets.take_binding()

    def receive(self, data: bytes, size: int, now: float) -> bool:
        """A batch of datagrams of ``size`` bytes each. After the handshake: whether they acknowledged anything of ours.

        What is in flight grows only when something is sent and is given up only when time passes or something newer is
        acknowledged. So when it shrinks here, there was an acknowledgement, whether or not anybody takes events.
        """
        core, now = self._core, now * CLOCK_RATE
        if core is not None and self._handshake_complete:
            before = core.bytes_in_flight
            self._call_core(core.receive_gro_buffer, data, size, self.nowhere, now)
            answered: bool = core.bytes_in_flight < before
            self._drain_core()
            return answered
        for start in range(0, len(data), size):
            self.receive_datagram(data[start : start + size], self.nowhere, now)
        return False

    def transmit(self, now: float) -> list[bytes]:
        """What is to be sent now."""
        core = self._core
        if core is None:
            return []
        datagrams: list[bytes] = []
        poll, now = core.poll_transmit, now * CLOCK_RATE
        try:
            while (made := poll(now)) is not None:
                datagrams.append(made[0])
        except RuntimeError as error:
            if _FULL not in str(error):
                raise QuicConnectionError(1, None, str(error)) from error
        return datagrams

    def timer(self) -> float | None:
        """When `time_passed` is to be called."""
        at = self.get_timer()
        return None if at is None else at / CLOCK_RATE

    def time_passed(self, now: float) -> None:
        """It is ``now``, a time that `timer` named or later."""
        self.handle_timer(now * CLOCK_RATE)

    def pause(self) -> None:
        """Take nothing more out of the core: once the windows are full, the other side stops sending."""
        self.paused = True

    def resume(self) -> None:
        """Go on taking. New events may be there afterwards."""
        self.paused = False
        if self._core is not None:
            self._drain_core()

    def _drain_core(self) -> None:
        if not self.paused:
            super()._drain_core()

    def _log_datagram(self, event: str, data: bytes) -> None:
        """Not without qlog."""

    def _log_packets(self, event: str, data: bytes) -> None:
        """Not without qlog."""

    @property
    def ended(self) -> ConnectionTerminated | None:
        """Why the connection ended or is about to, as soon as it is known."""
        return self._close_event

    @property
    def rtt(self) -> float | None:
        """Smoothed round-trip time in seconds."""
        rtt = None if self._core is None else self._core.smoothed_rtt
        return None if rtt is None else rtt / CLOCK_RATE

    @property
    def window(self) -> int:
        """The congestion window in bytes."""
        return 0 if self._core is None else self._core.congestion_window

    @property
    def lost(self) -> int:
        """Packets declared lost so far."""
        return 0 if self._core is None else self._core.loss_total

    @property
    def largest_datagram(self) -> int:
        """The path's size as far as it is known."""
        return SMALLEST_DATAGRAM if self._core is None else int(self._core.active_path[5])


def _configuration(is_client: bool, secrets: _Secrets, datagram_size: int) -> QuicConfiguration:
    return QuicConfiguration(
        is_client=is_client,
        alpn_protocols=[ALPN],
        connection_id_length=CONNECTION_ID_BYTES,
        idle_timeout=2 * limits.UDP_DEAD * CLOCK_RATE,  # ours comes first; this one is for a peer that forgets
        max_data=limits.QUIC_WINDOW,
        max_stream_data=limits.QUIC_WINDOW,
        max_datagram_size=datagram_size,
        cipher_suites=[
            CipherSuite.AES_128_GCM_SHA256,
            CipherSuite.CHACHA20_POLY1305_SHA256,
            CipherSuite.AES_256_GCM_SHA384,
        ],
        initial_rtt=INITIAL_RTT * CLOCK_RATE,
        secrets_log_file=secrets,  # type: ignore[arg-type]  # only write() and flush() are used
    )


@functools.cache
def prepare() -> None:
    """Have qh3 do what it does once in a process, when nobody is waiting: its first handshake takes 40 ms, most of
    them for collecting randomness."""
    dial(bytes(32)).begin(0.0)


def dial(fingerprint: bytes, *, datagram_size: int = SMALLEST_DATAGRAM, ipv6: bool = False) -> LeanConnection:
    """A connection to whoever holds the certificate with this SHA-256 ``fingerprint``; anybody else ends it."""
    secrets = _Secrets()
    configuration = _configuration(True, secrets, datagram_size)
    configuration.verify_mode = ssl.CERT_NONE  # no authority signed it: the fingerprint is the whole trust
    configuration.assert_fingerprint = fingerprint.hex()
    return LeanConnection(secrets, ipv6, configuration=configuration)


def accept(
    certificate: CertificateAndKey,
    original_destination: bytes,
    *,
    retry_source: bytes | None = None,
    datagram_size: int = SMALLEST_DATAGRAM,
    ipv6: bool = False,
) -> LeanConnection:
    """The listening side of a connection whose first Initial was addressed to ``original_destination``.

    :param retry_source: the connection id that a Retry gave out, when there was one: the address is proved then.
    """
    secrets = _Secrets()
    configuration = _configuration(False, secrets, datagram_size)
    configuration.load_cert_chain(certificate.cert_pem, certificate.key_pem)
    return LeanConnection(
        secrets,
        ipv6,
        configuration=configuration,
        original_destination_connection_id=original_destination,
        retry_source_connection_id=retry_source,
    )
