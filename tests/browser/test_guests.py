"""Guests of the classic gateway on the chat page: never to be mistaken for users."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred

from p2pim.cli.processes import read_ready
from tests.browser.chromium import expect
from tests.browser.people import BrowserCase
from tests.integration.classic_client import MinimalClient


class GuestTests(BrowserCase):
    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits for it
        config = Path("guests.toml").absolute()
        config.write_text('[classic]\nport = 0\ninterface = "loopback"\nguests = "together"\n')
        self.server_options = ("--config", str(config))
        return super().setUp()

    def guest(self, name: str) -> MinimalClient:
        """A client that knows nothing of p2pim, logged in."""
        ready = read_ready(self.town.data)
        assert ready is not None
        host, _, port = ready["classic"].rpartition(":")
        client = MinimalClient((host, int(port)), name)
        self.addCleanup(client.close)
        client.log_in()
        return client

    def test_a_guest_is_marked_wherever_one_might_be_mistaken_for_a_user(self) -> None:
        """In the list, above the conversation, in its facts; nothing is offered that needs keys or a channel."""
        (alice,) = self.people("alice")
        a = alice.open()
        a.by("open-settings").click()
        a.page.get_by_role("tab", name="Presence").or_(a.page.get_by_role("button", name="Presence")).first.click()
        a.by("setting-guests").check()
        alice.until("presence", user=self.guest("ann").name + "@classic", status="online")
        a.page.keyboard.press("Escape")
        row = a.contact("ann@classic")
        expect(row.get_by_test_id("guest")).to_be_visible()
        row.click()
        expect(a.route).to_have_text("guest, not encrypted")
        expect(a.by("bar", about="guest")).to_contain_text("not encrypted")
        expect(a.by("attach")).to_be_hidden()
        expect(a.by("open-verify")).to_be_hidden()
        a.write("in plain text")
        expect(a.message("in plain text")).to_have_attribute("data-route", "classic")
        a.route.click()
        expect(a.by("route-details")).to_contain_text("in plain text")
