"""Values as people read them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli import text


class PrintableTests(SynchronousTestCase):
    """Other people's text cannot command a terminal."""

    @given(st.text())
    def test_nothing_that_commands_a_terminal_is_left(self, given: str) -> None:
        """No control character and no direction mark survives."""
        shown = text.printable(given)
        self.assertFalse([c for c in shown if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066\u200f"])

    def test_people_see_what_was_there(self) -> None:
        """An escape sequence is shown, not obeyed, and ordinary text of any script is left alone."""
        self.assertEqual(text.printable("a\x1b[2Jb"), "a␛[2Jb")
        self.assertEqual(text.printable("invoice\u202efdp.exe"), "invoice<U+202E>fdp.exe")
        self.assertEqual(text.printable("你好, Zoë"), "你好, Zoë")


class FigureTests(SynchronousTestCase):
    """Sizes, rates and times."""

    def test_sizes_are_in_binary_units(self) -> None:
        """Three digits are enough."""
        sizes = [text.size_text(n) for n in (0, 1023, 1024, 1536, 256 * 2**20, 10 * 2**30, 2**62)]
        self.assertEqual(sizes, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "256 MiB", "10 GiB", "4194304 TiB"])

    def test_times_grow_from_tenths_to_hours(self) -> None:
        """The unit fits the length."""
        times = [text.duration_text(s) for s in (0.44, 42, 187, 7509)]
        self.assertEqual(times, ["0.4 s", "42 s", "3:07", "2:05:09"])

    def test_what_was_not_measured_is_a_dash(self) -> None:
        """No figure is invented."""
        self.assertEqual(text.milliseconds_text(None), "-")
        self.assertEqual(text.clock_text("nonsense"), "--:--:--")


class RouteTests(SynchronousTestCase):
    """The route stands beside everything."""

    def test_a_direct_channel_is_named_with_its_address(self) -> None:
        """Kind and address make the title."""
        channel = {"kind": "tcp", "address": "192.168.1.7:50122"}
        self.assertEqual(text.conversation_title("bob", channel), "bob — direct TCP 192.168.1.7:50122")

    def test_without_a_direct_channel_it_is_relayed(self) -> None:
        """A relay channel is no direct one."""
        self.assertEqual(text.conversation_title("bob", None), "bob — relayed")
        self.assertEqual(text.conversation_title("bob", {"kind": "relay", "address": "h:1"}), "bob — relayed")
