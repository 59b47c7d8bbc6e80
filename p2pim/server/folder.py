"""The data folder: what lies where, who may read it, and that one server alone uses it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from p2pim.errors import StorageError
from p2pim.storage.locks import take_lock

_LONGEST_SOCKET = 100
"""Bytes in a Unix socket's path: the kernel takes 107."""


class DataFolder:
    """The server's files under ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.database = self.path / "server.db"
        self.certificate = self.path / "certificate.pem"
        self.key = self.path / "key.pem"
        self.ready = self.path / "ready.json"
        self.socket = self.path / "admin.sock"
        self.files = self.path / "files"
        self.page_sessions = self.path / "web-sessions.json"
        self._lock: int | None = None
        self._socket_folder: int | None = None

    def make(self) -> None:
        """Make the folder, for its owner alone.

        :raises StorageError: it cannot be made.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise StorageError(f"The data folder {self.path} cannot be used: {error.strerror}.") from error

    def lock(self) -> None:
        """Take the folder for this process.

        :raises StorageError: a server or an operator's command is using it.
        """
        try:
            descriptor = take_lock(self.path / "server.lock")
        except OSError as error:
            raise StorageError(f"The data folder {self.path} cannot be used: {error.strerror}.") from error
        if descriptor is None:
            raise StorageError(f"Another p2pim-server is using {self.path}; stop it first.")
        self._lock = descriptor

    def unlock(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._socket_folder is not None:
            os.close(self._socket_folder)
            self._socket_folder = None

    def socket_address(self) -> str:
        """A name of the operator's socket that is short enough for the kernel, however deep the folder lies."""
        if len(os.fsencode(self.socket)) <= _LONGEST_SOCKET:
            return str(self.socket)
        if self._socket_folder is None:
            self._socket_folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._socket_folder}/{self.socket.name}"

    @staticmethod
    def write_private(path: Path, content: bytes) -> None:
        """Write a file that only its owner reads, all at once."""
        aside = path.with_name(path.name + ".new")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        aside.replace(path)

    def write_ready(self, content: Mapping[str, object]) -> None:
        """Say to whoever waits that the server is ready, and where; all at once."""
        aside = self.ready.with_name("ready.json.new")
        aside.write_text(json.dumps(content) + "\n", encoding="utf-8")
        aside.replace(self.ready)

    def remove_ready(self) -> None:
        """The server is not ready (any more)."""
        self.ready.unlink(missing_ok=True)
