"""The least that signs in to a p2pim server: one blocking TLS socket and the wire's own messages."""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
from collections.abc import Callable

from p2pim.core.limits import SERVER_FRAME
from p2pim.wire.framing import FrameBuffer, pack_frames
from p2pim.wire.messages import (
    ALPN,
    PROTOCOL_VERSION,
    Failed,
    Hello,
    Message,
    Refused,
    SignIn,
    Welcome,
    decode_from_server,
    encode,
)

TCP_INFO_BYTES_RECEIVED = 128
"""Where ``tcpi_bytes_received`` is in Linux's ``struct tcp_info``."""


def device_of(name: str) -> bytes:
    """A device identity that is the same in every run."""
    return hashlib.sha256(name.encode()).digest()[:16]


def token_of(name: str) -> bytes:
    """The token of that device, where accounts were seeded."""
    return hashlib.sha256(b"token of " + name.encode()).digest()


def tls_context() -> ssl.SSLContext:
    """For clients of a server that we started ourselves: nothing is verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([ALPN.decode()])
    return context


class ServerClient:
    """A connection to the server on ``port`` of loopback."""

    def __init__(self, port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), 30.0)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost", session=session)
        self._frames = FrameBuffer(SERVER_FRAME)
        self._waiting: list[bytes] = []
        self.frame_bytes = 0

    def send(self, *messages: Message) -> None:
        """Sends messages in one write."""
        self.socket.sendall(pack_frames([encode(message) for message in messages]))

    def read(self) -> Message:
        """The next message of the server."""
        while not self._waiting:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._waiting = self._frames.feed(data)
        body = self._waiting.pop(0)
        self.frame_bytes += len(body) + 4
        return decode_from_server(body)

    def read_until(self, wanted: Callable[[Message], bool]) -> Message:
        """The next message for which ``wanted``; others are dropped."""
        while True:
            message = self.read()
            if isinstance(message, Refused | Failed):
                raise RuntimeError(f"the server said: {message.code}: {message.message}")
            if wanted(message):
                return message

    def welcome(self, *messages: Message) -> Welcome:
        """Says Hello and ``messages``, and gives the answer."""
        self.send(Hello(PROTOCOL_VERSION, "benchmark"), *messages)
        answer = self.read_until(lambda message: isinstance(message, Welcome))
        assert isinstance(answer, Welcome)
        return answer

    def sign_in(self, name: str) -> Welcome:
        """Signs in a seeded account by its token, so that argon2 has no part in it."""
        return self.welcome(SignIn(name, device_of(name), "bench", token=token_of(name)))

    def drain(self) -> None:
        """Drops what has come so far."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65536):
                pass
        except ssl.SSLWantReadError:
            pass
        finally:
            self.socket.settimeout(30.0)

    def wire_bytes(self) -> int:
        """What this connection has received from the server, TLS included, read or not."""
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        received: int = struct.unpack_from("=Q", info, TCP_INFO_BYTES_RECEIVED)[0]
        return received

    def close(self) -> None:
        """Closes without ceremony."""
        self.socket.close()
