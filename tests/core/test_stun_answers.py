"""What the P2P server answers, to whom, and how often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.address_rate import AddressRates, address_key
from p2pim.core.limits import STUN_COOKIE_SLOT, STUN_HEARD
from p2pim.core.stun_answers import Answer, Outcome, Site, StunAnswers
from p2pim.core.stun_cookies import Cookies
from p2pim.wire import stun
from p2pim.wire.stun import Address, Attribute, Kind, StunMessage, pack, parse
from p2pim.wire.stun_binding import pack_question

NOW = 1000.0
TRANSACTION = b"transaction!"
PLAIN = b"\0\1\0\0" + stun.MAGIC_BYTES + TRANSACTION
ASKER = Address(bytes((198, 51, 100, 7)), 5000)
ASKER_6 = Address(bytes.fromhex("20010db8") + bytes(11) + b"\7", 5000)
HERE, OTHER = Address(bytes((192, 0, 2, 1)), 9901), Address(bytes((192, 0, 2, 2)), 19901)
HERE_6 = Address(bytes.fromhex("20010db8") + bytes(11) + b"\1", 9901)
TWO = Site(HERE, OTHER)
ONE = Site(HERE, Address(HERE.ip, OTHER.port))
ONE_6 = Site(HERE_6, Address(HERE_6.ip, OTHER.port))
CHANGE_BOTH, CHANGE_PORT = b"\0\0\0\6", b"\0\0\0\2"


def server(rate: float = 100.0, burst: float = 300.0) -> StunAnswers:
    """A server that has heard nobody."""
    return StunAnswers(Cookies(b"k" * 32), AddressRates(rate, burst, 1024, 0x9E3779B97F4A7C15))


def question(*attributes: tuple[int, bytes], transaction: bytes = TRANSACTION) -> bytes:
    """A question without a fingerprint."""
    return pack(StunMessage(Kind.REQUEST, transaction, dict(attributes)), fingerprint=False)


class Case(SynchronousTestCase):
    """Asks, and expects an answer or a reason."""

    def setUp(self) -> None:
        """A server."""
        self.server = server()

    def answered(self, datagram: bytes, asker: Address = ASKER, site: Site = TWO, now: float = NOW) -> Answer:
        """The answer."""
        answer = self.server.answer(datagram, asker, site, now)
        self.assertIsInstance(answer, Answer)
        assert isinstance(answer, Answer)
        return answer

    def refused(self, datagram: bytes, asker: Address = ASKER, site: Site = TWO, now: float = NOW) -> Outcome:
        """The reason."""
        outcome = self.server.answer(datagram, asker, site, now)
        self.assertIsInstance(outcome, Outcome)
        assert isinstance(outcome, Outcome)
        return outcome

    def cookie(self, asker: Address = ASKER, now: float = NOW) -> bytes:
        """What an asker gets and echoes."""
        answer = parse(self.answered(pack_question(TRANSACTION), asker, now=now).data)
        return answer.attributes[Attribute.COOKIE]


class BindingTests(Case):
    """RFC 8489: the basics."""

    def test_an_asker_learns_the_address_it_is_seen_from(self) -> None:
        """Of both families, with a fingerprint."""
        for asker, site in ((ASKER, ONE), (ASKER_6, ONE_6)):
            answer = self.answered(PLAIN, asker, site)
            read = parse(answer.data)
            self.assertEqual((read.kind, read.transaction), (Kind.SUCCESS, TRANSACTION))
            self.assertEqual(read.mapped_address(), asker)
            self.assertTrue(read.fingerprinted)
            self.assertEqual((answer.to, answer.origin), (asker, site.here))

    def test_an_ipv4_asker_on_an_ipv6_socket_is_an_ipv4_asker(self) -> None:
        """Mapped addresses are normalised before anything is decided."""
        answer = self.answered(PLAIN, Address(bytes(10) + b"\xff\xff" + ASKER.ip, ASKER.port))
        self.assertEqual(parse(answer.data).mapped_address(), ASKER)

    def test_unknown_attributes_that_must_be_understood_are_named(self) -> None:
        """Error 420; RESPONSE-ADDRESS of RFC 3489, which aims answers at others, is among them."""
        answer = parse(self.answered(question((0x0002, bytes(8)), (0x7FFF, b""), (0xFFFF, b""))).data)
        self.assertEqual(answer.kind, Kind.ERROR)
        self.assertEqual(answer.error(), (420, ""))
        self.assertEqual(answer.unknown_attributes(), (0x0002, 0x7FFF))

    def test_credentials_are_passed_over(self) -> None:
        """None are needed here, and a client may send some to everybody."""
        datagram = pack(StunMessage(Kind.REQUEST, TRANSACTION, {Attribute.USERNAME: b"me"}), key=b"k")
        self.assertEqual(self.answered(datagram).outcome, Outcome.PLAIN)

    def test_only_questions_are_answered(self) -> None:
        """Two servers that answered each other's answers would never end."""
        for kind in (Kind.INDICATION, Kind.SUCCESS, Kind.ERROR):
            datagram = pack(StunMessage(kind, TRANSACTION))
            self.assertEqual(self.refused(datagram), Outcome.IGNORED_NO_QUESTION)
        other_method = pack(StunMessage(Kind.REQUEST, TRANSACTION, method=3))
        self.assertEqual(self.refused(other_method), Outcome.IGNORED_NO_QUESTION)
        self.assertEqual(self.refused(PLAIN, Address(ASKER.ip, 0)), Outcome.IGNORED_NO_QUESTION)

    def test_noise_is_not_answered(self) -> None:
        """Nor told that it is noise: it may come from a forged address."""
        self.assertEqual(self.refused(b"hello"), Outcome.IGNORED_NOT_STUN)
        self.assertEqual(self.refused(PLAIN + b"more"), Outcome.IGNORED_MALFORMED)
        self.assertEqual(self.refused(question((Attribute.CHANGE_REQUEST, b"?"))), Outcome.IGNORED_MALFORMED)

    def test_clients_of_the_old_rfc_get_its_answers(self) -> None:
        """RFC 3489: addresses in clear, no fingerprint, the transaction has 16 bytes."""
        answer = self.answered(question((Attribute.CHANGE_REQUEST, bytes(4)), transaction=b"0123456789abcdef"))
        read = parse(answer.data, classic=True)
        self.assertEqual(answer.outcome, Outcome.CLASSIC)
        self.assertEqual(read.transaction, b"0123456789abcdef")
        self.assertEqual(read.address(Attribute.MAPPED_ADDRESS), ASKER)
        self.assertEqual(read.address(Attribute.SOURCE_ADDRESS), HERE)
        self.assertEqual(read.address(Attribute.CHANGED_ADDRESS), OTHER)
        self.assertFalse(read.fingerprinted)
        self.assertEqual(self.refused(answer.data, ASKER_6, ONE_6), Outcome.IGNORED_NOT_STUN)  # it knows no IPv6


class BehaviourTests(Case):
    """RFC 5780: the tests of mapping and filtering."""

    def test_the_other_address_is_told_where_there_is_one(self) -> None:
        """And not where there is none: that would be a lie to a foreign tool."""
        self.assertEqual(parse(self.answered(PLAIN).data).address(Attribute.OTHER_ADDRESS), OTHER)
        self.assertIsNone(parse(self.answered(PLAIN, site=ONE).data).address(Attribute.OTHER_ADDRESS))

    def test_our_own_peers_are_told_the_other_port_even_so(self) -> None:
        """They know that the address may be the same."""
        read = parse(self.answered(pack_question(TRANSACTION), site=ONE).data)
        self.assertEqual(read.address(Attribute.OTHER_ADDRESS), ONE.other)
        self.assertEqual(read.address(Attribute.RESPONSE_ORIGIN), HERE)

    def test_who_echoes_the_cookie_is_answered_from_elsewhere(self) -> None:
        """All three changes."""
        cookie = self.cookie()
        for ip, port, origin in (
            (True, True, OTHER),
            (False, True, Address(HERE.ip, OTHER.port)),
            (True, False, Address(OTHER.ip, HERE.port)),
        ):
            answer = self.answered(pack_question(TRANSACTION, cookie, change_ip=ip, change_port=port))
            self.assertEqual((answer.outcome, answer.origin, answer.to), (Outcome.CHANGED, origin, ASKER))
            self.assertEqual(parse(answer.data).address(Attribute.RESPONSE_ORIGIN), origin)

    def test_who_has_never_asked_is_not_answered_from_elsewhere(self) -> None:
        """A change without a cookie from an address that was never heard of brings nothing."""
        self.assertEqual(self.refused(question((Attribute.CHANGE_REQUEST, CHANGE_BOTH))), Outcome.REFUSED_UNPROVED)

    def test_a_cookie_is_good_for_its_own_address_and_port_only(self) -> None:
        """Nobody can hand it to a victim."""
        cookie = self.cookie()
        self.server = server()  # which has heard nobody, but has the same key
        for stranger in (Address(ASKER.ip, 5001), Address(bytes((198, 51, 100, 8)), 5000)):
            datagram = pack_question(TRANSACTION, cookie, change_port=True)
            self.assertEqual(self.refused(datagram, stranger), Outcome.REFUSED_UNPROVED)
        self.assertEqual(self.answered(pack_question(TRANSACTION, cookie, change_port=True)).outcome, Outcome.CHANGED)

    def test_a_tool_without_cookies_is_answered_after_a_plain_question(self) -> None:
        """Of the same address, since one of the tools uses two ports; for a while."""
        change = question((Attribute.CHANGE_REQUEST, CHANGE_BOTH))
        self.answered(PLAIN)
        self.assertEqual(self.answered(change, Address(ASKER.ip, 5001)).origin, OTHER)
        self.assertEqual(self.refused(change, now=NOW + STUN_HEARD + 1), Outcome.REFUSED_UNPROVED)

    def test_an_impossible_change_is_refused_aloud(self) -> None:
        """Silence would look like a NAT that filters; to the old clients any answer would look like success."""
        self.answered(PLAIN, site=ONE)
        change = (Attribute.CHANGE_REQUEST, CHANGE_BOTH)
        self.assertEqual(parse(self.answered(question(change), site=ONE).data).error(), (420, ""))
        old = question(change, transaction=b"0123456789abcdef")
        self.assertEqual(self.refused(old, site=ONE), Outcome.REFUSED_IMPOSSIBLE)
        self.assertEqual(self.answered(question((Attribute.CHANGE_REQUEST, CHANGE_PORT)), site=ONE).origin, ONE.other)

    def test_an_answer_goes_to_another_port_for_who_has_its_cookie(self) -> None:
        """The cookie was sent to that port, so whoever is there has asked."""
        there = Address(ASKER.ip, 6000)
        cookie = self.cookie(there)
        self.server = server()
        datagram = question((Attribute.RESPONSE_PORT, b"\x17\x70\0\0"), (Attribute.COOKIE, cookie))
        answer = self.answered(datagram)
        self.assertEqual((answer.outcome, answer.to), (Outcome.REDIRECTED, there))

    def test_an_answer_goes_to_no_port_that_nobody_asked_from(self) -> None:
        """The asker is told that it is not done."""
        answer = self.answered(question((Attribute.RESPONSE_PORT, b"\x17\x70")))
        self.assertEqual(answer.to, ASKER)
        self.assertEqual(parse(answer.data).unknown_attributes(), (Attribute.RESPONSE_PORT,))

    def test_padding_is_answered_with_padding_up_to_the_questions_length(self) -> None:
        """It measures fragments on the way back; with a redirection it is a contradiction (RFC 5780, 7.5)."""
        answer = self.answered(question((Attribute.PADDING, bytes(1500))))
        self.assertIn(Attribute.PADDING, parse(answer.data).attributes)
        self.assertLessEqual(len(answer.data), 20 + 4 + 1500)
        both = question((Attribute.PADDING, bytes(64)), (Attribute.RESPONSE_PORT, b"\1\1"))
        self.assertEqual(parse(self.answered(both).data).error(), (400, ""))


class HarmlessTests(Case):
    """What the server could be misused for, and cannot."""

    @given(
        st.dictionaries(
            st.sampled_from([kind for kind in Attribute if kind != Attribute.FINGERPRINT]) | st.integers(0, 0xFFFF),
            st.binary(max_size=32) | st.just(bytes(140)),
            max_size=6,
        ),
        st.booleans(),
        st.booleans(),
        st.sampled_from([ONE, TWO, ONE_6]),
    )
    def test_a_stranger_gets_little_and_only_itself(
        self, attributes: dict[int, bytes], old: bool, heard: bool, site: Site
    ) -> None:
        """Its answers go to its own address, no longer than the question or the least that the protocol allows."""
        answers = server()
        asker = ASKER_6 if site is ONE_6 else ASKER
        if heard:
            answers.answer(PLAIN, asker, site, NOW)
        datagram = question(*attributes.items(), transaction=b"0123456789abcdef" if old else TRANSACTION)
        answer = answers.answer(datagram, asker, site, NOW)
        if isinstance(answer, Answer):
            self.assertEqual(answer.to.ip, asker.ip)
            self.assertLessEqual(len(answer.data), max(len(datagram), 56))

    def test_our_own_peers_get_no_more_bytes_than_they_sent(self) -> None:
        """Everything that they want fits into their first question's length, even by IPv6."""
        for asker, site in ((ASKER, TWO), (ASKER_6, ONE_6)):
            first = pack_question(TRANSACTION)
            read = parse(self.answered(first, asker, site).data)
            self.assertLessEqual(len(read.raw), len(first))
            for kind in (Attribute.COOKIE, Attribute.OTHER_ADDRESS, Attribute.RESPONSE_ORIGIN):
                self.assertIn(kind, read.attributes)

    def test_an_address_is_answered_so_and_so_often(self) -> None:
        """Then it waits, others do not, and later it is answered again."""
        self.server = server(rate=10.0, burst=20.0)
        outcomes = [self.server.answer(PLAIN, ASKER, TWO, NOW) for _ in range(100)]
        self.assertIn(sum(isinstance(outcome, Answer) for outcome in outcomes), (9, 10))  # each weighs two
        self.assertEqual(outcomes[-1], Outcome.REFUSED_RATE)
        self.answered(PLAIN, Address(bytes((203, 0, 113, 9)), 1))
        self.answered(PLAIN, now=NOW + 1)

    def test_this_machine_may_ask_as_often_as_it_likes(self) -> None:
        """Nobody else can use its addresses."""
        self.server = server(rate=10.0, burst=20.0)
        for _ in range(100):
            self.answered(PLAIN, Address(bytes((127, 9, 9, 9)), 1))

    def test_answers_from_elsewhere_without_a_cookie_weigh_more(self) -> None:
        """Foreign tools need a handful."""
        self.server = server(rate=10.0, burst=50.0)
        change = question((Attribute.CHANGE_REQUEST, CHANGE_BOTH))
        self.answered(PLAIN)
        count = sum(isinstance(self.server.answer(change, ASKER, TWO, NOW), Answer) for _ in range(50))
        self.assertEqual(count, 9)


class CookieTests(SynchronousTestCase):
    """The proof that answers arrive."""

    def test_a_cookie_lives_for_one_to_two_slots(self) -> None:
        """Then the asker gets a new one with its next answer."""
        cookies = Cookies(b"k" * 32)
        cookie = cookies.make(ASKER, 0.0)
        self.assertTrue(cookies.proves(cookie, ASKER, 2 * STUN_COOKIE_SLOT - 0.1))
        self.assertFalse(cookies.proves(cookie, ASKER, 2 * STUN_COOKIE_SLOT))

    @given(st.binary(max_size=40))
    def test_nobody_guesses_one(self, guess: bytes) -> None:
        """Nor brings the server down by trying."""
        self.assertFalse(Cookies(b"k" * 32).proves(guess, ASKER, NOW))

    def test_another_process_makes_others(self) -> None:
        """The key is its own."""
        self.assertFalse(Cookies(b"l" * 32).proves(Cookies(b"k" * 32).make(ASKER, NOW), ASKER, NOW))


class RateTests(SynchronousTestCase):
    """The table of fixed size."""

    @given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 2)), max_size=200))
    def test_no_address_gets_more_than_its_rate_and_burst(self, asks: list[tuple[int, float]]) -> None:
        """Over any schedule."""
        rates, now, counts = AddressRates(5.0, 10.0, 64, 99), 100.0, [0] * 4
        for key, pause in asks:
            now += pause
            counts[key] += rates.allow(key, 1, now)
        for count in counts:
            self.assertLessEqual(count, 10 + 5 * (now - 100.0) + 1)

    def test_the_table_stays_as_large_as_it_is(self) -> None:
        """However many addresses come."""
        rates = AddressRates(5.0, 10.0, 64, 99)
        for key in range(10_000):
            rates.allow(key * 7919, 1, float(key))
        self.assertEqual((len(rates.full_at), len(rates.askers)), (64, 64))

    def test_addresses_are_spread_over_the_rows(self) -> None:
        """Neighbours do not share."""
        rates = AddressRates(5.0, 10.0, 1024, 0x9E3779B97F4A7C15)
        rows = {rates.row(address_key(bytes((10, 0, high, low)))) for high in range(4) for low in range(256)}
        self.assertGreater(len(rows), 500)

    def test_of_ipv6_the_network_counts(self) -> None:
        """A customer has 2^64 addresses."""
        self.assertEqual(address_key(ASKER_6.ip), address_key(ASKER_6.ip[:8] + b"12345678"))
