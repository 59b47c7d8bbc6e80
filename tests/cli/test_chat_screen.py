"""Keys, the line being written, and what is drawn."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.chat.editor import LineEditor
from p2pim.cli.chat.keys import KeyReader
from p2pim.cli.chat.screen import Line, Screen, fit, input_row, wrap
from p2pim.core.limits import MESSAGE_TEXT

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class KeyTests(SynchronousTestCase):
    """What a terminal sends."""

    def test_text_and_keys_are_told_apart(self) -> None:
        """Characters come together, keys by name."""
        self.assertEqual(KeyReader().feed(b"hi\x1b[D\x7f\r"), ["text:hi", "left", "backspace", "enter"])

    def test_parts_wait_for_the_rest(self) -> None:
        """A character or sequence that is cut by a read is whole in the end."""
        reader = KeyReader()
        keys = [key for byte in "é\x1b[1;5Cx".encode() for key in reader.feed(bytes([byte]))]
        self.assertEqual(keys, ["text:é", "word-right", "text:x"])

    def test_a_pasted_line_break_is_no_enter(self) -> None:
        """A paste is one key, even when it comes in parts."""
        reader = KeyReader()
        data = b"\x1b[200~one\r\ntwo\x1b[201~\r"
        keys = [key for i in range(0, len(data), 5) for key in reader.feed(data[i : i + 5])]
        self.assertEqual(keys, ["paste:one\r\ntwo", "enter"])

    @given(st.lists(st.binary(max_size=20)))
    def test_no_bytes_break_it(self, parts: list[bytes]) -> None:
        """Whatever comes, it goes on, holds little, and lets no escape through as text."""
        reader = KeyReader()
        for part in parts:
            for key in reader.feed(part):
                self.assertFalse(key.startswith("text:") and any(ord(c) < 0x20 for c in key))

    def test_an_unknown_sequence_is_swallowed_whole(self) -> None:
        """Its letters do not appear in the line."""
        self.assertEqual(KeyReader().feed(b"\x1b[15;2~\x1b[?1cok"), ["text:ok"])


class EditorTests(SynchronousTestCase):
    """One line of text."""

    def typed(self, *keys: str) -> LineEditor:
        editor = LineEditor()
        for key in keys:
            editor.key(key)
        return editor

    def test_text_goes_where_the_cursor_is(self) -> None:
        """Left, then typed."""
        editor = self.typed("text:helo", "left", "text:l")
        self.assertEqual((editor.text, editor.cursor), ("hello", 4))

    def test_enter_gives_the_line_and_an_empty_one_gives_none(self) -> None:
        """Spaces alone are no message."""
        editor = self.typed("text:  hi ")
        self.assertEqual(editor.key("enter"), "hi")
        editor.key("text:   ")
        self.assertIsNone(editor.key("enter"))

    def test_arrows_bring_earlier_lines_back_and_the_draft_too(self) -> None:
        """Nothing that was typed is lost by looking back."""
        editor = self.typed("text:one", "enter", "text:two", "enter", "text:draft", "up", "up")
        self.assertEqual(editor.text, "one")
        for key in ("down", "down"):
            editor.key(key)
        self.assertEqual(editor.text, "draft")

    def test_words_and_ends_are_cut(self) -> None:
        """Ctrl-W, Ctrl-U, Ctrl-K."""
        self.assertEqual(self.typed("text:one two", "kill-word").text, "one ")
        self.assertEqual(self.typed("text:one two", "word-left", "kill-start").text, "two")
        self.assertEqual(self.typed("text:one two", "word-left", "kill-end").text, "one ")

    def test_an_accent_goes_with_its_letter(self) -> None:
        """A combining mark is not left alone."""
        self.assertEqual(self.typed("text:ae\u0301", "backspace").text, "a")

    def test_a_paste_is_bounded_and_keeps_its_line_breaks(self) -> None:
        """No more than a message may have."""
        self.assertEqual(self.typed("paste:a\r\nb\x07").text, "a\nb")
        self.assertEqual(len(self.typed("paste:" + "x" * 2 * MESSAGE_TEXT).text), MESSAGE_TEXT)


class ScreenTests(SynchronousTestCase):
    """What is drawn."""

    def rows(self, screen: Screen, width: int = 40, height: int = 6) -> list[str]:
        """The whole screen as plain text, drawn anew."""
        screen.forget_drawn()
        rows = [""] * height
        for number, row in re.findall(r"\x1b\[(\d+);1H\x1b\[2K(.*?)(?=\x1b\[\d+;\d+H)", screen.draw(width, height)):
            rows[int(number) - 1] = _ESCAPES.sub("", row).rstrip()
        return rows

    def test_title_above_input_below_and_the_newest_between(self) -> None:
        """Three parts, the middle filled from below."""
        screen = Screen(title="bob — relayed", input="dra", cursor=3)
        screen.add(Line("", "welcome"))
        screen.add(Line("bob", "hi", None, "", "relayed"))
        rows = self.rows(screen)
        self.assertEqual(rows[0], " bob — relayed")
        self.assertEqual(rows[-3:], ["welcome", "--:-- bob: hi  relayed", "> dra"])

    def test_what_arrives_leaves_the_line_being_written_alone(self) -> None:
        """Its row is not even sent again, and the cursor returns to it."""
        screen = Screen(title="bob", input="half a thou", cursor=11)
        screen.draw(40, 6)
        screen.add(Line("bob", "a long interruption"))
        update = screen.draw(40, 6)
        self.assertNotIn("half", update)
        self.assertNotIn("\x1b[2J", update)
        self.assertTrue(update.endswith("\x1b[6;14H\x1b[?25h"))

    def test_a_state_changes_in_place(self) -> None:
        """The mark of a message said before moves on, and nothing else is drawn."""
        screen = Screen(title="bob")
        line = Line("me", "hello", None, "sending")
        screen.add(line)
        screen.draw(40, 6)
        line.state = "read"
        update = screen.draw(40, 6)
        self.assertIn("✓✓", update)
        self.assertNotIn("bob", update)

    def test_scrolling_back_shows_earlier_lines_and_stops_at_the_ends(self) -> None:
        """PageUp beyond the first line is the first line."""
        screen = Screen(title="bob", scroll=1000)
        for number in range(10):
            screen.add(Line("", f"line {number}"))
        self.assertEqual(self.rows(screen)[1:-1], ["line 0", "line 1", "line 2", "line 3"])
        screen.scroll = -5
        self.assertEqual(self.rows(screen)[4], "line 9")

    def test_other_peoples_text_draws_nothing(self) -> None:
        """Escape sequences in a message or name stay text."""
        screen = Screen(title="bob\x1b[2J")
        screen.add(Line("bob\x1b]0;x\x07", "\x1b[2J\x1b[1;1Hgotcha"))
        drawn = screen.draw(60, 6)
        self.assertEqual(drawn.count("\x1b[2J"), 1)
        self.assertNotIn("\x07", drawn)

    @given(st.lists(st.text(max_size=80)), st.text(max_size=200), st.integers(1, 120), st.integers(1, 30))
    def test_no_row_is_wider_than_the_terminal(self, texts: list[str], typed: str, width: int, height: int) -> None:
        """Wide characters count double, and any size is drawn."""
        screen = Screen(title="someone", input=typed, cursor=len(typed))
        for text in texts:
            screen.add(Line("someone", text, 0.0, "delivered", "direct TCP 192.0.2.1:1"))
        for row in self.rows(screen, width, height if height >= 3 else 3):
            self.assertLessEqual(cell_len(row), max(width, 10))


class WrapTests(SynchronousTestCase):
    """Text in rows."""

    def test_it_breaks_at_spaces_and_else_anywhere(self) -> None:
        """Words stay whole where they fit."""
        self.assertEqual(wrap("one two three", 8), ["one two", "three"])
        self.assertEqual(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"])

    def test_wide_characters_take_two_cells(self) -> None:
        """A row is measured as the terminal does."""
        self.assertEqual(wrap("你好世界", 5), ["你好", "世界"])
        self.assertEqual(fit("你好", 3), "你")

    def test_the_cursor_stays_in_sight_in_a_long_line(self) -> None:
        """The beginning scrolls off."""
        row, column = input_row("x" * 50 + "end", 53, 20)
        self.assertTrue(row.endswith("end"))
        self.assertLessEqual(column, 20)
