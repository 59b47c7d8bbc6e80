"""The server goes, by kill -9 or in order, while people talk and files are under way."""

from __future__ import annotations

import signal

from twisted.internet.defer import Deferred

from p2pim.cli.processes import P2PIM, Program
from tests.integration.test_commands import MIB, make_file
from tests.integration.town import Person, TownCase

SIZE = 160 * MIB


class ServerTests(TownCase):
    """What is under way survives it."""

    def sending(self, person: Person, *arguments: str) -> Program:
        """``p2pim send`` to bob, waiting for the end, with a file of `SIZE`."""
        self.path = self.town.folder / "big.bin"
        self.digest = make_file(self.path, SIZE)
        command = [*P2PIM, "--home", str(person.home), "--json", "send", *arguments, "bob", str(self.path)]
        return self.town.programs.start("send", command)

    async def end_server(self, number: int) -> None:
        assert self.town.server is not None
        self.town.server.send_signal(number)
        await self.town.server.ended()
        (self.town.data / "ready.json").unlink(missing_ok=True)

    async def test_what_was_acknowledged_outlives_kill_9_of_the_server_and_the_rest_follows(self) -> None:
        """Messages and a relayed file: everything arrives, once, in order, whole."""
        alice = await self.person("alice", "--connect", "never")
        bob = await self.person("bob", "--connect", "never", "--accept", "always")
        sending = self.sending(alice, "--route", "relay")
        talking = Deferred.fromCoroutine(self.talk(alice, 16))
        await bob.until("progress")
        await self.end_server(signal.SIGKILL)
        await self.town.start_server(port=int(self.town.address.rpartition(":")[2]))
        states = await talking
        self.assertEqual((await bob.until("completed"))["blake3"], self.digest)
        self.assertEqual(await sending.ended(), 0)
        await bob.until("message", text="15")
        history = (await bob.run("history", "alice")).objects
        self.assertEqual([message["text"] for message in history], [str(number) for number in range(16)])
        self.assertIn("delivered", states)

    async def talk(self, person: Person, count: int) -> list[str]:
        """So many messages to bob, one after the other; the state of each."""
        return [(await person.run("msg", "bob", str(number))).object["state"] for number in range(count)]

    async def test_a_direct_transfer_does_not_notice_that_the_server_stops(self) -> None:
        """It goes on directly, and both ends see it complete."""
        alice, bob = await self.two("--accept", "always")
        await alice.run("connect", "bob")
        sending = self.sending(alice)
        await bob.until("progress")
        await self.end_server(signal.SIGTERM)
        for person in (alice, bob):
            done = await person.until("completed")
            self.assertEqual(done["blake3"], self.digest)
            self.assertIn(done["route"], ("tcp", "udp"))
        self.assertEqual(await sending.ended(), 0)
