"""What does one login make the server send, and does that grow with the number of people who are online?

All users of a server are online, each with the same 20 contacts, mutual: their neighbours in a ring. One of them leaves
and comes back; counted is what the server sends meanwhile, on all connections together, as received bytes of TCP
(the kernel's count: TLS and its handshake included) and as p2pim frames to the newcomer. With 1,000 users that must be
what it is with 200. Twenty logins a run, spread over the ring; p2pim is compared with itself.

    python -m benchmarks.login_cost       # about three minutes
    python -m benchmarks.login_cost --users 50,100 --rounds 1 --logins 2
"""

from __future__ import annotations

import time

from benchmarks.common import (
    Figures,
    Rig,
    interleave,
    parser,
    patient,
    print_machine,
    print_table,
    print_targets,
    write_json,
)
from benchmarks.p2pim_rig import Server
from benchmarks.server_client import ServerClient, tls_context

SETTINGS = "[limits]\nheartbeat = 3600.0\npatience = 3600.0\n"
"""Nobody speaks unless something happens."""
SETTLE = 1.5
"""News of presence are collected for a moment, and one user's are not told more often than every second."""


def neighbours(names: list[str], contacts: int) -> dict[str, list[str]]:
    """For each of ``names`` those beside it in the ring."""
    half = contacts // 2
    steps = [*range(-half, 0), *range(1, contacts - half + 1)]
    return {name: [names[(i + step) % len(names)] for step in steps] for i, name in enumerate(names)}


def received(clients: dict[str, ServerClient]) -> int:
    """What the server has sent to all of them."""
    return sum(client.wire_bytes() for client in clients.values())


def measure(rig: Rig, users: int, contacts: int, logins: int) -> Figures:
    """One server with ``users``; the mean of ``logins``."""
    names = [f"user{index:05}" for index in range(users)]
    server = Server(rig, settings=SETTINGS, users=names, contacts=neighbours(names, contacts))
    context = tls_context()
    clients: dict[str, ServerClient] = {}
    for name in names:
        clients[name] = ServerClient(server.port, context)
        clients[name].sign_in(name)
    time.sleep(SETTLE)
    others = newcomer = frames = 0
    for name in names[:: max(1, users // logins)][:logins]:
        clients.pop(name).close()
        time.sleep(SETTLE)
        before = received(clients)
        again = ServerClient(server.port, context)
        again.sign_in(name)
        time.sleep(SETTLE)
        others += received(clients) - before
        newcomer += again.wire_bytes()
        frames += again.frame_bytes
        clients[name] = again
    for client in clients.values():
        client.close()
    server.program.stop()
    return {
        "to others": others / logins,
        "to the newcomer": newcomer / logins,
        "of these in frames": frames / logins,
        "in all": (others + newcomer) / logins,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--users", default="200,1000", help="how many are online (default 200,1000)")
    options.add_argument("--contacts", type=int, default=20)
    options.add_argument("--logins", type=int, default=20, help="a run (default 20)")
    options.set_defaults(rounds=1)
    given = options.parse_args()
    sizes = [int(size) for size in given.users.split(",")]
    with patient(), Rig(given.folder) as rig:
        contenders = {
            f"{size:,} users": lambda size=size: measure(rig, size, given.contacts, given.logins) for size in sizes
        }
        medians = interleave(contenders, given.rounds)
    print_machine()
    keys = ("in all", "to others", "to the newcomer", "of these in frames")
    rows = [[name, *(m[key] for key in keys)] for name, m in medians.items()]
    print_table(f"Bytes that the server sends for one login, {given.contacts} contacts each", ["", *keys], rows)
    totals = [m["in all"] for m in medians.values()]
    print_targets([("the largest, times the smallest number of users", totals[-1] / totals[0], 1.05, False)])
    write_json(given.json, medians)


if __name__ == "__main__":
    main()
