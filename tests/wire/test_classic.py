"""The classic grammar: golden lines, what it emits it parses, and any bytes give a value or a specific error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import BadClassicLine, BadClassicList, BadClassicName
from p2pim.wire.classic import (
    BAD_NAME,
    NOT_NOW,
    TAKEN,
    TOO_LONG,
    Accept,
    Alive,
    Coding,
    Endpoint,
    Line,
    Login,
    Logout,
    Refuse,
    Talk,
    UserList,
    decode,
    decode_text,
    encode,
    encode_list,
    list_is_whole,
    parse,
    parse_list,
    write,
)

ALICE = Login("alice", Endpoint("192.0.2.1", 5001))
BOB = Login("bob", Endpoint("2001:db8::2", 5002))
LINES: tuple[tuple[bytes, Line], ...] = (
    (b"login,alice,192.0.2.1:5001", ALICE),
    (b"login,bob,[2001:db8::2]:5002", BOB),
    (b"logout,alice,192.0.2.1:5001", Logout(ALICE.name, ALICE.endpoint)),
    (b"Accept,4540", Accept(4540)),
    (b"Refuse,name taken", Refuse("name taken")),
    (b"Alive,alice", Alive("alice")),
    (b"talk,14:03:59,alice,one, two, three", Talk("14:03:59", "alice", "one, two, three")),
    (b"talk,,alice,", Talk("", "alice", "")),
    ("talk,下午2:03,小明,你好,世界".encode(), Talk("下午2:03", "小明", "你好,世界")),
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=",;\r\n\0"), min_size=1, max_size=32)
endpoints = st.builds(
    Endpoint, st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)), st.integers(1, 65535)
)
logins = st.builds(Login, names, endpoints)
lines = st.one_of(
    logins,
    st.builds(Logout, names, endpoints),
    st.builds(Accept, st.integers(1, 65535)),
    st.builds(Talk, texts.filter(lambda text: "," not in text), names, texts),
    st.builds(Alive, names),
    st.builds(Refuse, texts.filter(lambda text: not text.endswith(("\n", "\r")))),
)
codings = st.sampled_from(Coding)


class LineTests(SynchronousTestCase):
    """Lines, as ``docs/classic.md`` has them."""

    def test_each_line_is_written_exactly_so_and_read_back(self) -> None:
        """The grammar, byte by byte."""
        for data, line in LINES:
            self.assertEqual(encode(line), data)
            self.assertEqual(decode(data), line)

    def test_a_line_in_utf_16_is_told_from_one_in_utf_8(self) -> None:
        """What the .NET client sends."""
        data = "login,小明,192.0.2.1:5001".encode("utf-16-le")
        self.assertEqual(decode_text(data), ("login,小明,192.0.2.1:5001", Coding.UTF16))
        self.assertEqual(decode(data), Login("小明", Endpoint("192.0.2.1", 5001)))
        self.assertEqual(encode(Accept(4540), Coding.UTF16), b"A\0c\0c\0e\0p\0t\0,\0004\0005\0004\0000\0")

    def test_a_line_end_is_passed_over_but_in_what_is_said(self) -> None:
        """A person with netcat ends lines; a text is all the rest."""
        self.assertEqual(decode(b"login,alice,192.0.2.1:5001\r\n"), ALICE)
        self.assertEqual(decode(b"Accept,4540\n"), Accept(4540))
        self.assertEqual(decode(b"talk,1,alice,hello\n"), Talk("1", "alice", "hello\n"))

    def test_what_is_no_line_is_refused_with_a_reason(self) -> None:
        """Each of these ended the original's receive loop."""
        for data in (
            b"", b",", b"login", b"login,", b"login,alice", b"login,alice,", b"login,alice,somewhere:1",
            b"login,alice,192.0.2.1", b"login,alice,192.0.2.1:0", b"login,alice,192.0.2.1:65536",
            b"login,alice,192.0.2.1:+80", b"login,alice,192.0.2.01:80", b"login,alice,2001:db8::2:80",
            b"login,alice,[fe80::1%eth0]:80", b"login,alice,192.0.2.1:\xd9\xa3", b"Login,alice,192.0.2.1:1",
            b"Accept,", b"Accept,x", b"Accept,99999", b"talk,1,alice", b"talk,1,,hello", b"talk,1,al;ice,hello",
            b"\xff\xfe\xfd", b"l\0o", b"l\0o\0\0\xd8", b"login,\xff,192.0.2.1:1",
        ):  # fmt: skip
            error = self.assertRaises(BadClassicLine, decode, data)
            self.assertTrue(error.message, data)

    def test_a_bad_name_still_tells_where_to_answer(self) -> None:
        """So that its sender can be told."""
        for name, reason in (
            ("a" * 33, TOO_LONG), ("a,b", BAD_NAME), ("a;b", BAD_NAME), ("", BAD_NAME), ("a\0b", BAD_NAME),
            ("a\nb", BAD_NAME),
        ):  # fmt: skip
            error: BadClassicName = self.assertRaises(BadClassicName, parse, f"login,{name},192.0.2.1:5001")
            self.assertEqual((error.endpoint, error.reason), (("192.0.2.1", 5001), reason))

    def test_what_cannot_be_said_is_not_sent(self) -> None:
        """A name or a time with a comma would be read as something else."""
        for line in (Login("a,b", ALICE.endpoint), Talk("1,2", "alice", ""), Talk("1", "", "x"), Alive("\n")):
            self.assertRaises(BadClassicLine, write, line)
        self.assertRaises(BadClassicLine, encode, Talk("1", "alice", "\ud800"))

    def test_no_refusal_is_longer_than_the_login_that_it_answers(self) -> None:
        """Nobody makes a server send more to a stranger than it got."""
        shortest = len(write(Login("a", Endpoint("1.1.1.1", 1))))
        for reason in (TAKEN, BAD_NAME, NOT_NOW):
            self.assertLessEqual(len(write(Refuse(reason))), shortest)
        self.assertLessEqual(len(write(Refuse(TOO_LONG))), shortest + 32)
        self.assertLessEqual(len(write(Accept(65535))), shortest)

    @given(lines, codings)
    def test_what_is_written_is_read_again(self, line: Line, coding: Coding) -> None:
        """In both codings; UTF-16 is told by its second byte, so text alone cannot be taken for it."""
        data = encode(line, coding)
        self.assertEqual(decode(data), line)
        self.assertIs(decode_text(data)[1], coding)

    @given(
        st.one_of(
            st.binary(),
            st.builds(
                lambda keyword, rest: keyword + rest,
                st.sampled_from([b"login,", b"logout,", b"Accept,", b"talk,", b"Refuse,", b"Alive,", b"l\0"]),
                st.binary(),
            ),
            texts.map(lambda text: ("login," + text + ",1.2.3.4:5").encode()),
        )
    )
    def test_any_bytes_are_a_line_or_a_specific_error(self, data: bytes) -> None:
        """Nothing raises anything else; and what was read can be said again."""
        try:
            line = decode(data)
        except BadClassicLine:
            return
        self.assertEqual(parse(write(line)), line)


class ListTests(SynchronousTestCase):
    """The user list."""

    def test_a_list_is_written_exactly_so(self) -> None:
        """As the grammar has it, and as `BinaryWriter` writes it."""
        self.assertEqual(encode_list([]), b"end")
        plain = b"alice,192.0.2.1:5001;bob,[2001:db8::2]:5002;end"
        self.assertEqual(encode_list([ALICE, BOB]), plain)
        self.assertEqual(encode_list([ALICE, BOB], Coding.UTF16), bytes([len(plain)]) + plain)

    def test_a_long_string_has_its_length_in_more_bytes(self) -> None:
        """Seven bits at a time, the low ones first."""
        users = [Login(f"user{number:03}", Endpoint("192.0.2.1", 5000 + number)) for number in range(100)]
        data = encode_list(users, Coding.UTF16)
        body = encode_list(users)
        self.assertEqual(data[:2], bytes([len(body) & 0x7F | 0x80, len(body) >> 7]))
        self.assertEqual(data[2:], body)
        self.assertEqual(parse_list(data, Coding.UTF16), UserList(tuple(users)))

    def test_ends_are_taken_as_they_come(self) -> None:
        """With or without a semicolon before them, doubled ones, and CR LF behind."""
        entry = b"alice,192.0.2.1:5001"
        for data in (entry + b";end", entry + b"end", entry + b";;end", b";" + entry + b";end\r\n", entry + b";end\n"):
            self.assertEqual(parse_list(data), UserList((ALICE,)), data)
        for data in (b"end", b";end", b"end\r\n"):
            self.assertEqual(parse_list(data), UserList(()))

    def test_a_bad_entry_costs_only_itself(self) -> None:
        """And is counted."""
        found = parse_list(b"alice,192.0.2.1:5001;nonsense;x,y:z;[2001:db8::2]:5002;end")
        self.assertEqual(found, UserList((ALICE,), 3))

    def test_what_is_cut_short_is_no_list(self) -> None:
        """Half a list must not pass for a whole one."""
        for data in (
            b"",
            b"alice,192.0.2.1:5001;",
            b"alice,192.0.2.1:5001;en",
            b"\xff\xff\xff\xff\xff\xffend",
            b"\xff",
        ):
            self.assertRaises(BadClassicList, parse_list, data)
            self.assertRaises(BadClassicList, parse_list, data, Coding.UTF16)

    def test_a_plain_list_is_understood_by_who_expects_the_other_form(self) -> None:
        """A server that answers a UTF-16 login with plain text; its first byte is a length only by chance."""
        self.assertEqual(parse_list(encode_list([ALICE, BOB]), Coding.UTF16).users, (ALICE, BOB))
        many = [Login(f"user{number}", ALICE.endpoint) for number in range(5, 15)]
        self.assertEqual(parse_list(encode_list(many, Coding.UTF16)).users, tuple(many))

    def test_a_whole_list_is_seen_before_the_server_closes(self) -> None:
        """And half a one is not."""
        self.assertTrue(list_is_whole(b"end"))
        self.assertTrue(list_is_whole(b"alice,192.0.2.1:5001;end\r\n"))
        self.assertFalse(list_is_whole(b"alice,192.0.2.1:5001;"))
        self.assertFalse(list_is_whole(b"bend"))
        self.assertFalse(list_is_whole(b""))

    @given(st.lists(logins), codings)
    def test_every_list_written_is_read_again(self, users: list[Login], coding: Coding) -> None:
        """In both forms."""
        self.assertEqual(parse_list(encode_list(users, coding), coding), UserList(tuple(users)))

    @given(st.one_of(st.binary(), st.binary().map(lambda data: data + b";end")), codings)
    def test_any_bytes_are_a_list_or_a_specific_error(self, data: bytes, coding: Coding) -> None:
        """Nothing raises anything else."""
        try:
            parse_list(data, coding)
        except BadClassicList:
            return
