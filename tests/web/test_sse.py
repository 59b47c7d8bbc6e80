"""Events: in order, from where a reader broke off, and for slow readers not for ever."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import EVENTS_PULSE, HTTP_BACKLOG
from p2pim.web.http import WebRequest, WebSite
from p2pim.web.routing import OPEN
from p2pim.web.sse import PULSE, EventLog, Ticker, serve_events
from tests.web.visits import Visitor, request, small_site


def told(data: bytes) -> list[dict[str, Any]]:
    """The events in ``data``."""
    return [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: ")]


class EventLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.log = EventLog("epoch", keep=5)

    def after(self, id: str) -> list[dict[str, Any]]:
        heard: list[bytes] = []
        self.log.watch(heard.append, id)()
        return told(b"".join(heard))

    def test_a_reader_who_comes_back_gets_what_it_missed(self) -> None:
        """And nothing twice."""
        self.log.add({"event": "one"})
        seen = self.log.last_id
        self.log.add({"event": "two"})
        self.log.add({"event": "three"})
        self.assertEqual([e["event"] for e in self.after(seen)], ["two", "three"])
        self.assertEqual(self.after(self.log.last_id), [])
        self.assertEqual(self.after(""), [])

    def test_a_gap_that_is_too_long_is_told(self) -> None:
        """So is an id of an earlier run, of the future, or of nobody: then everything is to be loaded again."""
        for number in range(6):
            self.log.add({"event": str(number)})
        self.assertEqual(len(self.after("epoch-1")), 5)
        for id in ("epoch-0", "other-3", "epoch-7", "epoch-x", "epoch", "-", "epoch-" + "9" * 30, "epoch--1"):
            self.assertEqual(self.after(id), [{"event": "reset"}], id)

    def test_what_is_kept_is_bounded_in_bytes(self) -> None:
        """Messages may be long."""
        log = EventLog("e", keep_bytes=1000)
        for _ in range(100):
            log.add({"text": "x" * 90})
        self.assertLess(sum(map(len, log._frames)), 1001)

    def test_ids_are_known_before_anything_happens(self) -> None:
        """A page that loses its connection in silence knows where to go on."""
        heard: list[bytes] = []
        self.log.watch(heard.append)
        self.assertEqual(heard, [b"id: epoch-0\n\n"])

    def test_one_encoding_serves_all(self) -> None:
        """However many watch."""
        first, second = list[bytes](), list[bytes]()
        self.log.watch(first.append)
        self.log.watch(second.append)
        self.log.add({"event": "x"})
        self.assertIs(first[-1], second[-1])


class ServeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.log = EventLog("epoch")
        self.site: WebSite = small_site(clock=self.clock)
        self.site.routes.add("GET", "/events", self.events, OPEN)

    async def events(self, request: WebRequest) -> None:
        await serve_events(request, self.log.watch, self.clock)

    def reader(self, path: str = "/events", **headers: str) -> Visitor:
        visitor = Visitor(self.site)
        visitor.say(request("GET", path, **headers))
        return visitor

    def test_events_come_as_they_happen(self) -> None:
        """After a head that says what they are."""
        visitor = self.reader()
        self.assertIn(b"text/event-stream", visitor.transport.value())
        self.log.add({"event": "message", "text": "a\nb\r\u2028c"})
        self.assertEqual(told(visitor.transport.value()), [{"event": "message", "text": "a\nb\r\u2028c"}])

    def test_a_reader_goes_on_by_header_or_address(self) -> None:
        """Browsers send the header when they come back by themselves; a page that was loaded again says after."""
        self.log.add({"event": "one"})
        self.log.add({"event": "two"})
        for visitor in (self.reader(last_event_id="epoch-1"), self.reader("/events?after=epoch-1")):
            self.assertEqual(told(visitor.transport.value()), [{"event": "two"}])

    def test_a_silent_stream_shows_that_it_lives(self) -> None:
        """And its clock ends with it."""
        visitor = self.reader()
        self.clock.advance(EVENTS_PULSE)
        self.assertIn(PULSE, visitor.transport.value())
        visitor.leave()
        self.assertEqual((self.clock.getDelayedCalls(), self.log._watchers), ([], {}))

    def test_who_does_not_read_is_hung_up_on(self) -> None:
        """Memory is not their buffer; the others hear on."""
        slow, good = self.reader(), self.reader()
        slow.channel.pauseProducing()
        for _ in range(HTTP_BACKLOG // 65_536 + 1):
            self.log.add({"text": "x" * 65_536})
            good.transport.clear()
        self.assertTrue(slow.transport.aborted)
        self.assertFalse(good.transport.aborted)

    def test_who_reads_again_in_time_stays(self) -> None:
        """A backlog that was read is none."""
        visitor = self.reader()
        for _ in range(20):
            visitor.channel.pauseProducing()
            self.log.add({"text": "x" * (HTTP_BACKLOG // 10)})
            visitor.channel.resumeProducing()
        self.assertFalse(visitor.transport.aborted)


class TickerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.computed = 0
        self.ticker = Ticker(self.clock, 2.0, self.compute)

    def compute(self) -> dict[str, int]:
        self.computed += 1
        return {"n": self.computed}

    def test_one_computation_serves_all_who_watch(self) -> None:
        """A hundred of them cost one."""
        heard: list[list[bytes]] = [[] for _ in range(100)]
        for each in heard:
            self.ticker.watch(each.append)
        self.clock.advance(2.0)
        self.assertEqual((self.computed, {told(each[-1])[0]["n"] for each in heard}), (2, {2}))

    def test_nothing_is_computed_for_nobody(self) -> None:
        """Not before the first, not after the last."""
        self.clock.advance(10)
        end = self.ticker.watch(lambda data: None)
        end()
        self.clock.advance(10)
        self.assertEqual((self.computed, self.clock.getDelayedCalls()), (1, []))

    def test_a_computation_that_fails_is_tried_again(self) -> None:
        """At the next tick."""
        answers = [ZeroDivisionError("once"), None]

        def compute() -> dict[str, int]:
            error = answers.pop(0)
            if error is not None:
                raise error
            return {}

        heard: list[bytes] = []
        Ticker(self.clock, 1.0, compute).watch(heard.append)
        self.clock.advance(1.0)
        self.assertEqual((told(heard[0]), len(self.flushLoggedErrors(ZeroDivisionError))), ([{}], 1))

    def test_a_slow_computation_is_not_begun_twice(self) -> None:
        """Also when somebody comes meanwhile."""
        waiting: list[Deferred[dict[str, int]]] = []

        def compute() -> Deferred[dict[str, int]]:
            waiting.append(Deferred())
            return waiting[-1]

        ticker = Ticker(self.clock, 1.0, compute)
        ticker.watch(lambda data: None)
        ticker.watch(lambda data: None)
        self.clock.advance(5.0)
        self.assertEqual(len(waiting), 1)
        waiting[0].callback({})
        self.clock.advance(1.0)
        self.assertEqual(len(waiting), 2)
