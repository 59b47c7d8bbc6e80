"""Answers of an agent, read byte by byte, and what is none."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import BadMessage
from p2pim.wire.local_http import AnswerReader, encode_request

VALUES = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), min_size=1, max_size=5)


class AnswerReaderTests(SynchronousTestCase):
    @given(VALUES, st.lists(st.integers(1, 40), min_size=1, max_size=50))
    def test_values_come_however_the_bytes_are_cut(self, values: list[dict[str, str]], cuts: list[int]) -> None:
        """Into chunks by the agent, and into pieces by the network."""
        body = b"".join(json.dumps(value).encode() + b"\n" for value in values)
        chunked, at, turn = b"", 0, 0
        while at < len(body):
            part = body[at : at + cuts[turn % len(cuts)]]
            chunked += b"%X\r\n%b\r\n" % (len(part), part)
            at, turn = at + len(part), turn + 1
        heads = (b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(body))
        for head, content in zip(heads, (chunked + b"0\r\n\r\n", body), strict=True):
            data = b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + content
            reader, heard = AnswerReader(10_000), []
            for byte in range(len(data)):
                self.assertFalse(reader.ended)
                heard += reader.feed(data[byte : byte + 1])
            self.assertEqual((heard, reader.ended, AnswerReader(10_000).feed(data)), (values, True, values))

    def test_what_is_no_answer_is_refused(self) -> None:
        """And a line or a head without an end."""
        for data in (
            b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"x" * 5_000,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 100,
            b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"{" * 5_000,
            b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"[" * 4_000 + b"\n",
        ):  # fmt: skip
            self.assertRaises(BadMessage, AnswerReader(4_096).feed, data)

    @given(st.binary(max_size=200), st.binary(max_size=200))
    def test_rubbish_is_refused_or_waited_for(self, head: bytes, body: bytes) -> None:
        """Nothing else comes of it."""
        reader = AnswerReader(100)
        try:
            reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + head)
            reader.feed(body)
        except BadMessage:
            return

    def test_a_connection_says_whether_it_goes_on(self) -> None:
        """Or the next request needs another."""
        for head, goes_on in ((b"", True), (b"Connection: close\r\n", False)):
            reader = AnswerReader(100)
            reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + head + b"\r\n{}")
            self.assertEqual((reader.ended, reader.reusable), (True, goes_on))

    def test_a_request_is_one_of_http(self) -> None:
        """With its length in bytes."""
        request = encode_request("msg", {"text": "ü"})
        head, _, body = request.partition(b"\r\n\r\n")
        self.assertEqual(json.loads(body), {"text": "ü"})
        self.assertIn(b"Content-Length: %d\r\n" % len(body), head + b"\r\n")
