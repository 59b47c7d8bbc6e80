"""The operator's page, as far as the server below has to do with it; what it is made of is another layer's business."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from p2pim.server.settings import ServerSettings

if TYPE_CHECKING:
    from p2pim.server.admin_socket import AdminDesk
    from p2pim.server.folder import DataFolder
    from p2pim.server.house import House


class IOperatorPage(Protocol):
    """A page, served from `open` to `close`."""

    @property
    def address(self) -> str | None:
        """Where it is, ``HOST:PORT``; None when it is switched off."""

    def open(self, settings: ServerSettings, port: int, certificate: tuple[Path, Path]) -> None:
        """Serve it.

        :param port: the server's TCP port.
        :param certificate: of the server, with its key.
        :raises P2pimError: it cannot be served as configured.
        """

    def use(self, settings: ServerSettings, port: int, certificate: tuple[Path, Path]) -> None:
        """The configuration or the certificate has changed. What cannot be had is logged, and it goes on as it was."""

    def make_link(self) -> str:
        """An address that lets one browser in, once.

        :raises Usage: the page is switched off.
        """

    def end_sessions(self) -> None:
        """Whoever was let in has to sign in anew."""

    async def close(self) -> None:
        """End it."""


MakePage = Callable[["House", "AdminDesk", "DataFolder"], IOperatorPage]
