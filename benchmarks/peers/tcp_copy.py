"""Bytes over a plain TCP connection with CUBIC, as the kernel has it.

python tcp_copy.py receive HOST PORT
python tcp_copy.py send HOST PORT MIB     # prints the seconds it took
"""

from __future__ import annotations

import socket
import sys
import time

MIB = 1024 * 1024


def receive(host: str, port: int) -> None:
    """One copy."""
    with socket.create_server((host, port)) as listening:
        connection, _ = listening.accept()
        while connection.recv(MIB):
            pass
        connection.sendall(b"k")


def send(host: str, port: int, mib: int) -> None:
    """One copy."""
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        connection.connect((host, port))
        began = time.monotonic()
        for _ in range(mib):
            connection.sendall(bytes(MIB))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        print(time.monotonic() - began, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(sys.argv[2], int(sys.argv[3]))
    else:
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
