"""Who is let in, and what other pages and names may do: nothing."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import LINK_TIME, LINKS, PAGE_SESSION_TIME, PAGE_SESSIONS
from p2pim.errors import LinkSpent
from p2pim.peer.home import write_private
from p2pim.web.guard import Guard, Links, Sessions, cookie_name, kept_in, loopback_hosts
from tests.web.visits import Reply, Visitor, small_site

JSON = {"content_type": "application/json"}


class Wall:
    """A time that a test sets."""

    now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


class GuardTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sessions = Sessions(Wall())
        self.guard = Guard(self.sessions, "p2pim-x", lambda: loopback_hosts("127.0.0.1", 8480))
        self.site = small_site(self.guard)
        self.cookie = f"p2pim-x={self.sessions.open()}"

    def ask(self, method: str, path: str, **headers: str) -> Reply:
        body = b"{}" if method == "POST" else b""
        return Visitor(self.site).ask(method, path, body, **{**JSON, **headers})

    def refused(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        reply = self.ask(method, path, **headers)
        return reply.status, reply.json["error"]

    def test_without_a_cookie_there_is_nothing(self) -> None:
        """Neither pages nor the API; what is open to all is."""
        for method, path in (("GET", "/"), ("POST", "/api/echo"), ("GET", "/api/data")):
            self.assertEqual(self.refused(method, path), (401, "not-entered"))
            self.assertEqual(self.refused(method, path, cookie="p2pim-x=" + "0" * 64), (401, "not-entered"))
            self.assertEqual(self.refused(method, path, cookie="p2pim-y" + self.cookie[7:]), (401, "not-entered"))
            self.assertEqual(self.ask(method, path, cookie=f"a=b; {self.cookie}").status, 200)
        self.assertEqual(self.ask("GET", "/open").status, 200)

    def test_another_name_is_refused_whoever_asks(self) -> None:
        """DNS rebinding: the attacker's name resolves to this machine, and the browser takes it for theirs."""
        for host in ("evil.example:8480", "127.0.0.1:8481", "127.0.0.1", "127.0.0.1.nip.io:8480", "", "[::1]:8480"):
            for path in ("/open", "/", "/api/data"):
                self.assertEqual(self.refused("GET", path, cookie=self.cookie, host=host), (403, "foreign-request"))
        self.assertEqual(self.ask("GET", "/", cookie=self.cookie, host="LOCALHOST:8480").status, 200)

    def test_two_names_at_once_are_refused(self) -> None:
        """And none: proxies would take one, we the other."""
        for head in ("Host: 127.0.0.1:8480\r\nHost: evil", "X: y"):
            visitor = Visitor(self.site)
            visitor.say(f"GET /open HTTP/1.1\r\n{head}\r\n\r\n".encode())
            self.assertIn(b" 403 ", visitor.transport.value())

    def test_another_page_is_refused_though_the_browser_sends_the_cookie(self) -> None:
        """Another site, another port of this machine, a sandboxed frame, a file: only our own origin may ask."""
        own = "http://127.0.0.1:8480"
        for origin in ("https://evil.example", "http://127.0.0.1:9000", "http://localhost:8480", "null", f"{own}0"):
            for method, path in (("POST", "/api/echo"), ("GET", "/api/data")):
                self.assertEqual(
                    self.refused(method, path, cookie=self.cookie, origin=origin), (403, "foreign-request"), origin
                )
        self.assertEqual(self.ask("POST", "/api/echo", cookie=self.cookie, origin=own).status, 200)

    def test_what_a_browser_says_of_the_asking_page_decides(self) -> None:
        """Also where it sends no Origin: pictures, scripts, frames."""
        for site in ("cross-site", "same-site", "none", "anything"):
            asked = self.refused("GET", "/api/data", cookie=self.cookie, sec_fetch_site=site)
            self.assertEqual(asked, (403, "foreign-request"))
        self.assertEqual(self.ask("GET", "/api/data", cookie=self.cookie, sec_fetch_site="same-origin").status, 200)
        self.assertEqual(self.ask("GET", "/", cookie=self.cookie, sec_fetch_site="none").status, 200)

    def test_the_cookie_is_for_the_browser_alone(self) -> None:
        """No script reads it, no other site sends it; over TLS it never goes without."""
        cookie = self.guard.set_cookie("t")
        for part in ("HttpOnly", "SameSite=Strict", "Path=/"):
            self.assertIn(part, cookie)
        self.assertNotIn("Secure", cookie)
        self.assertIn("; Secure", Guard(self.sessions, "c", None, secure=True).set_cookie("t"))
        self.assertNotEqual(cookie_name("chat", "one home"), cookie_name("chat", "another"))

    def test_hosts_of_ipv6(self) -> None:
        """In brackets."""
        self.assertEqual(loopback_hosts("::1", 5), {"[::1]:5", "localhost:5"})


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wall = Wall()
        self.path = Path(self.mktemp())

    def sessions(self) -> Sessions:
        load, save = kept_in(self.path, write_private)
        return Sessions(self.wall, load=load, save=save)

    def test_they_survive_a_restart_without_being_kept(self) -> None:
        """Only hashes are, in a file that nobody else reads."""
        token = self.sessions().open("anna")
        found = self.sessions().find(token)
        assert found is not None
        self.assertEqual(found.who, "anna")
        self.assertNotIn(token, self.path.read_text())
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_they_end_with_time_or_when_told(self) -> None:
        """One, those of somebody, or all."""
        sessions = self.sessions()
        one, two = sessions.open("anna"), sessions.open("ben")
        sessions.end_all("anna")
        self.assertEqual((sessions.find(one), sessions.find(two) is not None), (None, True))
        self.wall.now += PAGE_SESSION_TIME + 1
        self.assertIsNone(sessions.find(two))

    def test_a_damaged_file_lets_nobody_in(self) -> None:
        """And stops nothing."""
        token = self.sessions().open()
        self.path.write_text(json.dumps([{"digest": 1}]))
        self.assertIsNone(self.sessions().find(token))
        token = self.sessions().open()
        self.assertIsNotNone(self.sessions().find(token))

    def test_they_are_counted(self) -> None:
        """The first goes first."""
        sessions = self.sessions()
        tokens = [sessions.open() for _ in range(PAGE_SESSIONS + 1)]
        self.assertEqual([sessions.find(token) is None for token in tokens[:2]], [True, False])


class LinkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.links = Links(self.clock.seconds)
        self.sessions = Sessions(Wall())

    def test_a_link_lets_in_once(self) -> None:
        """Whoever comes second is refused, and since nobody knows who was meant to be the first, the first is out."""
        link = self.links.make()
        session = self.links.use(link, self.sessions)
        self.assertIsNotNone(self.sessions.find(session))
        self.assertRaises(LinkSpent, self.links.use, link, self.sessions)
        self.assertIsNone(self.sessions.find(session))

    def test_a_link_that_another_page_led_to_ends_nothing(self) -> None:
        """It may be the same person going back."""
        link = self.links.make()
        session = self.links.use(link, self.sessions)
        self.assertRaises(LinkSpent, self.links.use, link, self.sessions, suspicious=False)
        self.assertIsNotNone(self.sessions.find(session))

    def test_a_link_ends_with_time(self) -> None:
        """Also what was never one lets nobody in."""
        link = self.links.make()
        self.clock.advance(LINK_TIME + 1)
        for token in (link, "", "0" * 64, link[:-1]):
            self.assertRaises(LinkSpent, self.links.use, token, self.sessions)

    def test_links_are_counted(self) -> None:
        """The oldest goes first."""
        links = [self.links.make() for _ in range(LINKS + 1)]
        self.assertRaises(LinkSpent, self.links.use, links[0], self.sessions)
        self.links.use(links[1], self.sessions)
