"""The UDP sockets of the classic protocol: small datagrams one by one, and the network's word on who is not there.

A read descriptor of its own rather than Twisted's `DatagramProtocol`, since that cannot say whose datagram came back:
with IP_RECVERR Linux keeps the addresses of those with an ICMP error (port or host unreachable) in a queue beside the
datagrams. Where that is not to be had the hook is simply never called.

Nothing in here raises because of what came in or could not go out: datagrams may be lost at any time.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core.addresses import normal_host
from p2pim.core.limits import CLASSIC_READS, CLASSIC_SOCKET_BUFFER

_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
_LARGEST: Final = 65_536
_ANCILLARY: Final = 512
_GONE: Final = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EHOSTDOWN}
_REPORTED: Final = {*_GONE, errno.ENETUNREACH, errno.EMSGSIZE, errno.EPROTO, errno.EACCES}
"""Errors that a send may report of an earlier datagram: it is then tried again."""
_OFFENDER: Final = 4
"""Bytes of the errno at the head of a `sock_extended_err`."""

Address = tuple[str, int]
OnDatagram = Callable[[bytes, Address], None]


def bind_classic(host: str, port: int = 0) -> socket.socket:
    """A bound UDP socket that reports who is unreachable; ``::`` takes IPv4, too.

    :raises OSError: the address or port is not to be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        options = [(socket.IPPROTO_IP, _IP_RECVERR, 1), (socket.SOL_SOCKET, socket.SO_RCVBUF, CLASSIC_SOCKET_BUFFER)]
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
            options.append((socket.IPPROTO_IPV6, _IPV6_RECVERR, 1))
        for level, option, value in options:
            with contextlib.suppress(OSError):
                made.setsockopt(level, option, value)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


@implementer(IReadDescriptor)
class ClassicSocket:
    """A bound socket on the reactor.

    :param received: told every datagram and the address that it came from, IPv4 as such.
    :param unreachable: told an address (port 0: all of that host) of which the network says that nobody is there.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        bound: socket.socket,
        received: OnDatagram,
        unreachable: Callable[[Address], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._socket = bound
        self._received = received
        self._unreachable = unreachable
        host, port = bound.getsockname()[:2]
        self.address: Address = (host, port)
        self.sent = self.lost = 0

    @property
    def port(self) -> int:
        """Its number."""
        return self.address[1]

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    def start(self) -> None:
        """Read from now on."""
        self._reactor.addReader(self)

    def close(self) -> None:
        """Stop reading, and close. Idempotent."""
        if not self.closed:
            self._reactor.removeReader(self)
            self._socket.close()

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram; what cannot go is lost and counted."""
        if self.closed:
            return
        for _ in range(3):  # an error may be of an earlier datagram, and is then in the queue, too
            try:
                self._socket.sendto(data, self._native(address))
            except OSError as error:
                if error.errno not in _REPORTED:
                    break
            else:
                self.sent += 1
                return
        self.lost += 1

    def _native(self, address: Address) -> Address:
        host, port = address
        if self._socket.family == socket.AF_INET6 and ":" not in host:
            return f"::ffff:{host}", port
        return host, port

    # --- descriptor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "ClassicSocket"

    def doRead(self) -> None:
        """Read what is there, but not for ever."""
        self._read_errors()
        for _ in range(CLASSIC_READS):
            try:
                data, address = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                break
            except OSError:
                continue  # the news of an error, which is in the queue, too
            self._guarded(self._received, data, (normal_host(address[0]), address[1]))
            if self.closed:
                return
        self._read_errors()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor takes a queue of errors without datagrams for a broken socket; or it is about to end itself."""
        if not self.closed and getattr(self._reactor, "running", True):
            self._read_errors()
            if not self.closed:
                self._reactor.addReader(self)

    def _read_errors(self) -> None:
        for _ in range(CLASSIC_READS):
            if self.closed:
                return
            try:
                _, ancillary, _, address = self._socket.recvmsg(1, _ANCILLARY, socket.MSG_ERRQUEUE)
            except OSError:
                return
            number = next((int.from_bytes(data[:_OFFENDER], sys.byteorder) for _, _, data in ancillary), 0)
            if number in _GONE and address and self._unreachable is not None:
                port = address[1] if number == errno.ECONNREFUSED else 0
                self._guarded(self._unreachable, (normal_host(address[0]), port))

    def _guarded(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a hook: what goes wrong in it must not cost everybody the socket."""
        try:
            function(*arguments)
        except Exception:  # noqa: BLE001
            self._log.failure("a classic datagram could not be handled")
