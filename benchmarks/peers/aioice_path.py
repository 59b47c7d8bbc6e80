"""One end of a path that aioice finds, with candidates exchanged over ``lines_relay.py``.

    aioice_path.py controlling|controlled RELAY-HOST RELAY-PORT STUN-HOST STUN-PORT

Connects to the relay and says "ready"; at the first line on stdin it begins, and prints as JSON when it began, when the
path was found, and when the other end's first application datagram came.
"""

import asyncio
import json
import sys
import time

from aioice import Candidate, Connection

PATIENCE = 20.0


async def find_path(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, float]:
    begun = time.time()
    stun = (sys.argv[4], int(sys.argv[5]))
    connection = Connection(ice_controlling=sys.argv[1] == "controlling", stun_server=stun, use_ipv6=False)
    await connection.gather_candidates()
    mine = {
        "name": connection.local_username,
        "password": connection.local_password,
        "candidates": [candidate.to_sdp() for candidate in connection.local_candidates],
    }
    writer.write(json.dumps(mine).encode() + b"\n")
    theirs = json.loads(await reader.readline())
    connection.remote_username, connection.remote_password = theirs["name"], theirs["password"]
    for candidate in theirs["candidates"]:
        await connection.add_remote_candidate(Candidate.from_sdp(candidate))
    await connection.add_remote_candidate(None)
    await connection.connect()
    found = time.time()
    await connection.send(b"hello")
    await connection.recv()
    came = time.time()
    await asyncio.sleep(0.5)
    await connection.close()
    return {"begun": begun, "found": found, "came": came}


async def main() -> None:
    reader, writer = await asyncio.open_connection(sys.argv[2], int(sys.argv[3]))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    try:
        result = await asyncio.wait_for(find_path(reader, writer), PATIENCE)
    except (TimeoutError, ConnectionError):
        result = {}
    print(json.dumps(result), flush=True)
    writer.close()


asyncio.run(main())
