"""A server of the classic protocol, written from its grammar alone. It shares no code with p2pim, on purpose.

Like the original it answers from another socket than the one it listens on, and tells everybody what it hears.
"""

from __future__ import annotations

import socket
import threading


class MinimalServer:
    """Runs in two threads until `stop`.

    :param encoding: of its datagrams; when it is not UTF-8, the list is a .NET ``BinaryWriter`` string.
    :param deaf: so many logins go unanswered first, as when datagrams are lost.
    :param closes: whether it closes after the list.
    """

    def __init__(self, encoding: str = "utf-8", deaf: int = 0, *, closes: bool = True) -> None:
        self.encoding = encoding
        self.deaf = deaf
        self.closes = closes
        self.refusal = ""
        self.heard: list[str] = []
        self.users: dict[str, tuple[str, int]] = {}
        self._kept: list[socket.socket] = []
        self._listener, self._datagrams = self._open()
        self.port = self._listener.getsockname()[1]
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._give_lists, self._listen)]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _open() -> tuple[socket.socket, socket.socket]:
        while True:
            listener = socket.create_server(("127.0.0.1", 0))
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                datagrams.bind(listener.getsockname())
            except OSError:
                listener.close()
                datagrams.close()
            else:
                return listener, datagrams

    def _listen(self) -> None:
        while True:
            line = self._datagrams.recv(65_536).decode(self.encoding)
            if line == "stop":
                return
            self.heard.append(line)
            keyword, name, endpoint = line.split(",")
            host, _, port = endpoint.rpartition(":")
            if keyword == "login" and self.deaf:
                self.deaf -= 1
            elif keyword == "login" and self.refusal:
                self.tell((host, int(port)), f"Refuse,{self.refusal}")
            elif keyword == "login":
                self.users[name] = (host, int(port))
                self.tell(self.users[name], f"Accept,{self.port}")
                self.broadcast(line, name)
            elif keyword == "logout":
                self.users.pop(name, None)
                self.broadcast(line, name)

    def broadcast(self, line: str, but: str) -> None:
        """To every other user."""
        for name, where in self.users.items():
            if name != but:
                self.tell(where, line)

    def tell(self, where: tuple[str, int], line: str) -> None:
        """One datagram."""
        self._out.sendto(line.encode(self.encoding), where)

    def _give_lists(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # stopped
                return
            text = "".join(f"{name},{host}:{port};" for name, (host, port) in self.users.items()) + "end"
            body = text.encode("utf-8")
            if self.encoding != "utf-8":
                assert len(body) < 128 * 128
                size = len(body)
                body = (bytes([size]) if size < 128 else bytes([size % 128 + 128, size // 128])) + body
            connection.sendall(body)
            if self.closes:
                connection.close()
            else:
                self._kept.append(connection)

    def stop(self) -> None:
        """Everything ends."""
        self._out.sendto("stop".encode(self.encoding), ("127.0.0.1", self.port))
        self._threads[1].join(20)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(20)
        for each in (*self._kept, self._listener, self._datagrams, self._out):
            each.close()
