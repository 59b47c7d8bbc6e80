"""STUN messages: the test vectors of RFC 5769, what is written is read again, and nothing hostile gets through."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import random
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import BadIntegrity, BadStun, NotStun, WireError
from p2pim.wire import stun
from p2pim.wire.checks import Check, CheckResponse, RoleConflict, pack_check, pack_conflict, pack_response, read_check
from p2pim.wire.stun import Address, Attribute, Kind, StunMessage, check_integrity, pack, parse
from p2pim.wire.stun_binding import QUESTION_ROOM, pack_question, plain_answer

KEY = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")

# RFC 5769, 2.1: the padding bytes are spaces there on purpose.
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff"
    "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249"
    "c1b571a280280004e57a3bcf"
)
ANSWER_4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
ANSWER_6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9fa"
    "a5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
LONG_TERM = bytes.fromhex(
    "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000"
    "0015001c662f2f3439396b39353464364f4c33346f4c3946535476793634734100140"
    "00b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666"
)

addresses = st.builds(
    Address, st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16), st.integers(0, 65535)
)
transactions = st.binary(min_size=12, max_size=12)
optional_types = st.integers(0x8000, 0xFFFF).filter(lambda kind: kind != Attribute.FINGERPRINT)


def message(*attributes: tuple[int, bytes]) -> bytes:
    """A request, written by hand."""
    body = b"".join(stun.pack_attribute(kind, value) for kind, value in attributes)
    return b"\0\1" + len(body).to_bytes(2, "big") + stun.MAGIC_BYTES + TRANSACTION + body


class VectorTests(SynchronousTestCase):
    """RFC 5769, byte by byte."""

    def test_the_sample_request_is_read_and_its_integrity_holds(self) -> None:
        """2.1: short-term credentials, an ICE check."""
        read = parse(REQUEST)
        check_integrity(read, KEY)
        self.assertEqual(read.kind, Kind.REQUEST)
        self.assertEqual(read.transaction, TRANSACTION)
        self.assertEqual(read.attributes[Attribute.SOFTWARE], b"STUN test client")
        self.assertEqual(read.number(Attribute.PRIORITY, 4), 0x6E0001FF)
        self.assertEqual(read.number(Attribute.ICE_CONTROLLED, 8), 0x932FF9B151263B36)
        self.assertEqual(read.attributes[Attribute.USERNAME], b"evtj:h6vY")
        self.assertTrue(read.fingerprinted)

    def test_the_sample_answers_name_their_addresses(self) -> None:
        """2.2 and 2.3: the mapped address, hidden, of both families."""
        for vector, ip in (
            (ANSWER_4, bytes((192, 0, 2, 1))),
            (ANSWER_6, bytes.fromhex("20010db8123456780011223344556677")),
        ):
            read = parse(vector)
            check_integrity(read, KEY)
            self.assertEqual(read.kind, Kind.SUCCESS)
            self.assertEqual(read.mapped_address(), Address(ip, 32853))

    def test_the_long_term_sample_has_the_integrity_of_its_password(self) -> None:
        """2.4: the key is MD5 of name, realm and password; there is no fingerprint."""
        read = parse(LONG_TERM)
        name = read.attributes[Attribute.USERNAME].decode()
        check_integrity(read, hashlib.md5(f"{name}:example.org:TheMatrIX".encode()).digest())
        self.assertFalse(read.fingerprinted)

    def test_a_changed_bit_is_noticed_wherever_it_is(self) -> None:
        """It is refused, or comes without fingerprint or integrity, or what they cover is as it was."""
        covered = {key: value for key, value in parse(REQUEST).attributes.items() if key != Attribute.FINGERPRINT}
        for bit in range(len(REQUEST) * 8):
            changed = bytearray(REQUEST)
            changed[bit // 8] ^= 1 << bit % 8
            with contextlib.suppress(WireError):
                read = parse(bytes(changed))
                self.assertFalse(read.fingerprinted)  # it became something else, or part of something else
                with contextlib.suppress(BadIntegrity):
                    check_integrity(read, KEY)
                    self.assertEqual(read.attributes, covered)

    def test_another_key_does_not_fit(self) -> None:
        """A check by somebody without the key is no check."""
        self.assertRaises(BadIntegrity, check_integrity, parse(REQUEST), KEY + b"x")
        self.assertRaises(BadIntegrity, check_integrity, parse(pack_question(TRANSACTION)), KEY)


class WritingTests(SynchronousTestCase):
    """What `pack` writes, `parse` reads."""

    @given(
        st.sampled_from(Kind),
        st.integers(0, 0xFF),
        transactions,
        st.dictionaries(optional_types, st.binary(max_size=40), max_size=8),
        st.booleans(),
    )
    def test_every_message_comes_back(
        self, kind: Kind, method: int, transaction: bytes, attributes: dict[int, bytes], fingerprint: bool
    ) -> None:
        """Kind, method, transaction and attributes survive."""
        written = StunMessage(kind, transaction, attributes, method)
        read = parse(pack(written, fingerprint=fingerprint))
        self.assertEqual(read.fingerprinted, fingerprint)
        kept = {key: value for key, value in read.attributes.items() if key != Attribute.FINGERPRINT}
        self.assertEqual((read.kind, read.method, read.transaction, kept), (kind, method, transaction, attributes))

    @given(transactions, st.binary(max_size=64), st.booleans(), st.booleans())
    def test_integrity_is_checked_with_the_key_that_made_it(
        self, transaction: bytes, key: bytes, sha256: bool, fingerprint: bool
    ) -> None:
        """Both algorithms, with and without a fingerprint behind them."""
        written = pack(StunMessage(Kind.REQUEST, transaction), key=key, sha256=sha256, fingerprint=fingerprint)
        check_integrity(parse(written), key)
        self.assertRaises(BadIntegrity, check_integrity, parse(written), key + b"?")

    def test_the_sha_256_integrity_is_that_of_the_rfc(self) -> None:
        """HMAC over all before it, with the length counted to its own end (RFC 8489, 14.6)."""
        written = pack(StunMessage(Kind.REQUEST, TRANSACTION), key=KEY, sha256=True, fingerprint=False)
        self.assertEqual(written[2:4], (36).to_bytes(2, "big"))
        self.assertEqual(written[-32:], hmac.digest(KEY, written[:20], "sha256"))

    def test_a_truncated_sha_256_integrity_counts_from_16_bytes_on(self) -> None:
        """Shorter ones can be guessed."""
        for size, good in ((16, True), (12, False), (32, True), (18, False)):
            head = b"\0\1" + (4 + size + (-size & 3)).to_bytes(2, "big") + stun.MAGIC_BYTES + TRANSACTION
            value = hmac.digest(KEY, head[:2] + (4 + size).to_bytes(2, "big") + head[4:], "sha256")[:size]
            read = parse(head + stun.pack_attribute(Attribute.MESSAGE_INTEGRITY_SHA256, value))
            if good:
                check_integrity(read, KEY)
            else:
                self.assertRaises(BadIntegrity, check_integrity, read, KEY)

    @given(addresses, transactions)
    def test_addresses_come_back_hidden_or_not(self, address: Address, transaction: bytes) -> None:
        """Also with the 16 bytes of an old transaction."""
        self.assertEqual(stun.unpack_address(stun.pack_address(address)), address)
        for mask in (transaction, transaction + b"old!"):
            self.assertEqual(stun.unpack_xor_address(stun.pack_xor_address(address, mask), mask), address)

    @given(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16), st.integers(0, 65535), transactions)
    def test_the_shortcut_writes_what_the_long_way_writes(
        self, ip: bytes, ip6: bytes, port: int, transaction: bytes
    ) -> None:
        """Answers to plain questions are the same by both ways."""
        other = stun.pack_address(Address(ip, 9902))
        tail = stun.pack_attribute(Attribute.OTHER_ADDRESS, other)

        def long_way(address: Address) -> bytes:
            mapped = stun.pack_xor_address(address, transaction)
            attributes: dict[int, bytes] = {Attribute.XOR_MAPPED_ADDRESS: mapped, Attribute.OTHER_ADDRESS: other}
            return pack(StunMessage(Kind.SUCCESS, transaction, attributes))

        for address in (Address(ip, port), Address(ip6, port)):
            self.assertEqual(plain_answer(transaction, address.ip, port, tail), long_way(address))

    def test_mapped_ipv4_addresses_are_ipv4_addresses(self) -> None:
        """::ffff:192.0.2.1 is 192.0.2.1 to whoever compares."""
        mapped = Address(bytes(10) + b"\xff\xff\xc0\x00\x02\x01", 7)
        self.assertEqual(mapped.normal(), Address(b"\xc0\0\2\1", 7))
        self.assertEqual(Address(bytes(16), 7).normal(), Address(bytes(16), 7))

    def test_a_peers_first_question_leaves_room_for_the_answer(self) -> None:
        """A server gives strangers no more than they gave."""
        self.assertEqual(len(pack_question(TRANSACTION)), QUESTION_ROOM)
        read = parse(pack_question(TRANSACTION, b"c" * 16, change_ip=True, change_port=True))
        self.assertEqual(read.attributes[Attribute.COOKIE], b"c" * 16)
        self.assertEqual(read.change_request(), (True, True))


class CheckTests(SynchronousTestCase):
    """The datagrams of connectivity checks."""

    def test_a_check_carries_what_ice_asks_for(self) -> None:
        """RFC 8445, 7.1 and 7.2.2; and it is read back as it was."""
        check = Check(TRANSACTION, "b:a", 77, True, 2**63)
        read = parse(pack_check(check, KEY))
        check_integrity(read, KEY)
        self.assertEqual(read.number(Attribute.PRIORITY, 4), 77)
        self.assertEqual(read.number(Attribute.ICE_CONTROLLING, 8), 2**63)
        self.assertEqual(read.attributes[Attribute.USERNAME], b"b:a")
        self.assertNotIn(Attribute.ICE_CONTROLLED, read.attributes)
        self.assertEqual(read_check(pack_check(check, KEY), KEY), check)

    def test_its_answer_names_the_source_normalised(self) -> None:
        """An IPv4-mapped source is told as IPv4."""
        answer = pack_response(TRANSACTION, ("::ffff:1.2.3.4", 5), KEY)
        self.assertEqual(read_check(answer, KEY), CheckResponse(TRANSACTION, ("1.2.3.4", 5)))

    def test_a_conflict_of_roles_is_told(self) -> None:
        """487, as RFC 8445 has it."""
        refusal = pack_conflict(TRANSACTION, KEY)
        self.assertEqual(parse(refusal).error(), (487, "Role Conflict"))
        self.assertEqual(read_check(refusal, KEY), RoleConflict(TRANSACTION))

    def test_whoever_lacks_the_key_can_write_none(self) -> None:
        """Neither checks nor answers."""
        for datagram in (
            pack_check(Check(TRANSACTION, "b:a", 77, True, 1), KEY),
            pack_response(TRANSACTION, ("1.2.3.4", 5), KEY),
            pack_conflict(TRANSACTION, KEY),
        ):
            self.assertRaises(BadIntegrity, read_check, datagram, KEY + b"x")


class HostileTests(SynchronousTestCase):
    """Whatever comes, it is a message or an error of ours."""

    def everything(self, datagram: bytes) -> None:
        """Use all of a message."""
        try:
            read = parse(datagram, classic=True)
        except (NotStun, BadStun):
            return
        for use in (
            read.mapped_address,
            read.error,
            read.unknown_attributes,
            read.change_request,
            lambda: read.number(Attribute.PRIORITY, 4),
            lambda: read.address(Attribute.OTHER_ADDRESS),
            lambda: check_integrity(read, KEY),
        ):
            with contextlib.suppress(WireError):
                use()

    @given(st.binary(max_size=200))
    def test_noise_is_no_message(self, noise: bytes) -> None:
        """Arbitrary bytes."""
        self.everything(noise)

    @given(st.sampled_from([0, 1, 0x101, 0x111, 0x11, 0x3FFF]), st.binary(max_size=400), st.booleans())
    def test_a_good_header_before_noise_is_survived(self, kind: int, noise: bytes, cookie: bool) -> None:
        """The attributes are noise."""
        noise = noise[: len(noise) & ~3]
        magic = stun.MAGIC_BYTES if cookie else b"RFC3"
        self.everything(kind.to_bytes(2, "big") + len(noise).to_bytes(2, "big") + magic + TRANSACTION + noise)

    def test_a_hundred_thousand_damaged_messages_are_survived(self) -> None:
        """Real messages, cut, spliced and flipped, with the fingerprint set right again in half of them."""
        rng = random.Random(5769)
        samples = [
            REQUEST,
            ANSWER_4,
            ANSWER_6,
            LONG_TERM,
            pack_question(TRANSACTION),
            pack_conflict(TRANSACTION, KEY),
        ]
        for _ in range(100_000):
            damaged = bytearray(rng.choice(samples))
            for _ in range(rng.randrange(1, 5)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            cut = damaged[: rng.randrange(len(damaged) + 1) & ~3] if rng.random() < 0.3 else damaged
            if len(cut) >= 20 and rng.random() < 0.5:
                cut[2:4] = (len(cut) - 20).to_bytes(2, "big")
                cut[4:8] = stun.MAGIC_BYTES
                if cut[-8:-4] == b"\x80\x28\0\4":
                    cut[-4:] = (crc32(cut[:-8]) ^ stun.FINGERPRINT_XOR).to_bytes(4, "big")
            self.everything(bytes(cut))

    def test_what_lies_about_its_length_is_refused(self) -> None:
        """In the header or in an attribute."""
        good = message((Attribute.SOFTWARE, b"four"))
        for bad in (
            good[:-1],
            good + b"\0",
            good + bytes(4),
            good[:-6] + b"\0\5" + good[-4:],
            good[:-6] + b"\xff\xff" + good[-4:],
        ):
            self.assertRaises(BadStun, parse, bad)

    def test_a_fingerprint_must_come_last(self) -> None:
        """Or something could be added behind it."""
        good = pack(StunMessage(Kind.REQUEST, TRANSACTION))
        longer = good[:2] + (16).to_bytes(2, "big") + good[4:] + stun.pack_attribute(Attribute.SOFTWARE, b"more")
        self.assertRaises(BadStun, parse, longer)

    def test_what_stands_behind_the_integrity_is_not_kept(self) -> None:
        """It could have been added by anyone (RFC 8489, 14.5)."""
        signed = pack(StunMessage(Kind.REQUEST, TRANSACTION), key=KEY, fingerprint=False)
        added = signed + stun.pack_attribute(Attribute.USE_CANDIDATE, b"")
        read = parse(stun.with_fingerprint(added))
        check_integrity(read, KEY)
        self.assertNotIn(Attribute.USE_CANDIDATE, read.attributes)

    def test_the_first_of_two_counts(self) -> None:
        """RFC 8489, 14."""
        self.assertEqual(
            parse(message((Attribute.PRIORITY, b"1234"), (Attribute.PRIORITY, b"5678"))).number(Attribute.PRIORITY, 4),
            0x31323334,
        )

    def test_a_message_of_a_thousand_attributes_is_refused(self) -> None:
        """Reading them would cost more than sending them."""
        self.assertRaises(BadStun, parse, message(*[(0x8000 + at, b"") for at in range(1000)]))

    def test_the_old_rfc_is_read_only_where_it_is_wanted(self) -> None:
        """Without the magic cookie other protocols look alike."""
        old = b"\0\1\0\0" + bytes(range(16))
        self.assertRaises(NotStun, parse, old)
        self.assertEqual(parse(old, classic=True).transaction, bytes(range(16)))
        self.assertFalse(stun.is_stun(old))
        self.assertTrue(stun.is_stun(REQUEST))
