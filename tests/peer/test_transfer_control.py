"""What people do with transfers: accept, refuse, pause, resume, cancel."""

from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred

from p2pim.core.limits import (
    FREE_SPACE_KEPT,
    OFFER_LIFETIME,
    OFFERS_WAITING,
)
from p2pim.errors import (
    NoSpace,
    NoSuchTransfer,
    QuotaExceeded,
    TransferError,
)
from p2pim.peer import transfer_acceptance
from p2pim.wire.signals import FileAnswer, FileOffer, FileState, RangeRequest
from tests.peer.test_transfer_machine import tree
from tests.peer.transfer_case import TransferCase
from tests.peer.transfer_world import Home


class AnswerTests(TransferCase):
    """Accepting and refusing."""

    def test_an_offer_waits_for_an_answer(self) -> None:
        """With "ask" nothing moves until a person says so, and then into the folder they name."""
        self.world.start(accept="ask")
        path = self.file()
        id = self.send(path)
        self.assert_states("offered", "offered")
        other = self.bob.folder / "elsewhere" / "deep"
        self.world.result(self.bob.transfers.accept(id[:6], other))
        self.world.settle()
        self.assertEqual(tree(other / "report.pdf"), tree(path))

    def test_accepting_twice_is_accepting_once(self) -> None:
        """Two clicks, one file."""
        self.world.start(accept="ask")
        path = self.file()
        id = self.send(path)
        self.world.expect(Deferred.fromCoroutine(self.bob.transfers.accept(id)))
        self.world.expect(Deferred.fromCoroutine(self.bob.transfers.accept(id)))
        self.world.settle()
        self.assert_arrived(path)
        with self.assertRaises(TransferError):
            self.world.result(self.bob.transfers.accept(id))

    def test_a_refusal_reaches_the_sender(self) -> None:
        """Both ends see `rejected`, and nothing is left."""
        self.world.start(accept="ask")
        id = self.send(self.file())
        self.world.result(self.bob.transfers.reject(id))
        self.world.settle()
        self.assert_states(("disrupted", "rejected"), ("disrupted", "rejected"))
        for home in (self.alice, self.bob):
            self.assertEqual([e.reason for e in home.events_named("disrupted")], ["rejected"])

    def test_a_refusal_that_got_lost_is_repeated(self) -> None:
        """An end is told until the other side has noted it."""
        self.world.start(accept="ask")
        id = self.send(self.file())
        self.world.server_down = True
        self.world.result(self.bob.transfers.reject(id))
        self.world.settle()
        self.assertEqual(self.state(self.alice), ("offered", ""))
        self.world.server_down = False
        self.bob.kill()
        self.world.heal()
        self.assert_states(("disrupted", "rejected"), ("disrupted", "rejected"))
        told = len(self.world.signals)
        self.world.meet()
        self.world.settle()
        self.assertEqual(len(self.world.signals), told, "what is noted is not repeated")

    def test_never_refuses_and_asks_nobody(self) -> None:
        """The setting answers; the person is not troubled."""
        self.world.start(accept="never")
        self.send(self.file())
        self.assertEqual(self.state(self.alice), ("disrupted", "rejected"))
        self.assertEqual(self.bob.transfers.list(), [])
        self.assertEqual(self.bob.events, [])

    def test_contacts_are_accepted_and_others_asked_about(self) -> None:
        """The setting "contacts"."""
        self.world.start(accept="contacts", is_contact=lambda user: False)
        self.send(self.file())
        self.assert_states("offered", "offered")
        self.setUp()
        self.world.start(accept="contacts", is_contact=lambda user: user == "alice")
        path = self.file()
        self.send(path)
        self.assert_arrived(path)

    def test_what_is_larger_than_the_quota_is_not_accepted(self) -> None:
        """Neither by itself nor by a person; the offer stays."""
        self.world.start(accept="always", quota=999)
        id = self.send(self.file())
        self.assert_states("offered", ("offered", "quota-exceeded"))
        with self.assertRaises(QuotaExceeded):
            self.world.result(self.bob.transfers.accept(id))

    def test_what_does_not_fit_is_not_accepted(self) -> None:
        """Free space is looked at before anything is fetched."""
        self.world.start(accept="ask")
        id = self.send(self.file())
        full = mock.patch.object(transfer_acceptance, "prepared_space", return_value=FREE_SPACE_KEPT + 999)
        with full, self.assertRaises(NoSpace):
            self.world.result(self.bob.transfers.accept(id))
        self.assert_states("offered", "offered")
        self.assertEqual(self.leftovers(), [])

    def test_a_user_cannot_pile_up_offers(self) -> None:
        """The table of unanswered offers is bounded per user."""
        self.world.start(accept="ask")
        for number in range(OFFERS_WAITING + 5):
            self.bob.transfers.signal_received("alice", b"A" * 16, FileOffer(b"%016d" % number, "x", 1, 1), None)
        self.assertEqual(len(self.bob.transfers.list()), OFFERS_WAITING)

    def test_an_offer_nobody_answers_ends(self) -> None:
        """Both ends see `no-answer`."""
        self.world.start(accept="ask")
        self.send(self.file())
        self.world.clock.advance(OFFER_LIFETIME + 10)
        self.world.settle()
        self.assert_states(("disrupted", "no-answer"), ("disrupted", "no-answer"))

    def test_two_devices_and_the_first_to_accept_gets_it(self) -> None:
        """The other one is told that it is too late."""
        self.world.start(accept="ask")
        id = self.send(self.file())
        told: list[tuple[bytes, Any]] = []
        with mock.patch.object(self.alice, "send", lambda user, device, signal, _=None: told.append((device, signal))):
            self.alice.transfers.route_appeared("bob", b"C" * 16)
            self.alice.transfers.signal_received("bob", b"B" * 16, FileAnswer(bytes.fromhex(id), True), None)
            self.alice.transfers.signal_received("bob", b"C" * 16, FileAnswer(bytes.fromhex(id), True), None)
        late = [signal.state for device, signal in told if device == b"C" * 16 and isinstance(signal, FileState)]
        self.assertEqual(late, ["cancelled", "cancelled"])
        self.assertEqual(self.state(self.alice)[0], "waiting")


class ControlTests(TransferCase):
    """Pause, resume and cancel, from either end."""

    def test_either_end_pauses_and_resumes(self) -> None:
        """What is paused stays where it is, and goes on from there."""
        for who in ("alice", "bob"):
            with self.subTest(who):
                self.setUp()
                self.world.start()
                path = self.file()
                id = self.offer(path)
                home = getattr(self.world, who)
                self.half()
                self.world.result(home.transfers.pause(id))
                self.world.settle()
                self.assert_states("paused", "paused")
                stored = self.bob.only().bytes
                self.world.pass_time(20, 5)
                self.assertEqual(self.bob.only().bytes, stored)
                self.world.result(home.transfers.resume(id))
                self.world.settle()
                self.assert_arrived(path)
                again = [s.offset for _, s in self.world.signals if isinstance(s, RangeRequest) and s.digest]
                self.assertGreaterEqual(min(again), 256)

    def test_both_ends_are_told_of_every_change(self) -> None:
        """Under way, paused and by whom, going on: a screen need not ask."""
        self.world.start()
        id = self.offer(self.file())
        self.half()
        self.world.result(self.bob.transfers.pause(id))
        self.world.settle()
        self.assertEqual(self.told(self.bob)[-1], ("paused", "me"))
        self.assertEqual(self.told(self.alice)[-1], ("paused", "peer"))
        stored = self.bob.only().bytes
        self.world.result(self.bob.transfers.resume(id))
        self.until(lambda: self.bob.only().bytes > stored)
        self.world.clock.advance(0)
        for home in (self.alice, self.bob):
            self.assertEqual(self.told(home)[-1], ("running", ""))
        self.world.settle()
        self.assertEqual([home.events[-1].event for home in (self.alice, self.bob)], ["completed", "completed"])

    @staticmethod
    def told(home: Home) -> list[tuple[str, str]]:
        """What it was told of states, and of who paused."""
        return [(event.state, event.paused) for event in home.events_named("transfer")]

    def test_both_must_resume_when_both_paused(self) -> None:
        """Nobody is overruled."""
        self.world.start()
        path = self.file()
        id = self.offer(path)
        self.half()
        for home in (self.alice, self.bob):
            self.world.result(home.transfers.pause(id))
        self.world.settle()
        self.world.result(self.alice.transfers.resume(id))
        self.world.settle()
        self.assert_states("paused", "paused")
        self.world.result(self.bob.transfers.resume(id))
        self.world.settle()
        self.assert_arrived(path)

    def test_a_pause_survives_a_restart(self) -> None:
        """Whoever paused it resumes it."""
        self.world.start()
        path = self.file()
        id = self.offer(path)
        self.half()
        self.world.result(self.bob.transfers.pause(id))
        self.world.settle()
        for home in (self.alice, self.bob):
            home.kill()
        self.world.heal()
        self.assert_states("paused", "paused")
        self.world.result(self.bob.transfers.resume(id))
        self.world.settle()
        self.assert_arrived(path)

    def test_either_end_cancels(self) -> None:
        """Both see who it was, and the partial is gone."""
        for who, alice, bob in (("alice", "cancelled", "peer-cancelled"), ("bob", "peer-cancelled", "cancelled")):
            with self.subTest(who):
                self.setUp()
                self.world.start()
                id = self.offer(self.file())
                self.half()
                self.assertEqual(self.leftovers(), ["report.pdf.p2pim-part"])
                self.world.result(getattr(self.world, who).transfers.cancel(id))
                self.world.settle()
                self.assert_states(("disrupted", alice), ("disrupted", bob))
                self.assertEqual(self.leftovers(), [])
                with self.assertRaises(TransferError):
                    self.world.result(self.bob.transfers.cancel(id))

    def test_a_withdrawn_offer_disappears_even_from_one_who_was_away(self) -> None:
        """The end is told when they are back."""
        self.world.start(accept="ask")
        id = self.send(self.file())
        self.bob.kill()
        self.world.result(self.alice.transfers.cancel(id))
        self.world.settle()
        self.world.heal()
        self.assert_states(("disrupted", "cancelled"), ("disrupted", "peer-cancelled"))

    def test_ids_may_be_shortened_while_they_are_clear(self) -> None:
        """Like commit ids."""
        self.world.start()
        id = self.send(self.file())
        self.assertEqual(self.alice.transfers.get(id[:4]).id, id)
        for wrong in ("", "zz", id + "0"):
            with self.assertRaises(NoSuchTransfer):
                self.alice.transfers.get(wrong)

    def test_waiting_for_the_end(self) -> None:
        """`Transfer.end` fires with the last status."""
        self.world.start()
        transfer = self.world.result(self.alice.transfers.offer("bob", self.file()))
        end = transfer.end()
        self.assertNoResult(end)
        self.world.settle()
        self.assertEqual(self.successResultOf(end).state, "completed")
        self.assertEqual(self.successResultOf(transfer.end()).as_json()["state"], "completed")
