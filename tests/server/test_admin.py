"""The operator's commands, on the running server and on a stopped one's files."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import ADMIN_CONNECTIONS, ADMIN_LINE
from p2pim.errors import BadName, BadPassword, NameTaken, NoSuchUser, P2pimError, StorageError, Usage
from p2pim.net.certificates import ensure_certificate
from p2pim.server.admin import run
from p2pim.server.admin_socket import AdminDesk, AdminFactory
from p2pim.server.folder import DataFolder
from p2pim.wire.messages import MESSAGE, AddContact, Found, OpenSplice, Refused, Send, SignedOut, SpliceTickets, Welcome
from tests.server.support import PASSWORD, World


class RunningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.folder = DataFolder(self.world.path)
        self.desk = AdminDesk(self.world.house, self.folder)
        self.alice = self.world.user("alice")
        self.bob = self.world.user("bob")

    def run_command(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command."""
        return self.successResultOf(Deferred.fromCoroutine(self.desk.run(method, params)))

    def error(self, method: str, **params: Any) -> BaseException:
        """Why a command failed."""
        failed: BaseException = self.failureResultOf(Deferred.fromCoroutine(self.desk.run(method, params))).value
        return failed

    def test_an_added_user_can_sign_in(self) -> None:
        """Also where registration is closed."""
        self.world.set(registration="closed")
        self.assertEqual(self.run_command("user-add", user="Carol", password=PASSWORD), {"user": "carol"})
        self.world.client().sign_in("carol", password=PASSWORD).one(Welcome)

    def test_mistakes_are_told_as_a_client_would_be_told(self) -> None:
        """The same taxonomy."""
        self.assertIsInstance(self.error("user-add", user="alice", password=PASSWORD), NameTaken)
        self.assertIsInstance(self.error("user-add", user="../x", password=PASSWORD), BadName)
        self.assertIsInstance(self.error("user-add", user="carol", password="short"), BadPassword)
        self.assertIsInstance(self.error("user-add", user="carol"), Usage)
        self.assertIsInstance(self.error("user-delete", user="nobody"), NoSuchUser)
        self.assertIsInstance(self.error("kick", user="nobody"), NoSuchUser)
        self.assertIsInstance(self.error("restore", file="x"), Usage)
        self.assertIsInstance(self.error("dance"), Usage)
        self.assertIsInstance(self.error("invite", days=-1), Usage)

    def test_a_disabled_user_is_signed_out_and_stays_out_until_enabled(self) -> None:
        """By token and by password."""
        self.run_command("user-disable", user="alice")
        self.assertEqual(self.alice.one(SignedOut).reason, "disabled")
        token = {"device": self.alice.device, "token": self.alice.welcome.token}
        for details in ({"password": PASSWORD}, token):
            self.assertEqual(self.world.client().sign_in("alice", **details).one(Refused).code, "account-disabled")
        self.run_command("user-enable", user="alice")
        self.world.client().sign_in("alice", **token).one(Welcome)

    def test_a_deleted_user_is_gone_for_everybody(self) -> None:
        """Signed out, unknown, and on nobody's list."""
        self.bob.send(AddContact(1, "alice"))
        self.bob.one(Found)
        self.alice.send(AddContact(1, "bob"))
        self.alice.received()
        self.run_command("user-delete", user="alice")
        self.assertEqual(self.alice.one(SignedOut).reason, "disabled")
        self.world.pass_time(2)
        self.bob.received()
        self.bob.send(Send(1, "alice", self.alice.device, MESSAGE, b"?"))
        self.assertIn("no-such-user", repr(self.bob.received()))
        self.world.user("alice")
        self.world.pass_time(2)
        self.assertEqual(self.bob.received(), [])

    def test_a_new_password_signs_every_device_out(self) -> None:
        """The old password and the old tokens are worth nothing."""
        self.run_command("user-password", user="alice", password="another one")
        self.assertEqual(self.alice.one(SignedOut).reason, "kicked")
        again = self.world.client().sign_in("alice", device=self.alice.device, token=self.alice.welcome.token)
        self.assertEqual(again.one(Refused).code, "bad-token")
        self.world.client().sign_in("alice", password="another one").one(Welcome)

    def test_a_kick_ends_sessions_and_splices_and_tells_how_many(self) -> None:
        """The person may come back; their client does not by itself."""
        self.alice.send(OpenSplice(1, "bob", self.bob.device))
        self.alice.one(SpliceTickets)
        self.assertEqual(self.run_command("kick", user="alice"), {"user": "alice", "sessions": 1})
        self.assertEqual(self.alice.one(SignedOut).reason, "kicked")
        self.assertEqual(len(self.world.house.splices.splices), 0)
        self.assertEqual(self.run_command("kick", user="alice")["sessions"], 0)

    def test_statistics_count_up_to_this_moment(self) -> None:
        """What was relayed just now is in them; who is here, from where, since when."""
        self.alice.send(Send(1, "bob", self.bob.device, MESSAGE, b"12345"))
        stats = self.run_command("stats")
        alice, bob = stats["users"]
        self.assertEqual(
            (alice["user"], alice["uploads"], alice["upload_bytes"], alice["downloads"]), ("alice", 1, 5, 0)
        )
        self.assertEqual((bob["user"], bob["downloads"], bob["online"]), ("bob", 1, True))
        self.assertEqual(bob["sessions"][0]["address"], self.bob.welcome.address)
        self.assertEqual((stats["online"], stats["accounts"], stats["messages"], stats["running"]), (2, 2, 1, True))
        json.dumps(stats)

    def test_the_log_tells_what_was_done_and_no_password(self) -> None:
        """Nor a hash."""
        from twisted.logger import globalLogPublisher

        lines: list[str] = []
        observer: Any = lambda event: lines.append(repr(event))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.run_command("user-add", user="carol", password="very secret")
        self.assertTrue(any("user-add" in line and "carol" in line for line in lines))
        self.assertFalse(any("very secret" in line or "argon2" in line for line in lines))

    # --- the socket

    def connect(self, factory: AdminFactory) -> tuple[Any, StringTransport]:
        """An operator's connection."""
        protocol, transport = factory.buildProtocol(None), StringTransport()
        assert protocol is not None
        protocol.makeConnection(transport)
        return protocol, transport

    def answers(self, transport: StringTransport) -> list[dict[str, Any]]:
        """What has come back."""
        lines = transport.value().splitlines()
        transport.clear()
        return [json.loads(line) for line in lines]

    def test_requests_are_answered_by_their_number(self) -> None:
        """Results and errors, one line each."""
        protocol, transport = self.connect(AdminFactory(self.desk))
        requests = [{"id": 1, "method": "kick", "params": {"user": "bob"}}, {"id": 2, "method": "dance"}]
        protocol.dataReceived(b"".join(json.dumps(request).encode() + b"\n" for request in requests))
        result, error = self.answers(transport)
        self.assertEqual(result, {"id": 1, "result": {"user": "bob", "sessions": 1}})
        self.assertEqual((error["id"], error["error"]), (2, "usage"))

    def test_rubbish_is_answered_and_does_no_harm(self) -> None:
        """Lines that are no requests, and lines without end."""
        factory = AdminFactory(self.desk)
        protocol, transport = self.connect(factory)
        rubbish = [b"x", b"[]", b"{}", b'{"method": 5}', b'{"method": "kick", "params": []}', b"[" * 5000, b"\xff"]
        protocol.dataReceived(b"\n".join(rubbish) + b"\n")
        self.assertEqual([answer["error"] for answer in self.answers(transport)], ["usage"] * len(rubbish))
        protocol.dataReceived(b"x" * (ADMIN_LINE + 1))
        self.assertTrue(transport.disconnecting)

    def test_connections_are_bounded(self) -> None:
        """A script that forgets to close them does not exhaust the server."""
        factory = AdminFactory(self.desk)
        protocols = [self.connect(factory)[0] for _ in range(ADMIN_CONNECTIONS)]
        self.assertIsNone(factory.buildProtocol(None))
        protocols[0].connectionLost()
        self.assertIsNotNone(factory.buildProtocol(None))


class StoppedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.data = Path(self.mktemp())
        folder = DataFolder(self.data)
        folder.make()
        ensure_certificate(folder.certificate, folder.key, "test")
        World(str(self.data)).database.connection.close()

    def backup(self, name: str = "backup.db") -> Path:
        """A backup of the data folder as it is."""
        target: Path = self.data.parent / (self.mktemp().replace(os.sep, "-") + name)
        run(self.data, "backup", {"file": str(target)})
        return target

    def test_accounts_are_managed_on_the_files(self) -> None:
        """Before the first start, or while something is broken."""
        run(self.data, "user-add", {"user": "alice", "password": PASSWORD})
        run(self.data, "user-disable", {"user": "alice"})
        (user,) = run(self.data, "user-list", {})["users"]
        self.assertEqual((user["user"], user["disabled"]), ("alice", True))
        with self.assertRaises(NameTaken):
            run(self.data, "user-add", {"user": "alice", "password": PASSWORD})
        self.assertEqual(run(self.data, "stats", {})["users"][0]["sessions"], [])
        run(self.data, "user-delete", {"user": "alice"})
        self.assertEqual(run(self.data, "user-list", {})["users"], [])

    def test_a_folder_that_is_none_is_told_and_not_made(self) -> None:
        """A typing mistake in --data makes no second server."""
        missing = Path(self.mktemp())
        with self.assertRaises(StorageError):
            run(missing, "user-list", {})
        self.assertFalse(missing.exists())

    def test_a_folder_in_use_without_its_socket_is_left_alone(self) -> None:
        """A server that is starting or hangs is not worked around."""
        other = DataFolder(self.data)
        other.lock()
        self.addCleanup(other.unlock)
        with self.assertRaises(StorageError):
            run(self.data, "user-list", {})

    def test_a_backup_brings_everything_back(self) -> None:
        """Accounts, and the certificate that people have pinned."""
        run(self.data, "user-add", {"user": "alice", "password": PASSWORD})
        backup = self.backup()
        self.assertEqual(stat.S_IMODE(backup.stat().st_mode), 0o600)
        before = run(self.data, "check", {})
        new = Path(self.mktemp())
        self.assertEqual(run(new, "restore", {"file": str(backup)})["users"], 1)
        after = run(new, "check", {})
        self.assertEqual((after["fingerprint"], after["ok"], after["users"]), (before["fingerprint"], True, 1))
        for name in ("server.db", "key.pem", "certificate.pem"):
            self.assertEqual(stat.S_IMODE((new / name).stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(new.stat().st_mode), 0o700)

    def test_what_was_there_before_a_restore_is_kept_beside_it(self) -> None:
        """A restore of the wrong file can be undone."""
        backup = self.backup()
        run(self.data, "user-add", {"user": "late", "password": PASSWORD})
        run(self.data, "restore", {"file": str(backup)})
        self.assertEqual(run(self.data, "user-list", {})["users"], [])
        os.replace(self.data / "server.db.before-restore", self.data / "server.db")
        self.assertEqual(len(run(self.data, "user-list", {})["users"]), 1)

    def test_what_is_no_backup_is_refused_and_nothing_changes(self) -> None:
        """Rubbish, an empty file, a database of something else, nothing."""
        run(self.data, "user-add", {"user": "alice", "password": PASSWORD})
        rubbish = Path(self.mktemp())
        for content in (b"rubbish" * 1000, b"", None):
            if content is not None:
                rubbish.write_bytes(content)
            else:
                rubbish.unlink()
            with self.assertRaises(StorageError):
                run(self.data, "restore", {"file": str(rubbish)})
        self.assertEqual(len(run(self.data, "user-list", {})["users"]), 1)
        self.assertFalse((self.data / "server.db.new").exists())

    def test_check_finds_what_is_wrong(self) -> None:
        """Modes, and a certificate whose key is another's."""
        self.assertEqual(run(self.data, "check", {})["problems"], [])
        (self.data / "key.pem").write_bytes(b"rubbish")
        (self.data / "server.db").chmod(0o644)
        result = run(self.data, "check", {})
        self.assertFalse(result["ok"])
        text = "\n".join(result["problems"])
        self.assertIn("certificate", text)
        self.assertIn("server.db can be read by others", text)

    def test_files_that_wait_are_not_in_a_backup_and_it_says_so(self) -> None:
        """How many, and where they are."""
        self.left_file()
        told = run(self.data, "backup", {"file": str(self.data.parent / (self.mktemp().replace(os.sep, "-") + ".db"))})
        self.assertEqual((told["left_out"]["files"], told["left_out"]["bytes"]), (1, 1_000))
        self.assertEqual(told["folder"], str((self.data / "files").absolute()))

    def test_check_compares_the_files_that_wait_with_their_rows(self) -> None:
        """Whole, cut short, missing; and what belongs to nobody."""
        path = self.left_file()
        self.assertEqual(run(self.data, "check", {})["problems"], [])
        (path.parent / ("5a" * 16)).write_bytes(b"")
        path.write_bytes(bytes(999))
        short, stray = run(self.data, "check", {})["problems"]
        self.assertIn("has 999 of 1000 bytes", short)
        self.assertIn("5a5a", stray)
        path.unlink()
        self.assertIn("is missing", run(self.data, "check", {})["problems"][0])

    def left_file(self) -> Path:
        """A thousand bytes from alice to bob, all of them there."""
        for name in ("alice", "bob"):
            run(self.data, "user-add", {"user": name, "password": PASSWORD})
        folder, id = self.data / "files", bytes(16)
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / id.hex()).write_bytes(bytes(1_000))
        with closing(sqlite3.connect(self.data / "server.db")) as db, db:
            (alice, bob) = [row[0] for row in db.execute("SELECT id FROM accounts ORDER BY name")]
            db.execute(
                "INSERT INTO stored_files VALUES (?, ?, ?, ?, ?, 1000, 1000, '', 0, 0, 1e12)",
                (id, alice, bytes(16), bytes(16), bob),
            )
        return folder / id.hex()

    def test_a_backup_that_cannot_be_written_says_so(self) -> None:
        """And leaves nothing half done."""
        with self.assertRaises(P2pimError):
            run(self.data, "backup", {"file": str(self.data / "no" / "such" / "folder.db")})
