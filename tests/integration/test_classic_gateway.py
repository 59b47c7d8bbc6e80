"""The classic gateway, spoken to by a client written from the grammar alone; and what bad input gets."""

from __future__ import annotations

import errno
import os
import socket

from twisted.internet.error import CannotListenError

from p2pim.core.limits import (
    CLASSIC_ASK_AFTER,
    CLASSIC_CONFLICT_WAIT,
    CLASSIC_GUESTS_PER_HOST,
    CLASSIC_LIST_TIME,
    CLASSIC_LISTS_PER_HOST,
    CLASSIC_LOGIN_BURST,
    CLASSIC_UNPROVED_TOLD,
)
from p2pim.server.classic import Gateway
from p2pim.server.settings import ClassicSection
from p2pim.wire.classic import Endpoint, Login, parse_list
from tests.integration.classic_case import GatewayCase

UTF16 = "utf-16-le"


class SpokenTests(GatewayCase):
    """Every production of the grammar."""

    async def test_a_newcomer_is_accepted_and_gets_the_list_with_themselves_in_it(self) -> None:
        """The login by UDP, the list over TCP at the port of the same number."""
        alice = self.client("alice")
        alice.send_login()
        self.assertEqual(await self.off(alice.receive), f"Accept,{self.gateway.port}")
        data = await self.off(alice.list_bytes, self.gateway.port)
        self.assertEqual(data, f"alice,{alice.endpoint};end".encode())

    async def test_the_others_get_only_the_change_as_it_was_received(self) -> None:
        """The login and the logout, byte by byte."""
        alice, bob = await self.users("alice", "bob")
        self.assertEqual(
            parse_list(await self.off(bob.list_bytes, self.gateway.port)).users,
            (Login("alice", Endpoint("127.0.0.1", alice.port)), Login("bob", Endpoint("127.0.0.1", bob.port))),
        )
        bob.send_logout()
        self.assertEqual(await self.off(alice.receive), f"logout,bob,{bob.endpoint}")
        self.assertEqual(await self.off(alice.users, self.gateway.port), [("alice", alice.endpoint)])
        self.assertEqual(self.watcher.here, ["alice"])

    async def test_users_talk_to_each_other_and_not_through_the_gateway(self) -> None:
        """Commas and all."""
        alice, bob = await self.users("alice", "bob")
        users = dict(await self.off(alice.users, self.gateway.port))
        alice.say(users["bob"], "one, two, three")
        self.assertEqual(await self.off(bob.receive), "talk,12:34:56,alice,one, two, three")
        self.assertEqual(self.gateway.counts.bad, 0)

    async def test_who_speaks_utf_16_is_answered_so_and_gets_a_string_of_binary_writer(self) -> None:
        """And what is told to each is in their own coding."""
        alice = (await self.users("alice"))[0]
        net = self.client("小明", UTF16)
        self.assertEqual(await self.off(net.log_in), [("alice", alice.endpoint), ("小明", net.endpoint)])
        self.assertEqual(await self.off(alice.receive), f"login,小明,{net.endpoint}")
        alice.send_logout()
        self.assertEqual(await self.off(net.receive), f"logout,alice,{alice.endpoint}")
        data = await self.off(net.list_bytes, self.gateway.port)
        self.assertEqual(data[0], len(data) - 1)

    async def test_a_long_list_is_a_string_with_a_longer_length(self) -> None:
        """More than 127 bytes."""
        await self.users(*(f"user{number}" for number in range(9)))
        net = self.client("net", UTF16)
        self.assertEqual(len(await self.off(net.log_in)), 10)

    async def test_a_login_that_comes_again_is_answered_again_and_told_to_nobody(self) -> None:
        """Its answer may have been lost; duplicate names do not pile up."""
        alice, bob = await self.users("alice", "bob")
        self.assertEqual(len(await self.off(bob.log_in)), 2)
        self.assertTrue(await self.off(alice.hears_nothing, 0.1))

    async def test_a_line_end_does_no_harm(self) -> None:
        """As from somebody who types."""
        alice = self.client("alice")
        alice.tell_server(f"login,alice,{alice.endpoint}\r\n")
        self.assertEqual(await self.off(alice.receive), f"Accept,{self.gateway.port}")

    async def test_the_servers_own_users_are_in_the_list_when_they_are_shown(self) -> None:
        """With the addresses that the gateway has for them."""
        self.watcher.shown = [Login("carol", Endpoint("127.0.0.1", 4999))]
        alice = self.client("alice")
        self.assertIn(("carol", "127.0.0.1:4999"), await self.off(alice.log_in))


class Ipv6Tests(GatewayCase):
    """The other form of an endpoint."""

    interface = "::"

    async def test_ipv6_and_ipv4_clients_share_a_list(self) -> None:
        """Mapped addresses are IPv4 addresses."""
        six = self.client("six", host="::1")
        self.assertEqual(await self.off(six.log_in), [("six", f"[::1]:{six.port}")])
        four = self.client("four")
        self.assertEqual(await self.off(four.log_in), [("six", six.endpoint), ("four", four.endpoint)])
        self.assertEqual(await self.off(six.receive), f"login,four,{four.endpoint}")
        four.send_logout()
        self.assertEqual(await self.off(six.receive), f"logout,four,{four.endpoint}")


class BadInputTests(GatewayCase):
    """What bad input gets."""

    async def test_a_bad_datagram_costs_nothing_but_a_counter(self) -> None:
        """The original's receive loop ended with the first of these."""
        alice = self.client("alice")
        for data in (b"", b"x", b"\xff\xff", b"login", b"login,,", b"login,x,nowhere", b"l\0o\0g", b"talk,1,x,y",
                     b"Accept,1", b"logout,nobody,127.0.0.1:1", b"," * 60_000):  # fmt: skip
            alice.socket.sendto(data, alice.server)
        self.assertEqual(len(await self.off(alice.log_in)), 1)
        self.assertEqual((self.gateway.counts.bad, self.gateway.counts.foreign), (10, 1))

    async def test_a_question_that_is_shorter_than_its_refusal_gets_none(self) -> None:
        """Whoever invents a sender gets nobody more bytes than they spent themselves."""
        alice = self.client("alice")
        for data in (b"login,,[::]:9", b"login,a,[::]:9", b"login,carol,[::]"):
            alice.socket.sendto(data, alice.server)
        self.assertEqual(len(await self.off(alice.log_in)), 1)
        self.assertEqual((self.gateway.counts.bad, self.gateway.counts.refused), (3, 0))

    async def test_a_name_that_is_taken_is_refused(self) -> None:
        """By whoever has it, or by an account; also one that only looks like it."""
        alice = (await self.users("alice"))[0]
        for name in ("alice", "ALICE", "а\u200blice", "carol", "Carol", "саrоl"):
            other = self.client(name)
            other.send_login()
            await self.moment(0.05)
            self.clock.advance(CLASSIC_CONFLICT_WAIT)
            self.assertEqual(await self.off(other.receive), "Refuse,name taken", name)
        self.assertEqual(await self.off(alice.users, self.gateway.port), [("alice", alice.endpoint)])

    async def test_a_name_that_is_none_is_refused_with_its_reason(self) -> None:
        """Too long, with separators, or with nothing to see."""
        for name, reason in (
            ("a" * 33, "name too long"), ("a,b", "bad name"), ("a;b", "bad name"), ("a\nb", "bad name"),
            ("\u200b", "bad name"), ("", "bad name"),
        ):  # fmt: skip
            client = self.client(name)
            client.send_login()
            self.assertEqual(await self.off(client.receive), f"Refuse,{reason}", ascii(name))
        self.assertEqual(len(self.gateway.roster), 0)

    async def test_the_refusal_of_a_utf_16_login_is_in_utf_16(self) -> None:
        """Whoever understands it."""
        client = self.client("a;b", UTF16)
        client.send_login()
        self.assertEqual(await self.off(client.receive), "Refuse,bad name")

    async def test_an_account_that_signs_in_takes_its_name_back(self) -> None:
        """The guest is told, and so are the others."""
        alice, dave = await self.users("alice", "dave")
        self.gateway.evict("dave")
        self.assertEqual(await self.off(dave.receive), "Refuse,name taken")
        self.assertEqual(await self.off(alice.receive), f"logout,dave,{dave.endpoint}")

    async def test_endpoints_elsewhere_get_no_datagram(self) -> None:
        """The answer goes to the host that asked, at the port that it said."""
        victim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(victim.close)
        victim.bind(("127.0.0.2", 0))
        victim.setblocking(False)
        alice = self.client("alice")
        alice.tell_server(f"login,alice,127.0.0.2:{alice.port}")
        self.assertEqual(await self.off(alice.receive), f"Accept,{self.gateway.port}")
        self.assertEqual(await self.off(alice.users, self.gateway.port), [("alice", alice.endpoint)])
        self.client("bob").tell_server(f"login,bob,127.0.0.2:{victim.getsockname()[1]}")
        self.client("a;b").tell_server(f"login,a;b,127.0.0.2:{victim.getsockname()[1]}")
        await self.off(alice.receive)
        await self.moment(0.05)
        with self.assertRaises(BlockingIOError):
            victim.recv(100)

    async def test_a_logout_counts_only_from_the_host_that_logged_in(self) -> None:
        """Another machine cannot throw anybody out."""
        alice, bob = await self.users("alice", "bob")
        elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(elsewhere.close)
        elsewhere.bind(("127.0.0.3", 0))
        elsewhere.sendto(f"logout,bob,{bob.endpoint}".encode(), alice.server)
        self.assertTrue(await self.off(alice.hears_nothing, 0.1))
        self.assertEqual(self.gateway.counts.foreign, 1)
        self.assertEqual(self.watcher.here, ["alice", "bob"])

    async def test_a_flood_of_logins_from_one_address_is_limited(self) -> None:
        """The first are taken in, and then there is silence for a while; a clock that goes on lets others in."""
        alice = self.client("alice")
        for number in range(3 * int(CLASSIC_LOGIN_BURST)):
            alice.tell_server(f"login,user{number},127.0.0.1:{2000 + number}")
            await self.moment(0)
        await self.until(lambda: self.gateway.counts.limited == 2 * int(CLASSIC_LOGIN_BURST))
        self.assertLessEqual(len(self.gateway.roster), int(CLASSIC_LOGIN_BURST))
        self.clock.advance(60)
        self.gateway.sweep()
        alice.send_login()
        self.assertEqual(await self.off(alice.receive), f"Accept,{self.gateway.port}")

    async def test_a_hundred_thousand_forged_logins_grow_nothing_beyond_a_bound(self) -> None:
        """From as many hosts, or from one; with the time that it takes them to come."""
        for number in range(100_000):
            host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" if number % 2 else "10.9.9.9"
            self.gateway.received(f"login,user{number},{host}:5000".encode(), (host, 40_000))
            if number % 100 == 0:
                self.clock.advance(0.01)
        self.assertLessEqual(len(self.gateway.roster), 1_000)
        self.assertLessEqual(
            sum(guest.endpoint.host == "10.9.9.9" for guest in self.gateway.roster), CLASSIC_GUESTS_PER_HOST
        )
        self.assertLessEqual(len(self.gateway.roster._codings), 1_000)
        self.assertEqual(len(self.gateway._rates.full_at), 4_096)
        self.assertEqual(len(self.gateway._conflicts), 0)
        self.assertEqual(sorted(self.watcher.here), sorted(guest.name for guest in self.gateway.roster))

    async def test_a_host_in_whose_name_others_log_in_is_not_flooded(self) -> None:
        """It gets a few datagrams for each newcomer, not one for each login; an honest client gets its own as ever."""
        victim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(victim.close)
        victim.bind(("127.0.0.2", 0))
        victim.setblocking(False)
        port = victim.getsockname()[1]
        alice = (await self.users("alice"))[0]
        for name in (f"forged{number}" for number in range(10)):  # all at the port at which this test listens
            login = Login(name, Endpoint("127.0.0.2", port))
            self.gateway.received(f"login,{name},127.0.0.2:{port}".encode(), ("127.0.0.2", 40_000))
            self.assertEqual(await self.off(alice.receive), f"login,{name},{login.endpoint}")
        bob = self.client("bob")
        await self.off(bob.log_in)
        self.assertEqual(await self.off(alice.receive), f"login,bob,{bob.endpoint}")
        lines: list[bytes] = []
        with self.assertRaises(BlockingIOError):
            while True:
                lines.append(victim.recv(100))
        self.assertEqual(lines.count(f"login,bob,{bob.endpoint}".encode()), CLASSIC_UNPROVED_TOLD)

    async def test_hosts_outside_of_local_networks_are_not_answered_with_interface_lan(self) -> None:
        """As the default is."""
        self.gateway.section = ClassicSection(port=0, interface="lan")
        self.gateway.received(b"login,eve,8.8.8.8:53", ("8.8.8.8", 53))
        self.gateway.received(b"login,eve;,8.8.8.8:53", ("8.8.8.8", 53))
        self.assertEqual((len(self.gateway.roster), self.gateway.counts.far), (0, 2))
        self.assertEqual(self.gateway.counts.refused, 0)

    async def test_two_gateways_do_not_share_a_number(self) -> None:
        """It is told when the UDP port, or the TCP port, is another's."""
        section = ClassicSection(port=self.gateway.port, interface="loopback")
        with self.assertRaises(CannotListenError):
            Gateway(self.clock, section, self.exists, self.watcher, os.urandom)
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        section = ClassicSection(port=taken.getsockname()[1], interface="loopback")
        with self.assertRaises(CannotListenError) as caught:
            Gateway(self.clock, section, self.exists, self.watcher, os.urandom)
        self.assertEqual(caught.exception.socketError.errno, errno.EADDRINUSE)


class ListConnectionTests(GatewayCase):
    """TCP connections that do not just read."""

    def connect(self) -> socket.socket:
        """A connection."""
        made = socket.create_connection(("127.0.0.1", self.gateway.port), timeout=20)
        self.addCleanup(made.close)
        return made

    @staticmethod
    def read_out(connection: socket.socket) -> bytes:
        """All that comes; a connection that is cut ends, too."""
        received = b""
        try:
            while chunk := connection.recv(65_536):
                received += chunk
        except ConnectionError:
            pass
        return received

    def fill(self) -> None:
        """A list that no socket's buffers hold."""
        self.gateway.lists.make_list = lambda host, local_host: bytes(16 << 20)

    async def test_one_that_sends_is_closed(self) -> None:
        """Whatever it sends."""
        self.fill()
        connection = await self.off(self.connect)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        await self.off(self.read_out, connection)
        await self.until(lambda: self.gateway.lists.talkers == 1)
        await self.until(lambda: not self.gateway.lists._open)

    async def test_one_that_never_reads_is_closed(self) -> None:
        """After a while, and its list is dropped."""
        self.fill()
        connection = await self.off(self.connect)
        await self.until(lambda: self.gateway.lists._open)
        await self.moment(0.05)
        self.assertTrue(self.gateway.lists._open)
        self.clock.advance(CLASSIC_LIST_TIME)
        await self.until(lambda: not self.gateway.lists._open)
        self.assertFalse((await self.off(self.read_out, connection)).endswith(b"end"))

    async def test_one_host_holds_only_so_many(self) -> None:
        """Further ones are closed without a list."""
        self.fill()
        for _ in range(CLASSIC_LISTS_PER_HOST):
            await self.off(self.connect)
        await self.until(lambda: self.gateway.lists._open == {"127.0.0.1": CLASSIC_LISTS_PER_HOST})
        self.assertEqual(await self.off(self.read_out, await self.off(self.connect)), b"")
        self.assertEqual(self.gateway.lists.turned_away, 1)
        self.clock.advance(CLASSIC_LIST_TIME)
        await self.until(lambda: not self.gateway.lists._open)


class VanishedTests(GatewayCase):
    """Who leaves without a word."""

    async def test_one_whose_port_is_closed_is_gone_soon(self) -> None:
        """The network says so, twice; and the others are told."""
        alice, bob = await self.users("alice", "bob")
        alice.close()
        self.clock.advance(CLASSIC_ASK_AFTER)
        self.gateway.sweep()
        guest = self.gateway.roster.find("alice")
        assert guest is not None
        await self.until(lambda: guest.refusals)
        self.clock.advance(1)
        self.gateway.sweep()
        await self.until(lambda: guest.refusals > 1)
        self.gateway.sweep()
        self.assertEqual(await self.off(bob.receive), f"logout,alice,{alice.endpoint}")
        self.assertEqual(self.watcher.here, ["bob"])

    async def test_who_comes_back_after_a_crash_gets_their_name_at_once(self) -> None:
        """At another port; the old one is closed, which the network says."""
        alice, bob = await self.users("alice", "bob")
        alice.close()
        again = self.client("alice")
        again.send_login()
        guest = self.gateway.roster.find("alice")
        assert guest is not None
        await self.until(lambda: guest.refusals)
        self.clock.advance(CLASSIC_CONFLICT_WAIT)
        self.assertEqual(await self.off(again.receive), f"Accept,{self.gateway.port}")
        self.assertEqual(await self.off(bob.receive), f"logout,alice,{alice.endpoint}")
        self.assertEqual(await self.off(bob.receive), f"login,alice,{again.endpoint}")

    async def test_an_old_client_that_is_there_stays(self) -> None:
        """It answers nothing, and nothing says that it is gone."""
        alice = (await self.users("alice"))[0]
        for _ in range(300):
            self.clock.advance(10)
            self.gateway.sweep()
            await self.moment(0)
        self.assertEqual(await self.off(alice.users, self.gateway.port), [("alice", alice.endpoint)])

    async def test_one_of_whom_nothing_is_heard_is_gone_in_the_end(self) -> None:
        """Though a firewall swallows what the network would say."""
        bob = (await self.users("bob"))[0]
        self.clock.advance(self.gateway.roster.expiry)
        self.gateway.sweep()
        self.assertEqual(await self.off(bob.users, self.gateway.port), [])
