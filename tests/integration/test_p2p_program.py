"""``twistd p2pim-p2p`` as a program: its configuration, its readiness, its signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from p2pim.wire import stun
from p2pim.wire.stun import Address, parse

TWISTD = Path(sys.executable).parent / "twistd"
SECONDS = 30.0


class Program(ProcessProtocol):
    """A twistd under test."""

    def __init__(self) -> None:
        self.log = ""
        self.ended: Deferred[int] = Deferred()
        self.status: int | None = None

    def outReceived(self, data: bytes) -> None:
        """Its log."""
        self.log += data.decode()

    def errReceived(self, data: bytes) -> None:
        """What it says before it has a log."""
        self.log += data.decode()

    def processEnded(self, reason: Any) -> None:
        """It is gone."""
        ended = reason.value
        self.status = (-ended.signal if ended.signal else ended.exitCode) if reason.check(ProcessTerminated) else 0
        self.ended.callback(self.status)


class P2pProgramTests(TestCase):
    """Each runs a real twistd in a temporary folder."""

    timeout = 60

    def setUp(self) -> None:
        """A folder that is removed in the end."""
        folder = tempfile.TemporaryDirectory(prefix="p2pim-p2p-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.ready = self.folder / "data" / "ready.json"

    def start(self, *arguments: str, **environ: str) -> Program:
        """Run it."""
        program = Program()
        root = str(Path(stun.__file__).parents[2])
        env = {**os.environ, "PYTHONPATH": root, **environ}
        argv = [str(TWISTD), "-n", "--pidfile=", "p2pim-p2p", "--data", str(self.ready.parent), *arguments]
        transport = reactor.spawnProcess(program, argv[0], argv, env=env, path=str(self.folder))

        def stop() -> Deferred[int] | None:
            if program.status is not None:
                return None
            transport.signalProcess("KILL")
            return program.ended

        self.addCleanup(stop)
        self.transport = transport
        return program

    async def until(self, true: Any) -> None:
        """Wait until it is so."""
        for _ in range(int(SECONDS / 0.05)):
            if true():
                return
            await deferLater(reactor, 0.05)
        self.fail("not in time")

    async def until_ready(self, program: Program) -> dict[str, Any]:
        """What ready.json says."""
        await self.until(lambda: self.ready.exists() or program.status is not None)
        self.assertTrue(self.ready.exists(), program.log)
        content: dict[str, Any] = json.loads(self.ready.read_text())
        return content

    async def ask(self, port: int, host: str = "127.0.0.1") -> None:
        """A plain question gets its answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            udp.bind((host, 0))
            udp.sendto(b"\0\1\0\0" + stun.MAGIC_BYTES + b"transaction!", (host, port))
            answers: list[bytes] = []

            def heard() -> bool:
                try:
                    answers.append(udp.recv(2048))
                except BlockingIOError:
                    return False
                return True

            await self.until(heard)
            self.assertEqual(parse(answers[0]).mapped_address(), Address(socket.inet_aton(host), udp.getsockname()[1]))

    def test_it_says_when_it_is_ready_answers_and_ends(self) -> Deferred[None]:
        """One line of its log begins with "ready"; ready.json is there from then on until SIGTERM."""

        async def run() -> None:
            program = self.start("--port", "0")
            ready = await self.until_ready(program)
            self.assertEqual(ready["pid"], self.transport.pid)
            port = int(ready["udp"].rpartition(":")[2])
            await self.until(lambda: "#info] ready " in program.log)
            self.assertIn(f"udp={ready['udp']},[::]:{port} ", program.log)
            await self.ask(port)
            self.transport.signalProcess("TERM")
            self.assertEqual(await program.ended, -signal.SIGTERM)  # twistd ends itself by the signal it got
            self.assertIn("Server Shut Down", program.log)
            self.assertFalse(self.ready.exists())

        return Deferred.fromCoroutine(run())

    def test_options_outrank_the_environment_and_that_the_file(self) -> Deferred[None]:
        """The port comes from a file as well; 9901 without any of them."""

        async def run() -> None:
            config = self.folder / "p2p.toml"
            config.write_text('[p2p_server]\nport = 1\ninterface = "127.0.0.1"\n')
            program = self.start("--config", str(config), "--port", "0", P2PIM_P2P_SERVER__INTERFACE="127.0.0.3")
            ready = await self.until_ready(program)
            host, _, port = ready["udp"].rpartition(":")
            self.assertEqual(host, "127.0.0.3")
            self.assertNotEqual(port, "1")
            await self.ask(int(port), "127.0.0.3")

        return Deferred.fromCoroutine(run())

    def test_sighup_reads_the_configuration_again(self) -> Deferred[None]:
        """A new address is listened on; a mistake is told and changes nothing."""

        async def run() -> None:
            config = self.folder / "p2p.toml"
            config.write_text('[p2p_server]\nport = 0\ninterface = "127.0.0.3"\n')
            program = self.start("--config", str(config))
            port = int((await self.until_ready(program))["udp"].rpartition(":")[2])
            config.write_text("[p2p_server]\nprot = 1\n")
            os.kill(self.transport.pid, signal.SIGHUP)
            await self.until(lambda: "did you mean port" in program.log)
            await self.ask(port, "127.0.0.3")
            config.write_text('[p2p_server]\nport = 0\ninterface = "127.0.0.4"\n')
            os.kill(self.transport.pid, signal.SIGHUP)
            await self.until(lambda: json.loads(self.ready.read_text())["udp"] == f"127.0.0.4:{port}")
            await self.ask(port, "127.0.0.4")

        return Deferred.fromCoroutine(run())

    def test_what_cannot_be_is_one_line_that_says_why(self) -> Deferred[None]:
        """A port that is taken, and a key that does not exist."""

        async def run() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
                taken.bind(("127.0.0.1", 0))
                port = taken.getsockname()[1]
                program = self.start("--port", str(port), "--interface", "127.0.0.1")
                self.assertNotEqual(await program.ended, 0)
                self.assertIn(f"p2pim-p2p: cannot-listen: UDP 127.0.0.1:{port}", program.log)
            program = self.start(P2PIM_P2P_SERVER__RATES="1")
            self.assertNotEqual(await program.ended, 0)
            self.assertIn("did you mean P2PIM_P2P_SERVER__RATE?", program.log)

        return Deferred.fromCoroutine(run())

    def test_the_example_configuration_holds_the_defaults(self) -> None:
        """Every key is there, and what is commented out is what holds without it."""
        import tomllib

        import msgspec

        from p2pim.taps.p2p import P2pConfig

        text = (Path(stun.__file__).parents[2] / "etc" / "p2pim-p2p.toml").read_text()
        lines = [
            line[1:] if line.startswith("#") and " = " in line and line[1] != " " else line for line in text.split("\n")
        ]
        given = tomllib.loads("\n".join(lines))
        self.assertEqual(msgspec.convert(given, P2pConfig, dec_hook=lambda kind, value: kind(value)), P2pConfig())
        self.assertEqual(set(given["p2p_server"]), set(P2pConfig().p2p_server.__struct_fields__))
