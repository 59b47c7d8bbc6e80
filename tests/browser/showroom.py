"""A server and people with something to show: conversations, a group, routes of both kinds, files on their way."""

from __future__ import annotations

import math
import os
import signal
import struct
import time
import zlib
from pathlib import Path
from typing import Any

from tests.browser.people import BrowserCase, ChatPage, Resident

LARGE = 192 * 1024 * 1024
TALK = (
    ("bob", "Morning! Are we still on for Saturday?"),
    ("alice", "Of course. The eight o'clock train, then along the river."),
    ("bob", "Good. I'll bring the map — and bread from the place at the corner"),
    ("alice", "Then I take care of coffee."),
    ("alice", "Forecast says dry until the afternoon: https://weather.example.org/valley?day=saturday"),
    ("bob", "Perfect.\nMeet at the station, platform 3?\nI'm there at a quarter to."),
    ("alice", "See you then!"),
)
GROUP_TALK = (
    ("alice", "Who else comes along on Saturday?"),
    ("bob", "Me, obviously."),
    ("carol", "I do, if there is room in the hut. 如果下雨，我们可以改到星期天。"),
    ("alice", "There is. I have asked for four beds."),
)


class Showroom:
    """Alice, whose pages are looked at, and the others.

    Bob is reached directly, Carol through the server, Dave is away with a message waiting for him, Erin asks to be a
    contact, Alice and Bob and Carol have a group.
    """

    def __init__(self, case: BrowserCase) -> None:
        self.case = case
        self.folder = case.town.folder
        self.alice, self.bob, self.dave = case.people("alice", "bob", "dave")
        (self.carol,) = case.people("carol", options=("--channel", "none"))
        (self.erin,) = case.people("erin")
        self.everybody = {one.name: one for one in (self.alice, self.bob, self.carol, self.dave, self.erin)}
        for one, other in ((self.alice, self.carol), (self.carol, self.alice), (self.erin, self.alice)):
            one.ask("add", user=other.name)
        self._files()
        self._talk()

    def person(self, name: str) -> Resident:
        return self.everybody[name]

    def open(self, **options: Any) -> ChatPage:
        """Alice's page."""
        return self.alice.open(**options)

    def operator_link(self) -> str:
        """A one-time link to the operator's page."""
        town = self.case.town
        result = self.case.wait(town.run("--json", "admin", "--data", str(town.data), "web"))
        url: str = result.object["url"]
        return url

    def stop_bob(self, number: int = signal.SIGSTOP) -> None:
        """Let time stand still for Bob, or go on (SIGCONT)."""
        assert self.bob.person.agent is not None
        self.bob.person.agent.send_signal(number)

    def large_file(self) -> str:
        """A large file from Bob, of which a part has come: its transfer."""
        large = self.folder / f"ridge-walk-{len(list(self.folder.glob('ridge-walk*'))) + 1}.mp4"
        with large.open("wb") as file:
            for _ in range(LARGE // (1 << 20)):
                file.write(os.urandom(1 << 20))
        self.bob.run("send", "alice", str(large), "--no-wait")
        transfer: str = self.alice.until("offer", name=large.name)["transfer"]
        self.alice.ask("accept", id=transfer)
        self.alice.until("progress", transfer=transfer)
        return transfer

    def traffic(self, seconds: float) -> None:
        """Talk through the server for a while, now more, now less, so that its operator sees something."""
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            for _ in range(1 + round(4 * (1 + math.sin(passed / 5)))):
                self.erin.ask("msg", user="carol", text="Is the hut open?", route="relay", wait=False)
            time.sleep(0.2)

    def _talk(self) -> None:
        for name, text in TALK:
            self.person(name).ask("msg", user="bob" if name == "alice" else "alice", text=text)
        self.carol.ask("msg", user="alice", text="The ferry is late again…")
        self.alice.ask("msg", user="carol", text="Take your time, we wait.")
        self.alice.ask("group-create", group="#walkers", users=["bob", "carol"])
        self.alice.ask("group-topic", group="#walkers", topic="Saturday: station, 7:45")
        for name in ("bob", "carol"):
            self.person(name).until("group-changed", group="#walkers")
        for name, text in GROUP_TALK:
            self.person(name).ask("msg", user="#walkers", text=text)
        self.dave.end()
        self.alice.ask("msg", user="dave", text="Dave, the tickets are in the blue folder.")

    def _files(self) -> None:
        picture, notes, folder = self.folder / "valley.png", self.folder / "train-times.txt", self.folder / "maps"
        picture.write_bytes(landscape(480, 300))
        notes.write_text("08:02 platform 3\n")
        folder.mkdir()
        for number in range(12):
            (folder / f"sheet-{number:02}.png").write_bytes(landscape(60 + number, 40))
        self._send(self.bob, folder, accept=True)
        self._send(self.bob, notes, accept=False)
        self._send(self.bob, picture, accept=True)
        self.alice.run("send", "carol", str(notes), "--comment", "so that you see what you miss", "--no-wait")

    def _send(self, sender: Resident, path: Path, *, accept: bool) -> None:
        sender.run("send", "alice", str(path), "--no-wait")
        transfer = self.alice.until("offer", name=path.name)["transfer"]
        if accept:
            self.alice.ask("accept", id=transfer)
            self.alice.until("completed", transfer=transfer)


def landscape(width: int, height: int) -> bytes:
    """A picture of hills, as PNG."""
    rows = []
    for y in range(height):
        row = bytearray(b"\0")
        for x in range(width):
            row += _pixel(x / width, y / height)
        rows.append(bytes(row))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + chunk(b"IEND", b"")
    )


def _pixel(x: float, y: float) -> bytes:
    for depth in (3, 2, 1):
        ridge = 0.35 + 0.17 * depth + 0.09 * math.sin(x * (4 + 2 * depth) + depth) + 0.03 * math.sin(17 * x * depth)
        if y > ridge:
            return bytes((30 + 25 * (3 - depth), 70 + 30 * (3 - depth), 60 + 25 * (3 - depth)))
    return bytes((round(250 - 120 * (1 - y)), round(215 - 40 * (1 - y)), round(180 + 55 * (1 - y))))
