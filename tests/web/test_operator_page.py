"""What the operator's page shows and does, and where it is served."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import CannotListenError

from p2pim.errors import BadConfig, Usage
from p2pim.server.settings import WebSection
from p2pim.web.operator.page import Wanted, read_address
from p2pim.wire.messages import MESSAGE, Send, SetStatus, SignedOut
from tests.web.operator_case import PORT, Browser, OperatorCase, events


class WatchingTests(OperatorCase):
    def setUp(self) -> None:
        super().setUp()
        self.serve()
        self.alice, self.bob = self.world.user("alice"), self.world.user("bob")
        self.browser = self.operator()

    def snapshot(self) -> dict[str, Any]:
        """Everything."""
        reply = self.browser.get("/api/1/table")
        self.assertEqual(reply.status, 200)
        told: dict[str, Any] = reply.json
        return told

    def test_a_snapshot_has_all_that_there_is_to_show(self) -> None:
        """Rows, figures, series, lists."""
        told = self.snapshot()
        self.assertEqual([row[0] for row in told["rows"]], ["alice", "bob"])
        self.assertEqual((told["overview"]["sessions"], told["overview"]["most"]), (2, 10_000))
        self.assertEqual(set(told["series"]), {"hour", "day"})
        self.assertEqual((told["mailboxes"], told["disabled"], told["refusals"]), ([], [], []))

    def test_watchers_are_told_what_changes_and_nothing_else(self) -> None:
        """Uploads and downloads rise by one for a relayed message."""
        wire = self.browser.watch(self.snapshot()["id"])
        self.tick()
        events(wire)
        self.alice.send(Send(1, "bob", self.bob.device, MESSAGE, b"12345"))
        self.successResultOf(self.house.write_counters())
        self.tick()
        (event,) = events(wire)
        self.assertEqual([(row[0], row[6], row[8]) for row in event["rows"]], [("alice", 1, 0), ("bob", 0, 1)])
        self.assertEqual(event["overview"]["messages"], 1)
        self.assertNotIn("mailboxes", event)
        self.tick()
        self.assertEqual([set(event) for event in events(wire) if "rows" in event], [])

    def test_a_hundred_watchers_cost_one_computation_a_tick(self) -> None:
        """And get the very same bytes."""
        told = self.snapshot()
        wires = [self.browser.watch(told["id"]) for _ in range(100)]
        before = self.page.feed.ticks
        self.alice.send(SetStatus("away"))
        for _ in range(10):
            self.tick()
        self.assertEqual(self.page.feed.ticks - before, 10)
        bodies = {wire.value().partition(b"\r\n\r\n")[2] for wire in wires}
        self.assertEqual(len(bodies), 1)
        self.assertIn(b"away", bodies.pop())

    def test_without_watchers_nothing_is_computed(self) -> None:
        """Nothing before the first, nothing after the last has gone and had time to come back."""
        self.assertFalse(self.house.live.watching)
        told = self.snapshot()
        self.browser.watch(told["id"])
        self.tick()
        self.browser.leave()
        self.tick(20)
        before = self.page.feed.ticks
        for _ in range(10):
            self.tick()
        self.assertEqual((self.page.feed.ticks, self.house.live.watching), (before, False))

    def test_who_comes_back_in_time_misses_nothing(self) -> None:
        """It goes on behind the last event seen."""
        told = self.snapshot()
        other = self.browser.watch(told["id"])
        self.alice.send(SetStatus("away"))
        self.tick()
        self.assertEqual([row[3] for row in events(other)[0]["rows"]], ["away"])
        late = self.browser.watch(told["id"])
        self.assertEqual([row[3] for row in events(late)[0]["rows"]], ["away"])

    def test_who_comes_back_too_late_begins_anew(self) -> None:
        """What happened while nobody watched is not known as changes."""
        told = self.snapshot()
        self.tick(20)
        self.alice.send(SetStatus("away"))
        self.assertEqual(events(self.browser.watch(told["id"])), [{"event": "reset"}])

    def test_who_was_refused_is_told_once(self) -> None:
        """New ones, and those that happened again."""
        wire = self.browser.watch(self.snapshot()["id"])
        self.world.client("203.0.113.9").sign_in("alice", password="wrong")
        self.tick()
        (refusal,) = [each for event in events(wire) for each in event.get("refusals", ())]
        self.assertEqual((refusal["host"], refusal["user"], refusal["times"]), ("203.0.113.9", "alice", 1))
        self.tick()
        self.assertEqual([event for event in events(wire) if "refusals" in event], [])

    def test_a_snapshot_is_made_once_for_all_who_ask_at_the_same_time(self) -> None:
        """It is long with ten thousand rows."""
        self.snapshot()
        first = self.page.feed._cached[1]
        self.snapshot()
        self.assertIs(self.page.feed._cached[1], first)

    def test_hostile_names_are_text(self) -> None:
        """Nobody's device is markup, in no answer of ours."""
        reply = self.browser.get("/")
        self.assertIn("script-src 'self'", reply.headers["content-security-policy"])
        self.assertNotIn(b"<script>", reply.body)
        self.assertNotIn(b"style=", reply.body)


class ActionTests(OperatorCase):
    def setUp(self) -> None:
        super().setUp()
        self.serve()
        self.alice = self.world.user("alice")
        self.browser = self.operator()

    def test_a_kick_signs_out(self) -> None:
        """And says how many sessions there were."""
        self.assertEqual(self.browser.post("/api/1/kick", {"user": "alice"}).json, {"user": "alice", "sessions": 1})
        self.assertEqual(self.alice.one(SignedOut).reason, "kicked")

    def test_disabling_is_undone_by_enabling(self) -> None:
        """The page lists who is disabled."""
        self.assertTrue(self.browser.post("/api/1/disable", {"user": "alice"}).json["disabled"])
        self.assertEqual(self.alice.one(SignedOut).reason, "disabled")
        self.tick()
        self.assertEqual(self.browser.get("/api/1/table").json["disabled"], ["alice"])
        self.assertFalse(self.browser.post("/api/1/enable", {"user": "alice"}).json["disabled"])

    def test_an_invitation_is_made(self) -> None:
        """For so many days."""
        made = self.browser.post("/api/1/invite", {"days": 2}).json
        self.assertEqual((made["expires_at"], len(made["invite"])), (self.world.wall + 2 * 86_400, 22))

    def test_mistakes_are_told(self) -> None:
        """By code and in words."""
        for action, params, status in (
            ("kick", {"user": "nobody"}, 404), ("kick", {}, 400), ("invite", {"days": -1}, 400), ("backup", {}, 400),
            ("user-add", {"user": "x"}, 400), ("web", {}, 400),
        ):  # fmt: skip
            self.assertEqual(self.browser.post(f"/api/1/{action}", params).status, status, action)

    def test_only_json_is_taken(self) -> None:
        """A form of another page could not be one."""
        reply = self.browser.ask("POST", "/api/1/invite", {"Content-Type": "text/plain"}, b"{}")
        self.assertEqual(reply.status, 415)


class AddressTests(OperatorCase):
    def test_the_forms_of_an_address(self) -> None:
        """Loopback next to the server's ports by default."""
        for text, wanted in (
            ("none", None),
            ("auto", Wanted("127.0.0.1", 4532, instead=True)),
            ("127.0.0.1:0", Wanted("127.0.0.1", 0)),
            ("localhost:80", Wanted("127.0.0.1", 80)),
            ("[::1]:80", Wanted("::1", 80)),
            ("0.0.0.0:443", Wanted("0.0.0.0", 443)),
        ):
            self.assertEqual(read_address(WebSection(address=text), 4530), wanted)
        self.assertEqual(read_address(WebSection(), 65_534), Wanted("127.0.0.1", 0, instead=True))

    def test_what_is_no_address_is_told(self) -> None:
        """With the forms that there are."""
        for text in ("", "4532", "name:80", "127.0.0.1:65536", "127.0.0.1:x", "::1:80:", "no"):
            self.assertIn("ADDR:PORT", str(self.assertRaises(BadConfig, read_address, WebSection(address=text), 4530)))

    def taken(self, *ports: int) -> None:
        """Let these ports be another's."""
        listen = self.reactor.listenTCP

        def listen_tcp(port: int, *args: Any, **kwargs: Any) -> Any:
            if port in ports:
                raise CannotListenError("127.0.0.1", port, OSError("Address already in use"))
            return listen(port, *args, **kwargs)

        self.reactor.listenTCP = listen_tcp

    def test_a_taken_port_is_replaced_where_any_will_do(self) -> None:
        """A second server on this machine starts all the same."""
        self.taken(4532)
        self.serve(WebSection())
        self.assertEqual([server[0] for server in self.reactor.tcpServers], [0])

    def test_without_any_port_there_is_no_page_but_a_server(self) -> None:
        """Where this machine has no loopback, say."""
        self.taken(4532, 0)
        self.serve(WebSection())
        self.assertIsNone(self.page.address)

    def test_a_taken_port_that_was_asked_for_is_a_mistake(self) -> None:
        """It is said which, and what to do."""
        self.taken(PORT)
        self.assertIn("--web none", str(self.assertRaises(BadConfig, self.serve)))

    def test_it_can_be_switched_off(self) -> None:
        """Then it listens nowhere, and there are no links."""
        self.serve(WebSection(address="none"))
        self.assertEqual((self.reactor.tcpServers, self.page.address), ([], None))
        self.assertRaises(Usage, self.page.make_link)

    def test_a_reload_moves_it(self) -> None:
        """Or leaves it where it is, when it cannot be had there."""
        self.serve()
        self.assertEqual(self.page.address, f"127.0.0.1:{PORT}")
        self.page.use(self.settings(WebSection(address="127.0.0.1:4999")), 4530, self.certificate)
        self.assertEqual(self.page.address, "127.0.0.1:4999")
        self.page.use(self.settings(WebSection(address="192.0.2.1:4999")), 4530, self.certificate)
        self.assertEqual(self.page.address, "127.0.0.1:4999")
        self.page.use(self.settings(WebSection(address="none")), 4530, self.certificate)
        self.assertEqual(self.page.address, None)
        self.page.use(self.settings(WebSection()), 4530, self.certificate)
        self.assertEqual(self.page.address, "127.0.0.1:4532")


class PageTests(OperatorCase):
    def test_the_page_is_there_in_both_languages(self) -> None:
        """By choice, and by what the browser prefers."""
        self.serve()
        browser = self.operator()
        self.assertIn(b'lang="zh-Hans"', browser.get("/?lang=zh-Hans").body)
        self.assertIn(b'lang="en"', browser.get("/?lang=en").body)
        self.assertIn("管理员".encode(), Browser(self).get("/sign-in", Accept_Language="zh-CN,zh;q=0.9").body)

    def test_every_script_and_style_of_the_page_is_there(self) -> None:
        """Also what is vendored, with its licence."""
        self.serve()
        browser = self.operator()
        page = browser.get("/").body.decode()
        version = page.partition("/static/")[2].partition("/")[0]
        for path in ("operator/app.js", "operator/operator.css", "vendor/uplot/uPlot.esm.js", "vendor/uplot/LICENSE"):
            self.assertEqual(browser.get(f"/static/{version}/{path}").status, 200, path)
