"""What people at a terminal meet: questions, a conversation, bars."""

from __future__ import annotations

import shlex
from pathlib import Path

from p2pim.cli.processes import P2PIM
from tests.integration.screen import Screen
from tests.integration.town import PASSWORD, Person, TownCase


class TerminalCase(TownCase):
    """A terminal with a shell in it."""

    async def terminal(self) -> Screen:
        screen = Screen(self)
        await screen.open()
        self.addCleanup(screen.close)
        return screen

    @staticmethod
    async def start(screen: Screen, person: Person, *arguments: str) -> None:
        """Have the shell run ``p2pim`` on a cleared screen, and say the status after it."""
        command = shlex.join([*P2PIM, "--home", str(person.home), *arguments])
        await screen.type(f"cd {shlex.quote(str(Path.cwd()))}; clear; {command}; echo status=$?")
        await screen.press("Enter")


class QuestionTests(TerminalCase):
    """register, as a person calls it."""

    async def test_registering_shows_the_fingerprint_and_asks_for_the_password_twice(self) -> None:
        """As with SSH; nothing of the password is seen."""
        alice, screen = Person(self.town, "alice"), await self.terminal()
        await self.start(screen, alice, "register", f"alice@{self.town.address}")
        await screen.shows(self.town.fingerprint)
        await screen.shows("[y/N]:")
        await screen.type("y")
        await screen.press("Enter")
        for question in ("Password of alice", "Repeat"):
            await screen.shows(question)
            await screen.type(PASSWORD)
            await screen.press("Enter")
        rows = await screen.shows("status=0")
        self.assertFalse([row for row in rows if PASSWORD in row])
        self.assertTrue([row for row in rows if "alice is registered and signed in" in row])

    async def test_no_is_no_and_ctrl_c_is_130(self) -> None:
        """Nothing is sent either way."""
        alice = Person(self.town, "alice")
        for answer, status in (("Enter", 3), ("C-c", 130)):
            screen = await self.terminal()
            await self.start(screen, alice, "register", f"alice@{self.town.address}")
            await screen.shows("[y/N]:")
            await screen.press(answer)
            await screen.shows(f"status={status}")
        self.assertEqual(await self.town.counters(), {})


class ChatTests(TerminalCase):
    """A person at a terminal talks with one who has an agent."""

    async def chat(self, alice: Person) -> Screen:
        screen = await self.terminal()
        await self.start(screen, alice, "chat", "bob")
        await screen.until(lambda rows: rows[0].startswith(" bob — direct TCP 127.0.0.1:"))
        return screen

    async def test_what_arrives_does_not_touch_what_is_being_typed(self) -> None:
        """Both are whole on the screen, the cursor stays, and the states of my messages move on in place."""
        alice, bob = await self.two()
        screen = await self.chat(alice)
        await screen.type("half a thou")
        await screen.until(lambda rows: rows[19] == "> half a thou")
        for number in range(5):
            await bob.run("msg", "alice", f"interruption {number}")
        rows = await screen.until(lambda rows: "interruption 4" in rows[18])
        self.assertEqual(rows[19], "> half a thou")
        self.assertEqual([row[6:25] for row in rows[14:19]], [f"bob: interruption {n}" for n in range(5)])
        await screen.type("ght — 你好")
        await screen.press("Enter")
        arrived = await bob.until("message", user="alice")
        self.assertEqual((arrived["text"], arrived["route"]), ("half a thought — 你好", "tcp"))
        await screen.until(lambda rows: "me: half a thought — 你好" in rows[18] and rows[18].endswith(" ✓✓"))
        self.assertEqual((await screen.rows())[19], ">")
        await screen.type("/quit")
        await screen.press("Enter")
        await screen.until(lambda rows: "status=0" in rows)

    async def test_the_title_follows_the_route_and_ctrl_c_ends_it(self) -> None:
        """Direct, relayed when bob goes, and the terminal as it was afterwards."""
        alice, bob = await self.two()
        screen = await self.chat(alice)
        await bob.end()
        await screen.until(lambda rows: rows[0].startswith(" bob — relayed"))
        await screen.press("C-c")
        await screen.until(lambda rows: "status=130" in rows)
        await screen.type("echo typed")
        await screen.until(lambda rows: any("ready> echo typed" in row for row in rows))


class BarTests(TerminalCase):
    """send, where there is a terminal."""

    async def test_a_file_on_its_way_has_a_bar(self) -> None:
        """With name, bytes, rate and route."""
        alice, bob = await self.two("--accept", "always")
        await alice.run("connect", "bob")
        path = self.town.folder / "holiday.mov"
        path.write_bytes(bytes(8 * 1024 * 1024))
        screen = await self.terminal()
        await self.start(screen, alice, "send", "bob", str(path))
        rows = await screen.until(lambda rows: "status=0" in rows)
        (bar,) = [row for row in rows if row.startswith("holiday.mov")]
        for part in ("8 MiB", "iB/s", "direct TCP"):
            self.assertIn(part, bar)
        await bob.until("completed")
