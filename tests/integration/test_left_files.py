"""Files for people who are away, with real processes: a server, agents, commands."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from blake3 import blake3

from tests.integration.town import SECONDS, Person, TownCase


class LeftCase(TownCase):
    """Alice is there, bob is registered and away."""

    def stored(self) -> list[Path]:
        """What lies in the server's store."""
        return list((self.town.data / "files").iterdir())

    def file(self, size: int) -> tuple[Path, str]:
        """Something to send, and its BLAKE3."""
        path = self.town.folder / "report.pdf"
        content = os.urandom(size)
        path.write_bytes(content)
        return path, blake3(content).hexdigest()

    async def deleted(self, person: Person) -> None:
        """Wait until nothing is left in the store: who waits for the file hears that it has ended before it is gone."""
        assert person.agent is not None
        await self.town.programs.until(person.agent, lambda: not self.stored(), seconds=SECONDS)

    async def friends(self) -> tuple[Person, Person]:
        """Alice, and bob, who is away: contacts, so that she knows."""
        alice, bob = await self.two(bob_up=False)
        await bob.run("add", "alice")
        self.assertEqual((await alice.run("add", "bob")).object["relation"], "contact")
        return alice, bob

    async def leave(self, alice: Person, path: Path) -> str:
        """Send it to bob, who is away; gives the transfer's id."""
        result = await alice.run("send", "bob", str(path))
        events = {each["event"]: each for each in result.objects}
        self.assertEqual(events["offer"]["route"], "mailbox")
        self.assertEqual(events["stored"]["bytes"], path.stat().st_size)
        return str(events["stored"]["transfer"])


class TestLeftFiles(LeftCase):
    """From one to the other, who need not be there at once: the offer is mail."""

    async def test_a_file_left_at_the_server_arrives_and_is_deleted_there(self) -> None:
        """`send` ends when all of it is at the server; the recipient takes it, and the sender hears that."""
        alice, bob = await self.friends()
        path, digest = self.file(3_000_000)
        transfer = await self.leave(alice, path)
        (status,) = (await alice.run("transfers")).objects
        self.assertEqual((status["state"], status["route"]), ("stored", "mailbox"))
        (kept,) = self.stored()
        self.assertGreater(kept.stat().st_size, 3_000_000)
        self.assertNotIn(path.read_bytes()[:64], kept.read_bytes())
        stats = (await alice.run("admin", "--data", str(self.town.data), "stats")).object
        self.assertEqual((stats["files"]["files"], stats["files"]["bytes"]), (1, kept.stat().st_size))
        await bob.up()
        offer = await bob.until("offer", transfer=transfer)
        self.assertEqual((offer["name"], offer["direction"]), ("report.pdf", "in"))
        await bob.run("accept", transfer[:8])
        done = await bob.until("completed", transfer=transfer)
        self.assertEqual((done["blake3"], done["route"]), (digest, "mailbox"))
        self.assertEqual(Path(done["path"]).read_bytes(), path.read_bytes())
        self.assertEqual((await alice.until("completed", transfer=transfer))["blake3"], digest)
        await self.deleted(bob)

    async def test_a_file_for_a_stranger_who_is_away_is_left_too(self) -> None:
        """They are no contacts, so nobody told alice that bob is away."""
        alice, bob = await self.two(bob_up=False)
        path, digest = self.file(300_000)
        result = await alice.run("send", "bob", str(path))
        self.assertIn("stored", [each["event"] for each in result.objects])
        await bob.up("--accept", "always")
        self.assertEqual((await bob.until("completed"))["blake3"], digest)

    async def test_an_upload_survives_kill_9_of_the_sender_and_goes_on(self) -> None:
        """From what the server has committed, not from the beginning."""
        alice, bob = await self.friends()
        path, digest = self.file(200_000_000)
        sent = await alice.run("send", "bob", str(path), "--no-wait")
        transfer = str(sent.objects[0]["transfer"])
        assert alice.agent is not None
        await self.town.programs.until(
            alice.agent, lambda: any(file.stat().st_size > 20_000_000 for file in self.stored()), seconds=SECONDS
        )
        await alice.end(signal.SIGKILL)
        await alice.up()
        await alice.until("stored", transfer=transfer)
        await alice.end()
        starts = re.findall(r"goes to the server from byte (\d+) on", (alice.home / "log.txt").read_text())
        self.assertEqual((len(starts), starts[0]), (2, "0"))
        self.assertGreater(int(starts[1]), 0)
        await bob.up("--accept", "always")
        self.assertEqual((await bob.until("completed", transfer=transfer))["blake3"], digest)
        await alice.up()
        await alice.until("completed", transfer=transfer)
        await self.deleted(bob)

    async def test_a_rejection_deletes_it_and_is_told_to_the_sender(self) -> None:
        """Also to a sender who comes back later."""
        alice, bob = await self.friends()
        path, _ = self.file(100_000)
        transfer = await self.leave(alice, path)
        await bob.up()
        await bob.until("offer", transfer=transfer)
        await alice.end()
        await bob.run("reject", transfer)
        await self.deleted(bob)
        await alice.up()
        self.assertEqual((await alice.until("disrupted", transfer=transfer))["reason"], "rejected")


class TestLeftQuota(LeftCase):
    """A server with little room."""

    server_options = ()

    def setUp(self):  # type: ignore[no-untyped-def]
        os.environ["P2PIM_FILES__QUOTA_PER_SENDER"] = "500000"
        self.addCleanup(os.environ.pop, "P2PIM_FILES__QUOTA_PER_SENDER")
        return super().setUp()

    async def test_what_does_not_fit_is_said_and_what_to_do(self) -> None:
        """By `--leave always` as a failure; otherwise it waits for both to be online."""
        alice, _ = await self.friends()
        path, _ = self.file(600_000)
        refused = await alice.run("send", "bob", str(path), "--leave", "always", status=1)
        self.assertIn("store-quota", refused.err)
        waits = await alice.run("send", "bob", str(path), status=5)
        self.assertIn("0.0 of 0.5 MB are taken", waits.out)
        self.assertEqual(self.stored(), [])
