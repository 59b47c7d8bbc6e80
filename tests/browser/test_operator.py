"""The operator's page in a browser: what it shows while people talk, what it does, and what it never does."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from playwright.sync_api import expect

from p2pim.cli.processes import read_ready
from tests.browser.people import BrowserCase

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

MANY = 10_000


class OperatorCase(BrowserCase):
    def address(self) -> str:
        """Where the page is."""
        ready = read_ready(self.town.data)
        assert ready is not None
        return f"http://{ready['web']}"

    def open(self, **options: Any) -> Page:
        """The page, in the operator's own browser, once it shows something."""
        page = self.context("operator", **options).new_page()
        self.show(page)
        return page

    def show(self, page: Page) -> None:
        """Go to the page."""
        page.goto(self.address())
        page.locator("body[data-ready=true]").wait_for()

    def row(self, page: Page, user: str) -> Locator:
        """The row of somebody."""
        return page.locator(f'[data-testid="row"][data-user="{user}"]')

    def cell(self, page: Page, user: str, column: str) -> Locator:
        """What stands in it."""
        return self.row(page, user).locator(f'[data-col="{column}"]')

    def users(self, page: Page) -> list[str]:
        """Who is shown, from top to bottom."""
        names: list[str] = page.get_by_test_id("row").evaluate_all("(rows) => rows.map((row) => row.dataset.user)")
        return names


class LiveTests(OperatorCase):
    def test_relayed_messages_are_counted_and_direct_ones_are_not(self) -> None:
        """One upload and one download more for each that goes through the server, as it happens."""
        alice, _ = self.people("alice", "bob")
        page = self.open()
        expect(self.cell(page, "alice", "uploads")).to_have_text("0")
        alice.run("msg", "bob", "one", "--route", "relay")
        expect(self.cell(page, "alice", "uploads")).to_have_text("1")
        expect(self.cell(page, "bob", "downloads")).to_have_text("1")
        expect(self.cell(page, "bob", "lastDown")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
        alice.run("connect", "bob")
        for text in ("two", "three"):
            alice.run("msg", "bob", text, "--route", "direct")
        alice.run("msg", "bob", "four", "--route", "relay")
        expect(self.cell(page, "alice", "uploads")).to_have_text("2")
        expect(self.cell(page, "bob", "downloads")).to_have_text("2")
        expect(page.get_by_test_id("figure-messages")).to_have_text("2")
        alice.end()  # an agent that ends in order tells what it has sent directly
        expect(page.get_by_test_id("figure-share")).to_contain_text("%")
        expect(page.locator(".tile.messages .hint")).to_have_text(re.compile(r"^[1-9]"))

    def test_nothing_moves_while_somebody_reads(self) -> None:
        """Who comes stands at the end, who goes stays, until the pointer leaves the table."""
        bob, mallory = self.people("bob", "mallory", contacts=False)
        page = self.open()
        expect(self.row(page, "mallory")).to_be_visible()
        self.row(page, "bob").hover()
        self.people("alice", contacts=False)
        expect(page.get_by_test_id("order-anew")).to_be_visible()
        self.assertEqual(self.users(page), ["bob", "mallory", "alice"])
        bob.end()
        expect(self.row(page, "bob")).to_have_class(re.compile("gone"))
        self.assertEqual(self.users(page), ["bob", "mallory", "alice"])
        page.mouse.move(0, 0)
        expect(page.get_by_test_id("order-anew")).to_be_hidden()
        expect(page.get_by_test_id("count")).to_have_text("2")
        self.assertEqual(self.users(page), ["alice", "mallory"])
        mallory.end()
        expect(page.get_by_test_id("count")).to_have_text("1")

    def test_refusals_are_seen_as_they_happen(self) -> None:
        """Name and reason, as text whatever it is."""
        (alice,) = self.people("alice")
        page = self.open()
        hostile = "<img src=x onerror=alert(1)>"
        for name in ("mallory", hostile):
            environment = {"P2PIM_PASSWORD": "wrong"}
            login = self.town.run(
                "--home", str(self.town.folder / "m"), "login", f"{name}@{self.town.address}", "--fingerprint",
                self.town.fingerprint, environment=environment,
            )  # fmt: skip
            self.wait(login)
        refusal = page.get_by_test_id("refusal").filter(has_text="mallory")
        expect(refusal).to_contain_text("unknown user")
        self.assertEqual(page.locator("#refusals img").count(), 0)
        alice.end()


class ActionTests(OperatorCase):
    def test_people_are_signed_out_switched_off_and_on_and_invited(self) -> None:
        """Each after it was confirmed, with what came of it told; by the keyboard alone."""
        alice, bob = self.people("alice", "bob", contacts=False)
        page = self.open()
        self.row(page, "bob").get_by_test_id("more").press("Enter")
        page.get_by_test_id("kick").press("Enter")
        expect(page.get_by_test_id("confirm")).to_be_visible()
        page.keyboard.press("Escape")
        expect(self.row(page, "bob")).to_be_visible()
        self.row(page, "bob").get_by_test_id("more").click()
        page.get_by_test_id("kick").click()
        page.get_by_test_id("confirm-yes").click()
        bob.until("signed-out", reason="kicked")
        expect(page.locator(".toast")).to_contain_text("bob")
        self.row(page, "alice").get_by_test_id("more").click()
        page.get_by_test_id("disable").click()
        page.get_by_test_id("confirm-yes").click()
        alice.until("signed-out")
        enable = page.locator('[data-testid="enable"][data-user="alice"]')
        enable.click()
        expect(enable).to_have_count(0)
        page.get_by_test_id("invite").click()
        page.get_by_test_id("invite-make").click()
        expect(page.get_by_test_id("invitation")).to_have_text(re.compile(r"^\S{16,}$"))


class EntryTests(OperatorCase):
    def test_a_link_lets_one_browser_in_and_a_proxy_none(self) -> None:
        """Whoever comes by a proxy meets the sign-in; whoever comes second finds the link used."""
        stranger = self.context("stranger", extra_http_headers={"X-Forwarded-For": "192.0.2.1"}).new_page()
        stranger.goto(self.address())
        expect(stranger.get_by_test_id("sign-in")).to_be_visible()
        result = self.wait(self.town.run("--json", "admin", "--data", str(self.town.data), "web", "--no-open"))
        stranger.goto(result.object["url"])
        stranger.locator("body[data-ready=true]").wait_for()
        self.assertEqual(urlsplit(stranger.url).path, "/")

    def test_a_password_lets_in(self) -> None:
        """The operator's, and no other."""
        self.wait(self.town.run("admin", "--data", str(self.town.data), "operator-password"))
        page = self.context("elsewhere", extra_http_headers={"X-Forwarded-For": "192.0.2.1"}).new_page()
        page.goto(self.address())
        page.locator("#password").fill("correct horse")  # the town's people have no other
        page.get_by_test_id("sign-in-button").click()
        page.locator("body[data-ready=true]").wait_for()


class ManyTests(OperatorCase):
    def crowd(self, route: Route) -> None:
        """Give the page a table of ten thousand."""
        told = route.fetch().json()
        told["rows"] = [
            [f"user{number:05}", f"{number:032x}", "phone", "online", f"192.0.2.{number % 250}:4000", 1.7e9,
             number % 97, 1.7e9 + number, number % 89, None]
            for number in range(MANY)
        ]  # fmt: skip
        route.fulfill(body=json.dumps(told), content_type="application/json")

    def test_ten_thousand_rows_are_no_strain(self) -> None:
        """Only those in sight exist; all can be reached, ordered and found; a reader of the screen knows how many."""
        page = self.context("operator").new_page()
        page.route("**/api/1/table", self.crowd)
        self.show(page)
        table = page.locator("table.people")
        expect(table).to_have_attribute("aria-rowcount", str(MANY + 1))
        self.assertLess(page.get_by_test_id("row").count(), 60)
        page.locator("#table").press("End")
        expect(self.row(page, "user09999")).to_be_visible()
        self.assertLess(page.get_by_test_id("row").count(), 60)
        page.get_by_test_id("sort-uploads").click()
        expect(page.get_by_role("columnheader", name="Uploads")).to_have_attribute("aria-sort", "descending")
        expect(self.cell(page, "user00096", "uploads")).to_have_text("96")
        page.get_by_test_id("filter").fill("user0123 192.0.2.234:")
        expect(page.get_by_test_id("count")).to_have_text(re.compile("^1 of 10,000$"))
        self.assertEqual(self.users(page), ["user01234"])
