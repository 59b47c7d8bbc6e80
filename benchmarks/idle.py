"""What does a signed-in connection that does nothing cost the server, and how fast do people come back?

3,000 connections of 3,000 users over TLS 1.3 sign in, 32 at a time, to a server that has a core to itself and was
started anew; p2pim's sign in by the token that each device has, so that argon2 has no part in it, the others' by SASL
PLAIN with stored plain passwords. Then they send a heartbeat every 5 s (p2pim: `Ping`; XMPP: a space). "KiB" is what
the server's resident memory has grown by since before the first of them, 7 s after the last came, by their number.
Nobody has contacts.

Compared with Prosody and ejabberd as in the relay benchmark.

    python -m benchmarks.idle             # about four minutes
    python -m benchmarks.idle --connections 300 --rounds 1 --only p2pim
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from benchmarks.common import (
    Figures,
    Program,
    Rig,
    chosen,
    interleave,
    parser,
    patient,
    print_machine,
    print_table,
    print_targets,
    write_json,
)
from benchmarks.loadgen import TEXT, Connection, Load, build, write_script
from benchmarks.p2pim_load import RECEIPT_MARKER, p2pim_connections
from benchmarks.p2pim_rig import Server
from benchmarks.peers import xmpp
from p2pim.wire.messages import ALPN

NAMES = ("p2pim", "prosody", "ejabberd")
GENERATORS = 32
"""As many sign in at once; each generator does one after another."""
SETTLE = 7.0


def start(rig: Rig, name: str, users: Sequence[str]) -> tuple[Program, int, bytes, list[Connection]]:
    """A new server with ``users``, and what they say to it."""
    if name == "p2pim":
        server = Server(rig, cpu=1, users=users)
        return server.program, server.port, ALPN, p2pim_connections(users)
    program, port = xmpp.SERVERS[name](rig, 1, users)
    return program, port, b"", xmpp.connections(users, TEXT)


def measure(rig: Rig, name: str, users: Sequence[str]) -> Figures:
    """One server, from its start to its end."""
    program, port, alpn, connections = start(rig, name, users)
    marker = RECEIPT_MARKER if name == "p2pim" else xmpp.RECEIPT_MARKER
    scripts = []
    for number in range(GENERATORS):
        script = rig.folder / f"{name}-{number}.script"
        write_script(script, alpn, marker, connections[number::GENERATORS])
        scripts.append(script)
    time.sleep(4.0)
    before, begin = program.rss_kib(), time.monotonic()
    loads = [Load(rig, name, script, port, 0) for script in scripts]
    signed_in = sum(load.greeting()["connections"] for load in loads)
    took = time.monotonic() - begin
    time.sleep(SETTLE)
    grown = program.rss_kib() - before
    for load in loads:
        load.stop()
    program.stop()
    return {"KiB": grown / signed_in, "sign-ins/s": signed_in / took, "base MiB": before / 1024}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--connections", type=int, default=3_000)
    given = options.parse_args()
    users = [f"user{index:05}" for index in range(given.connections)]
    with patient(), Rig(given.folder) as rig:
        build(rig)
        contenders = {name: partial(measure, rig, name, users) for name in chosen(NAMES, given.only)}
        medians = interleave(contenders, given.rounds)
    print_machine()
    columns = ["", "KiB a connection", "sign-ins/s", "server before, MiB"]
    rows = [[name, m["KiB"], m["sign-ins/s"], m["base MiB"]] for name, m in medians.items()]
    print_table(f"{given.connections:,} idle signed-in connections over TLS", columns, rows)
    if "p2pim" in medians:
        ours = medians["p2pim"]
        memory = ("KiB of server memory a connection", ours["KiB"], 60.0, False)
        print_targets([memory, ("sign-ins/s by token", ours["sign-ins/s"], 500.0, True)])
    write_json(given.json, medians)


if __name__ == "__main__":
    main()
