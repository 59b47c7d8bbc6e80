"""Two people talk by their pages."""

from __future__ import annotations

from tests.browser.chromium import expect
from tests.browser.people import BrowserCase

RELAYED = ("--channel", "none")


class TalkingTests(BrowserCase):
    def test_two_people_sign_in_by_their_links_and_talk_both_ways(self) -> None:
        """Each sees what the other wrote, by which way it came, and how far their own words have got."""
        alice, bob = self.people("alice", "bob")
        a, b = alice.open(), bob.open()
        a.open("bob")
        a.write("hello bob")
        expect(a.message("hello bob")).to_have_attribute("data-state", "delivered")
        expect(b.contact("alice")).to_have_attribute("data-unread", "1")
        b.open("alice")
        expect(b.message("hello bob")).to_be_visible()
        expect(b.contact("alice")).to_have_attribute("data-unread", "0")
        expect(a.message("hello bob")).to_have_attribute("data-state", "read")
        b.write("hello alice")
        expect(a.message("hello alice")).to_be_visible()
        expect(a.message("hello alice")).to_have_attribute("data-route", "tcp")
        expect(b.message("hello alice")).to_have_attribute("data-state", "read")

    def test_while_somebody_writes_the_other_sees_it(self) -> None:
        """And what is begun is still there after a look at another conversation."""
        alice, bob = self.people("alice", "bob")
        a, b = alice.open(), bob.open()
        a.open("bob")
        b.open("alice")
        a.by("composer").press_sequentially("I am just wri")
        expect(b.by("typing")).not_to_be_empty()
        a.page.reload()
        a.open("bob")
        expect(a.by("composer")).to_have_value("I am just wri")
        a.by("composer").press_sequentially("ting")
        a.by("composer").press("Enter")
        expect(b.message("I am just writing")).to_be_visible()
        expect(b.by("typing")).to_be_empty()

    def test_the_title_tells_the_route_and_changes_with_it(self) -> None:
        """Relayed and why; direct, by what and how fast."""
        (alice,) = self.people("alice")
        (bob,) = self.people("bob", options=RELAYED)
        alice.ask("add", user="bob")
        bob.ask("add", user="alice")
        a = alice.open()
        a.open("bob")
        a.write("by the server")
        expect(a.title).to_contain_text("bob — relayed: ")
        expect(a.message("by the server")).to_have_attribute("data-route", "relay")
        a.route.click()
        expect(a.by("reasons")).to_contain_text("TCP")
        a.page.keyboard.press("Escape")
        bob.end()
        bob.up()
        expect(a.contact("bob")).to_have_attribute("data-status", "online")
        a.route.click()
        a.by("route-try").click()
        expect(a.title).to_contain_text("bob — direct TCP 127.0.0.1:")
        expect(a.title).to_contain_text(" ms")
        a.write("straight to you")
        expect(a.message("straight to you")).to_have_attribute("data-route", "tcp")

    def test_the_server_goes_and_comes_back_and_what_was_written_meanwhile_arrives(self) -> None:
        """The page says so, and needs no reload."""
        alice, bob = self.people("alice", "bob", options=RELAYED)
        a, b = alice.open(), bob.open()
        a.open("bob")
        b.open("alice")
        a.write("before")
        expect(b.message("before")).to_be_visible()
        self.wait(self.stop_server())
        expect(a.by("banner")).to_have_attribute("data-state", "server")
        a.write("meanwhile")
        expect(a.message("meanwhile")).to_have_attribute("data-state", "waiting")
        self.wait(self.start_server_again())
        expect(b.message("meanwhile")).to_be_visible()
        expect(a.message("meanwhile")).to_have_attribute("data-state", "read")
        expect(a.by("banner")).to_be_hidden()
        b.write("afterwards")
        expect(a.message("afterwards")).to_be_visible()

    def test_the_agent_goes_and_comes_back_and_the_page_goes_on(self) -> None:
        """What came while it was away is shown, once."""
        self.watch.expect("ERR_(CONNECTION_REFUSED|INCOMPLETE_CHUNKED_ENCODING|CONNECTION_RESET|EMPTY_RESPONSE)")
        alice, bob = self.people("alice", "bob")
        a = alice.open()
        a.open("bob")
        alice.end()
        expect(a.by("banner")).to_have_attribute("data-state", "agent")
        bob.ask("msg", user="alice", text="are you there?")
        alice.up()
        expect(a.message("are you there?")).to_have_count(1)
        expect(a.by("banner")).to_be_hidden()

    def test_a_group_talks(self) -> None:
        """Made in the page; everybody sees who said what."""
        alice, bob, carol = self.people("alice", "bob", "carol")
        a, c = alice.open(), carol.open()
        a.by("new-conversation").click()
        a.by("new-group").click()
        a.by("group-name").fill("walkers")
        for name in ("bob", "carol"):
            a.by("group-dialog").get_by_label(name).check()
        a.by("group-create").click()
        a.write("who comes along?")
        c.open("#walkers")
        expect(c.message("who comes along?")).to_contain_text("alice")
        bob.until("message", text="who comes along?")
        bob.ask("msg", user="#walkers", text="me")
        expect(a.message("me").last).to_contain_text("bob")
        expect(c.message("me").last).to_contain_text("bob")

    def test_two_pages_of_one_person_show_the_same(self) -> None:
        """What is written in one, or by a command, is in the other; what is read in one is read."""
        alice, bob = self.people("alice", "bob")
        one, other = alice.open(), alice.open()
        one.open("bob")
        one.write("from the first page")
        expect(other.contact("bob")).to_contain_text("from the first page")
        alice.ask("msg", user="bob", text="by a command")
        expect(one.message("by a command")).to_be_visible()
        other.open("bob")
        expect(other.by("message")).to_have_count(2)
        bob.ask("msg", user="alice", text="an answer")
        expect(one.message("an answer")).to_have_count(1)
        expect(other.message("an answer")).to_have_count(1)
