"""A server and two peers in one temporary directory, as real processes: sign in, connect, chat, send a file both ways.

Each step is told as it happens. What the server counted is read before and after each part, which shows that what goes
directly never comes by it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from p2pim.cli.backend import AgentBackend, ignore_item
from p2pim.cli.output import Output
from p2pim.cli.passwords import VARIABLE
from p2pim.cli.processes import P2PIM, Program, Programs, read_ready, twistd
from p2pim.cli.text import conversation_title, duration_text, rate_text, route_text, size_text
from p2pim.core.limits import MIB
from p2pim.errors import NoSpace, P2pimError
from p2pim.web.agent_client import connect_agent

Shown = Callable[[dict[str, Any]], None]
SETTLE = 5.0
"""Seconds in which the server has counted what it relayed: it does so now and then."""
COUNTS = ("uploads", "upload_bytes", "downloads", "download_bytes", "spliced_bytes")


@dataclass
class Person:
    """One of the two: their home, their agent, and what they heard from it."""

    name: str
    home: Path
    program: Program | None = None
    agent: AgentBackend | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    def heard(self, kind: str, **values: Any) -> Any:
        """The newest event of that kind with those values."""
        for event in reversed(self.events):
            if event.get("event") == kind and all(event.get(key) == value for key, value in values.items()):
                return event
        return None

    async def ask(self, method: str, item: Shown = ignore_item, **params: Any) -> dict[str, Any]:
        """A method of this person's agent."""
        assert self.agent is not None
        return await self.agent.call(method, params, item)


@dataclass(frozen=True)
class Row:
    """One line of the table at the end."""

    what: str
    route: str
    size: int
    seconds: float
    counted: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        rate = round(self.size / self.seconds) if self.seconds > 0 else None
        return {
            "what": self.what, "route": self.route, "bytes": self.size, "seconds": round(self.seconds, 4), "rate": rate,
            "server_counted": self.counted,
        }  # fmt: skip

    def as_text(self) -> tuple[str, ...]:
        rate = rate_text(self.size / self.seconds) if self.size >= MIB and self.seconds > 0 else "-"
        took = duration_text(self.seconds) if self.seconds >= 1 else f"{self.seconds * 1000:.1f} ms"
        return self.what, route_text(self.route), size_text(self.size), took, rate, _counted_text(self.counted)


def _counted_text(counted: dict[str, int]) -> str:
    parts = []
    if counted["uploads"]:
        parts.append(f"{counted['uploads']} message{'s' if counted['uploads'] != 1 else ''}")
    if counted["spliced_bytes"]:
        parts.append(f"{size_text(counted['spliced_bytes'])} relayed")
    return ", ".join(parts) or "nothing"


class Demo:
    """The whole of it.

    :param folder: an empty directory, the caller's to remove.
    :param size: of the file, in bytes.
    :param watch: makes something that shows the events of a transfer while it runs.
    """

    def __init__(self, reactor: Any, folder: Path, size: int, output: Output, watch: Callable[[], Any]) -> None:
        self._reactor = reactor
        self._folder = folder
        self._size = size
        self._output = output
        self._watch = watch
        self._programs = Programs(reactor, folder)
        self._rows: list[Row] = []
        self._alice = Person("alice", folder / "alice")
        self._bob = Person("bob", folder / "bob")
        self._server: Program | None = None
        self._hash = ""

    async def run(self) -> None:
        """Tell it from the beginning to the end; whatever happens, no process is left."""
        making: Deferred[str] = deferToThread(make_file, self._file, self._size)
        making.addErrback(lambda failure: failure)
        try:
            await self._start_server()
            await self._sign_in()
            await self._talk()
            self._hash = await making
            await self._send_files()
            await self._leave_mail()
            self._conclude()
        finally:
            making.addErrback(lambda failure: None)
            for person in (self._alice, self._bob):
                if person.agent is not None:
                    await person.agent.close()
            await self._programs.stop()

    @property
    def _file(self) -> Path:
        return self._folder / "holiday.mov"

    @property
    def _data(self) -> Path:
        return self._folder / "server"

    def _tell(self, text: str, **facts: Any) -> None:
        self._output.item({"step": text, **facts}, f"• {text}")

    # --- the parts

    async def _start_server(self) -> None:
        command = [*twistd(), "--nodaemon", "--pidfile=", f"--logfile={self._folder / 'server.log'}"]
        options = ["p2pim-server", "--port", "0", "--interface", "127.0.0.1", "--data", str(self._data)]
        self._server = self._programs.start("the server", [*command, *options])
        ready = await self._programs.until(self._server, lambda: read_ready(self._data))
        self._address = f"127.0.0.1:{port_of(ready['tcp'])}"
        self._fingerprint = ready["fingerprint"]
        self._tell(f"A server runs on {self._address}, certificate {self._fingerprint}.", server=self._address)

    async def _sign_in(self) -> None:
        await together(self._register(self._alice), self._register(self._bob))
        await together(self._start_agent(self._alice), self._start_agent(self._bob))
        for person in (self._alice, self._bob):
            mine = person.heard("signed-in") or {}
            self._tell(f"{person.name} is signed in, seen by the server at {mine.get('address')}.", user=person.name)
        await self._alice.ask("add", user="bob")
        await self._bob.ask("add", user="alice")

    async def _register(self, person: Person) -> None:
        command = [*P2PIM, "--home", str(person.home), "--json", "register", f"{person.name}@{self._address}"]
        trust = ["--fingerprint", self._fingerprint]
        await self._programs.run("p2pim register", [*command, *trust], {VARIABLE: secrets.token_urlsafe(16)})

    async def _start_agent(self, person: Person) -> None:
        options = ["--accept", "always", "--downloads", str(self._downloads(person)), "--connect", "never"]
        command = [*P2PIM, "--home", str(person.home), "--json", "up", *options]
        person.program = self._programs.start(f"the agent of {person.name}", command, said=person.events.append)
        await self._programs.until(person.program, lambda: person.heard("signed-in"))
        client = await connect_agent(self._reactor, person.home)
        if client is None:
            raise P2pimError(f"The agent of {person.name} does not answer.")
        person.agent = AgentBackend(client)

    def _downloads(self, person: Person) -> Path:
        return self._folder / f"{person.name}-downloads"

    async def _talk(self) -> None:
        before = await self._counts()
        sent = await self._say(self._alice, self._bob, "Hello Bob! This goes through the server.", "relay")
        self._rows.append(self._message_row("message by the server", sent, before, await self._counts()))
        channel = await self._alice.ask("connect", user="bob")
        self._tell(f"A channel stands: {conversation_title('bob', channel)}.", channel=channel)
        before = await self._counts()
        sent = await self._say(self._alice, self._bob, "And this goes straight to you.", "direct")
        await self._say(self._bob, self._alice, "It arrived, and the server saw nothing of it.", "direct")
        self._rows.append(self._message_row("message, direct", sent, before, await self._counts()))

    async def _leave_mail(self) -> None:
        """Bob goes, is written to, and finds it when he comes back."""
        assert self._bob.program is not None
        assert self._bob.agent is not None
        await self._bob.agent.close()
        self._bob.agent = None
        self._bob.program.send_signal(signal.SIGTERM)
        await self._bob.program.ended()
        self._bob.events.clear()
        self._tell("bob is away.", user="bob")
        before = await self._counts()
        sent = await self._alice.ask("msg", user="bob", text="You find this when you are back.")
        self._tell(f"alice: “You find this when you are back.”  ({sent['state']})", message=sent)
        await self._start_agent(self._bob)
        await self._programs.until(self._bob.program, lambda: self._bob.heard("message", id=sent["id"]))
        self._tell("bob is back, and has it out of his mailbox.", user="bob")
        sent["bytes"] = len("You find this when you are back.")
        self._rows.append(self._message_row("message to someone away", sent, before, await self._counts()))

    async def _say(self, sender: Person, recipient: Person, text: str, route: str) -> dict[str, Any]:
        sent = await sender.ask("msg", user=recipient.name, text=text, route=route)
        assert recipient.program is not None
        await self._programs.until(recipient.program, lambda: recipient.heard("message", id=sent["id"]))
        way = route_text(sent["route"], sent.get("address"))
        self._tell(f"{sender.name}: “{text}”  ({way}, {sent['ms']:.1f} ms)", message=sent)
        return {**sent, "bytes": len(text.encode())}

    @staticmethod
    def _message_row(what: str, sent: dict[str, Any], before: dict[str, int], after: dict[str, int]) -> Row:
        return Row(what, sent["route"], sent["bytes"], sent["ms"] / 1000, grown(before, after))

    async def _send_files(self) -> None:
        for route, words in (("direct", "directly"), ("relay", "through the server's relay")):
            self._tell(f"alice sends {self._file.name} ({size_text(self._size)}) {words}.", route=route)
            before = await self._counts()
            completed = await self._send(route)
            after = await self._counts(before["spliced_bytes"] + (self._size if route == "relay" else 0))
            what = "file, direct" if route == "direct" else "the same file, relayed"
            self._rows.append(Row(what, completed["route"], self._size, completed["seconds"], grown(before, after)))
            rate = rate_text(self._size / max(completed["seconds"], 1e-6))
            took = duration_text(completed["seconds"])
            self._tell(f"It arrived in {took} ({rate}), and its BLAKE3 hash is the same.", transfer=completed)

    async def _send(self, route: str) -> dict[str, Any]:
        """Send the file by ``route``, check what arrived, and make room again."""
        with self._watch() as show:
            sent = await self._alice.ask("send", show, user="bob", paths=[str(self._file)], route=route)
        assert self._bob.program is not None
        transfer = sent["transfers"][0]["transfer"]
        arrived = await self._programs.until(self._bob.program, lambda: self._bob.heard("completed", transfer=transfer))
        if arrived["blake3"] != self._hash:
            raise P2pimError(f"What arrived differs from what was sent: {arrived['blake3']} and {self._hash}.")
        Path(arrived["path"]).unlink()
        return dict(arrived)

    def _conclude(self) -> None:
        for row in self._rows:
            self._output.item(row.as_json())
        self._output.note("")
        columns = ("WHAT", "ROUTE", "SIZE", "TIME", "RATE", "THE SERVER COUNTED")
        self._output.table(columns, [row.as_text() for row in self._rows], right=("SIZE", "TIME", "RATE"))

    async def _counts(self, spliced: int = 0) -> dict[str, int]:
        """What the server has counted for everybody together; asked again while it has not counted ``spliced`` yet."""
        command = [*P2PIM, "--json", "admin", "--data", str(self._data), "stats"]
        give_up = self._reactor.seconds() + SETTLE
        while True:
            (stats,) = await self._programs.run("p2pim admin stats", command)
            counts = {name: sum(user[name] for user in stats["users"]) for name in COUNTS}
            if counts["spliced_bytes"] >= spliced or self._reactor.seconds() > give_up:
                return counts


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """By how much each count grew."""
    return {name: after[name] - before[name] for name in COUNTS}


def port_of(address: Any) -> int:
    """The port in what ``ready.json`` says of an address: a number, text, or a list of them."""
    if isinstance(address, list):
        address = address[0]
    return address if isinstance(address, int) else int(str(address).rpartition(":")[2])


def make_file(path: Path, size: int) -> str:
    """Write ``size`` bytes that do not compress, and give their BLAKE3 in hexadecimal. Blocks."""
    hasher = blake3()
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            block = os.urandom(min(MIB, size - start))
            hasher.update(block)
            file.write(block)
    return hasher.hexdigest()


def check_space(folder: Path, size: int) -> None:
    """:raises NoSpace: the file and a copy of it do not fit beside what must stay free."""
    free = shutil.disk_usage(folder).free
    needed = 2 * size + 256 * MIB
    if free < needed:
        raise NoSpace(
            f"{folder} has {size_text(free)} free, the demo needs {size_text(needed)}; give a smaller --size."
        )


async def together(*works: Coroutine[Deferred[Any], Any, Any]) -> None:
    """Do all of ``works`` at once; the first failure is that of the whole."""
    running = [Deferred.fromCoroutine(work) for work in works]
    try:
        for one in running:
            await one
    finally:
        for one in running:
            one.addErrback(lambda failure: None)
            one.cancel()
