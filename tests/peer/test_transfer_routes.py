"""Transfers whose routes end, and what they leave behind."""

import os
from pathlib import Path
from unittest import mock

from p2pim.core.limits import (
    TRANSFER_STALL,
    TRANSFER_STALLS,
    TRANSFERS_RUNNING_PER_USER,
)
from p2pim.errors import (
    NoRoute,
    Offline,
    TransferError,
    Usage,
)
from p2pim.wire.signals import FileState, RangeRequest
from tests.peer.test_transfer_machine import tree
from tests.peer.transfer_case import TransferCase


class RouteTests(TransferCase):
    """By which way it goes, and what happens when that ends."""

    def test_a_cut_channel_only_delays_it(self) -> None:
        """It goes on by the next one, from where it was."""
        self.world.start()
        path = self.file()
        self.offer(path)
        self.half()
        self.world.cut(self.bob.channels[0])
        self.world.direct = False
        self.world.settle()
        self.assert_arrived(path)
        self.assertEqual(self.bob.events_named("completed")[0].route, "relay")
        self.assertEqual(self.bob.events_named("disrupted"), [])

    def test_it_leaves_a_silent_channel_and_comes_back_to_it(self) -> None:
        """By the relay while nothing is heard, and by the same direct channel once it is."""
        self.world.start()
        path = self.file(size=4_000)
        self.offer(path)
        self.until(lambda: any(status.bytes > 500 for status in self.bob.transfers.list()))
        direct = self.bob.channels[0]
        self.world.direct = False
        self.bob.silent.append(direct)
        self.bob.transfers.route_doubted(direct)
        self.world.clock.advance(0)
        self.half()
        self.until(lambda: self.bob.only().route == "relay")
        self.bob.silent.clear()
        self.bob.transfers.route_appeared("alice", self.alice.device)
        self.world.settle()
        self.assert_arrived(path)
        self.assertEqual(self.bob.events_named("completed")[0].route, direct.kind)
        self.assertEqual(self.bob.events_named("disrupted"), [])

    def test_one_that_must_go_directly_stays_on_a_silent_channel(self) -> None:
        """There is no other way for it."""
        self.world.start()
        self.offer(self.file(), route="direct")
        self.half()
        direct = self.bob.channels[0]
        self.bob.transfers.route_doubted(direct)
        self.world.settle()
        self.assertEqual([channel.kind for channel in self.bob.channels], [direct.kind])
        self.assert_states("completed", "completed")

    def test_it_moves_from_the_relay_to_a_direct_channel(self) -> None:
        """As soon as there is one."""
        self.world.direct = False
        self.world.start()
        path = self.file()
        self.offer(path)
        self.half()
        self.assertEqual(self.bob.only().route, "relay")
        self.world.connect("tcp")
        self.world.settle()
        self.assert_arrived(path)
        self.assertEqual(self.bob.events_named("completed")[0].route, "tcp")

    def test_direct_means_direct(self) -> None:
        """Without a direct channel there is no transfer; with one it waits for the next, and takes no relay."""
        self.world.direct = False
        self.world.start()
        path = self.file()
        with self.assertRaises(NoRoute):
            self.offer(path, route="direct")
        self.assertEqual(self.alice.transfers.list(), [])
        self.world.direct = True
        self.offer(path, route="direct")
        self.half()
        self.world.direct = False
        self.world.cut(self.bob.channels[0])
        self.world.connect("relay")
        self.world.settle()
        self.assertEqual(self.state(self.bob)[0], "waiting")
        self.world.connect("tcp")
        self.world.settle()
        self.assert_arrived(path)

    def test_relay_means_relay(self) -> None:
        """Even beside a direct channel."""
        self.world.start()
        self.world.connect("tcp")
        path = self.file()
        self.send(path, route="relay")
        self.assert_arrived(path)
        self.assertEqual(self.bob.events_named("completed")[0].route, "relay")

    def test_the_sender_itself_holds_to_the_route(self) -> None:
        """A receiver that asks over a relay for what goes directly only gets no byte."""
        self.world.start(accept="ask")
        id = self.send(self.file(), route="direct")
        self.world.connect("relay")
        end = next(c for c in self.alice.channels if c.kind == "relay")
        request = RangeRequest(bytes.fromhex(id), 1, 0, 10)
        self.alice.transfers.signal_received("bob", b"B" * 16, request, end)
        self.world.settle()
        self.assertEqual(end.end.received, 0)

    def test_an_unknown_route_is_refused(self) -> None:
        """Nothing is guessed."""
        self.world.start()
        with self.assertRaises(Usage):
            self.offer(self.file(), route="pigeon")

    def test_an_offer_to_one_who_is_away_waits_for_them(self) -> None:
        """People are told `peer-offline`, and it goes when they are back."""
        self.alice.start()
        path = self.file()
        self.send(path)
        self.assertEqual(self.state(self.alice), ("offered", "peer-offline"))
        self.assertEqual([e.reason for e in self.alice.events_named("disrupted")], ["peer-offline"])
        with self.assertRaises(Offline):
            self.offer(path, route="direct")
        self.world.heal()
        self.assert_arrived(path)

    def test_a_lost_server_is_told_and_outlived(self) -> None:
        """What goes over a channel goes on; what waits says why."""
        self.world.start()
        path = self.file()
        self.offer(path)
        self.half()
        self.world.server_down = True
        for home in (self.alice, self.bob):
            home.transfers.session_lost()
            home.transfers.peer_offline(home.other.user)
        self.assertEqual(self.bob.events_named("disrupted"), [])
        self.world.cut(self.bob.channels[0])
        self.world.settle()
        self.bob.transfers.session_lost()
        self.bob.transfers.session_lost()
        self.assertEqual(self.state(self.bob), ("waiting", "offline"))
        self.assertEqual([e.reason for e in self.bob.events_named("disrupted")], ["peer-offline", "offline"])
        self.world.heal()
        self.assert_arrived(path)

    def test_a_sender_that_stops_sending_is_asked_again_and_then_too_slow(self) -> None:
        """Silence has an end."""
        self.world.start()
        self.offer(self.file())
        self.half()
        with mock.patch.object(self.alice.transfers, "signal_received", return_value=None):
            for end in self.alice.channels:
                for stream in list(end._bulk):
                    end._bulk.pop(stream)
            self.world.pass_time((TRANSFER_STALLS + 1) * (TRANSFER_STALL + 10), 5)
        self.assertEqual(self.state(self.bob), ("disrupted", "too-slow"))
        self.world.heal()
        self.assertEqual(self.state(self.alice), ("disrupted", "too-slow"))

    def test_one_user_does_not_take_all_the_memory(self) -> None:
        """Only so many run at once; the others wait for their turn, and all arrive."""
        self.world.start()
        paths = [self.file(f"file {n}", 300) for n in range(3 * TRANSFERS_RUNNING_PER_USER)]
        for path in paths:
            self.offer(path)
        most = 0
        for turn in range(100_000):
            if not self.world.step(turn):
                self.world.clock.advance(0.01)
            most = max(most, sum(status.state == "running" for status in self.bob.transfers.list()))
            if all(status.state == "completed" for status in self.bob.transfers.list()):
                break
        self.assertEqual(most, TRANSFERS_RUNNING_PER_USER)
        self.assertEqual({p.name for p in self.bob.downloads.iterdir()}, {p.name for p in paths})


class AfterwardsTests(TransferCase):
    """What a transfer that failed leaves for the next."""

    def fail_in_the_middle(self, path: Path) -> None:
        self.offer(path)
        self.half()
        self.world.clock.advance(1)
        self.until(lambda: self.bob.only().bytes > 700)
        self.alice.transfers.get(self.alice.only().transfer).fail(TransferError("for the test"))
        self.world.settle()
        self.assertEqual(self.state(self.bob), ("disrupted", "peer-error"))
        self.assertEqual(self.leftovers(), ["report.pdf.p2pim-part"])

    def test_a_new_offer_of_the_same_goes_on_where_the_last_one_failed(self) -> None:
        """The partial file is adopted, and nothing is fetched twice."""
        self.world.start()
        path = self.file(size=2_000)
        self.fail_in_the_middle(path)
        self.world.signals.clear()
        self.send(path)
        first = next(s for _, s in self.world.signals if isinstance(s, RangeRequest))
        self.assertGreater(first.offset, 0)
        self.assertEqual(tree(self.bob.downloads / "report.pdf"), tree(path))
        self.assertEqual(self.leftovers(), [])

    def test_a_new_offer_of_something_else_begins_anew(self) -> None:
        """Same name, size and time, other bytes: the digest tells."""
        self.world.start()
        path = self.file(size=2_000)
        times = path.stat().st_mtime_ns
        self.fail_in_the_middle(path)
        path.write_bytes(os.urandom(2_000))
        os.utime(path, ns=(times, times))
        self.world.signals.clear()
        self.send(path)
        self.assertIn("restart", [s.state for _, s in self.world.signals if isinstance(s, FileState)])
        self.assertEqual(tree(self.bob.downloads / "report.pdf"), tree(path))
        self.assertEqual(self.leftovers(), [])

    def test_a_partial_nobody_goes_on_with_is_removed_in_the_end(self) -> None:
        """Downloads do not fill with halves."""
        self.world.start()
        self.fail_in_the_middle(self.file(size=2_000))
        self.bob.kill()
        self.world.clock.advance(8 * 86_400)
        self.world.heal()
        self.assertEqual(self.leftovers(), [])

    def test_it_is_remembered_after_a_restart(self) -> None:
        """History is on the disk."""
        self.world.start()
        self.send(self.file())
        for home in (self.alice, self.bob):
            home.kill()
        self.world.heal()
        self.assert_states("completed", "completed")
        self.assertEqual(self.bob.only().path, str(self.bob.downloads / "report.pdf"))

    def test_stopping_lets_go_and_starting_goes_on(self) -> None:
        """An orderly stop in the middle loses nothing that was fetched."""
        self.world.start()
        path = self.file(size=2_000)
        self.offer(path)
        self.half()
        self.world.result(self.bob.transfers.stop())
        self.world.settle()
        stored = self.bob.only().bytes
        self.bob.kill()
        self.world.signals.clear()
        self.world.heal()
        first = next(s for _, s in self.world.signals if isinstance(s, RangeRequest))
        self.assertEqual(first.offset, stored)
        self.assert_arrived(path)
