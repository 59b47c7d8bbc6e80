"""What pages hand over: empty folders, times, and pictures that stay to be looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import UnsafeName, Usage
from p2pim.web import kept_pictures
from p2pim.web.drops import Drops

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class FakeTransfer:
    """One that is under way."""

    id = "ab" * 16
    ended = False


def at_once(job: Callable[[], Any]) -> Deferred[Any]:
    """A disk that blocks nobody."""
    return execute(job)


class DroppedTests(SynchronousTestCase):
    """By `Drops`, as the page's calls come."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.drops = self.new_run()

    def new_run(self) -> Drops:
        return Drops(Clock(), self.folder, at_once, os.urandom)

    def drop(self) -> str:
        name: str = self.successResultOf(Deferred.fromCoroutine(self.drops.open("bob")))
        return name

    def put(self, drop: str, path: str, data: bytes = b"", modified: int | None = None) -> dict[str, Any]:
        file = self.drops.file(drop, path, len(data), lambda on: None, modified)
        if data:
            file.write(data)
        kept: dict[str, Any] = self.successResultOf(Deferred.fromCoroutine(file.finish()))
        return kept

    def send(self, drop: str) -> Path:
        """Where what is sent is."""
        found: list[Path] = []

        async def offer(user: str, path: Path) -> Any:
            found.append(path)
            return FakeTransfer()

        self.successResultOf(Deferred.fromCoroutine(self.drops.send(drop, "", offer)))
        return found[0]

    def test_an_empty_folder_is_sent_as_one(self) -> None:
        """Alone or between files; and a folder has no bytes."""
        drop = self.drop()
        self.assertEqual(self.put(drop, "trip/empty/")["path"], "trip/empty")
        self.put(drop, "trip/a.txt", b"a")
        self.put(drop, "trip/empty/")
        folder = self.drops.file(drop, "trip/more/", 1, lambda on: None)
        folder.write(b"x")
        self.failureResultOf(Deferred.fromCoroutine(folder.finish()), Usage)
        with self.assertRaises(UnsafeName):
            self.drops.file(drop, "trip/../up/", 0, lambda on: None)
        found = self.send(drop)
        self.assertEqual(sorted(os.listdir(found)), ["a.txt", "empty", "more"])

    def test_a_file_keeps_its_time(self) -> None:
        """As its owner's browser tells it; nonsense is passed over."""
        drop = self.drop()
        self.put(drop, "a", b"a", 1_500_000_000_123)
        self.put(drop, "b", b"b", 10**15 - 1)
        path = self.drops.find(drop).files / "a"
        self.assertEqual(path.stat().st_mtime_ns, 1_500_000_000_123_000_000)

    def test_a_picture_stays_after_it_has_arrived(self) -> None:
        """Also after a restart; anything else, and what did not arrive, goes."""
        for content, arrived, stays in ((PNG, True, True), (PNG, False, False), (b"%PDF" + bytes(100), True, False)):
            drop = self.drop()
            self.put(drop, "p.png", content)
            path = self.send(drop)
            self.drops.ended(FakeTransfer.id, arrived=arrived)
            self.assertEqual(path.exists(), stays)
            self.successResultOf(Deferred.fromCoroutine(self.new_run().start([])))
            self.assertEqual(path.exists(), stays)

    def test_kept_pictures_are_bounded(self) -> None:
        """The oldest goes first, and a large one is not kept at all."""
        sent = []
        with mock.patch.object(kept_pictures, "PICTURES_KEPT", 2 * len(PNG)):
            for number in range(3):
                drop = self.drop()
                self.put(drop, "p.png", PNG)
                sent.append(self.send(drop))
                os.utime(sent[-1].parent.parent, (number, number))
                self.drops.ended(FakeTransfer.id, arrived=True)
                os.utime(sent[-1].parent.parent, (number, number))
        self.assertEqual([path.exists() for path in sent], [False, True, True])
        with mock.patch.object(kept_pictures, "PICTURE_KEPT", 10):
            drop = self.drop()
            self.put(drop, "p.png", PNG)
            path = self.send(drop)
            self.drops.ended(FakeTransfer.id, arrived=True)
        self.assertFalse(path.exists())
