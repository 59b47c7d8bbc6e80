"""The gateway as its operator runs it, and `p2pim classic` and `p2pim guests` as people use them: real processes."""

from __future__ import annotations

import json
import signal
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThread

from p2pim.cli.processes import P2PIM, Program
from p2pim.server.admin import run
from tests.integration.classic_client import MinimalClient
from tests.integration.town import SECONDS, Town, TownCase


class GatewayProcessTests(TownCase):
    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        """A town whose server is started by the tests."""
        self.town = Town(self)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.town.programs.stop()))
        return succeed(None)

    def configure(self, text: str) -> str:
        """Write the configuration; its path."""
        path = self.town.folder / "server.toml"
        path.write_text(text)
        return str(path)

    def ready(self) -> dict[str, Any]:
        """What the server says of itself."""
        content: dict[str, Any] = json.loads((self.town.data / "ready.json").read_text())
        return content

    def counted(self) -> dict[str, Any]:
        """What ``p2pim admin stats`` has of the gateway."""
        figures: dict[str, Any] = run(self.town.data, "stats", {})["classic"]
        return figures

    def talker(self, name: str, said: Any) -> Program:
        """``p2pim classic``, listening."""
        account = f"{name}@{self.ready()['classic']}"
        command = [*P2PIM, "--json", "classic", account, "--no-input"]
        return self.town.programs.start(f"the client of {name}", command, said=said)

    async def test_a_configured_gateway_serves_and_one_that_is_not_is_not_there(self) -> None:
        """From ready.json to the end; SIGHUP switches it off and on."""
        gateway = '[classic]\nport = 0\ninterface = "loopback"\n'
        await self.town.start_server("--config", self.configure(gateway))
        log = (self.town.folder / "server.log").read_text()
        self.assertIn("It knows no passwords and no encryption", log)
        self.assertIn(f"classic={self.ready()['classic']}", log)
        alice: list[dict[str, Any]] = []
        program = self.talker("alice", alice.append)
        await self.town.programs.until(program, lambda: len(alice) > 1, seconds=SECONDS)
        self.assertEqual([event["event"] for event in alice], ["accepted", "list"])
        host, _, port = self.ready()["classic"].rpartition(":")
        bob = MinimalClient((host, int(port)), "bob")
        self.addCleanup(bob.close)
        self.assertEqual([name for name, _ in await deferToThread(bob.log_in)], ["alice", "bob"])
        bob.tell_server("nonsense")
        await self.town.programs.until(program, lambda: self.counted()["bad"] == 1, seconds=SECONDS)
        self.assertEqual(self.counted()["guests"], 2)
        program.send_signal(signal.SIGTERM)
        self.assertEqual(await program.ended(), 143)
        self.assertEqual(await deferToThread(bob.receive), f"logout,alice,{alice[0]['address']}")
        assert self.town.server is not None
        self.configure("")
        self.town.server.send_signal(signal.SIGHUP)
        await self.town.programs.until(self.town.server, lambda: self.ready()["classic"] is None, seconds=SECONDS)
        self.configure(gateway)
        self.town.server.send_signal(signal.SIGHUP)
        await self.town.programs.until(self.town.server, lambda: self.ready()["classic"], seconds=SECONDS)

    async def test_a_user_and_a_guest_meet_on_the_command_line(self) -> None:
        """Switched on by the operator and by the user; shown for what it is."""
        await self.town.start_server(
            "--config", self.configure('[classic]\nport = 0\ninterface = "loopback"\nguests = "together"\n')
        )
        alice = await self.person("alice", up=False)
        self.assertEqual((await alice.run("guests")).object, {"on": False, "policy": "together", "users": []})
        self.assertTrue((await alice.run("guests", "on")).object["on"])
        await alice.up()
        host, _, port = self.ready()["classic"].rpartition(":")
        bob = MinimalClient((host, int(port)), "bob")
        self.addCleanup(bob.close)
        await deferToThread(bob.log_in)
        await alice.until("presence", user="bob@classic", status="online")
        listed = dict(await deferToThread(bob.users, int(port)))
        (person,) = (await alice.run("who")).objects
        self.assertEqual((person["user"], person["relation"], person["encrypted"]), ("bob@classic", "guest", False))
        sent = (await alice.run("msg", "bob@classic", "hello, bob")).object
        self.assertEqual((sent["state"], sent["route"]), ("sent", "classic"))
        while not (line := await deferToThread(bob.receive)).startswith("talk,"):
            self.assertTrue(line.startswith("login,alice,"))  # who came first depends on the machine
        self.assertTrue(line.endswith(",alice,hello, bob"))
        bob.say(listed["alice"], "hello, alice")
        self.assertEqual((await alice.until("message", user="bob@classic"))["route"], "classic")
        texts = [line["text"] for line in (await alice.run("history", "bob@classic")).objects]
        self.assertEqual(texts, ["hello, bob", "hello, alice"])
        shown = await self.town.run("--home", str(alice.home), "who")
        self.assertIn("NOT encrypted", shown.out)
        result = await alice.run("msg", "nobody@classic", "hello", status=4)
        self.assertEqual(result.objects[-1]["error"], "no-such-guest")
