"""Signals come back as they were sent, and golden bytes keep the wire what it is."""

import contextlib
from typing import get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import BadMessage
from p2pim.wire import channel
from p2pim.wire import signals as s

ID, KEY = b"i" * 16, b"k" * 32
CANDIDATE = s.Candidate("host", "tcp", "192.168.1.7", 50122, 100)

SIGNALS: list[s.AnySignal] = [
    s.ChatMessage(ID, 1, "hello", 1_700_000_000_000),
    s.Receipt([ID], "delivered"),
    s.Typing(),
    s.Offer(ID, 5, KEY, KEY, [CANDIDATE], ["tcp", "relay"], KEY),
    s.Answer(ID, KEY, KEY, [CANDIDATE], ["tcp"]),
    s.MoreCandidates(ID, [CANDIDATE], "endpoint-independent", True),
    s.Decline(ID, "busy"),
    s.Prove(ID, KEY),
    s.Nominate(),
    s.ChannelPing(1),
    s.ChannelPong(1),
    s.Bye("disconnected"),
    s.FileOffer(ID, "report.pdf", 10, 1),
    s.FileAnswer(ID, False, "rejected"),
    s.RangeRequest(ID, 1, 0, 1024, KEY),
    s.FileState(ID, "completed", digest=KEY),
    s.ReadMark("bob", ID),
    s.Query(1, "chess/move", b"e4"),
    s.Reply(1, b"e5"),
    s.Sealed(0, b"olm", KEY, ID),
    s.Inner("alice", ID, KEY, "bob", ID, KEY, b"signal"),
    s.AskAgain([ID], "no session"),
    s.GroupKey("chess", "session", "key", 3),
    s.AskGroupKey("chess", "session"),
    s.Sas(ID, "start", KEY),
    s.FileLeft(ID, ID, KEY, KEY, "report.pdf", 10, 1),
]


class SignalTests(SynchronousTestCase):
    def test_every_signal_comes_back_as_it_was_sent(self) -> None:
        """All types, none missing."""
        for signal in SIGNALS:
            self.assertEqual(s.decode_signal(s.encode_signal(signal)), signal)
        self.assertEqual({type(x) for x in SIGNALS}, set(get_args(s.AnySignal)))

    def test_the_bytes_of_a_chat_message_are_these(self) -> None:
        """Golden bytes: tag, id, sequence, text, time, oldest unconfirmed, conversation."""
        golden = b"\x97\x01\xc4\x10" + ID + b"\x01\xa5hello\xcf\x00\x00\x01\x8b\xcf\xe5\x68\x00\x00\xa0"
        self.assertEqual(s.encode_signal(SIGNALS[0]), golden)

    def test_lists_beyond_their_bounds_are_refused(self) -> None:
        """An offer of 10,000 candidates is no offer."""
        raw = msgspec.msgpack.decode(s.encode_signal(SIGNALS[3]))
        raw[5] = raw[5] * 10_000
        with self.assertRaises(BadMessage):
            s.decode_signal(msgspec.msgpack.encode(raw))

    def test_port_zero_is_refused(self) -> None:
        """Nothing can be dialled there."""
        raw = msgspec.msgpack.decode(s.encode_signal(SIGNALS[3]))
        raw[5][0][3] = 0
        with self.assertRaises(BadMessage):
            s.decode_signal(msgspec.msgpack.encode(raw))

    @given(st.binary(max_size=200))
    def test_any_bytes_give_a_signal_or_the_one_error(self, data: bytes) -> None:
        """Nothing else is ever raised."""
        with contextlib.suppress(BadMessage):
            s.decode_signal(data)


class ChannelFrameTests(SynchronousTestCase):
    def test_the_bytes_of_channel_frames_are_these(self) -> None:
        """Golden bytes: length, kind, stream, data."""
        self.assertEqual(channel.pack_control(s.Nominate()), b"\x00\x00\x00\x03\x00\x91\x15")
        self.assertEqual(channel.pack_bulk_header(2, 3) + b"abc", b"\x00\x00\x00\x08\x01\x00\x00\x00\x02abc")
        self.assertEqual(channel.pack_bulk_end(2, KEY), b"\x00\x00\x00\x25\x02\x00\x00\x00\x02" + KEY)

    def test_a_splice_preface_cannot_be_taken_for_tls(self) -> None:
        """A ClientHello begins with 0x16."""
        preface = channel.pack_splice_preface(KEY)
        self.assertEqual(len(preface), channel.SPLICE_PREFACE_BYTES)
        self.assertNotEqual(preface[0], 0x16)
