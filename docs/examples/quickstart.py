"""Two people on one machine: sign in, connect, send, receive, send a file. Needs a server; see the README.

Usage: quickstart.py HOST:PORT FOLDER
"""
# ruff: noqa: T201

import sys
from pathlib import Path

from twisted.internet.task import react

from p2pim.peer import MessageReceived, Peer, PeerSettings, Trust


async def main(reactor, server, folder):
    alice = Peer(reactor, home=folder / "alice")
    await alice.register(f"alice@{server}", "correct horse", trust=Trust(first_use=True))
    bob = Peer(reactor, home=folder / "bob", settings=PeerSettings(accept="always", downloads=folder / "bobs-files"))
    await bob.register(f"bob@{server}", "battery staple", trust=Trust(first_use=True))
    bob.subscribe(lambda event: isinstance(event, MessageReceived) and print(event.user, "says", event.text))

    channel = await alice.connect("bob")  # a direct channel, or NoDirectPath with the reasons
    print(channel.title)
    sent = await alice.send_message("bob", "hello")  # waits for the receipt; for someone away it waits in the outbox
    print(sent.state, "by", sent.route)
    transfer = await alice.send_file("bob", Path(__file__), "how it is done")  # goes on by itself after any break
    print((await transfer.end()).state)

    await alice.stop()
    await bob.stop()


if __name__ == "__main__":
    react(main, [sys.argv[1], Path(sys.argv[2])])
