"""Bytes over a data channel of aiortc; offer and answer go over TCP on PORT.

python aiortc_copy.py receive PORT CERTIFICATE KEY   # neither is needed
python aiortc_copy.py send PORT MIB                  # prints the seconds it took
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from aiortc import (  # type: ignore[import-not-found,unused-ignore]
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)

MIB = 1024 * 1024
CHUNK = 64 * 1024
HELD = 1024 * 1024
"""Bytes that may wait in the channel."""


def described(connection: RTCPeerConnection) -> bytes:
    """My half, as a line."""
    mine = connection.localDescription
    return json.dumps({"sdp": mine.sdp, "type": mine.type}).encode() + b"\n"


async def taken(connection: RTCPeerConnection, reader: asyncio.StreamReader) -> None:
    """The other half."""
    await connection.setRemoteDescription(RTCSessionDescription(**json.loads(await reader.readline())))


async def receive(port: int) -> None:
    """Until it is stopped."""

    async def called(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

        def opened(channel: RTCDataChannel) -> None:
            channel.on("message", lambda message: channel.send("k") if message == "end" else None)

        connection.on("datachannel", opened)
        await taken(connection, reader)
        await connection.setLocalDescription(await connection.createAnswer())
        writer.write(described(connection))

    await asyncio.start_server(called, "127.0.0.1", port, limit=MIB)
    await asyncio.Event().wait()


async def send(port: int, mib: int) -> None:
    """One copy."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = connection.createDataChannel("bulk")
    opened, low, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    channel.on("open", opened.set)
    channel.on("message", lambda _: done.set())
    channel.bufferedAmountLowThreshold = HELD // 2
    channel.on("bufferedamountlow", low.set)
    await connection.setLocalDescription(await connection.createOffer())
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MIB)
    writer.write(described(connection))
    await taken(connection, reader)
    await opened.wait()
    chunk = bytes(CHUNK)
    began = time.monotonic()
    for _ in range(mib * MIB // CHUNK):
        channel.send(chunk)
        if channel.bufferedAmount > HELD:
            low.clear()
            await low.wait()
    channel.send("end")
    await done.wait()
    print(time.monotonic() - began, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        asyncio.run(receive(int(sys.argv[2])))
    else:
        asyncio.run(send(int(sys.argv[2]), int(sys.argv[3])))
