"""The real commands against a real server: two people sign in, talk, and send files."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from blake3 import blake3

from p2pim.cli.processes import P2PIM
from tests.integration.town import Person, TownCase

MIB = 1024 * 1024


def make_file(path: Path, size: int) -> str:
    """Write ``size`` random bytes; their BLAKE3."""
    data = os.urandom(size)
    path.write_bytes(data)
    return blake3(data).hexdigest()


class SignInTests(TownCase):
    """register, login, logout, up."""

    async def test_registering_signs_in_and_keeps_no_password(self) -> None:
        """The home is its owner's alone, and holds a token instead."""
        alice = Person(self.town, "alice")
        answer = await alice.register()
        self.assertEqual((answer["user"], answer["server"]), ("alice", self.town.address))
        self.assertEqual(answer["fingerprint"], self.town.fingerprint)
        self.assertEqual(alice.home.stat().st_mode & 0o777, 0o700)
        credentials = alice.home / "credentials.json"
        self.assertEqual(credentials.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(b"correct horse", credentials.read_bytes())

    async def test_refusals_say_why_with_status_3(self) -> None:
        """An unknown server, another fingerprint, a wrong password, a name that is taken, and nobody signed in."""
        await self.person("alice", up=False)
        account, pin = f"alice@{self.town.address}", ("--fingerprint", self.town.fingerprint)
        other = ("--fingerprint", "SHA256:" + "A" * 43)
        wrong = {"P2PIM_PASSWORD": "wrong password"}
        cases = [
            (("login", account), {}, "untrusted-server"),
            (("login", account, *other), {}, "untrusted-server"),
            (("login", account, *pin), wrong, "wrong-password"),
            (("register", account, *pin), {}, "name-taken"),
            (("login", f"nobody@{self.town.address}", *pin), {}, "unknown-user"),
            (("msg", "alice", "hi"), {}, "not-signed-in"),
        ]
        for number, (arguments, environment, code) in enumerate(cases):
            home = str(self.town.folder / f"home-{number}")
            result = await self.town.run("--home", home, "--json", *arguments, environment=environment)
            self.assertEqual((result.status, result.object["error"]), (3, code), result.err)
            self.assertTrue(result.err.startswith(f"p2pim: {code}: "), result.err)
            self.assertEqual(result.err.count("\n"), 1, result.err)

    async def test_the_agent_ends_cleanly_by_either_signal(self) -> None:
        """Ctrl-C is 130, SIGTERM is 0, and the home is free again."""
        alice = await self.person("alice")
        self.assertEqual(await alice.end(signal.SIGINT), 130)
        self.assertFalse([value for value in alice.events if "event" not in value])
        await alice.up()
        self.assertEqual(await alice.end(signal.SIGTERM), 0)
        self.assertFalse((alice.home / "agent.sock").exists())

    async def test_logging_out_ends_the_agent_and_the_token(self) -> None:
        """Afterwards nobody is signed in."""
        alice = await self.person("alice")
        await alice.run("logout")
        assert alice.agent is not None
        self.assertEqual(await alice.agent.ended(), 0)
        self.assertEqual(alice.heard("signed-out")["reason"], "logout")
        self.assertEqual((await alice.run("who", status=3)).object["error"], "not-signed-in")

    async def test_an_agent_comes_back_after_the_server_and_stays_away_when_kicked(self) -> None:
        """kill -9 is an interruption; the operator's word is final, with status 3."""
        alice = await self.person("alice")
        assert self.town.server is not None
        self.town.server.send_signal(signal.SIGKILL)
        await self.town.server.ended()
        await alice.until("reconnecting")
        (self.town.data / "ready.json").unlink()
        alice.events.clear()
        await self.town.start_server(port=int(self.town.address.rpartition(":")[2]))
        await alice.until("signed-in")
        kicked = await self.town.run("--json", "admin", "--data", str(self.town.data), "kick", "alice")
        self.assertEqual(kicked.object["sessions"], 1)
        assert alice.agent is not None
        self.assertEqual(await alice.agent.ended(), 3)
        self.assertEqual(alice.heard("signed-out")["reason"], "kicked")


class ConversationTests(TownCase):
    """Messages, contacts, channels, history."""

    async def test_a_message_moves_from_the_relay_to_a_direct_channel(self) -> None:
        """Both ends see the route, the server counts only what it carried."""
        alice, bob = await self.two()
        first = (await alice.run("msg", "--route", "relay", "bob", "by the server")).object
        self.assertEqual((first["state"], first["route"]), ("delivered", "relay"))
        channel = (await alice.run("connect", "bob")).object
        self.assertEqual((channel["user"], channel["kind"], channel["same_lan"]), ("bob", "tcp", True))
        before = await self.town.counters()
        second = (await alice.run("msg", "bob", "straight")).object
        self.assertEqual(
            (second["state"], second["route"], second["address"]), ("delivered", "tcp", channel["address"])
        )
        arrived = await bob.until("message", id=second["id"])
        self.assertEqual((arrived["user"], arrived["text"], arrived["route"]), ("alice", "straight", "tcp"))
        self.assertEqual(await self.town.counters(), before)
        self.assertEqual((before["alice"]["uploads"], before["bob"]["downloads"]), (1, 1))
        for person, direction in ((alice, "out"), (bob, "in")):
            other = "bob" if person is alice else "alice"
            history = (await person.run("history", other)).objects
            self.assertEqual([(m["text"], m["direction"]) for m in history],
                             [("by the server", direction), ("straight", direction)])  # fmt: skip

    async def test_people_see_who_is_there_and_by_which_way(self) -> None:
        """Contacts, presence, channels, pings, and the log."""
        alice, bob = await self.two()
        await alice.run("add", "bob")
        self.assertEqual((await alice.run("who")).objects[0]["relation"], "requested")
        await bob.until("contact-request", user="alice")
        self.assertEqual((await bob.run("add", "alice")).object["relation"], "contact")
        await alice.until("contact-accepted", user="bob")
        (contact,) = (await alice.run("who")).objects
        self.assertEqual((contact["user"], contact["status"]), ("bob", "online"))
        await alice.run("connect", "bob")
        (channel,) = (await alice.run("channels")).objects
        self.assertEqual((channel["user"], channel["kind"]), ("bob", "tcp"))
        pings = (await alice.run("ping", "bob", "-c", "2", "--route", "direct")).objects
        self.assertEqual([ping.get("seq") for ping in pings[:2]], [1, 2])
        await bob.end()
        await alice.until("presence", user="bob", status="offline")
        self.assertEqual((await alice.run("ping", "bob", "-c", "1", "--route", "direct", status=5)).status, 5)
        self.assertIn("bob", {entry["user"] for entry in (await alice.run("log")).objects})

    async def test_a_message_to_someone_away_waits_and_arrives(self) -> None:
        """In the mailbox, as msg says; it comes once and only once."""
        alice, bob = await self.two(bob_up=False)
        sent = (await alice.run("msg", "bob", "for later")).object
        self.assertEqual((sent["state"], sent["route"]), ("stored", "mailbox"))
        await bob.up()
        await bob.until("message", id=sent["id"])
        await alice.until("receipt", id=sent["id"], state="delivered")
        self.assertEqual(len((await bob.run("history", "alice")).objects), 1)

    async def test_without_an_agent_the_command_is_the_peer(self) -> None:
        """It signs in, sends, and leaves nothing behind."""
        alice, bob = await self.two(alice_up=False)
        sent = (await alice.run("msg", "bob", "no agent here")).object
        self.assertEqual(sent["state"], "delivered")
        await bob.until("message", id=sent["id"])
        self.assertEqual((await alice.run("history", "bob")).object["state"], "delivered")
        unknown = await alice.run("msg", "nobody", "hello", status=4)
        self.assertEqual(unknown.object["error"], "no-such-user")

    async def test_who_is_blocked_reaches_nobody(self) -> None:
        """And may again when unblocked."""
        alice, bob = await self.two()
        await bob.run("block", "alice")
        for command in (("msg", "bob", "hello?"), ("connect", "bob"), ("send", "bob", __file__)):
            self.assertEqual((await alice.run(*command, status=4)).object["error"], "blocked", command)
        await bob.run("msg", "alice", "I do not listen", status=4)
        self.assertNotIn("in", {message["direction"] for message in (await bob.run("history", "alice")).objects})
        await bob.run("unblock", "alice")
        sent = (await bob.run("msg", "alice", "now I do")).object
        self.assertEqual((sent["state"], (await alice.until("message"))["text"]), ("delivered", "now I do"))


class FileTests(TownCase):
    """send, accept, reject, resume."""

    async def test_a_file_is_offered_accepted_and_goes_directly(self) -> None:
        """Both ends see it complete with the right hash; the server counts nothing of it."""
        alice, bob = await self.two()
        await alice.run("connect", "bob")
        before = await self.town.counters()
        path = self.town.folder / "a.bin"
        digest = make_file(path, 8 * MIB + 5)
        sending = alice.town.programs.start(
            "send", [*P2PIM, "--home", str(alice.home), "--json", "send", "bob", str(path), "--comment", "for you"]
        )
        offer = await bob.until("offer", direction="in")
        self.assertEqual((offer["user"], offer["size"], offer["comment"]), ("alice", 8 * MIB + 5, "for you"))
        await bob.run("accept", offer["transfer"])
        self.assertEqual(await sending.ended(), 0)
        for person in (alice, bob):
            done = await person.until("completed", transfer=offer["transfer"])
            self.assertEqual((done["blake3"], done["route"], done["bytes"]), (digest, "tcp", 8 * MIB + 5))
        self.assertEqual((bob.downloads / "a.bin").read_bytes(), path.read_bytes())
        self.assertEqual(await self.town.counters(), before)

    async def test_a_folder_goes_by_the_relay_when_told_to(self) -> None:
        """The server counts its bytes."""
        alice, bob = await self.two("--accept", "always")
        folder = self.town.folder / "photos"
        (folder / "deep").mkdir(parents=True)
        for number in range(20):
            make_file(folder / "deep" / f"{number}.bin", 1000 + number)
        events = (await alice.run("send", "bob", str(folder), "--route", "relay")).objects
        self.assertEqual(events[-1]["event"], "completed")
        self.assertEqual((await bob.until("completed"))["route"], "relay")
        for path in folder.rglob("*.bin"):
            self.assertEqual((bob.downloads / path.relative_to(folder.parent)).read_bytes(), path.read_bytes())
        while sum(user["spliced_bytes"] for user in (await self.town.counters()).values()) <= 20_000:
            self.assertTrue(self.town.server and self.town.server.status is None)  # it counts now and then

    async def test_a_rejected_offer_fails_with_status_4(self) -> None:
        """With `--accept never` nobody is even asked."""
        alice, bob = await self.two("--accept", "never")
        path = self.town.folder / "a.bin"
        make_file(path, 1000)
        result = await alice.run("send", "bob", str(path), status=4)
        self.assertEqual(result.objects[-1]["error"], "rejected")
        self.assertFalse(list(bob.downloads.glob("*")) if bob.downloads.exists() else [])

    async def test_a_receiver_that_was_killed_goes_on_where_it_was(self) -> None:
        """kill -9 in the middle, another agent, the right hash, and the first part is not sent again."""
        alice, bob = await self.two("--accept", "always")
        await alice.run("connect", "bob")
        size = 192 * MIB
        path = self.town.folder / "big.bin"
        digest = make_file(path, size)
        offered = await alice.run("send", "--no-wait", "bob", str(path))
        transfer = next(event["transfer"] for event in offered.objects if event["event"] == "offer")
        await self.part_of(bob, transfer, size)
        self.assertEqual(await bob.end(signal.SIGKILL), -signal.SIGKILL)
        self.assertFalse((bob.downloads / "big.bin").exists())
        await bob.up("--accept", "always")
        done = await bob.until("completed", transfer=transfer)
        self.assertEqual((done["blake3"], Path(done["path"]).stat().st_size), (digest, size))
        resumed = re.findall(r"goes by tcp from byte (\d+) on", (bob.home / "log.txt").read_text())
        self.assertEqual([int(offset) > 0 for offset in resumed], [False, True])

    async def part_of(self, person: Person, transfer: str, size: int) -> None:
        """Wait until some of the transfer, and not all, has arrived."""

        def some() -> bool:
            event = person.heard("progress", transfer=transfer)
            return event is not None and event["bytes"] > size // 10

        assert person.agent is not None
        await self.town.programs.until(person.agent, some)
        self.assertIsNone(person.heard("completed"))
