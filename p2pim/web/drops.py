"""Files that a page hands over, kept in the home until what they are sent with is over.

A page cannot name files on the disk, so it sends their bytes: they are gathered in ``outgoing/ID/``, offered like any
other file, and removed when their transfer has ended for good.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from p2pim.core.filenames import numbered, safe_name
from p2pim.core.limits import DROP_BUFFER, DROP_DEPTH, DROP_IDLE, DROPS, FREE_SPACE_KEPT
from p2pim.core.transfer import State
from p2pim.errors import NoSpace, NoSuchDrop, P2pimError, TooMany, UnsafeName, Usage
from p2pim.peer.home import write_private
from p2pim.peer.transfer_context import Lane, Threads
from p2pim.peer.transfer_files import explained, free_bytes
from p2pim.web.kept_pictures import is_kept, keep_or_remove

LONGEST_NAME = 255
TAKEN = 1_000


class Drop:
    """One collection: its folder, for whom it is, and since when nothing came."""

    def __init__(self, folder: Path, user: str, now: float) -> None:
        self.folder = folder
        self.user = user
        self.used = now
        self.filling = 0
        """Files that are being written."""

    @property
    def files(self) -> Path:
        """What the page handed over, under its own names."""
        return self.folder / "files"


class Drops:
    """All of them, under ``folder``.

    :param clock: seconds. :param threads: runs what blocks.
    """

    log = Logger()

    def __init__(self, clock: Any, folder: Path, threads: Threads, random_bytes: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._folder = folder
        self._threads = threads
        self._random = random_bytes
        self._open: dict[str, Drop] = {}
        self._sent: dict[str, set[str]] = {}
        """The transfers that have yet to end, by drop."""

    # --- life

    async def start(self, unfinished: Iterable[str]) -> None:
        """Take up what an earlier run left: drops of transfers that are ``unfinished`` stay, others are removed."""
        alive = set(unfinished)
        for name, transfers in (await self._threads(partial(_left, self._folder))).items():
            if alive & transfers:
                self._sent[name] = alive & transfers
            elif not is_kept(self._folder / name):
                await self._threads(partial(_remove, self._folder / name))

    def ended(self, transfer: str, *, arrived: bool = False) -> None:
        """A transfer has ended for good; ``arrived``: all of it is there."""
        for name, transfers in list(self._sent.items()):
            transfers.discard(transfer)
            if not transfers:
                del self._sent[name]
                self._remove_soon(self._folder / name, keep_or_remove if arrived else _remove)

    # --- filling one

    async def open(self, user: str) -> str:
        """A new drop for ``user``: its id.

        :raises TooMany: too many are open.
        """
        now = self._clock.seconds()
        for name, drop in list(self._open.items()):
            if now - drop.used > DROP_IDLE and not drop.filling:
                await self.cancel(name)
        if len(self._open) >= DROPS:
            raise TooMany("Too many files are being prepared at once; send or cancel some first.")
        name = self._random(16).hex()
        drop = Drop(self._folder / name, user, now)
        await self._threads(partial(_make, drop))
        self._open[name] = drop
        return name

    def find(self, name: str) -> Drop:
        """The drop that is open under this id.

        :raises NoSuchDrop: there is none.
        """
        if name not in self._open:
            raise NoSuchDrop
        return self._open[name]

    def file(
        self, name: str, path: str, length: int | None, pause: Callable[[bool], None], modified: int | None = None
    ) -> DropFile:
        """Where the bytes of one more file go.

        :param path: its path within what was dropped; one that ends with ``/`` is a folder's, and has no bytes.
        :param modified: when it was, in milliseconds since 1970.
        :param length: in bytes; None: not known.
        :param pause: told True while there is no room for more, and False when there is again.
        :raises NoSuchDrop: (or `UnsafeName`, `NoSpace`) it cannot be taken.
        """
        drop, parts = self.find(name), checked_parts(path.removesuffix("/"))
        if length is not None and length + FREE_SPACE_KEPT > free_bytes(str(drop.files)):
            raise NoSpace("There is not enough free space on this machine to keep the file until it has been sent.")
        drop.used = self._clock.seconds()
        file = DropFile(drop, parts, length, Lane(self._threads), pause, self._clock)
        file.begin(folder=path.endswith("/"), modified=modified)
        return file

    async def cancel(self, name: str) -> None:
        """Throw away what was gathered.

        :raises NoSuchDrop: there is none.
        """
        drop = self.find(name)
        del self._open[name]
        await self._threads(partial(_remove, drop.folder))

    # --- sending it

    async def send(self, name: str, called: str, offer: Callable[[str, Path], Any]) -> list[str]:
        """Offer what was gathered: one file as a file, one folder as a folder, and several as a folder named
        ``called``. Gives the transfers' ids.

        :param offer: makes a transfer of a path for a user.
        :raises Usage: nothing was gathered, or not all of it is there yet.
        """
        drop = self.find(name)
        if drop.filling:
            raise Usage("Some files have not arrived completely; wait for them, or cancel.")
        path = await self._threads(partial(_gathered, drop.files, called))
        transfer = await offer(drop.user, path)
        del self._open[name]
        self._sent[name] = {transfer.id}
        await self._threads(partial(write_private, drop.folder / "sent.json", json.dumps([transfer.id]).encode()))
        if transfer.ended:
            self.ended(transfer.id, arrived=transfer.status().state == State.COMPLETED)
        return [transfer.id]

    def _remove_soon(self, path: Path, remove: Callable[[Path], None]) -> None:
        done = self._threads(partial(remove, path))
        done.addErrback(lambda failure: self.log.failure("what was sent could not be removed", failure))


class DropFile:
    """One file, as it comes; a `p2pim.web.http.Sink`."""

    log = Logger()

    def __init__(
        self, drop: Drop, parts: list[str], length: int | None, lane: Lane, pause: Callable[[bool], None], clock: Any
    ) -> None:
        self._drop = drop
        self._parts = parts
        self._length = length
        self._lane = lane
        self._pause = pause
        self._clock = clock
        self._waiting = 0
        self._bytes = 0
        self._paused = False
        self._failure: BaseException | None = None
        self._handle = -1
        self._over = False
        self._modified: int | None = None
        self.path = ""
        """Where it is, within what was dropped; numbered when the name was taken."""
        drop.filling += 1

    def begin(self, *, folder: bool, modified: int | None) -> None:
        """Make it; a ``folder`` is all there then."""
        self._modified = modified
        self._do(self._create_folder if folder else self._create)

    def write(self, data: bytes) -> None:
        """More of it.

        :raises P2pimError: the disk did not take what came before.
        """
        if self._failure is not None:
            raise self._failure
        self._bytes += len(data)
        self._waiting += len(data)
        self._do(partial(self._append, data)).addCallback(self._appended, len(data))
        if self._waiting > DROP_BUFFER and not self._paused:
            self._paused = True
            self._pause(True)

    async def finish(self) -> dict[str, Any]:
        """All of it came: what was kept, once it is on its way to the disk.

        :raises P2pimError: it could not be kept.
        """
        await self._do(lambda: None)
        failure = self._failure
        if failure is None and self._length not in (None, self._bytes):
            failure = Usage("The file ended early.")
        self._end(keep=failure is None)
        if failure is not None:
            raise failure
        return {"path": self.path, "bytes": self._bytes}

    def lost(self) -> None:
        """The rest will not come: forget it."""
        self._end(keep=False)

    def _end(self, *, keep: bool) -> None:
        if not self._over:
            self._over = True
            self._drop.filling -= 1
            self._drop.used = self._clock.seconds()
            self._lane.run(partial(self._close, keep)).addErrback(
                lambda failure: self.log.failure("a file could not be closed", failure)
            )

    def _do(self, job: Callable[[], None]) -> Deferred[None]:
        done = self._lane.run(partial(self._guarded, job))
        done.addErrback(lambda failure: self.log.failure("keeping a file broke", failure))
        return done

    def _appended(self, _: object, size: int) -> None:
        self._waiting -= size
        if self._paused and self._waiting <= DROP_BUFFER // 4:
            self._paused = False
            self._pause(False)

    # --- in a thread

    def _guarded(self, job: Callable[[], None]) -> None:
        """Once something went wrong nothing more is done."""
        if self._failure is not None:
            return
        try:
            job()
        except OSError as error:
            self._failure = explained(error)
        except P2pimError as error:
            self._failure = error

    def _create(self) -> None:
        folder = self._drop.files.joinpath(*self._parts[:-1])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(TAKEN):
            name = numbered(self._parts[-1], number)
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._handle = os.open(folder / name, flags, 0o600)
            except FileExistsError:
                continue
            self.path = "/".join([*self._parts[:-1], name])
            return
        raise UnsafeName("Too many files have this name.")

    def _create_folder(self) -> None:
        self._drop.files.joinpath(*self._parts).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = "/".join(self._parts)

    def _append(self, data: bytes) -> None:
        if self._handle < 0:
            raise Usage("A folder has no bytes of its own.")
        if self._length is None and free_bytes(self._handle) < FREE_SPACE_KEPT:
            raise NoSpace("There is not enough free space on this machine to keep the file until it has been sent.")
        left = memoryview(data)
        while left:
            left = left[os.write(self._handle, left) :]

    def _close(self, keep: bool) -> None:
        handle, self._handle = self._handle, -1
        if handle < 0:
            return
        if keep and self._modified is not None:
            with contextlib.suppress(OSError, OverflowError):
                os.utime(handle, ns=(self._modified * 1_000_000,) * 2)
        os.close(handle)
        if not keep:
            self._drop.files.joinpath(self.path).unlink(missing_ok=True)


def checked_parts(path: str) -> list[str]:
    """The names in ``path``, each of which stays where it is put.

    :raises UnsafeName: one of them leads elsewhere, or can be no name.
    """
    parts = path.split("/")
    if len(parts) > DROP_DEPTH:
        raise UnsafeName("The folders are too deep.")
    for part in parts:
        wrong = part in ("", ".", "..") or "\0" in part or len(part.encode("utf-8", "replace")) > LONGEST_NAME
        if wrong or any("\ud800" <= character <= "\udfff" for character in part):
            raise UnsafeName(f"{part[:80]!r} can be no file's name here.")
    return parts


def _gathered(files: Path, called: str) -> Path:
    """What is to be sent of ``files``."""
    names = sorted(os.listdir(files))
    if not names:
        raise Usage("Nothing was dropped.")
    if len(names) == 1:
        return files / names[0]
    folder = files.with_name(safe_name(called or f"{names[0]} +{len(names) - 1}"))
    if folder.name in ("files", "sent.json"):
        return files
    files.rename(folder)
    return folder


def _left(folder: Path) -> dict[str, set[str]]:
    """The drops that are there, with their transfers."""
    if not folder.is_dir():
        return {}
    found = {}
    for each in folder.iterdir():
        try:
            found[each.name] = set(map(str, json.loads((each / "sent.json").read_bytes())))
        except (OSError, ValueError, TypeError):
            found[each.name] = set()
    return found


def _make(drop: Drop) -> None:
    """Its folders, for their owner alone."""
    for folder in (drop.folder.parent, drop.folder, drop.files):
        folder.mkdir(mode=0o700, exist_ok=True)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
