"""Who may see the operator's page, and who may not."""

from __future__ import annotations

from pathlib import Path

from p2pim.core.limits import SIGN_IN_TRIES
from p2pim.errors import BadConfig
from p2pim.server.settings import WebSection
from tests.web.operator_case import PORT, Browser, OperatorCase


class LocalTests(OperatorCase):
    def setUp(self) -> None:
        super().setUp()
        self.serve()

    def test_the_operators_own_browser_is_let_in_and_looked_at_once(self) -> None:
        """The cookie stands for it from then on."""
        browser = Browser(self)
        self.assertEqual((browser.get("/").status, browser.get("/").status, browser.get("/").status), (303, 200, 200))
        self.assertEqual(self.looked, [(("127.0.0.1", 50_000), ("127.0.0.1", PORT))])
        (cookie,) = browser.cookies
        self.assertTrue(cookie.startswith("p2pim-operator-"))

    def test_a_cookie_is_for_our_own_pages_and_no_script(self) -> None:
        """HttpOnly, SameSite=Strict."""
        told = Browser(self).get("/").headers["set-cookie"]
        self.assertIn("HttpOnly", told)
        self.assertIn("SameSite=Strict", told)

    def test_root_is_let_in_and_others_have_to_sign_in(self) -> None:
        """Whoever shares the machine is a stranger."""
        for owner, where in ((0, "/?again=1"), (12_345, "/sign-in"), (None, "/sign-in")):
            self.owner = owner
            self.assertEqual(Browser(self).get("/").headers["location"], where)

    def test_a_proxy_is_nobodys_browser(self) -> None:
        """Whoever is behind it has to sign in, also when it runs as root."""
        self.owner = 0
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            self.assertEqual(Browser(self).ask("GET", "/", {name: "for=192.0.2.9"}).headers["location"], "/sign-in")
        self.assertEqual(self.looked, [])

    def test_asking_for_ever_does_not_make_the_server_look_for_ever(self) -> None:
        """Each look reads a table of all connections."""
        self.owner = None
        for _ in range(100):
            Browser(self).get("/")
        self.assertLessEqual(len(self.looked), 20)

    def test_a_browser_without_cookies_is_not_sent_round_in_circles(self) -> None:
        """It is asked to sign in."""
        self.assertEqual(Browser(self).get("/?again=1").headers["location"], "/sign-in")

    def test_nothing_is_told_without_a_session(self) -> None:
        """The table, its changes, actions; only pages that say nothing are open."""
        browser = Browser(self)
        for path in ("/api/1/table", "/api/1/changes"):
            self.assertEqual(browser.get(path).status, 401)
        self.assertEqual(browser.post("/api/1/kick", {"user": "alice"}).status, 401)

    def test_another_page_of_the_same_browser_can_do_nothing(self) -> None:
        """By Origin, and by Sec-Fetch-Site where there is no Origin."""
        browser = self.operator()
        self.assertEqual(browser.post("/api/1/invite", {}, Origin="http://evil.example").status, 403)
        self.assertEqual(browser.post("/api/1/invite", {}, Sec_Fetch_Site="cross-site").status, 403)
        self.assertEqual(browser.get("/api/1/table", Sec_Fetch_Site="cross-site").status, 403)
        self.assertEqual(browser.post("/api/1/invite", {}).status, 200)

    def test_a_name_of_somebody_elses_that_leads_here_is_refused(self) -> None:
        """DNS rebinding: also for what is open."""
        for path in ("/", "/metrics", "/sign-in", "/api/1/table"):
            self.assertEqual(self.operator().get(path, Host="evil.example").status, 403)

    def test_a_name_from_the_configuration_is_taken(self) -> None:
        """With and without the port, and only from then on."""
        browser = self.operator()
        self.assertEqual(browser.get("/", Host="chat.example.org").status, 403)
        self.page.use(
            self.settings(WebSection(address=self.web.address, hosts=["Chat.example.org"])), 4530, self.certificate
        )
        for host in ("chat.example.org", f"chat.example.org:{PORT}", f"127.0.0.1:{PORT}", f"localhost:{PORT}"):
            self.assertEqual(browser.get("/", Host=host).status, 200)

    def test_a_session_survives_a_restart(self) -> None:
        """Its hash is kept, in a file of the operator's alone."""
        browser = self.operator()
        self.assertEqual(self.folder.page_sessions.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(next(iter(browser.cookies.values())), self.folder.page_sessions.read_text())
        self.page = self.make_page()
        self.serve()
        self.owner = None
        self.assertEqual(browser.get("/").status, 200)

    def test_signing_out_ends_the_session(self) -> None:
        """The cookie is worth nothing afterwards."""
        browser = self.operator()
        kept = dict(browser.cookies)
        self.assertEqual(browser.post("/sign-out", {}).status, 204)
        browser.cookies = kept
        self.assertEqual(browser.get("/api/1/table").status, 401)

    def test_a_chosen_language_outlives_being_let_in(self) -> None:
        """It is not lost on the way."""
        self.assertEqual(Browser(self).get("/?lang=zh-Hans").headers["location"], "/?again=1&lang=zh-Hans")
        self.assertNotIn("\n", Browser(self).get("/?lang=%0d%0aX:1").headers["location"])


class LinkTests(OperatorCase):
    def setUp(self) -> None:
        super().setUp()
        self.serve()
        self.owner = None

    def path(self) -> str:
        """Where a fresh link leads."""
        url: str = self.command("web")["url"]
        self.assertTrue(url.startswith(f"http://127.0.0.1:{PORT}/enter/"), url)
        return url.removeprefix(f"http://127.0.0.1:{PORT}")

    def test_a_link_lets_one_browser_in_once(self) -> None:
        """A second browser is refused, and the first one's session ends: the link was in two hands."""
        path, browser = self.path(), Browser(self)
        self.assertEqual(browser.get(path).headers["location"], "/")
        self.assertEqual(browser.get("/").status, 200)
        self.assertEqual(Browser(self).get(path).status, 403)
        self.assertEqual(browser.get("/").headers["location"], "/sign-in")
        self.assertEqual([each.code for each in self.house.refusals.newest()], ["link-spent"])

    def test_a_link_ends_by_itself(self) -> None:
        """After ten minutes."""
        path = self.path()
        self.world.clock.advance(601)
        self.assertEqual(Browser(self).get(path).status, 403)


class PasswordTests(OperatorCase):
    def setUp(self) -> None:
        super().setUp()
        self.owner = None
        self.serve()

    def test_the_right_password_lets_in(self) -> None:
        """And no other."""
        self.set_password()
        browser = Browser(self)
        self.assertEqual(browser.sign_in("another").status, 401)
        self.assertEqual(browser.cookies, {})
        self.assertEqual(browser.sign_in().status, 303)
        self.assertEqual(browser.get("/").status, 200)

    def test_without_a_password_nobody_signs_in(self) -> None:
        """The page says what to do."""
        reply = Browser(self).sign_in("")
        self.assertEqual(reply.status, 403)
        self.assertIn(b"operator-password", reply.body)

    def test_guessing_is_slowed_down_and_remembered(self) -> None:
        """As for accounts; the operator sees it, and never what was typed."""
        self.set_password()
        for _ in range(SIGN_IN_TRIES + 1):
            Browser(self).sign_in("guess")
        self.assertIn(b"too-many-tries", Browser(self).sign_in().body)
        (refusal,) = self.house.refusals.newest()
        self.assertEqual((refusal.host, refusal.times), ("127.0.0.1", SIGN_IN_TRIES + 1))
        self.assertNotIn("guess", repr(refusal))
        self.world.clock.advance(5)
        self.assertEqual(Browser(self).sign_in().status, 303)

    def test_another_page_cannot_sign_in_for_me(self) -> None:
        """The form comes from our own page."""
        self.set_password()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://evil.example"}
        self.assertEqual(Browser(self).ask("POST", "/sign-in", headers, b"password=x").status, 403)

    def test_a_new_password_ends_every_session(self) -> None:
        """Whoever had the old one is out."""
        self.set_password()
        browser = Browser(self)
        browser.sign_in()
        self.command("operator-password", password="quite another")
        self.assertEqual(browser.get("/").headers["location"], "/sign-in")
        self.assertEqual(browser.sign_in("quite another").status, 303)


class BeyondTests(OperatorCase):
    web = WebSection(address=f"192.0.2.1:{PORT}")
    scheme = "https"

    def test_without_a_password_it_is_not_served_beyond_this_machine(self) -> None:
        """And it is said what to do."""
        error = self.assertRaises(BadConfig, self.serve)
        self.assertIn("operator-password", str(error))
        self.assertEqual((self.reactor.tcpServers, self.reactor.sslServers, self.page.address), ([], [], None))

    def test_beyond_this_machine_it_is_served_over_tls_alone(self) -> None:
        """With a cookie that goes over TLS alone, and a sign-in for everybody."""
        self.set_password()
        self.serve()
        self.assertEqual((self.reactor.tcpServers, len(self.reactor.sslServers)), ([], 1))
        browser = Browser(self, "198.51.100.7")
        self.assertEqual(browser.get("/").headers["location"], "/sign-in")
        self.assertIn("; Secure", browser.sign_in().headers["set-cookie"])
        self.assertEqual(browser.get("/", Host="chat.example.org").status, 200)
        self.assertEqual(self.looked, [])
        self.assertTrue(self.command("web")["url"].startswith("https://192.0.2.1:"))


class MetricsTests(OperatorCase):
    def setUp(self) -> None:
        super().setUp()
        self.token = Path(self.mktemp())
        self.token.write_text("a long random text\n")
        self.serve(WebSection(address=self.web.address, metrics_token_file=str(self.token)))
        self.owner = None

    def scrape(self, *tokens: str) -> int:
        """The status of the answer to a scraper that shows a token."""
        headers = {"Authorization": f"Bearer {tokens[0]}"} if tokens else {}
        return Browser(self).ask("GET", "/metrics", headers).status

    def test_metrics_are_for_those_with_the_token(self) -> None:
        """Not for those without, nor with another."""
        statuses = [self.scrape(), self.scrape("another"), self.scrape(""), self.scrape("a long random text")]
        self.assertEqual(statuses, [401, 401, 401, 200])

    def test_a_new_token_is_taken_at_a_reload(self) -> None:
        """And one that cannot be read leaves all as it was."""
        self.token.write_text("another")
        web = WebSection(address=self.web.address, metrics_token_file=str(self.token))
        self.page.use(self.settings(web), 4530, self.certificate)
        self.assertEqual((self.scrape("a long random text"), self.scrape("another")), (401, 200))
        self.token.unlink()
        self.page.use(self.settings(web), 4530, self.certificate)
        self.assertEqual(self.scrape("another"), 200)

    def test_they_tell_what_the_server_counts(self) -> None:
        """In Prometheus' format, with nobody's name or address."""
        self.world.user("alice")
        self.world.client("203.0.113.9").sign_in("nobody", password="x")
        text = Browser(self).ask("GET", "/metrics", {"Authorization": "Bearer a long random text"}).body.decode()
        self.assertIn("p2pim_sessions 1.0", text)
        self.assertIn('p2pim_refusals_total{code="unknown-user"} 1.0', text)
        self.assertNotIn("203.0.113.9", text)
        self.assertNotIn("alice", text)

    def test_an_empty_token_is_a_mistake(self) -> None:
        """Not a way in for everybody."""
        self.token.write_text("\n")
        page = self.make_page()
        web = WebSection(address=self.web.address, metrics_token_file=str(self.token))
        self.assertRaises(BadConfig, page.open, self.settings(web), 4530, self.certificate)


class HealthTests(OperatorCase):
    def test_health_is_told_to_everybody_under_any_name(self) -> None:
        """Monitors ask by address; 503 says what is wrong, and nothing else."""
        self.serve()
        self.owner = None
        reply = Browser(self, "203.0.113.5").get("/health", Host="whatever")
        self.assertEqual((reply.status, reply.json), (200, {"status": "ok"}))
        self.house.health.stopping = True
        self.world.clock.advance(2)
        reply = Browser(self).get("/health")
        self.assertEqual((reply.status, reply.json["status"]), (503, "failing"))
