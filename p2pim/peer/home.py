"""A home directory: who is signed in on this device, and that only one process uses it.

Mode 0700, and in it: ``credentials.json`` (0600; account, server, its pin, the device and its token), ``agent.lock``
(held by whoever uses the home), ``agent.sock`` (the agent's control socket), ``home.db`` (outbox, history, transfers,
keys and sessions), ``pickle.key`` (0600; encrypts the keys and sessions), ``log.txt`` (the readable log) and
``ready.json`` while an agent is ready. The password is nowhere in it.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from platformdirs import user_downloads_path

from p2pim.errors import HomeLocked, StorageError
from p2pim.storage.locks import take_lock

DEVICE_BYTES = 16
PICKLE_KEY_BYTES = 32


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What ``credentials.json`` keeps. ``token`` is empty when nobody is signed in."""

    device: str
    device_name: str
    user: str = ""
    server: str = ""
    fingerprint: str = ""
    pinned: bool = False
    """Whether the server is known by its fingerprint, rather than by an authority that vouches for it."""
    ca_file: str = ""
    token: str = ""
    status: str = "online"
    """What the person chose to be: "online", "away", "busy" or "invisible"."""
    guests: bool = False
    """Whether the person wishes to meet guests of the server's classic gateway."""

    def __repr__(self) -> str:
        return f"<Credentials of {self.user or 'nobody'} at {self.server or 'no server'}>"


def write_private(path: Path, data: bytes) -> None:
    """Replace the file at ``path`` as a whole, readable by its owner alone: after a crash it is the old or the new."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


@dataclass
class Home:
    """The directory at ``path``; made when it is not there. `lock` it before using anything in it.

    :param random_bytes: where a new device's id comes from.
    """

    path: Path
    random_bytes: Callable[[int], bytes] = os.urandom
    _lock: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.path = Path(self.path).expanduser().absolute()

    @property
    def database(self) -> Path:
        """Outbox, history and transfers."""
        return self.path / "home.db"

    @property
    def socket(self) -> Path:
        """The agent's control socket."""
        return self.path / "agent.sock"

    @property
    def log(self) -> Path:
        """The readable log."""
        return self.path / "log.txt"

    @property
    def ready(self) -> Path:
        """What an agent says of itself while it is ready."""
        return self.path / "ready.json"

    def downloads(self, chosen: Path | None) -> Path:
        """Where accepted files go: as chosen, else the platform's usual folder, else one in the home."""
        if chosen is not None:
            return chosen.expanduser()
        usual = user_downloads_path()
        return usual if usual.is_dir() else self.path / "downloads"

    def make(self) -> None:
        """Make the directory, for its owner alone.

        :raises StorageError: it cannot be made or is a file.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise StorageError(f"The home {self.path} cannot be used: {error.strerror}.") from None

    def lock(self) -> None:
        """Take the home for this process; a process that dies lets go of it.

        :raises HomeLocked: another process holds it.
        :raises StorageError: the directory cannot be used.
        """
        if self._lock is not None:
            return
        self.make()
        try:
            descriptor = take_lock(self.path / "agent.lock")
        except OSError as error:
            raise StorageError(f"The home {self.path} cannot be used: {error.strerror}.") from None
        if descriptor is None:
            raise HomeLocked(f"Another p2pim is using {self.path}; stop it first, or choose another --home.")
        self._lock = descriptor

    def unlock(self) -> None:
        """Let others use the home."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def credentials(self) -> Credentials:
        """Who is signed in here; a new device, with nobody, on first use.

        :raises StorageError: the file is there and cannot be read as credentials.
        """
        try:
            return msgspec.json.decode((self.path / "credentials.json").read_bytes(), type=Credentials)
        except FileNotFoundError:
            return self._new_device()
        except (OSError, msgspec.MsgspecError) as error:
            raise StorageError(f"{self.path / 'credentials.json'} cannot be read: {error}") from None

    def _new_device(self) -> Credentials:
        credentials = Credentials(device=self.random_bytes(DEVICE_BYTES).hex(), device_name=socket.gethostname()[:128])
        self.save(credentials)
        return credentials

    def save(self, credentials: Credentials) -> None:
        """Keep these from now on."""
        self.make()
        _write(self.path / "credentials.json", msgspec.json.format(msgspec.json.encode(credentials)))

    def forget(self) -> None:
        """Nobody is signed in any more; the device, its account and the server's pin are remembered."""
        self.save(msgspec.structs.replace(self.credentials(), token=""))

    def pickle_key(self) -> bytes:
        """The 32 bytes that encrypt this device's keys in ``home.db``; made on first use.

        :raises StorageError: the file is there and is no such key, or cannot be written.
        """
        path = self.path / "pickle.key"
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = self.random_bytes(PICKLE_KEY_BYTES)
            _write(path, key)
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}.") from None
        if len(key) != PICKLE_KEY_BYTES:
            raise StorageError(f"{path} is damaged; restore it from the backup from which home.db is.")
        return key

    def take_database(self, account: str) -> None:
        """Have ``home.db`` be that of ``account`` (a user's name), putting another account's aside."""
        marker = self.path / "account"
        owner = marker.read_text().strip() if marker.exists() else ""
        if owner not in ("", account):
            _move_database(self.database, self.database.with_name(f"home.db.{_file_part(owner)}"))
            _move_database(self.database.with_name(f"home.db.{_file_part(account)}"), self.database)
        if owner != account:
            _write(marker, account.encode())

    def write_ready(self, facts: dict[str, Any]) -> None:
        """Tell other programs that an agent is ready."""
        _write(self.ready, json.dumps(facts).encode() + b"\n")


def _write(path: Path, data: bytes) -> None:
    try:
        write_private(path, data)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from None


def _file_part(account: str) -> str:
    return "".join(c if c.isalnum() or c in "@._-" else "_" for c in account)


def _move_database(old: Path, new: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        part = old.with_name(old.name + suffix)
        if part.exists():
            part.rename(new.with_name(new.name + suffix))
