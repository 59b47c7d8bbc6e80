"""Bytes over iroh, from its Python package, straight between two endpoints: no relay, no discovery.

Its Python binding copies what is written byte by byte in Python; here it is done at once, so that iroh is measured and
not that. The receiver tells its endpoint's id over TCP on PORT; the bytes go to UDP port PORT + 1.

python iroh_copy.py receive PORT CERTIFICATE KEY     # neither is needed
python iroh_copy.py send PORT MIB                    # prints the seconds it took
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import time
from typing import Any

import iroh  # type: ignore[import-not-found,unused-ignore]

MIB = 1024 * 1024
CHUNK = 256 * 1024
ALPN = b"benchmark"


def write_at_once(builder: Any, value: bytes) -> None:
    """What the binding's buffer does in a loop."""
    with builder._reserve(len(value)):
        at = ctypes.addressof(builder.rbuf.data.contents) + builder.rbuf.len
        ctypes.memmove(at, value, len(value))


iroh.iroh_ffi._UniffiRustBufferBuilder.write = write_at_once


async def bound(address: str) -> iroh.Endpoint:
    """An endpoint without relays."""
    return await iroh.Endpoint.bind(
        iroh.EndpointOptions(
            preset=iroh.preset_minimal(), relay_mode=iroh.RelayMode.disabled(), alpns=[ALPN], bind_addr=address
        )
    )


async def receive(port: int) -> None:
    """Until it is stopped."""
    endpoint = await bound(f"127.0.0.1:{port + 1}")

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(endpoint.id().to_bytes())
        writer.close()

    await asyncio.start_server(tell, "127.0.0.1", port)
    incoming = await endpoint.accept_next()
    connection = await (await incoming.accept()).connect()
    stream = await connection.accept_bi()
    receiving, sending = stream.recv(), stream.send()
    while await receiving.read(CHUNK):
        pass
    await sending.write_all(b"k")
    await sending.finish()
    await asyncio.Event().wait()


async def send(port: int, mib: int) -> None:
    """One copy."""
    reader, _ = await asyncio.open_connection("127.0.0.1", port)
    peer = iroh.EndpointId.from_bytes(await reader.readexactly(32))
    endpoint = await bound("127.0.0.1:0")
    connection = await endpoint.connect(iroh.EndpointAddr(peer, None, [f"127.0.0.1:{port + 1}"]), ALPN)
    stream = await connection.open_bi()
    sending, receiving = stream.send(), stream.recv()
    chunk = bytes(CHUNK)
    began = time.monotonic()
    for _ in range(mib * MIB // CHUNK):
        await sending.write_all(chunk)
    await sending.finish()
    await receiving.read(1)
    print(time.monotonic() - began, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        asyncio.run(receive(int(sys.argv[2])))
    else:
        asyncio.run(send(int(sys.argv[2]), int(sys.argv[3])))
