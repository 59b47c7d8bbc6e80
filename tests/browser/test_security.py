"""Nobody but the person's own browser can use the page of an agent: tried from pages of others, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.browser.chromium import REBOUND, expect
from tests.browser.people import BrowserCase, Resident

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

# What a page of somebody else's may try with the address of an agent, and what it got to see: nothing, as null.
READ = """(url) => fetch(url + "/api/1", { credentials: "include" }).then((answer) => answer.text(), () => null)"""
READ_BLINDLY = """(url) => fetch(url + "/api/1", { credentials: "include", mode: "no-cors" })
  .then((answer) => answer.text(), () => null)"""
WRITE = """(url) => fetch(url + "/api/1/msg", { method: "POST", credentials: "include",
  headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user: "bob", text: "forged" }) })
  .then((answer) => answer.text(), () => null)"""
WRITE_BLINDLY = """(url) => fetch(url + "/api/1/msg", { method: "POST", credentials: "include", mode: "no-cors",
  headers: { "Content-Type": "text/plain" }, body: JSON.stringify({ user: "bob", text: "forged" }) })
  .then((answer) => answer.text(), () => null)"""
LISTEN = """(url) => new Promise((done) => {
  const events = new EventSource(url + "/api/1/events", { withCredentials: true });
  events.onmessage = (event) => done(event.data);
  events.onopen = () => done("open");
  events.onerror = () => { events.close(); done(null); };
})"""
EMBED = """(url) => new Promise((done) => {
  const image = new Image();
  image.onload = () => done("shown");
  image.onerror = () => done(null);
  image.src = url + "/favicon.ico";
})"""
RUN = """(url) => new Promise((done) => {
  const script = document.createElement("script");
  script.onload = () => done("run");
  script.onerror = () => done(null);
  script.src = url + "/api/1";
  document.body.append(script);
})"""
FORM = """(url) => {
  const form = document.createElement("form");
  form.method = "POST"; form.action = url + "/api/1/msg"; form.enctype = "text/plain";
  const field = document.createElement("input");
  field.name = '{"user":"bob","text":"forged","x":"'; field.value = '"}';
  form.append(field); document.body.append(form); form.submit();
}"""
PROVOKED = r"Opener-Policy|status of 4\d\d|CORS policy|ERR_BLOCKED|frame-ancestors|ERR_FAILED|MIME type|chrome-error"


class SecurityTests(BrowserCase):
    def foreign(self, context: BrowserContext, origin: str) -> Page:
        """A page at ``origin`` in somebody's browser."""
        page = context.new_page()
        page.route(f"{origin}/", lambda route: route.fulfill(body="<title>other</title>", content_type="text/html"))
        page.goto(f"{origin}/")
        return page

    def address(self, resident: Resident) -> str:
        parts = urlsplit(resident.link())
        return f"{parts.scheme}://{parts.netloc}"

    def written(self, resident: Resident) -> list[dict[str, Any]]:
        return resident.run("history", "bob").objects

    def test_a_page_of_another_program_on_this_machine_can_neither_read_nor_write(self) -> None:
        """It is of the same site for cookies, so the browser sends them along: the agent must refuse."""
        alice, _ = self.people("alice", "bob")
        self.watch.expect(PROVOKED)
        context = alice.open().page.context
        foreign, url = self.foreign(context, "http://127.0.0.1:18080"), self.address(alice)
        for attempt in (READ, WRITE, LISTEN, RUN, EMBED):
            self.assertIsNone(foreign.evaluate(attempt, url), attempt)
        for attempt in (READ_BLINDLY, WRITE_BLINDLY):
            self.assertIn(foreign.evaluate(attempt, url), ("", None), attempt)
        with foreign.expect_navigation():
            foreign.evaluate(FORM, url)
        self.assertNotIn("alice", foreign.content())
        self.assertEqual(self.written(alice), [])

    def test_a_page_of_the_web_can_neither_read_nor_write(self) -> None:
        """Not even by a form."""
        alice, _ = self.people("alice", "bob")
        self.watch.expect(PROVOKED)
        context = alice.open().page.context
        foreign, url = self.foreign(context, "http://evil.test"), self.address(alice)
        for attempt in (READ, WRITE, LISTEN, RUN, EMBED):
            self.assertIsNone(foreign.evaluate(attempt, url), attempt)
        foreign.evaluate(FORM, url)
        foreign.wait_for_load_state()
        self.assertEqual(self.written(alice), [])

    def test_the_page_is_shown_in_no_frame_of_another(self) -> None:
        """Nobody is led to press its buttons unseen."""
        (alice,) = self.people("alice")
        self.watch.expect(PROVOKED)
        context = alice.open().page.context
        foreign = self.foreign(context, "http://127.0.0.1:18080")
        foreign.evaluate(
            "(url) => new Promise((done) => { const frame = document.createElement('iframe'); frame.onload = done;"
            " frame.src = url; document.body.append(frame); })",
            self.address(alice),
        )
        self.assertEqual([frame.locator("#page").count() for frame in foreign.frames], [0, 0])

    def test_a_window_that_another_page_opens_is_out_of_its_reach(self) -> None:
        """It does not even learn whether it is open."""
        (alice,) = self.people("alice")
        context = alice.open().page.context
        foreign = self.foreign(context, "http://127.0.0.1:18080")
        with context.expect_page() as opened:
            foreign.evaluate("(url) => { window.other = window.open(url); }", self.address(alice))
        expect(opened.value.locator("#page")).to_be_visible()
        self.assertTrue(foreign.evaluate("() => window.other.closed"))
        self.assertIsNone(opened.value.evaluate("() => window.opener"))

    def test_a_name_of_somebody_else_s_that_leads_here_is_refused(self) -> None:
        """DNS rebinding: for the browser it is another origin, whose scripts could ask us everything."""
        (alice,) = self.people("alice")
        self.watch.expect(PROVOKED)
        page = alice.open().page.context.new_page()
        rebound = self.address(alice).replace("127.0.0.1", REBOUND)
        for path in ("/", "/api/1", "/enter/" + alice.link().rpartition("/")[2]):
            answer = page.goto(rebound + path)
            assert answer is not None
            self.assertEqual(answer.status, 403, path)
            self.assertEqual(page.locator("#page").count(), 0)

    def test_without_a_link_nothing_is_shown_but_how_to_get_one(self) -> None:
        """And with a wrong one as well."""
        (alice,) = self.people("alice")
        self.watch.expect(PROVOKED)
        page, url = self.context("stranger").new_page(), self.address(alice)
        for path in ("/", "/enter/" + 64 * "0"):
            page.goto(url + path)
            expect(page.get_by_test_id("error")).to_contain_text("p2pim web")
        self.assertIsNone(page.evaluate(LISTEN, url))

    def test_a_link_opens_the_page_once(self) -> None:
        """Whoever comes second is not let in. Nobody knows who was the thief: the first has to show a new link too."""
        (alice,) = self.people("alice")
        self.watch.expect(PROVOKED + "|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION")
        first, second = self.context("first").new_page(), self.context("second").new_page()
        link = alice.link()
        first.goto(link)
        expect(first.locator("#page")).to_be_visible()
        second.goto(link)
        expect(second.get_by_test_id("error")).to_have_attribute("data-code", "link-spent")
        first.goto(self.address(alice))
        expect(first.get_by_test_id("error")).to_have_attribute("data-code", "not-entered")

    def test_the_browser_stays_signed_in_when_the_agent_comes_back(self) -> None:
        """Its address and its session are kept in the home."""
        (alice,) = self.people("alice")
        self.watch.expect("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET")
        chat = alice.open()
        before = self.address(alice)
        alice.end()
        alice.up()
        self.assertEqual(self.address(alice), before)
        chat.page.goto(before)
        expect(chat.page.locator("#page")).to_be_visible()
