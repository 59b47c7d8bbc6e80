"""Two programs connect, and each gets the lines that the other one writes: signalling without anything else."""

import asyncio
import sys

waiting: list[asyncio.StreamWriter] = []


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    waiting.append(writer)
    while line := await reader.readline():
        for other in waiting:
            if other is not writer:
                other.write(line)
    waiting.remove(writer)
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]))
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
