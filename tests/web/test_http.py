"""A site's bounds, and what every answer says."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import (
    HTTP_BODY,
    HTTP_CONNECTIONS,
    HTTP_CONNECTIONS_PER_ADDRESS,
    HTTP_HEAD,
    HTTP_HEAD_TIME,
    HTTP_IDLE,
    HTTP_LINGER,
    HTTP_OPEN_BODY,
    HTTP_OPEN_BODY_TIME,
)
from p2pim.web.answers import CONFINED, Answer
from p2pim.web.http import WebRequest
from p2pim.web.routing import API, OPEN
from tests.web.visits import Visitor, request, small_site, taken_apart

JSON = {"content_type": "application/json"}


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.site = small_site(clock=self.clock)
        self.visitor = Visitor(self.site)

    def test_every_answer_is_confined(self) -> None:
        """A page, an object, and an error: nothing of it can be framed, guessed at, or load what is not ours."""
        for path, method in (("/open", "GET"), ("/api/echo", "POST"), ("/nowhere", "GET"), ("/open", "PUT")):
            reply = self.visitor.ask(method, path, b"{}" if method == "POST" else b"", **JSON)
            for name, value in CONFINED.items():
                self.assertEqual(reply.headers[name.lower()], value, path)
            self.assertNotIn("server", reply.headers)
        self.assertNotIn("unsafe", CONFINED["Content-Security-Policy"])

    def test_errors_have_the_documented_form(self) -> None:
        """Code, message and exit, under HTTP's own status."""
        cases = (("GET", "/nowhere", 404, "no-such-page"), ("DELETE", "/open", 405, "wrong-method"))
        for method, path, status, code in cases:
            reply = self.visitor.ask(method, path)
            self.assertEqual((reply.status, reply.json["error"]), (status, code))
            self.assertIn("exit", reply.json)

    def test_a_defect_is_told_and_written_down_without_the_address(self) -> None:
        """Addresses carry secrets."""
        reply = self.visitor.ask("GET", "/wrong?key=SECRET")
        self.assertEqual((reply.status, reply.json["error"]), (500, "error"))
        (failure,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertNotIn("SECRET", failure.getTraceback())

    def test_a_connection_takes_one_request_after_another(self) -> None:
        """Also when they come at once."""
        self.visitor.say(request("GET", "/open") + request("POST", "/api/echo", b'{"n":1}', **JSON))
        self.assertEqual(self.visitor.transport.value().count(b"HTTP/1.1 200"), 2)

    def test_head_is_get_without_a_body(self) -> None:
        """For all that can be got."""
        reply = self.visitor.ask("HEAD", "/open")
        self.assertEqual((reply.status, reply.headers["content-length"], reply.body), (200, "8", b""))


class BoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.site = small_site(clock=self.clock)
        self.visitor = Visitor(self.site)

    def test_only_json_is_taken(self) -> None:
        """A form of another page could send text, but not JSON."""
        for kind in ("text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data; boundary=x"):
            reply = self.visitor.ask("POST", "/api/echo", b"{}", content_type=kind)
            self.assertEqual((reply.status, reply.json["error"]), (415, "wrong-type"))
        for body in (b"[]", b"{", b"\xff", b"1", b"[" * 100_000):
            self.assertEqual(self.visitor.ask("POST", "/api/echo", body, **JSON).status, 400)
        reply = self.visitor.ask("POST", "/api/echo", b'{"a":1}', content_type="application/json; charset=utf-8")
        self.assertEqual(reply.json["got"], {"a": 1})

    def test_whoever_was_not_let_in_has_little_kept_for_them(self) -> None:
        """A form with a password is all that they can have to say; many strangers together fill no memory."""

        async def take(request: WebRequest) -> Answer:
            return Answer()

        self.site.routes.add("POST", "/form", take, OPEN)
        self.assertEqual(self.visitor.ask("POST", "/form", bytes(HTTP_OPEN_BODY)).status, 200)
        self.assertEqual(Visitor(self.site).ask("POST", "/form", bytes(HTTP_OPEN_BODY + 1)).status, 413)

    def test_too_many_parameters_are_refused_and_not_written_down(self) -> None:
        """A stranger fills no log with them."""
        self.assertEqual(self.visitor.ask("GET", "/api/echo?" + "a&" * 65).status, 400)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_body_that_is_too_long_is_refused_before_it_is_kept(self) -> None:
        """By what its head says, or by what comes; and the rest of it is thrown away while the answer goes out."""
        self.visitor.say(request("POST", "/api/echo", content_length=str(HTTP_BODY + 1), **JSON))
        for _ in range(40):
            self.visitor.say(b"x" * 4096)
        self.assertEqual(taken_apart(self.visitor.transport.value()).status, 413)
        self.clock.advance(HTTP_LINGER)
        self.assertTrue(self.visitor.transport.disconnecting)

    def test_a_body_in_chunks_is_bounded_too(self) -> None:
        """It does not say how long it will be."""
        self.visitor.say(
            b"POST /api/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(HTTP_BODY // 65_536 + 2):
            self.visitor.say(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        self.assertEqual(taken_apart(self.visitor.transport.value()).status, 413)

    def test_who_waits_for_leave_to_send_is_told_at_once(self) -> None:
        """Expect: 100-continue (RFC 9110, 10.1.1)."""
        head = request("POST", "/api/echo", content_length=str(HTTP_BODY + 1), expect="100-continue", **JSON)
        self.visitor.say(head)
        self.assertEqual(taken_apart(self.visitor.transport.value()).status, 413)
        other = Visitor(self.site)
        other.say(request("POST", "/api/echo", content_length="2", expect="100-continue", **JSON))
        self.assertIn(b"100 Continue", other.transport.value())

    def test_a_head_that_is_too_long_or_too_slow_ends_the_connection(self) -> None:
        """Nobody holds a connection by a byte a minute."""
        self.visitor.say(b"GET /open HTTP/1.1\r\n" + b"X-A: " + b"y" * HTTP_HEAD + b"\r\n")
        self.assertTrue(self.visitor.transport.disconnecting)
        slow = Visitor(self.site)
        slow.say(b"GET /open HTTP/1.1\r\n")
        self.clock.advance(HTTP_HEAD_TIME - 0.1)
        self.assertFalse(slow.transport.disconnecting)
        slow.say(b"X: 1\r\n")
        self.clock.advance(0.2)
        self.assertTrue(slow.transport.aborted)

    def test_a_second_head_may_not_be_slow_either(self) -> None:
        """The clock begins anew with each request."""
        self.visitor.ask("GET", "/open")
        self.clock.advance(HTTP_HEAD_TIME + 1)
        self.assertFalse(self.visitor.transport.disconnecting)
        self.visitor.say(b"GET /open HT")
        self.clock.advance(HTTP_HEAD_TIME + 1)
        self.assertTrue(self.visitor.transport.aborted)

    def test_an_idle_connection_ends(self) -> None:
        """In time."""
        self.visitor.ask("GET", "/open")
        self.clock.advance(HTTP_IDLE + 1)
        self.assertTrue(self.visitor.transport.disconnecting)

    def test_connections_are_counted(self) -> None:
        """One too many is hung up on, until another has gone."""
        others = [self.visitor_from(f"203.0.113.{number}") for number in range(HTTP_CONNECTIONS - 1)]
        self.assertTrue(Visitor(self.site).transport.aborted)
        others[0].leave()
        self.assertFalse(Visitor(self.site).transport.aborted)

    def visitor_from(self, host: str) -> Visitor:
        kind = IPv6Address if ":" in host else IPv4Address
        return Visitor(self.site, kind("TCP", host, 4000))

    def test_nobody_holds_all_connections(self) -> None:
        """Those of one address have their own bound, and others still come in; one that goes makes room."""
        held = [self.visitor_from("203.0.113.9") for _ in range(HTTP_CONNECTIONS_PER_ADDRESS)]
        self.assertFalse(any(each.transport.aborted for each in held))
        refused = self.visitor_from("203.0.113.9")
        self.assertTrue(refused.transport.aborted)
        refused.leave()
        self.assertTrue(self.visitor_from("::ffff:203.0.113.9").transport.aborted)
        self.assertFalse(self.visitor_from("203.0.113.10").transport.aborted)
        held[0].leave()
        self.assertFalse(self.visitor_from("::ffff:203.0.113.9").transport.aborted)
        self.assertTrue(self.visitor_from("203.0.113.9").transport.aborted)

    def test_a_network_of_64_bits_is_one_address(self) -> None:
        """One customer has all of it."""
        for number in range(HTTP_CONNECTIONS_PER_ADDRESS):
            self.assertFalse(self.visitor_from(f"2001:db8::{number:x}").transport.aborted)
        self.assertTrue(self.visitor_from("2001:db8::ffff:1").transport.aborted)
        self.assertFalse(self.visitor_from("2001:db8:0:1::1").transport.aborted)

    def test_programs_of_this_machine_share_all_connections(self) -> None:
        """A proxy beside the page brings everybody's; a socket in a folder has no addresses."""
        for peer in (
            IPv4Address("TCP", "127.0.0.1", 1),
            IPv6Address("TCP", "::1", 1),
            IPv6Address("TCP", "::ffff:127.0.0.1", 1),
            UNIXAddress(None),
        ):
            visitors = [Visitor(self.site, peer) for _ in range(HTTP_CONNECTIONS_PER_ADDRESS + 1)]
            self.assertFalse(any(each.transport.aborted for each in visitors), peer)
            for each in visitors:
                each.leave()

    def form(self) -> None:
        """A route for everybody that takes a body."""

        async def take(request: WebRequest) -> Answer:
            return Answer(body=b"taken")

        self.site.routes.add("POST", "/form", take, OPEN)

    def trickle(self, seconds: float) -> None:
        """A byte of body every second."""
        for _ in range(int(seconds)):
            self.visitor.say(b"x")
            self.clock.advance(1)

    def test_a_body_of_a_stranger_has_to_come_in_time(self) -> None:
        """All of it: a byte now and then holds no connection."""
        self.form()
        self.visitor.say(request("POST", "/form", content_length="1000"))
        self.trickle(HTTP_OPEN_BODY_TIME - 1)
        self.assertFalse(self.visitor.transport.disconnecting)
        self.trickle(1)
        self.assertTrue(self.visitor.transport.aborted)

    def test_a_refused_request_is_answered_when_its_body_does_not_come(self) -> None:
        """And then the connection ends, however slowly the rest of it still drips."""
        self.visitor.say(request("POST", "/nowhere", content_length="1000"))
        self.trickle(HTTP_OPEN_BODY_TIME - 1)
        self.assertEqual(self.visitor.transport.value(), b"")
        self.trickle(1)
        self.assertEqual(taken_apart(self.visitor.transport.value()).status, 404)
        self.trickle(HTTP_LINGER)
        self.assertTrue(self.visitor.transport.disconnecting)

    def test_a_body_that_came_in_time_leaves_no_timer_behind(self) -> None:
        """The next request on the connection has all its time, and an end of the connection is an end of it."""
        self.form()
        for _ in range(3):
            self.visitor.say(request("POST", "/form", content_length="5"))
            self.trickle(5)
            self.assertEqual(taken_apart(self.visitor.transport.value()).body[:5], b"taken")
            self.visitor.transport.clear()
            self.clock.advance(HTTP_OPEN_BODY_TIME - 1)
        self.assertFalse(self.visitor.transport.disconnecting)
        self.visitor.say(request("POST", "/form", content_length="5"))
        self.visitor.leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_whoever_was_let_in_may_be_slower(self) -> None:
        """A long message over a slow line."""
        self.visitor.say(request("POST", "/api/echo", content_length="1000", **JSON) + b"{")
        for _ in range(3):
            self.clock.advance(HTTP_OPEN_BODY_TIME)
            self.visitor.say(b" ")
        self.assertFalse(self.visitor.transport.disconnecting)

    @given(st.binary(max_size=300), st.booleans())
    def test_rubbish_ends_at_most_its_connection(self, rubbish: bytes, begun: bool) -> None:
        """Whatever it is; others are served."""
        visitor = Visitor(self.site)
        visitor.say(b"POST /api/echo HTTP/1.1\r\n" * begun + rubbish + b"\r\n\r\n")
        visitor.leave()
        other = Visitor(self.site)
        self.assertEqual(other.ask("GET", "/open").status, 200)
        other.leave()


class WorkTests(SynchronousTestCase):
    def test_whoever_hangs_up_ends_what_they_asked_for(self) -> None:
        """Nothing goes on for nobody."""
        cancelled: list[str] = []

        async def endless(request: WebRequest) -> Answer:
            await Deferred(lambda _: cancelled.append("work"))
            return Answer()

        site = small_site()
        site.routes.add("GET", "/endless", endless, OPEN)
        visitor = Visitor(site)
        visitor.say(request("GET", "/endless"))
        visitor.leave()
        self.assertEqual(cancelled, ["work"])

    def test_a_body_goes_where_its_route_says_as_it_comes(self) -> None:
        """Its sender waits while there is no room; nothing of it is kept in memory."""
        kept: list[bytes] = []
        lost: list[bool] = []

        class Keeping:
            def __init__(self, request: WebRequest, length: int | None) -> None:
                self.request = request

            def write(self, data: bytes) -> None:
                kept.append(data)
                self.request.pause_body()

            def lost(self) -> None:
                lost.append(True)

        async def put(request: WebRequest) -> Answer:
            return Answer(body=b"done")

        site = small_site()
        site.routes.add("PUT", "/big/{rest...}", put, API, sink=Keeping)
        visitor = Visitor(site)
        visitor.say(request("PUT", "/big/a/b", content_length=str(10 * HTTP_BODY)) + b"x" * 1000)
        transport: Any = visitor.transport
        self.assertEqual((sum(map(len, kept)), transport.producerState), (1000, "paused"))
        visitor.leave()
        self.assertEqual(lost, [True])
