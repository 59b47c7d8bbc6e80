"""Bytes over aioquic, with its own glue for asyncio.

python aioquic_copy.py receive PORT CERTIFICATE KEY
python aioquic_copy.py send PORT MIB                 # prints the seconds it took
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time

from aioquic.asyncio import connect, serve  # type: ignore[import-not-found,unused-ignore]
from aioquic.quic.configuration import QuicConfiguration  # type: ignore[import-not-found,unused-ignore]

MIB = 1024 * 1024


def configured(is_client: bool) -> QuicConfiguration:
    """Windows large enough not to be what is measured."""
    return QuicConfiguration(
        is_client=is_client, alpn_protocols=["x"], max_data=16 * MIB, max_stream_data=16 * MIB,
        verify_mode=ssl.CERT_NONE,
    )  # fmt: skip


def received(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A stream came."""

    async def drain() -> None:
        while await reader.read(MIB):
            pass
        writer.write(b"k")
        writer.write_eof()

    tasks.add(asyncio.ensure_future(drain()))


tasks: set[asyncio.Future[None]] = set()


async def receive(port: int, certificate: str, key: str) -> None:
    """Until it is stopped."""
    configuration = configured(False)
    configuration.load_cert_chain(certificate, key)
    await serve("127.0.0.1", port, configuration=configuration, stream_handler=received)
    await asyncio.Event().wait()


async def send(port: int, mib: int) -> None:
    """One copy."""
    async with connect("127.0.0.1", port, configuration=configured(True)) as client:
        reader, writer = await client.create_stream()
        began = time.monotonic()
        for _ in range(mib):
            writer.write(bytes(MIB))
            await asyncio.sleep(0)
        writer.write_eof()
        await reader.read(1)
        print(time.monotonic() - began, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        asyncio.run(receive(int(sys.argv[2]), *sys.argv[3:5]))
    else:
        asyncio.run(send(int(sys.argv[2]), int(sys.argv[3])))
