"""Mail reaches its device by one way or the other, and is acknowledged when it is safe and not before."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import HELD_MESSAGES, MAIL_QUEUE, SEND_BACKLOG
from p2pim.errors import DatabaseDown
from p2pim.server.settings import MailSection, ServerSettings
from p2pim.storage import accounts
from p2pim.wire.mail import AckMail, FetchMail, Got, Mail, MailId, MailItem, MailWaiting, Stored
from p2pim.wire.messages import MESSAGE, SIGNAL, BlockUser, Done, Failed, Incoming, Send, SignedOut, SignOut, Welcome
from tests.server.support import Client, World


def message_id(number: int) -> bytes:
    """The id of the message ``number``."""
    return number.to_bytes(16, "big")


class MailCase(SynchronousTestCase):
    """Alice writes to Bob."""

    settings = ServerSettings()

    def setUp(self) -> None:
        self.world = World(self.mktemp(), self.settings)
        self.alice = self.world.user("alice")
        self.bob = self.world.user("bob")

    def letter(self, number: int, kind: int = MESSAGE, payload: bytes = b"hi", to: str = "bob") -> Send:
        """Alice's message ``number`` for Bob, which she also calls so."""
        return Send(number, to, self.bob.device, kind, payload, message_id(number))

    def got(self, *numbers: int) -> Got:
        """Bob's confirmation of Alice's messages."""
        return Got([MailId("alice", self.alice.device, message_id(number)) for number in numbers])

    def back(self, who: Client, name: str) -> Client:
        """The same device, connected again; its welcome is kept."""
        client = self.world.client().sign_in(name, device=who.device, token=who.welcome.token)
        welcome = client.received()[0]
        assert isinstance(welcome, Welcome), welcome
        client.welcome = welcome
        return client

    def fetch(self, client: Client, after: int = 0, limit: int = 256) -> list[MailItem]:
        """A page of what waits."""
        client.send(FetchMail(9, after, limit))
        return client.one(Mail).items

    def take_all(self, client: Client) -> list[MailItem]:
        """All that waits, acknowledged."""
        items = self.fetch(client)
        client.send(AckMail(10, items[-1].number))
        client.one(Done)
        return items

    def counters(self, user: str) -> tuple[int, int, int, int]:
        """Uploads and downloads with their bytes, as on disk."""
        self.successResultOf(self.world.house.write_counters())
        row = {row["user"]: row for row in accounts.list_accounts(self.world.database.connection)}[user]
        return row["uploads"], row["upload_bytes"], row["downloads"], row["download_bytes"]


class ForwardedMailTests(MailCase):
    def test_mail_for_a_connected_device_goes_there_at_once(self) -> None:
        """With its id; that it arrived is for the device to say."""
        self.alice.send(self.letter(1))
        self.assertEqual(self.bob.one(Incoming), Incoming("alice", self.alice.device, MESSAGE, b"hi", message_id(1)))
        self.bob.send(self.got(1))
        self.bob.lose()
        self.assertEqual(self.alice.received(), [])
        self.assertEqual(self.back(self.bob, "bob").welcome.mail, 0)

    def test_what_was_not_confirmed_waits_in_the_mailbox_when_the_session_ends(self) -> None:
        """In its order, and the sender hears of it after the commit."""
        self.alice.send(self.letter(1), self.letter(2), self.letter(3))
        self.bob.send(self.got(2))
        self.bob.lose()
        self.assertEqual(self.alice.one(Stored).ids, [1, 3])
        bob = self.back(self.bob, "bob")
        self.assertEqual(bob.welcome.mail, 2)
        self.assertEqual([item.message for item in self.fetch(bob)], [message_id(1), message_id(3)])

    def test_a_newer_session_of_the_device_finds_what_the_older_had_not_confirmed(self) -> None:
        """Replaced is ended."""
        self.alice.send(self.letter(1))
        bob = self.back(self.bob, "bob")
        self.assertEqual([item.message for item in self.take_all(bob)], [message_id(1)])

    def test_the_same_again_while_it_is_not_confirmed_is_forwarded_again(self) -> None:
        """As it was the first time; whoever sent it last hears what became of it, and it is counted once."""
        self.alice.send(self.letter(1))
        self.bob.one(Incoming)
        self.alice.lose()
        alice = self.back(self.alice, "alice")
        alice.send(Send(77, "bob", self.bob.device, MESSAGE, b"other", message_id(1)))
        self.assertEqual(self.bob.one(Incoming).payload, b"hi")
        self.bob.lose()
        self.assertEqual(alice.one(Stored).ids, [77])
        self.assertEqual(self.counters("alice")[0], 1)
        self.assertEqual([item.payload for item in self.fetch(self.back(self.bob, "bob"))], [b"hi"])

    def test_too_much_unconfirmed_goes_to_the_mailbox_all_of_it(self) -> None:
        """So that memory is bounded and the order kept."""
        self.alice.send(*[self.letter(number) for number in range(HELD_MESSAGES + 2)])
        self.assertEqual(self.alice.one(Stored).ids, list(range(HELD_MESSAGES + 2)))
        told = self.bob.received()
        self.assertEqual(len([each for each in told if isinstance(each, Incoming)]), HELD_MESSAGES)
        self.assertIsInstance(told[-1], MailWaiting)

    def test_a_device_that_does_not_read_gets_its_mail_into_the_mailbox(self) -> None:
        """And it is stored, not refused."""
        self.bob.connection.pauseProducing()
        self.bob.connection.output_bytes = SEND_BACKLOG
        self.alice.send(self.letter(1))
        self.assertEqual(self.alice.one(Stored).ids, [1])

    def test_signals_with_an_id_are_mail_that_is_not_counted(self) -> None:
        """Receipts for what came by mail."""
        self.alice.send(self.letter(1, SIGNAL))
        self.bob.send(self.got(1))
        self.bob.lose()
        self.alice.send(self.letter(2, SIGNAL))
        self.take_all(self.back(self.bob, "bob"))
        self.assertEqual(self.counters("alice"), (0, 0, 0, 0))
        self.assertEqual(self.counters("bob"), (0, 0, 0, 0))

    def test_a_message_is_counted_once_each_way_whichever_way_it_took(self) -> None:
        """Forwarded; stored; and forwarded, not confirmed, stored and sent again."""
        self.alice.send(self.letter(1))
        self.assertEqual((self.counters("alice")[0], self.counters("bob")[2]), (1, 0))
        self.bob.send(self.got(1), self.got(1))
        self.alice.send(self.letter(2))
        self.bob.lose()
        self.alice.send(self.letter(2), self.letter(3))
        self.assertEqual(self.alice.all(Stored)[-1].ids, [2, 3])
        self.take_all(self.back(self.bob, "bob"))
        self.assertEqual(self.counters("alice")[:2], (3, 6))
        self.assertEqual(self.counters("bob")[2:], (3, 6))

    def test_a_confirmation_of_what_was_never_sent_is_nothing(self) -> None:
        """Nor is somebody else's."""
        self.alice.send(self.letter(1))
        carol = self.world.user("carol")
        carol.send(self.got(1))
        self.bob.send(self.got(5))
        self.bob.lose()
        self.assertEqual(self.alice.one(Stored).ids, [1])

    def test_a_message_id_of_another_length_breaks_the_protocol(self) -> None:
        """It could not be told from others."""
        self.alice.send(Send(1, "bob", self.bob.device, MESSAGE, b"hi", b"short"))
        self.assertEqual(self.alice.one(SignedOut).reason, "bad-message")


class StoredMailTests(MailCase):
    def setUp(self) -> None:
        super().setUp()
        self.bob.lose()

    def test_mail_for_a_device_that_is_away_is_stored_and_then_acknowledged(self) -> None:
        """All of a turn in one answer."""
        self.alice.send(*[self.letter(number) for number in range(5)])
        self.assertEqual(self.alice.one(Stored).ids, [0, 1, 2, 3, 4])
        item = self.fetch(self.back(self.bob, "bob"))[0]
        self.assertEqual(item, MailItem(1, "alice", self.alice.device, MESSAGE, message_id(0), b"hi", self.world.wall))

    def test_a_name_in_another_spelling_is_the_same_mailbox(self) -> None:
        """BOB is bob."""
        self.alice.send(self.letter(1), self.letter(1, to="BOB"))
        self.assertEqual(self.alice.one(Stored).ids, [1, 1])
        self.assertEqual(len(self.fetch(self.back(self.bob, "bob"))), 1)

    def test_nothing_is_acknowledged_before_the_commit(self) -> None:
        """However long that takes."""
        self.world.database.held = []
        self.alice.send(self.letter(1))
        self.world.pass_time(10)
        self.assertEqual(self.alice.received(), [])
        self.world.database.go_on()
        self.assertEqual(self.alice.one(Stored).ids, [1])

    def test_the_same_again_is_acknowledged_again_and_stored_once(self) -> None:
        """While it waits, and after it was fetched."""
        self.alice.send(self.letter(1))
        self.alice.send(self.letter(1))
        self.assertEqual([stored.ids for stored in self.alice.all(Stored)], [[1], [1]])
        bob = self.back(self.bob, "bob")
        self.assertEqual(len(self.take_all(bob)), 1)
        bob.lose()
        self.alice.send(self.letter(1))
        self.assertEqual(self.alice.one(Stored).ids, [1])
        self.assertEqual(self.back(self.bob, "bob").welcome.mail, 0)

    def test_the_same_id_of_two_senders_is_two_messages(self) -> None:
        """Nobody keeps another's message out by using its id first."""
        carol = self.world.user("carol")
        for client in (self.alice, carol):
            client.send(self.letter(1))
            self.assertEqual(client.one(Stored).ids, [1])
        self.assertEqual([item.sender for item in self.fetch(self.back(self.bob, "bob"))], ["alice", "carol"])

    def test_while_mail_waits_new_mail_goes_to_its_end(self) -> None:
        """And the device hears that there is more when it had caught up; then it comes directly again."""
        self.alice.send(self.letter(1))
        bob = self.back(self.bob, "bob")
        self.alice.send(self.letter(2))
        self.assertEqual(bob.received(), [])
        self.assertEqual([item.number for item in self.fetch(bob)], [1, 2])
        self.alice.send(self.letter(3))
        bob.send(AckMail(1, 2))
        self.assertEqual(bob.received(), [MailWaiting(1), Done(1)])
        self.assertEqual([item.number for item in self.take_all(bob)], [3])
        self.alice.send(self.letter(4))
        self.assertEqual(bob.one(Incoming).message, message_id(4))

    def test_mail_that_is_being_committed_while_the_device_signs_in_is_not_overtaken(self) -> None:
        """The mailbox was empty when it was looked into, and was not any more a moment later."""
        bob = self.world.client().sign_in("bob", device=self.bob.device, token=self.bob.welcome.token)
        self.assertEqual(bob.one(Welcome).mail, 0)
        bob.lose()
        self.world.database.held = []
        self.alice.send(self.letter(1))
        held, self.world.database.held = self.world.database.held, None
        bob = self.back(self.bob, "bob")
        self.world.database.held = held
        self.alice.send(self.letter(2))
        self.world.database.go_on()
        self.world.settle()
        self.assertEqual([type(each) for each in bob.received()], [MailWaiting])
        self.assertEqual([item.message for item in self.take_all(bob)], [message_id(1), message_id(2)])

    def test_pages_are_bounded_in_number_and_in_bytes(self) -> None:
        """``more`` says that there is more."""
        payload = bytes(90_000)
        self.alice.send(*[self.letter(number, payload=payload) for number in range(12)])
        bob = self.back(self.bob, "bob")
        bob.send(FetchMail(1, 0))
        page = bob.one(Mail)
        self.assertEqual((len(page.items), page.more), (5, True))
        bob.send(FetchMail(2, 10))
        page = bob.one(Mail)
        self.assertEqual(([item.number for item in page.items], page.more), ([11, 12], False))
        bob.send(FetchMail(3, 0, 2))
        self.assertEqual([item.number for item in bob.one(Mail).items], [1, 2])

    def test_a_full_mailbox_is_told_to_the_sender_and_others_are_not_affected(self) -> None:
        """By count and by bytes; what was stored already is still acknowledged."""
        self.world.house.use(ServerSettings(mail=MailSection(messages=2)))
        self.alice.send(self.letter(1), self.letter(2), self.letter(3), self.letter(1))
        self.assertEqual(
            [(each.id, each.code) if isinstance(each, Failed) else each for each in self.alice.received()],
            [(3, "mailbox-full"), Stored([1, 2, 1])],
        )
        self.world.house.use(ServerSettings(mail=MailSection(megabytes=1)))
        self.alice.send(*[self.letter(number, payload=bytes(90_000)) for number in range(10, 30)])
        self.assertIn("mailbox-full", {failed.code for failed in self.alice.all(Failed)})
        carol = self.world.user("carol")
        self.alice.send(Send(40, "carol", carol.device, MESSAGE, b"hi", message_id(40)))
        carol.one(Incoming)

    def test_unknown_devices_and_users_are_told_apart(self) -> None:
        """So that a sender knows what to ask for."""
        self.world.database.connection.execute("INSERT INTO accounts (name, password, created_at) VALUES ('dora','',0)")
        for to, device, code in (
            ("bob", bytes(16), "no-such-device"),
            ("dora", bytes(16), "no-devices"),
            ("nobody", bytes(16), "no-such-user"),
            ("../etc", bytes(16), "no-such-user"),
        ):
            self.alice.send(Send(1, to, device, MESSAGE, b"hi", message_id(1)))
            self.assertEqual(self.alice.one(Failed).code, code)
        self.assertEqual(self.counters("alice"), (0, 0, 0, 0))

    def test_blocked_is_told_also_when_the_recipient_is_away(self) -> None:
        """Whichever of the two has blocked; nothing is stored."""
        bob = self.back(self.bob, "bob")
        bob.send(BlockUser(1, "alice", True))
        bob.one(Done)
        self.alice.send(self.letter(1))
        self.assertEqual(self.alice.one(Failed).code, "blocked")
        bob.send(Send(1, "alice", self.alice.device, MESSAGE, b"hi", message_id(1)))
        self.assertEqual(bob.one(Failed).code, "blocked")
        bob.lose()
        self.alice.send(self.letter(1))
        self.assertEqual(self.alice.one(Failed).code, "blocked")
        self.assertEqual(self.back(self.bob, "bob").welcome.mail, 0)

    def test_a_device_signed_out_for_good_keeps_its_mail(self) -> None:
        """Its token ends; with the password it comes back to what waited."""
        bob = self.back(self.bob, "bob")
        bob.send(SignOut(forget=True))
        self.alice.send(self.letter(1))
        self.assertEqual(self.alice.one(Stored).ids, [1])
        bob = self.world.client().sign_in("bob", device=self.bob.device, password="correct horse")
        self.assertEqual(bob.one(Welcome).mail, 1)

    def test_mail_that_nobody_fetches_expires(self) -> None:
        """After the days of the settings, and its place is free again."""
        self.alice.send(*[self.letter(number) for number in range(3)])
        self.world.wall += 29 * 86_400
        self.alice.send(self.letter(3))
        self.world.pass_time(2)
        self.world.wall += 2 * 86_400
        self.world.pass_time(700)
        bob = self.back(self.bob, "bob")
        self.assertEqual([item.message for item in self.fetch(bob)], [message_id(3)])

    def test_a_mailbox_that_expired_before_it_was_fetched_does_not_keep_new_mail_back(self) -> None:
        """Welcome named mail that is gone: an empty page puts that right."""
        self.alice.send(self.letter(1))
        bob = self.back(self.bob, "bob")
        self.world.database.connection.execute("DELETE FROM mail")
        self.world.database.connection.execute("UPDATE mailboxes SET messages = 0, bytes = 0")
        self.assertEqual(self.fetch(bob), [])
        self.alice.received()
        self.alice.send(self.letter(2))
        bob.one(Incoming)


class DatabaseInTroubleTests(MailCase):
    def test_what_cannot_be_committed_is_not_acknowledged_and_can_be_sent_again(self) -> None:
        """The sender hears how long to wait."""
        self.bob.lose()
        self.world.database.broken = True
        self.alice.send(self.letter(1), self.letter(2))
        failures = self.alice.all(Failed)
        self.assertEqual([(each.id, each.code) for each in failures], [(1, "database-down"), (2, "database-down")])
        self.assertGreater(failures[0].retry_after, 0)
        self.world.database.broken = False
        self.alice.send(self.letter(1), self.letter(2))
        self.assertEqual(self.alice.one(Stored).ids, [1, 2])
        self.flushLoggedErrors(DatabaseDown)

    def test_what_was_forwarded_is_failed_when_it_cannot_be_kept(self) -> None:
        """Nobody believes that a message is safe that is nowhere."""
        self.alice.send(self.letter(1))
        self.world.database.broken = True
        self.bob.lose()
        self.assertEqual(self.alice.one(Failed).code, "database-down")

    def test_a_connected_device_with_an_empty_mailbox_needs_no_database(self) -> None:
        """Conversations go on while the disk is full."""
        self.world.database.broken = True
        self.alice.send(self.letter(1))
        self.bob.one(Incoming)
        self.bob.send(self.got(1))
        self.assertEqual(self.alice.received(), [])

    def test_who_signs_in_while_the_database_is_down_is_forwarded_to_once_it_is_up(self) -> None:
        """Until it is known that nothing waits, nothing may overtake."""
        self.bob.lose()
        self.world.database.broken = True
        bob = self.back(self.bob, "bob")
        self.alice.send(self.letter(1))
        self.assertEqual(self.alice.one(Failed).code, "database-down")
        self.world.database.broken = False
        self.world.pass_time(2)
        self.alice.send(self.letter(1))
        bob.one(Incoming)

    def test_the_queue_before_a_slow_database_is_bounded(self) -> None:
        """What comes beyond is refused at once, and nothing of it is acknowledged later."""
        self.bob.lose()
        self.world.database.held = []
        for start in range(0, MAIL_QUEUE + 10, 1_000):
            end = min(start + 1_000, MAIL_QUEUE + 10)
            self.alice.send(*[self.letter(number) for number in range(start, end)])
        failed = [each.id for each in self.alice.all(Failed)]
        self.assertEqual(failed, list(range(MAIL_QUEUE, MAIL_QUEUE + 10)))
        self.world.database.go_on()
        stored = [id for each in self.alice.all(Stored) for id in each.ids]
        self.assertEqual(stored, list(range(MAIL_QUEUE)))
