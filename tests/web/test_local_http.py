"""The local API over HTTP, with methods that do as the test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import NoDirectPath, NoSuchUser, TimedOut
from p2pim.peer.local_api import LocalApi
from p2pim.web.local_http import ENDLESS, LocalHttp
from p2pim.web.sse import EventLog
from p2pim.wire.local_http import AnswerReader, encode_request
from tests.web.visits import Visitor, small_site

Item = Callable[[dict[str, Any]], None]


class FakeApi:
    """Methods that do as the test says."""

    methods = ("echo", "msg", "web-link")

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], Item, Deferred[dict[str, Any]]]] = []
        self.cancelled: list[str] = []

    def call(self, method: str, params: dict[str, Any], item: Item) -> Deferred[dict[str, Any]]:
        if method == "echo":
            return succeed(params)
        answer: Deferred[dict[str, Any]] = Deferred(lambda _: self.cancelled.append(method))
        self.calls.append((method, params, item, answer))
        return answer


class LocalHttpTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = FakeApi()
        self.site = small_site()
        api = LocalHttp(cast(LocalApi, self.api), EventLog("e"), Clock(), without=("web-link",))
        api.serve(self.site.routes)
        self.visitor = Visitor(self.site)
        self.heard: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> AnswerReader:
        """Begin a call as a program does; `hear` then takes what came."""
        self.visitor.transport.clear()
        self.visitor.say(encode_request(method, params))
        return AnswerReader(1_000_000)

    def hear(self, reader: AnswerReader) -> list[dict[str, Any]]:
        data = self.visitor.transport.value()
        self.visitor.transport.clear()
        return [value for byte in range(len(data)) for value in reader.feed(data[byte : byte + 1])]

    def test_a_result_is_an_object(self) -> None:
        """With nothing around it, for those who ask for no items."""
        reply = self.visitor.ask("POST", "/api/1/echo", b'{"a":"\xc3\xbc"}', content_type="application/json")
        self.assertEqual((reply.status, reply.json), (200, {"a": "ü"}))
        self.assertEqual(self.visitor.ask("GET", "/api/1").json["methods"], ["echo", "msg"])

    def test_items_come_before_the_result_on_lines(self) -> None:
        """As they come; and the connection takes another call."""
        reader = self.call("msg")
        _, _, item, answer = self.api.calls[0]
        item({"n": 1})
        self.assertEqual(self.hear(reader), [{"item": {"n": 1}}])
        answer.callback({"done": True})
        self.assertEqual((self.hear(reader), reader.ended, reader.reusable), ([{"result": {"done": True}}], True, True))
        reader = self.call("echo", b=2)
        self.assertEqual(self.hear(reader), [{"result": {"b": 2}}])

    def test_an_endless_method_says_at_once_that_it_began(self) -> None:
        """Before there is anything to say."""
        for method in ENDLESS:
            reader = self.call(method)
            self.assertEqual((self.hear(reader), reader.started), ([], True))
            self.visitor.leave()
            self.visitor = Visitor(self.site)
        self.assertEqual(self.api.cancelled, list(ENDLESS))

    def test_errors_carry_what_a_command_line_prints(self) -> None:
        """Code, message, exit status, and reasons; before any item under HTTP's own status."""
        reader = self.call("connect")
        self.api.calls[0][3].errback(NoDirectPath("no way", reasons=(("tcp", "refused"),)))
        self.assertIn(b" 409 ", self.visitor.transport.value()[:20])
        (report,) = self.hear(reader)
        self.assertEqual(report["reasons"], [{"rung": "tcp", "reason": "refused"}])
        reader = self.call("ping")
        self.api.calls[1][2]({"seq": 1})
        self.api.calls[1][3].errback(TimedOut("late"))
        self.assertEqual(
            [("item" in value, value.get("exit")) for value in self.hear(reader)], [(True, None), (False, 6)]
        )

    def test_statuses_are_https_own(self) -> None:
        """For those who look at nothing else."""
        for error, status in ((NoSuchUser(), b"404"), (TimedOut(), b"504"), (ZeroDivisionError("x"), b"500")):
            self.call("msg")
            self.api.calls[-1][3].errback(error)
            self.assertEqual(self.visitor.transport.value().split(b" ")[1], status)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_some_methods_are_for_the_socket_only(self) -> None:
        """A page cannot let another browser in."""
        reply = self.visitor.ask("POST", "/api/1/web-link", b"{}", content_type="application/json")
        self.assertEqual((reply.status, self.api.calls), (404, []))

    def test_a_long_line_comes_whole(self) -> None:
        """In as many pieces as it takes."""
        text = "x" * 300_000
        reader = self.call("echo", text=text)
        data = self.visitor.transport.value()
        values = [value for at in range(0, len(data), 7_001) for value in reader.feed(data[at : at + 7_001])]
        self.assertEqual(json.dumps(values[0]["result"]), json.dumps({"text": text}))
