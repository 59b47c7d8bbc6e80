"""The P2P server over real sockets of loopback."""

from __future__ import annotations

import random
import socket
from ipaddress import ip_address

from p2pim.core.limits import STUN_BATCH, STUN_DATAGRAM
from p2pim.errors import BadConfig
from p2pim.p2pserver import addresses, ring
from p2pim.p2pserver.addresses import LocalAddress, second_address
from p2pim.p2pserver.sockets import COMPANION_DISTANCE, P2pSettings, open_sockets
from p2pim.wire.stun import Address, Attribute, Kind, StunMessage, pack, parse
from p2pim.wire.stun_binding import pack_question
from tests.p2pserver.asking import ServerCase, plain

CHANGE_BOTH = pack(
    StunMessage(Kind.REQUEST, b"change  both", {Attribute.CHANGE_REQUEST: b"\0\0\0\6"}), fingerprint=False
)


def packed(host: str) -> bytes:
    """An address in network order."""
    return ip_address(host).packed


class BatchTests(ServerCase):
    """Many datagrams by one call."""

    def test_a_question_is_answered_with_its_senders_address(self) -> None:
        """The basic promise, on IPv4 and IPv6."""
        for interface, host in (("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("", "127.0.0.1"), ("", "::1")):
            service, udp = self.serve(interface=interface), self.asker(host)
            question = plain()
            answer, source = self.ask(udp, question, host, service.port)
            self.assertEqual(answer.transaction, question[8:])
            self.assertEqual(answer.mapped_address(), Address(packed(host), udp.getsockname()[1]))
            self.assertEqual(source, (host, service.port))

    def test_several_batches_are_answered_in_one_wake_up(self) -> None:
        """Each asker gets its own answer, whatever stands between the questions."""
        service, askers = self.serve(), [self.asker() for _ in range(STUN_BATCH + 40)]
        for number, udp in enumerate(askers):
            question = b"noise" if number % 7 == 3 else plain()
            udp.sendto(question, ("127.0.0.1", service.port))
        self.manual.turn()
        for number, udp in enumerate(askers):
            if number % 7 == 3:
                self.assert_silent(udp)
            else:
                mapped = parse(udp.recv(4096)).mapped_address()
                self.assertEqual(mapped, Address(packed("127.0.0.1"), udp.getsockname()[1]))
        self.assertEqual(service.counters.datagrams, len(askers))
        self.assertEqual(service.counters.answers + service.counters.ignored, len(askers))

    def test_a_server_on_all_addresses_answers_from_the_one_that_was_asked(self) -> None:
        """Or the answer would not pass the asker's NAT."""
        service, udp = self.serve(interface=""), self.asker()
        for host in ("127.0.0.1", "127.0.0.9", "127.8.7.6"):
            for question in (plain(), pack_question(b"long way round"[:12])):
                _, source = self.ask(udp, question, host, service.port)
                self.assertEqual(source, (host, service.port))

    def test_the_short_and_the_long_way_say_the_same(self) -> None:
        """A fingerprint makes a question take the long way."""
        for interface, host in (("", "127.0.0.1"), ("", "::1"), ("127.0.0.1", "127.0.0.1")):
            service, udp = self.serve(interface=interface), self.asker(host)
            short, _ = self.ask(udp, plain(), host, service.port)
            long, _ = self.ask(udp, pack(StunMessage(Kind.REQUEST, b"x" * 12)), host, service.port)
            for kind in (Attribute.OTHER_ADDRESS, Attribute.RESPONSE_ORIGIN):
                self.assertEqual(short.address(kind), long.address(kind))
            self.assertEqual(short.mapped_address(), long.mapped_address())

    def test_too_long_a_datagram_is_not_answered(self) -> None:
        """What was cut off is not known."""
        service, udp = self.serve(), self.asker()
        padding = pack(StunMessage(Kind.REQUEST, b"x" * 12, {Attribute.PADDING: bytes(STUN_DATAGRAM)}))
        udp.sendto(padding, ("127.0.0.1", service.port))
        self.manual.turn()
        self.assert_silent(udp)
        self.assertEqual(service.counters.by_kind["ignored-malformed"], 1)

    def test_hostile_datagrams_change_nothing(self) -> None:
        """Twenty thousand of them; the next question is answered as if they had not been."""
        service, udp, noise = self.serve(interface=""), self.asker(), self.asker()
        rng = random.Random(3489)
        samples = [plain(), CHANGE_BOTH, pack_question(b"x" * 12), pack(StunMessage(Kind.REQUEST, b"x" * 12), key=b"k")]
        for number in range(20_000):
            damaged = bytearray(rng.choice(samples))
            for _ in range(rng.randrange(4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            noise.sendto(damaged[: rng.randrange(len(damaged) + 1)], ("127.0.0.1", service.port))
            if number % 100 == 0:
                self.manual.turn()
        answer, _ = self.ask(udp, plain(), "127.0.0.1", service.port)
        self.assertEqual(answer.kind, Kind.SUCCESS)
        self.assertEqual(service.counters.datagrams, 20_001)

    def test_one_address_is_refused_and_the_others_are_not(self) -> None:
        """By either way through the server; the limits hold for loopback only where the settings say so."""
        service = self.serve(free_loopback=False, rate=10.0, burst=40.0)
        busy, other = self.asker(), self.asker("127.0.0.77")
        for number in range(100):
            busy.sendto(plain() if number % 2 else pack_question(b"x" * 12), ("127.0.0.1", service.port))
        self.manual.turn()
        self.assertGreater(service.counters.refused, 50)
        self.assertEqual(service.counters.answers + service.counters.refused, 100)
        answer, _ = self.ask(other, plain(), "127.0.0.1", service.port)
        self.assertEqual(answer.kind, Kind.SUCCESS)

    def test_an_ipv6_network_is_refused_as_a_whole(self) -> None:
        """Its allowance is counted like an IPv4 address's; loopback's ::1 takes the long way."""
        service = self.serve(interface="::1", free_loopback=False, rate=10.0, burst=20.0)
        udp = self.asker("::1")
        for _ in range(50):
            udp.sendto(plain(), ("::1", service.port))
        self.manual.turn()
        self.assertGreater(service.counters.refused, 35)


class ElsewhereTests(ServerCase):
    """Answers from the other port and the other address."""

    def asked_twice(self, interface: str) -> tuple[str, int]:
        """Where the answer to the question for a change came from."""
        service, udp = self.serve(interface=interface), self.asker()
        first, _ = self.ask(udp, pack_question(b"x" * 12), "127.0.0.1", service.port)
        assert service.sockets is not None
        other = first.address(Attribute.OTHER_ADDRESS)
        self.assertEqual(other, Address(packed("127.0.0.2"), service.sockets.companion))
        change = pack_question(b"y" * 12, first.attributes[Attribute.COOKIE], change_ip=True, change_port=True)
        answer, source = self.ask(udp, change, "127.0.0.1", service.port)
        self.assertEqual(answer.address(Attribute.RESPONSE_ORIGIN), other)
        self.assertEqual(source, ("127.0.0.2", service.sockets.companion))
        return source

    def test_who_echoes_the_cookie_hears_from_the_other_address_and_port(self) -> None:
        """Whether the server is bound to one address or to all."""
        self.asked_twice("127.0.0.1")
        self.asked_twice("")

    def test_who_never_asked_hears_nothing(self) -> None:
        """A forged sender would be the victim."""
        service, udp = self.serve(), self.asker("127.0.0.55")
        udp.sendto(CHANGE_BOTH, ("127.0.0.1", service.port))
        self.manual.turn()
        self.assert_silent(udp)
        self.assertEqual(service.counters.by_kind["refused-unproved"], 1)

    def test_the_companion_port_answers_like_the_other(self) -> None:
        """Its other address is the first one."""
        service, udp = self.serve(), self.asker()
        assert service.sockets is not None
        answer, source = self.ask(udp, plain(), "127.0.0.2", service.sockets.companion)
        self.assertEqual(source, ("127.0.0.2", service.sockets.companion))
        self.assertEqual(answer.address(Attribute.OTHER_ADDRESS), Address(packed("127.0.0.1"), service.port))


class OneByOneTests(BatchTests, ElsewhereTests):
    """The same promises where the system has no calls for batches."""

    def setUp(self) -> None:
        """As on such a system."""
        self.patch(ring, "available", False)

    def serve(self, **settings: object):  # type: ignore[no-untyped-def]
        """A server whose every turn reads all there is, since a wake-up here reads a few."""
        service = super().serve(**settings)
        turn = self.manual.turn

        def turns() -> None:
            before = -1
            while service.counters.datagrams != before:
                before = service.counters.datagrams
                turn()

        self.manual.turn = turns  # type: ignore[method-assign]
        return service


class SocketTests(ServerCase):
    """Which sockets are opened."""

    def test_the_companion_is_at_a_fixed_distance(self) -> None:
        """So that a firewall can be opened for it."""
        port = self.free_port(COMPANION_DISTANCE)
        service = self.serve(port=port)
        assert service.sockets is not None
        self.assertEqual(service.sockets.companion, port + COMPANION_DISTANCE)

    def test_a_taken_companion_port_is_replaced_by_a_free_one(self) -> None:
        """Unless it was asked for by name."""
        port = self.free_port(COMPANION_DISTANCE)
        self.asker(port=port + COMPANION_DISTANCE)
        service = self.serve(port=port)
        assert service.sockets is not None
        self.assertNotEqual(service.sockets.companion, port + COMPANION_DISTANCE)
        named = P2pSettings(port=0, interface="127.0.0.1", alternate_port=port + COMPANION_DISTANCE)
        self.assertRaises(OSError, open_sockets, named)

    def test_a_taken_port_is_an_error(self) -> None:
        """And nothing stays open."""
        port = self.asker().getsockname()[1]
        self.assertRaises(OSError, open_sockets, P2pSettings(port=port, interface="127.0.0.1"))

    def test_both_families_are_served_on_one_port(self) -> None:
        """Where nothing else is asked for, and where all of IPv6 is."""
        for interface in ("", "::"):
            service = self.serve(interface=interface)
            told = service.listening()
            self.assertEqual(told, [f"0.0.0.0:{service.port}", f"[::]:{service.port}"])

    def test_new_settings_move_the_server(self) -> None:
        """The old port is free then; cookies stay good."""
        service, udp = self.serve(), self.asker()
        first, _ = self.ask(udp, pack_question(b"x" * 12), "127.0.0.1", service.port)
        old = service.port
        free = self.asker()
        port = free.getsockname()[1]
        free.close()
        service.reload(P2pSettings(port=port, interface="127.0.0.1"))
        self.assertEqual(service.port, port)
        self.asker(port=old)
        change = pack_question(b"y" * 12, first.attributes[Attribute.COOKIE], change_port=True)
        answer, _ = self.ask(udp, change, "127.0.0.1", port)
        self.assertEqual(answer.kind, Kind.SUCCESS)

    def test_settings_that_cannot_be_had_leave_the_old_ones(self) -> None:
        """The server goes on."""
        service, udp = self.serve(port=self.free_port()), self.asker()
        taken = self.asker().getsockname()[1]
        self.assertRaises(OSError, service.reload, P2pSettings(port=taken, interface="127.0.0.1"))
        answer, _ = self.ask(udp, plain(), "127.0.0.1", service.port)
        self.assertEqual(answer.kind, Kind.SUCCESS)

    def free_port(self, distance: int = 0) -> int:
        """A port that nobody has, nor the one at this distance."""
        for port in range(20_000, 30_000, 7):
            try:
                for number in {port, port + distance}:
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                        udp.bind(("0.0.0.0", number))
            except OSError:
                continue
            return port
        raise AssertionError

    def test_a_port_that_was_picked_stays(self) -> None:
        """Another second address does not change what peers were told."""
        service = self.serve()
        port = service.port
        service.reload(P2pSettings(port=0, interface="127.0.0.1", alternate_address="127.0.0.5"))
        self.assertEqual(service.port, port)
        answer, _ = self.ask(self.asker(), plain(), "127.0.0.1", port)
        other = answer.address(Attribute.OTHER_ADDRESS)
        assert other is not None
        self.assertEqual(other.ip, packed("127.0.0.5"))

    def test_a_stopped_server_has_no_sockets(self) -> None:
        """And no readers."""
        service = self.serve()
        port = service.port
        service.stopService()
        self.assertEqual(self.manual.readers, [])
        self.asker(port=port)

    def test_wrong_settings_say_what_is_wrong(self) -> None:
        """Before anything is opened."""
        self.assertRaises(BadConfig, P2pSettings, interface="localhost")
        self.assertRaises(BadConfig, P2pSettings, alternate_address="there")
        self.assertRaises(BadConfig, P2pSettings, port=70_000)
        self.assertRaises(BadConfig, P2pSettings, port=5, alternate_port=5)
        self.assertRaises(BadConfig, P2pSettings, rate=0.0)


class SecondAddressTests(ServerCase):
    """Which address is the second one."""

    def second(self, ip: str, configured: str | None = None, *here: tuple[str, str]) -> str | None:
        """As text."""
        local = [LocalAddress(packed(host), interface) for host, interface in here]
        given = None if configured is None else packed(configured) if configured else b""
        found = second_address(packed(ip), given, lambda: local)
        return None if found is None else str(ip_address(found))

    def test_it_is_on_the_same_interface_and_of_the_same_kind(self) -> None:
        """A container bridge is reached by nobody else."""
        host = ("8.8.8.1", "eth0"), ("172.17.0.1", "docker0"), ("10.0.0.1", "eth0"), ("8.8.8.2", "eth0")
        self.assertEqual(self.second("8.8.8.1", None, *host), "8.8.8.2")
        self.assertIsNone(self.second("10.0.0.1", None, *host))
        self.assertIsNone(self.second("172.17.0.1", None, *host))

    def test_the_operator_knows_better(self) -> None:
        """An address by configuration, or none."""
        self.assertEqual(self.second("10.0.0.1", "10.9.0.1"), "10.9.0.1")
        self.assertIsNone(self.second("127.0.0.1", ""))
        self.assertIsNone(self.second("2001:db8::1", "10.9.0.1"))
        self.assertEqual(self.second("2001:db8::1", "2001:db8::2"), "2001:db8::2")

    def test_this_hosts_addresses_are_found(self) -> None:
        """Loopback at least."""
        self.assertIn(packed("127.0.0.1"), [local.ip for local in addresses.local_addresses()])
