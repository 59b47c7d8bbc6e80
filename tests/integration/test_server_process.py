"""The server as its operator runs it: real processes, real sockets, real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TypeVar

from twisted.trial.unittest import TestCase

from p2pim.net.certificates import fingerprint_of_der, format_fingerprint, make_certificate
from p2pim.server.admin import run
from p2pim.wire.channel import SPLICE_READY, pack_splice_preface
from p2pim.wire.framing import FrameBuffer, pack_frames
from p2pim.wire.messages import (
    FEATURES,
    MESSAGE,
    AddContact,
    Done,
    Failed,
    Found,
    FromServer,
    Hello,
    Incoming,
    Message,
    OpenSplice,
    Ping,
    Pong,
    Refused,
    Register,
    RemoveContact,
    Send,
    SignedOut,
    SignIn,
    SpliceTickets,
    Welcome,
    decode_from_server,
    encode,
)

T = TypeVar("T")
WAIT = 30.0
TWISTD = Path(sys.executable).with_name("twistd")
PASSWORD = "correct horse"
CLEAN = (0, -signal.SIGTERM)
"""How a server ends that was told to: twistd closes everything and then lets the signal have its way."""


class Running:
    """A server process."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.log = data.with_name(data.name + ".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [TWISTD, "-n", "--pidfile=", "p2pim-server", "--port", "0", "--interface", "127.0.0.1",
                 "--data", str(data), *options],
                stdout=log, stderr=log,
            )  # fmt: skip

    def wait_ready(self) -> Running:
        """Until it says that it is ready."""
        end = time.monotonic() + WAIT
        while not self.is_ready():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < end, self.text()
            time.sleep(0.02)
        return self

    def is_ready(self) -> bool:
        """Whether this process (and not an earlier one) has said that it is ready."""
        try:
            self.ready = json.loads((self.data / "ready.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(self.ready["pid"] == self.process.pid)

    def text(self) -> str:
        """Its log."""
        return self.log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(WAIT)

    def wait_log(self, text: str) -> None:
        """Until ``text`` is in the log."""
        end = time.monotonic() + WAIT
        while text not in self.text():
            assert time.monotonic() < end, self.text()
            time.sleep(0.02)

    @property
    def port(self) -> int:
        """Its TCP port."""
        return int(self.ready["tcp"].rpartition(":")[2])


class Person:
    """A client of blocking calls."""

    def __init__(self, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["p2pim/1"])
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), WAIT))
        self.frames = FrameBuffer(1 << 24)
        self.waiting: list[FromServer] = []

    @property
    def fingerprint(self) -> str:
        """Of the certificate that the server showed."""
        der = self.socket.getpeercert(binary_form=True)
        assert der is not None
        return format_fingerprint(fingerprint_of_der(der))

    def send(self, *messages: Message) -> None:
        """Send messages."""
        self.socket.sendall(pack_frames([encode(message) for message in messages]))

    def receive(self, kind: type[T]) -> T:
        """The next message of this type; others before it are dropped."""
        while True:
            while not self.waiting:
                data = self.socket.recv(1 << 16)
                assert data, "the server closed the connection"
                self.waiting = [decode_from_server(body) for body in self.frames.feed(data)]
            message = self.waiting.pop(0)
            if isinstance(message, kind):
                return message

    def register(self, name: str) -> Person:
        """Make an account."""
        self.device = os.urandom(16)
        self.send(Hello(1, "", FEATURES), Register(name, PASSWORD, self.device, "test"))
        self.welcome = self.receive(Welcome)
        return self

    def ended(self) -> bool:
        """Whether the server ends the connection now."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass
        return True


def memory(server: Running) -> int:
    """Resident memory of the server, in KiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


class ServerProcessTests(TestCase):
    def setUp(self) -> None:
        self.data = Path(self.mktemp()).absolute()

    def start(self, *options: str, data: Path | None = None) -> Running:
        """A server, ended with the test."""
        running = Running(data or self.data, *options)
        self.addCleanup(lambda: running.process.poll() is None and running.stop(signal.SIGKILL))
        return running

    def person(self, server: Running) -> Person:
        """A connection, closed with the test."""
        person = Person(server.port)
        self.addCleanup(person.socket.close)
        return person

    def test_it_says_where_it_is_keeps_its_files_private_and_cleans_up(self) -> None:
        """ready.json and the log line, modes of all files, and a clean end on SIGTERM."""
        server = self.start().wait_ready()
        self.assertEqual(set(server.ready), {"tcp", "udp", "web", "classic", "fingerprint", "pid"})
        self.assertIsNone(server.ready["classic"])
        self.assertEqual(server.ready["udp"], f"127.0.0.1:{server.port + 1}")
        self.assertRegex(server.ready["web"], r"^127\.0\.0\.1:[1-9]\d*$")
        (line,) = [line for line in server.text().splitlines() if "] ready " in line]
        self.assertIn(server.ready["tcp"], line)
        self.assertIn(server.ready["fingerprint"], line)
        self.assertEqual(self.person(server).fingerprint, server.ready["fingerprint"])
        modes = {
            name: stat.S_IMODE((self.data / name).stat().st_mode) for name in ("server.db", "key.pem", "admin.sock")
        }
        self.assertEqual(modes, dict.fromkeys(modes, 0o600))
        self.assertEqual(stat.S_IMODE(self.data.stat().st_mode), 0o700)
        self.assertIn(server.stop(), CLEAN)
        self.assertFalse((self.data / "ready.json").exists())
        self.assertFalse((self.data / "admin.sock").exists())
        self.assertNotIn("Traceback", server.text())

    def test_people_talk_over_it(self) -> None:
        """Messages, and a relayed channel with a half-close, over TLS and TCP."""
        server = self.start().wait_ready()
        alice, bob = self.person(server).register("alice"), self.person(server).register("bob")
        alice.send(*[Send(1, "bob", bob.device, MESSAGE, b"hello" * 1000)] * 100)
        self.assertEqual([bob.receive(Incoming).payload for _ in range(100)], [b"hello" * 1000] * 100)
        alice.send(OpenSplice(2, "bob", bob.device))
        tickets = alice.receive(SpliceTickets)
        ends = [socket.create_connection(("127.0.0.1", server.port), WAIT) for _ in range(2)]
        for end, ticket in zip(ends, (tickets.mine, tickets.theirs), strict=True):
            self.addCleanup(end.close)
            end.sendall(pack_splice_preface(ticket))
        self.assertEqual([end.recv(1) for end in ends], [SPLICE_READY] * 2)
        self._carry(*ends)
        stats = {user["user"]: user for user in run(self.data, "stats", {})["users"]}
        self.assertEqual((stats["alice"]["uploads"], stats["bob"]["downloads"]), (100, 100))
        self.assertEqual((stats["alice"]["upload_bytes"], stats["bob"]["uploads"]), (500_000, 0))

    def _carry(self, one: socket.socket, two: socket.socket) -> None:
        """Ten MiB one way, finished, and then an answer the other way."""
        data = os.urandom(1 << 20) * 10

        def send_all() -> None:
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send_all)
        sending.start()
        received = b""
        while chunk := two.recv(1 << 20):
            received += chunk
        sending.join()
        self.assertEqual(received, data)
        two.sendall(b"thanks")
        two.shutdown(socket.SHUT_WR)
        self.assertEqual((one.recv(10), one.recv(10)), (b"thanks", b""))

    def test_a_client_that_does_not_read_costs_a_bounded_amount_of_memory(self) -> None:
        """Its sender is told that it is busy and keeps the rest; what was taken arrives when it reads again."""
        server = self.start().wait_ready()
        alice, bob = self.person(server).register("alice"), self.person(server).register("bob")
        before, count = memory(server), 600
        for number in range(count):
            alice.send(Send(number, "bob", bob.device, MESSAGE, bytes(90_000)))
        alice.send(Ping(1))
        busy = []
        while not isinstance(answer := alice.receive(Failed | Pong), Pong):  # type: ignore[arg-type]
            busy.append(answer.code)
        self.assertEqual(set(busy), {"recipient-busy"})
        self.assertLess(memory(server) - before, 24 * 1024)
        for _ in range(count - len(busy)):
            self.assertEqual(len(bob.receive(Incoming).payload), 90_000)
        alice.send(Send(1, "bob", bob.device, MESSAGE, b"again"))
        self.assertEqual(bob.receive(Incoming).payload, b"again")

    def test_sighup_takes_a_new_certificate_and_new_settings(self) -> None:
        """Connections that stand go on; a certificate that cannot be used changes nothing."""
        config = self.data.with_name(self.data.name + ".toml")
        config.write_text('[server]\nregistration = "open"\n')
        server = self.start("--config", str(config)).wait_ready()
        alice = self.person(server).register("alice")
        made = make_certificate("new")
        (self.data / "certificate.pem").write_bytes(made.cert_pem)
        (self.data / "key.pem").write_bytes(b"not yet")
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("not reloaded")
        self.assertEqual(self.person(server).fingerprint, server.ready["fingerprint"])
        (self.data / "key.pem").write_bytes(made.key_pem)
        config.write_text('[server]\nregistration = "closed"\n')
        server.process.send_signal(signal.SIGHUP)
        server.wait_log("reloaded, fingerprint")
        newcomer = self.person(server)
        self.assertNotEqual(newcomer.fingerprint, server.ready["fingerprint"])
        self.assertEqual(newcomer.fingerprint, json.loads((self.data / "ready.json").read_text())["fingerprint"])
        newcomer.send(Hello(1), Register("bob", PASSWORD, bytes(16), "test"))
        self.assertEqual(newcomer.receive(Refused).code, "registration-closed")
        alice.send(Ping(5))
        self.assertEqual(alice.receive(Pong).nonce, 5)

    def test_what_was_acknowledged_survives_kill_9(self) -> None:
        """Accounts, tokens and contacts: every answer was on the disk before it was given."""
        server = self.start().wait_ready()
        people = [self.person(server).register(f"user{number}") for number in range(3)]
        people[0].send(AddContact(1, "user1"), AddContact(2, "user2"))
        self.assertEqual({people[0].receive(Found).id, people[0].receive(Found).id}, {1, 2})
        people[0].send(RemoveContact(3, "user1"))
        people[0].receive(Done)
        server.stop(signal.SIGKILL)
        self.assertTrue((self.data / "ready.json").exists())
        again = self.start().wait_ready()
        for number, person in enumerate(people):
            back = self.person(again)
            back.send(Hello(1), SignIn(f"user{number}", person.device, "test", token=person.welcome.token))
            contacts = [(contact.user, contact.relation) for contact in back.receive(Welcome).contacts]
            self.assertEqual(contacts, {0: [("user2", "requested")], 2: [("user0", "asks")]}.get(number, []))
        self.assertEqual(run(self.data, "check", {})["problems"], [])

    def test_stopping_takes_leave_of_everybody(self) -> None:
        """Clients are told that coming back is worth it."""
        server = self.start().wait_ready()
        alice = self.person(server).register("alice")
        silent = socket.create_connection(("127.0.0.1", server.port))
        self.addCleanup(silent.close)
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(alice.receive(SignedOut).reason, "stopping")
        self.assertTrue(alice.ended())
        self.assertIn(server.stop(), CLEAN)

    def test_what_keeps_it_from_starting_is_told_in_one_line(self) -> None:
        """A folder in use, a port in use, a wrong configuration; the exit status says that it failed."""
        server = self.start().wait_ready()
        config = self.data.with_name(self.data.name + ".toml")
        config.write_text("[server]\nprot = 1\n")
        elsewhere = Path(self.mktemp()).absolute()
        for options, data, text in (
            ([], self.data, "Another p2pim-server is using"),
            (["--port", str(server.port)], elsewhere, "cannot-listen"),
            (["--config", str(config)], elsewhere, "did you mean port in [server]?"),
        ):
            failed = self.start(*options, data=data) if data is elsewhere else Running(data, *options)
            self.assertNotEqual(failed.process.wait(WAIT), 0)
            self.assertIn(text, failed.text())
            self.assertNotIn("Traceback", failed.text())
        self.assertTrue((self.data / "ready.json").exists())

    def test_the_operator_is_served_while_it_runs_however_deep_the_folder(self) -> None:
        """A socket's path is short; the folder's need not be."""
        deep = self.data / ("d" * 60) / ("e" * 60)
        deep.parent.mkdir(parents=True)
        server = self.start(data=deep).wait_ready()
        self.assertEqual(run(deep, "user-add", {"user": "alice", "password": PASSWORD}), {"user": "alice"})
        alice = self.person(server)
        alice.send(Hello(1), SignIn("alice", bytes(16), "test", password=PASSWORD))
        alice.receive(Welcome)
        self.assertEqual(run(deep, "kick", {"user": "alice"})["sessions"], 1)
        self.assertEqual(alice.receive(SignedOut).reason, "kicked")
        backup = self.data / "backup.db"
        run(deep, "backup", {"file": str(backup)})
        self.assertIn(server.stop(), CLEAN)
        self.assertEqual(run(deep, "restore", {"file": str(backup)})["users"], 1)
