"""Where the P2P server runs, and which one a peer uses: real servers, agents and commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.processes import read_ready, twistd
from p2pim.server.admin import run
from p2pim.wire.messages import P2pServerChanged
from p2pim.wire.stun import Address, parse
from p2pim.wire.stun_binding import pack_question
from tests.integration.test_server_process import CLEAN, Person, Running
from tests.integration.town import SECONDS, TownCase

ELSEWHERE = "192.0.2.7:9901"


def ask(address: str) -> Address | None:
    """What a P2P server at ``address`` says that this socket's address is."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(SECONDS)
        udp.sendto(pack_question(os.urandom(12)), (host, int(port)))
        mapped = parse(udp.recv(2048)).mapped_address()
        assert mapped == Address(socket.inet_aton("127.0.0.1"), udp.getsockname()[1])
        return mapped


class IntegratedTests(SynchronousTestCase):
    """The server that listens on TCP N also answers UDP on N + 1."""

    def setUp(self) -> None:
        self.data = Path(self.mktemp()).absolute()

    def start(self, *options: str) -> Running:
        """A server, ended with the test."""
        running = Running(self.data, *options)
        self.addCleanup(lambda: running.process.poll() is None and running.stop(signal.SIGKILL))
        return running

    def config(self, text: str) -> Path:
        """A configuration file."""
        path = self.data.with_name(self.data.name + ".toml")
        path.write_text(text)
        return path

    def told(self, server: Running, name: str) -> str | None:
        """What a newcomer learns of a P2P server."""
        person = Person(server.port)
        self.addCleanup(person.socket.close)
        return person.register(name).welcome.p2p_server

    def test_it_answers_udp_next_to_tcp_says_so_and_counts(self) -> None:
        """In the log, in ready.json, in every Welcome, and in the operator's figures; until SIGTERM."""
        server = self.start().wait_ready()
        address = f"127.0.0.1:{server.port + 1}"
        self.assertEqual(server.ready["udp"], address)
        self.assertIn(f"it answers UDP on {address}", server.text())
        self.assertIn(f"udp={address}", server.text())
        self.assertEqual(self.told(server, "alice"), address)
        ask(address)
        counted = run(self.data, "stats", {})["p2p"]
        self.assertEqual((counted["address"], counted["requests"], counted["answers"]), (address, 1, 1))
        self.assertIn(server.stop(), CLEAN)
        self.assertIn("the P2P server answered 1 of 1 questions", server.text())
        self.assertNotIn("Traceback", server.text())
        self.assertIsNone(run(self.data, "stats", {})["p2p"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", server.port + 1))

    def test_on_all_addresses_clients_are_told_the_port(self) -> None:
        """Each reaches it where it has reached the server."""
        server = self.start("--interface", "").wait_ready()
        self.assertEqual(server.ready["udp"], f"0.0.0.0:{server.port + 1}")
        self.assertEqual(self.told(server, "alice"), f":{server.port + 1}")
        ask(f"127.0.0.1:{server.port + 1}")

    def test_switched_off_nothing_answers_and_nothing_is_told(self) -> None:
        """By option and by configuration."""
        for options in (["--no-p2p"], ["--config", str(self.config("[p2p]\nenabled = false\n"))]):
            server = self.start(*options).wait_ready()
            self.assertEqual(server.ready["udp"], None)
            self.assertIsNone(self.told(server, f"alice{len(options)}"))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.bind(("127.0.0.1", server.port + 1))
            server.stop()

    def test_a_taken_udp_port_keeps_it_from_starting_with_a_reason(self) -> None:
        """One line that says what to do."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            server = self.start("--port", str(port - 1))
            self.assertNotEqual(server.process.wait(SECONDS), 0)
        self.assertIn(f"cannot-listen: UDP 127.0.0.1:{port}", server.text())
        self.assertIn("--no-p2p", server.text())
        self.assertNotIn("Traceback", server.text())

    def reload(self, server: Running, config: Path, text: str, said: str) -> None:
        """Change the configuration, and wait until the log has ``said`` so once more, and that it is done."""
        seen = server.text()
        config.write_text(text)
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + SECONDS
        for words in (said, "reloaded"):
            while server.text().count(words) <= seen.count(words):
                self.assertLess(time.monotonic(), end, server.text())
                time.sleep(0.02)

    def test_sighup_switches_it_off_and_on_and_names_another(self) -> None:
        """ready.json, newcomers and those who are signed in follow; a mistake changes nothing."""
        config = self.config("[p2p]\nenabled = true\n")
        server = self.start("--config", str(config)).wait_ready()
        address = f"127.0.0.1:{server.port + 1}"
        witness = Person(server.port)
        known: str | None = address
        self.addCleanup(witness.socket.close)
        self.assertEqual(witness.register("witness").welcome.p2p_server, known)
        for number, (text, said, udp, told) in enumerate(
            (
                ("[p2p]\nenabled = false\n", "was switched off", None, None),
                (f'[p2p]\naddress = "{ELSEWHERE}"\n', "reloaded, fingerprint", address, ELSEWHERE),
                ('[p2p]\naddress = "nonsense"\n', "p2p.address:", address, ELSEWHERE),
                ("[p2p]\nburst = 50\n", "reloaded, fingerprint", address, address),
            )
        ):  # fmt: skip
            self.reload(server, config, text, said)
            self.assertEqual(json.loads((self.data / "ready.json").read_text())["udp"], udp)
            self.assertEqual(self.told(server, f"user{number}"), told)
            if told != known:
                known = witness.receive(P2pServerChanged).p2p_server
            self.assertEqual(known, told)
        ask(address)


class DiscoveryTests(TownCase):
    """What agents make of it."""

    def test_an_agent_learns_of_the_integrated_one_and_its_own_setting_outranks_that(self) -> Deferred[None]:
        """Naming the integrated one's own address changes nothing; "none" switches it off."""

        async def steps() -> None:
            ready = read_ready(self.town.data)
            assert ready is not None
            alice = await self.person("alice")
            for setting, expected in (
                (None, ready["udp"]),
                (ready["udp"], ready["udp"]),
                (ELSEWHERE, ELSEWHERE),
                ("none", None),
            ):
                await alice.end()
                await alice.up(*(["--p2p-server", setting] if setting else []))
                self.assertEqual(alice.heard("signed-in")["p2p_server"], expected)

        return Deferred.fromCoroutine(steps())

    def test_a_setting_that_names_none_is_wrong_usage(self) -> Deferred[None]:
        """Before the agent begins."""

        async def steps() -> None:
            alice = await self.person("alice", up=False)
            result = await alice.run("up", "--p2p-server", "nonsense", status=2)
            self.assertEqual(result.object["error"], "bad-p2p-server")

        return Deferred.fromCoroutine(steps())

    def test_the_doctor_asks_through_the_agent_and_without_it(self) -> Deferred[None]:
        """The same report, and for whoever has no account with a named P2P server."""

        async def steps() -> None:
            ready = read_ready(self.town.data)
            assert ready is not None
            alice = await self.person("alice")
            by_agent = (await alice.run("doctor")).object
            await alice.end()
            by_itself = (await alice.run("doctor")).object
            nobody = ["--home", str(self.town.folder / "nobody"), "--json", "doctor"]
            without = (await self.town.run(*nobody, "--p2p-server", ready["udp"])).object
            for said in (by_agent, by_itself, without):
                self.assertEqual((said["mapping"], said["filtering"]), ("none", "endpoint-independent"))
                self.assertEqual((said["p2p_server"], said["public_address"]), (ready["udp"], "127.0.0.1"))
            self.assertEqual([self.relay(said) for said in (by_agent, by_itself, without)], [True, True, "unknown"])
            self.assertEqual((await self.town.run(*nobody)).status, 3)

        return Deferred.fromCoroutine(steps())

    def relay(self, said: dict[str, Any]) -> Any:
        """Whether the relay works."""
        return {rung["rung"]: rung["works"] for rung in said["rungs"]}["relay"]

    def test_the_doctor_works_while_the_server_is_away(self) -> Deferred[None]:
        """That is when people ask it; the report says that it is away."""

        async def steps() -> None:
            data = self.town.folder / "p2p"
            command = [*twistd(), "-n", "--pidfile=", "p2pim-p2p", "--port", "0", "--interface", "127.0.0.1"]
            p2p = self.town.programs.start("the P2P server", [*command, "--data", str(data)])
            ready = await self.town.programs.until(p2p, lambda: read_ready(data), seconds=SECONDS)
            alice = await self.person("alice", up=False)
            assert self.town.server is not None
            self.town.server.send_signal(signal.SIGTERM)
            await self.town.server.ended()
            said = (await alice.run("doctor", "--p2p-server", ready["udp"])).object
            self.assertEqual((said["mapping"], self.relay(said)), ("none", False))
            self.assertIn("cannot be reached", " ".join(said["advice"]))

        return Deferred.fromCoroutine(steps())


class StandaloneTests(TownCase):
    """One P2P server for all, named by the server."""

    server_options = ("--no-p2p",)

    def test_nothing_anywhere_is_none(self) -> Deferred[None]:
        """No P2P server is told, none is used, and messages go all the same."""

        async def steps() -> None:
            alice, bob = await self.person("alice"), await self.person("bob")
            self.assertIsNone(alice.heard("signed-in")["p2p_server"])
            self.assertEqual((await alice.run("msg", "bob", "hello")).object["state"], "delivered")
            await bob.until("message", text="hello")
            said = (await alice.run("doctor")).object
            self.assertEqual((said["p2p_server"], said["mapping"]), (None, "unknown"))
            self.assertIn("twistd p2pim-p2p", said["advice"][0])

        return Deferred.fromCoroutine(steps())

    def test_a_standalone_one_that_the_server_names_is_used(self) -> Deferred[None]:
        """It is another process, of another program; the server's configuration names it."""

        async def steps() -> None:
            data = self.town.folder / "p2p"
            command = [*twistd(), "-n", "--pidfile=", "p2pim-p2p", "--port", "0", "--interface", "127.0.0.1"]
            p2p = self.town.programs.start("the P2P server", [*command, "--data", str(data)])
            ready = await self.town.programs.until(p2p, lambda: read_ready(data), seconds=SECONDS)
            assert self.town.server is not None
            self.town.server.send_signal(signal.SIGTERM)
            await self.town.server.ended()
            config = self.town.folder / "server.toml"
            config.write_text(f'[p2p]\naddress = "{ready["udp"]}"\n')
            await self.town.start_server("--no-p2p", "--config", str(config))
            alice = await self.person("alice")
            self.assertEqual(alice.heard("signed-in")["p2p_server"], ready["udp"])
            self.assertEqual((await alice.run("doctor")).object["public_address"], "127.0.0.1")

        return Deferred.fromCoroutine(steps())
