"""One channel between two machines in memory: life signs, order, back-pressure, and its end."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from p2pim.core.limits import BULK_CHUNK, MIB, PATIENCE, SEND_BACKLOG
from p2pim.errors import ChannelClosed, TimedOut
from p2pim.net.channel import TcpChannel
from p2pim.peer.interfaces import IChannel
from p2pim.wire.channel import CONTROL, CONTROL_HEADER, pack_control
from p2pim.wire.signals import AnySignal, Bye, ChannelPing, ChannelPong, Nominate, Prove, Receipt, Typing
from tests.peer.memory_network import MemoryTransport
from tests.peer.town import Pair


class ChannelCase(Pair):
    def setUp(self) -> None:
        super().setUp()
        here, there = self.connected()
        assert isinstance(here, TcpChannel)
        assert isinstance(there, TcpChannel)
        self.here, self.there = here, there

    def raw(self, channel: TcpChannel) -> MemoryTransport:
        transport = channel.transport.transport  # type: ignore[union-attr]
        assert isinstance(transport, MemoryTransport)
        return transport

    def say(self, data: bytes) -> None:
        """Bytes that no well-behaved channel would write."""
        assert self.here.transport is not None
        self.here.transport.write(data)
        self.town.run(0.1)


class OrderTests(ChannelCase):
    def test_control_goes_before_bulk_that_waits(self) -> None:
        """E5: a chat message behind 64 MiB of a file passes all but a few chunks of it."""
        received: list[int] = []
        hear = self.bob.signal_received

        def heard(user: str, device: bytes, signal: AnySignal, channel: IChannel | None) -> None:
            received.append(sum(len(data) for _, data in self.bob.bulk))
            hear(user, device, signal, channel)

        self.bob.signal_received = heard  # type: ignore[method-assign]
        self.here.send_bulk(1, [bytes(64 * MIB)], b"d" * 32)
        self.here.send(Typing())
        self.town.run(1)
        self.assertEqual(sum(len(data) for _, data in self.bob.bulk), 64 * MIB)
        self.assertLess(received[0], 4 * BULK_CHUNK)

    def test_only_what_is_wanted_is_written(self) -> None:
        """Back-pressure: with a reader that stalls, a range of any size costs one or two chunks of memory."""
        self.raw(self.there).stalled = True
        result = self.here.send_bulk(1, [bytes(16 * MIB)], b"d" * 32)
        self.town.run(1)
        self.assertNoResult(result)
        self.assertLess(len(self.raw(self.here).buffer), 3 * BULK_CHUNK)
        self.raw(self.there).resume_reading()
        self.town.run(1)
        self.successResultOf(result)
        self.assertEqual(sum(len(data) for _, data in self.bob.bulk), 16 * MIB)

    def test_a_range_is_done_when_its_last_chunk_is_written(self) -> None:
        """That is the time to bring the next one, even from within."""
        sent: list[int] = []

        def more(_: object) -> Deferred[None] | None:
            sent.append(1)
            return self.here.send_bulk(1, [bytes(100_000)], b"d" * 32).addCallback(more) if len(sent) < 20 else None

        more(None)
        self.town.run(1)
        self.assertEqual(len(sent), 20)
        self.assertEqual(len(self.bob.ends), 19)

    def test_bytes_are_counted_at_both_ends(self) -> None:
        """A4."""
        sent, received = self.here.sent, self.there.received
        self.here.send_bulk(1, [bytes(100_000)], b"d" * 32)
        self.town.run(1)
        self.assertEqual(self.here.sent - sent, self.there.received - received)
        self.assertGreater(self.here.sent - sent, 100_000)

    def test_cancelled_bulk_stops(self) -> None:
        """The rest of it is not sent."""
        result = self.here.send_bulk(1, [bytes(16 * MIB)], b"d" * 32)
        self.here.cancel_bulk(1)
        self.failureResultOf(result, ChannelClosed)
        self.town.run(1)
        self.assertLess(sum(len(data) for _, data in self.bob.bulk), 4 * BULK_CHUNK)


class LifeTests(ChannelCase):
    def test_ping_goes_there_and_back(self) -> None:
        """A14."""
        result = self.here.ping()
        self.town.run(0.1)
        self.assertEqual(self.successResultOf(result), 0.0)

    def test_a_ping_without_an_answer_is_given_up(self) -> None:
        """After ten seconds, while the channel is still in doubt."""
        self.town.network.cut("10.0.0.2", "10.0.0.3")
        result = self.here.ping()
        self.town.run(11)
        self.failureResultOf(result, TimedOut)

    def test_pings_fail_with_the_channel(self) -> None:
        """And on a channel that has ended."""
        self.town.network.cut("10.0.0.2", "10.0.0.3")
        result = self.here.ping()
        self.here.drop("gone")
        self.failureResultOf(result, ChannelClosed)
        self.failureResultOf(self.here.ping(), ChannelClosed)

    def test_too_many_pings_are_refused(self) -> None:
        """They are remembered, so they are bounded."""
        self.raw(self.there).stalled = True
        results = [self.here.ping() for _ in range(100)]
        self.failureResultOf(results[-1], TimedOut)
        self.here.drop("enough")
        for each in results[:-1]:
            each.addErrback(lambda failure: None)

    def test_bulk_is_a_sign_of_life(self) -> None:
        """Who receives a file is not talking to the dead, whatever happens to pongs."""
        for _ in range(int(PATIENCE) * 2):
            self.here.send_bulk(1, [bytes(1000)], b"d" * 32)
            self.there._pings.clear()
            self.town.run(1)
        self.assertEqual(self.bob.closed, [])

    def test_pongs_that_nobody_waits_for_are_ignored(self) -> None:
        """Made up, or late."""
        self.say(pack_control(ChannelPong(12345)))
        self.assertFalse(self.there.ended)


class EndTests(ChannelCase):
    def test_the_end_fails_what_waits_and_is_told_once(self) -> None:
        """Bulk and pings fail with the reason."""
        self.raw(self.there).stalled = True
        bulk, ping = self.here.send_bulk(1, [bytes(MIB)], b"d" * 32), self.here.ping()
        self.here.close("enough")
        self.here.close("again")
        self.here.drop("and again")
        self.failureResultOf(bulk, ChannelClosed)
        self.failureResultOf(ping, ChannelClosed)
        self.assertEqual(self.alice.closed, [(self.here, "enough")])

    def test_nothing_happens_on_a_closed_channel(self) -> None:
        """Sending is no error; bulk fails."""
        self.here.close("enough")
        self.here.send(Typing())
        self.failureResultOf(self.here.send_bulk(1, [b"x"], b"d" * 32), ChannelClosed)

    def test_a_close_that_the_other_side_does_not_answer_is_cut(self) -> None:
        """In two seconds; no timer stays."""
        self.town.network.cut("10.0.0.2", "10.0.0.3")
        self.here.close("enough")
        self.town.run(3)
        self.assertFalse(self.raw(self.here).connected)

    def test_a_killed_process_is_noticed_at_once(self) -> None:
        """Its kernel closes the connection."""
        self.raw(self.there).abortConnection()
        self.town.run(0.1)
        self.assertEqual([reason for _, reason in self.alice.closed], ["the connection was lost"])

    def test_what_follows_a_farewell_is_not_heard(self) -> None:
        """Bye is the last word."""
        self.say(pack_control(Bye("enough")) + pack_control(Typing()))
        self.assertEqual(self.bob.signals, [])
        self.assertEqual(self.bob.closed[0][1], "closed by the other side: enough")


class HostileTests(ChannelCase):
    def test_what_is_against_the_protocol_closes_the_channel_with_a_reason(self) -> None:
        """And only that channel."""
        for data in (
            CONTROL_HEADER.pack(2**31, CONTROL),
            CONTROL_HEADER.pack(5, CONTROL) + b"\xc1\xc1\xc1\xc1",
            CONTROL_HEADER.pack(5, 77) + b"abcd",
        ):
            self.setUp()
            self.say(data)
            self.assertEqual(len(self.bob.closed), 1)
            self.assertTrue(self.bob.closed[0][1])

    def test_proofs_and_nominations_after_the_fact_change_nothing(self) -> None:
        """They have their place before."""
        self.say(pack_control(Prove(b"n" * 16, b"m" * 32)) + pack_control(Nominate()) + pack_control(Typing()))
        self.assertEqual([type(signal) for _, signal, _ in self.bob.signals], [Typing])

    def test_someone_who_asks_and_never_reads_is_dropped(self) -> None:
        """Answers to pings are kept for them up to a bound."""
        self.raw(self.here).stalled = True
        ping = pack_control(ChannelPing(1))
        for _ in range(SEND_BACKLOG // len(ping) // 1000 + 200):
            if self.there.ended:
                break
            self.here.transport.write(ping * 1000)  # type: ignore[union-attr]
            self.town.run(0)
        self.assertIn("does not read", self.bob.closed[0][1])

    def test_long_lists_arrive_whole(self) -> None:
        """The largest honest control frame."""
        self.here.send(Receipt([bytes([n]) * 16 for n in range(256)], "read"))
        self.town.run(0.1)
        self.assertEqual(len(self.bob.signals), 1)
