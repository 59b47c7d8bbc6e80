"""Files from a page: where their bytes may go, and what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import DROP_BUFFER, DROP_IDLE, DROPS
from p2pim.errors import NoSpace, NoSuchDrop, TooMany, UnsafeName, Usage
from p2pim.web.drops import Drops, checked_parts


class Disk:
    """Jobs that run at once, or when the test says."""

    def __init__(self) -> None:
        self.slow = False
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, job: Callable[[], Any]) -> Deferred[Any]:
        if not self.slow:
            return execute(job)
        done: Deferred[Any] = Deferred()
        self.waiting.append((job, done))
        return done

    def go_on(self) -> None:
        self.slow = False
        while self.waiting:
            job, done = self.waiting.pop(0)
            execute(job).chainDeferred(done)


class DropsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.clock, self.disk = Clock(), Disk()
        self.drops = Drops(self.clock, self.folder, self.disk, os.urandom)
        self.paused: list[bool] = []

    def done(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def put(self, drop: str, path: str, data: bytes, length: int | None = None) -> dict[str, Any]:
        file = self.drops.file(drop, path, length, self.paused.append)
        file.write(data)
        kept: dict[str, Any] = self.done(file.finish())
        return kept

    def kept(self, drop: str) -> list[str]:
        root = self.folder / drop
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def test_files_lie_where_their_paths_say(self) -> None:
        """Readable by their owner alone; a name that is taken is numbered."""
        drop = self.done(self.drops.open("bob"))
        self.assertEqual(self.put(drop, "trip/a.txt", b"one"), {"path": "trip/a.txt", "bytes": 3})
        self.assertEqual(self.put(drop, "trip/a.txt", b"two")["path"], "trip/a (1).txt")
        self.assertEqual(self.kept(drop), ["files/trip/a (1).txt", "files/trip/a.txt"])
        self.assertEqual((self.folder / drop / "files/trip/a.txt").stat().st_mode & 0o077, 0)
        self.assertEqual((self.folder / drop).stat().st_mode & 0o077, 0)

    def test_no_name_leads_elsewhere(self) -> None:
        """Nor can it be none."""
        drop = self.done(self.drops.open("bob"))
        for path in (
            "..",
            "../x",
            "a/../../x",
            "/etc/passwd",
            "a//b",
            "",
            ".",
            "a/./b",
            "a\0b",
            "x" * 256,
            "a/" * 70 + "b",
        ):
            self.assertRaises(UnsafeName, self.drops.file, drop, path, 1, self.paused.append)
        for name in ("..", "../" + drop, "", "x"):
            self.assertRaises(NoSuchDrop, self.drops.file, name, "a", 1, self.paused.append)

    @given(st.text(max_size=40))
    def test_whatever_a_path_is_it_stays_inside(self, path: str) -> None:
        """Or is refused."""
        try:
            parts = checked_parts(path)
        except UnsafeName:
            return
        self.assertEqual(os.path.normpath("/in/" + "/".join(parts)), "/in/" + path)

    def test_a_sender_waits_for_a_slow_disk(self) -> None:
        """No more than a few MiB are in memory."""
        drop = self.done(self.drops.open("bob"))
        self.disk.slow = True
        file = self.drops.file(drop, "big", None, self.paused.append)
        for _ in range(2):
            file.write(bytes(DROP_BUFFER))
        self.assertEqual(self.paused, [True])
        self.disk.go_on()
        self.assertEqual(self.paused, [True, False])
        self.assertEqual(self.done(file.finish())["bytes"], 2 * DROP_BUFFER)

    def test_what_breaks_off_leaves_nothing(self) -> None:
        """A page that was closed, a file that ends early, a disk that is full."""
        drop = self.done(self.drops.open("bob"))
        self.drops.file(drop, "a", None, self.paused.append).lost()
        early = self.drops.file(drop, "b", 10, self.paused.append)
        early.write(b"123")
        self.failureResultOf(Deferred.fromCoroutine(early.finish()), Usage)
        full = self.drops.file(drop, "c", None, self.paused.append)
        with mock.patch("p2pim.web.drops.free_bytes", return_value=0):
            full.write(b"123")
            self.assertRaises(NoSpace, self.drops.file, drop, "d", 5, self.paused.append)
        self.failureResultOf(Deferred.fromCoroutine(full.finish()), NoSpace)
        self.assertEqual(self.kept(drop), [])

    def test_what_is_cancelled_or_forgotten_is_removed(self) -> None:
        """After an hour without a file its page is gone."""
        drop = self.done(self.drops.open("bob"))
        self.put(drop, "a", b"1")
        self.done(self.drops.cancel(drop))
        self.assertFalse((self.folder / drop).exists())
        old = self.done(self.drops.open("bob"))
        self.clock.advance(DROP_IDLE + 1)
        self.done(self.drops.open("bob"))
        self.assertRaises(NoSuchDrop, self.drops.find, old)
        self.assertFalse((self.folder / old).exists())

    def test_drops_are_counted(self) -> None:
        """Those that are open."""
        for _ in range(DROPS):
            self.done(self.drops.open("bob"))
        self.failureResultOf(Deferred.fromCoroutine(self.drops.open("bob")), TooMany)
