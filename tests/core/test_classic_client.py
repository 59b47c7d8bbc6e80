"""What a classic client makes of the lines that come."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.classic_client import Came, Said, UserBook, Went
from p2pim.core.limits import CLASSIC_USERS
from p2pim.errors import NoSuchUser
from p2pim.wire.classic import Accept, Alive, Coding, Endpoint, Login, Logout, Refuse, Talk

SERVER = Endpoint("192.0.2.9", 4540)
BOB = Endpoint("192.0.2.2", 5002)
EVE = Endpoint("192.0.2.66", 5066)


class UserBookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.book = UserBook("alice", SERVER.host, Coding.UTF8)

    def test_the_server_says_who_is_there_and_nobody_else(self) -> None:
        """From whichever of its ports."""
        login, elsewhere = Login("bob", BOB), Endpoint(SERVER.host, 9999)
        self.assertIsNone(self.book.take(login, Coding.UTF8, EVE))
        self.assertEqual(self.book.users, {})
        self.assertEqual(self.book.take(login, Coding.UTF8, elsewhere), Came("bob", BOB))
        self.assertIsNone(self.book.take(Logout("bob", BOB), Coding.UTF8, EVE))
        self.assertEqual(self.book.users, {"bob": BOB})
        self.assertEqual(self.book.take(Logout("bob", BOB), Coding.UTF8, SERVER), Went("bob", BOB))
        self.assertIsNone(self.book.take(Logout("bob", BOB), Coding.UTF8, SERVER))
        for line in (Accept(1), Refuse("x"), Alive("alice")):
            self.assertIsNone(self.book.take(line, Coding.UTF8, SERVER))

    def test_what_changes_while_the_list_is_on_its_way_is_kept(self) -> None:
        """The list may be older than the news."""
        self.book.asking()
        self.book.take(Login("carol", EVE), Coding.UTF8, SERVER)
        self.book.take(Logout("bob", BOB), Coding.UTF8, SERVER)
        self.book.take_list([Login("bob", BOB), Login("dave", BOB)])
        self.assertEqual(self.book.users, {"dave": BOB, "carol": EVE})
        self.book.asking()
        self.book.take_list([])
        self.assertEqual(self.book.users, {})

    def test_a_list_is_kept_up_to_a_bound(self) -> None:
        """Whatever a server sends."""
        self.book.take_list(Login(f"user{number}", BOB) for number in range(CLASSIC_USERS + 5))
        self.book.take(Login("more", BOB), Coding.UTF8, SERVER)
        self.assertEqual(len(self.book.users), CLASSIC_USERS)

    def test_who_talks_from_elsewhere_than_the_list_has_them_is_told_apart(self) -> None:
        """Names prove nothing; the host at least is looked at."""
        self.book.take_list([Login("bob", BOB)])
        talk = Talk("12:00", "bob", "hello, you")
        other_port = Endpoint(BOB.host, 1)
        self.assertEqual(
            self.book.take(talk, Coding.UTF8, other_port), Said("bob", "12:00", "hello, you", other_port, listed=True)
        )
        self.assertEqual(self.book.take(talk, Coding.UTF8, EVE), Said("bob", "12:00", "hello, you", EVE, listed=False))

    def test_others_are_written_to_as_they_write(self) -> None:
        """Once they have; somebody who poses as them changes nothing."""
        self.book.take_list([Login("bob", BOB)])
        self.book.take(Talk("", "bob", "x"), Coding.UTF16, EVE)
        self.assertEqual(self.book.where("bob"), (BOB, Coding.UTF8))
        self.book.take(Talk("", "bob", "x"), Coding.UTF16, BOB)
        self.assertEqual(self.book.where("bob"), (BOB, Coding.UTF16))

    def test_nothing_is_sent_to_addresses_that_are_nobodys(self) -> None:
        """A list must not make a client send to everybody."""
        for host in ("224.0.0.1", "0.0.0.0", "255.255.255.255", "ff02::1"):
            self.book.take_list([Login("bob", Endpoint(host, 5002))])
            self.assertRaises(NoSuchUser, self.book.where, "bob")
        self.assertRaises(NoSuchUser, self.book.where, "carol")

    def test_a_line_begins_with_the_longest_name_that_fits(self) -> None:
        """Names may hold spaces."""
        self.book.take_list([Login("bob", BOB), Login("bob the builder", BOB)])
        self.assertEqual(self.book.address_line("bob the builder can he"), ("bob the builder", "can he"))
        self.assertEqual(self.book.address_line("bob: the news, please"), ("bob", "the news, please"))
        for text in ("bobby hello", "carol hello", "bob"):
            self.assertRaises(NoSuchUser, self.book.address_line, text)
