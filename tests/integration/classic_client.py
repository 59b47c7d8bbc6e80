"""A client of the classic protocol, written from its grammar alone. It shares no code with p2pim, on purpose."""

from __future__ import annotations

import socket

WAIT = 20.0


class MinimalClient:
    """A user: one UDP socket for everything, and a TCP connection for the list."""

    def __init__(self, server: tuple[str, int], name: str, encoding: str = "utf-8") -> None:
        self.server = server
        self.name = name
        self.encoding = encoding
        self.socket = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((server[0], 0))
        self.socket.settimeout(WAIT)
        self.port = self.socket.getsockname()[1]
        self.endpoint = f"[{server[0]}]:{self.port}" if ":" in server[0] else f"{server[0]}:{self.port}"

    def tell_server(self, line: str) -> None:
        """A datagram to the server."""
        self.socket.sendto(line.encode(self.encoding), self.server)

    def send_login(self) -> None:
        """Say hello."""
        self.tell_server(f"login,{self.name},{self.endpoint}")

    def send_logout(self) -> None:
        """Say goodbye."""
        self.tell_server(f"logout,{self.name},{self.endpoint}")

    def receive(self) -> str:
        """The next line; what old clients do not know is passed over, as they do."""
        while True:
            line = self.socket.recv(65_536).decode(self.encoding)
            if line.split(",")[0] in ("login", "logout", "Accept", "Refuse", "talk"):
                return line

    def hears_nothing(self, seconds: float) -> bool:
        """Whether no datagram at all comes for so long."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(65_536)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(WAIT)
        return False

    def log_in(self) -> list[tuple[str, str]]:
        """Say hello, and get the list: names and endpoints."""
        self.send_login()
        keyword, _, port = self.receive().partition(",")
        assert keyword == "Accept", keyword
        return self.users(int(port))

    def users(self, port: int) -> list[tuple[str, str]]:
        """The list."""
        text = self.list_bytes(port)
        if self.encoding != "utf-8":  # a .NET BinaryWriter string
            length = shift = 0
            while True:
                byte, text = text[0], text[1:]
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            assert length == len(text), (length, text)
        entries = text.decode("utf-8").split(";")
        assert entries.pop() == "end", text
        return [tuple(entry.split(",")) for entry in entries]  # type: ignore[misc]

    def list_bytes(self, port: int) -> bytes:
        """All that comes over TCP until the server closes."""
        received = b""
        with socket.create_connection((self.server[0], port), timeout=WAIT) as connection:
            while chunk := connection.recv(4096):
                received += chunk
        return received

    def say(self, endpoint: str, text: str) -> None:
        """To another user, straight."""
        host, _, port = endpoint.rpartition(":")
        line = f"talk,12:34:56,{self.name},{text}"
        self.socket.sendto(line.encode(self.encoding), (host.strip("[]"), int(port)))

    def close(self) -> None:
        """Vanish."""
        self.socket.close()
