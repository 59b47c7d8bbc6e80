"""How this peer behaves, for programs to see and to change."""

from __future__ import annotations

from typing import Any

from p2pim.peer.events import SettingsChanged
from p2pim.peer.home_account import HomeAccount
from p2pim.peer.kept_settings import Chosen
from p2pim.peer.states import PeerSettings

NEEDS_NEW_SESSION = ("channel", "connect", "p2p_server")
"""What every part of an account is made with: the account is opened anew, and signs in again."""


class SettingsCalls(HomeAccount):
    """The part of a peer that is about its settings."""

    def settings_now(self) -> dict[str, Any]:
        """All of them, and which are ``fixed`` by how this run was started."""
        return self.kept.as_json()

    async def choose_settings(self, chosen: Chosen) -> dict[str, Any]:
        """Change some, now and for further runs.

        :raises Usage: one of them is fixed, or makes no sense.
        """
        before = self.settings
        now = self.settings = self.kept.choose(chosen)
        if now != before:
            if any(getattr(now, name) != getattr(before, name) for name in NEEDS_NEW_SESSION):
                await self.reopen()
            else:
                self._apply(now)
            self._emit(SettingsChanged(at=self._wall(), settings=self.kept.as_json()))
        return self.kept.as_json()

    def _apply(self, now: PeerSettings) -> None:
        """What can be changed while everything goes on."""
        account = self._account
        if account is None:
            return
        account.transfers.acceptance.policy, account.transfers.acceptance.quota = now.accept, now.quota
        account.transfers.downloads = account.transfers.left.downloads = self.home.downloads(now.downloads)
        account.status.idle_after(now.away_after)
