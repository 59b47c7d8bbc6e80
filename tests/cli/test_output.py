"""What goes to stdout and what to stderr."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.output import Output, as_line, error_fields, terminal_width
from p2pim.errors import NoDirectPath, RateLimited, from_wire


class JsonLineTests(SynchronousTestCase):
    """One object per line, whatever is in it."""

    @given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
    def test_every_object_is_one_line_that_reads_back(self, value: dict[str, object]) -> None:
        """Programs split at line feeds and parse."""
        line = as_line(value)
        self.assertNotIn(b"\n", line)
        self.assertEqual(json.loads(line), value)

    def test_what_terminals_obey_is_escaped(self) -> None:
        """A line of JSON on a terminal is only text."""
        line = as_line({"text": "\x1b[2J\x9b2J\u202e"}).decode()
        self.assertEqual(line, '{"text": "\\u001b[2J\\u009b2J\\u202e"}')

    def test_a_file_name_that_is_no_text_gets_through(self) -> None:
        """A byte that is no UTF-8 is a surrogate in Python, and its escape in JSON."""
        self.assertEqual(json.loads(as_line({"path": "a\udcff"})), {"path": "a\udcff"})

    def test_other_scripts_stay_readable(self) -> None:
        """UTF-8, not escapes."""
        self.assertIn("你好".encode(), as_line({"text": "你好"}))


class ErrorTests(SynchronousTestCase):
    """Failures for programs and people."""

    def test_reasons_of_a_missing_path_are_told(self) -> None:
        """Each rung with its reason."""
        fields = error_fields(NoDirectPath(reasons=(("tcp-lan", "refused"),)))
        self.assertEqual(fields["error"], "no-direct-path")
        self.assertEqual(fields["reasons"], [{"rung": "tcp-lan", "reason": "refused"}])

    def test_an_error_of_a_newer_server_keeps_its_name(self) -> None:
        """The code is what the server said."""
        self.assertEqual(error_fields(from_wire("too-tired", "The server sleeps."))["error"], "too-tired")

    def test_how_long_to_wait_is_told(self) -> None:
        """Programs can come back in time."""
        self.assertEqual(error_fields(RateLimited(retry_after=1.25))["retry_after"], 1.25)

    def test_a_failure_is_one_line_on_stderr(self) -> None:
        """Even when its message has several, and with --json the object is on stdout besides."""
        out, err = io.StringIO(), io.StringIO()
        Output(json=True, stdout=out, stderr=err).failure(RateLimited("slow\ndown"))
        self.assertEqual(err.getvalue(), "p2pim: rate-limited: slow down\n")
        self.assertEqual(json.loads(out.getvalue())["error"], "rate-limited")


class StreamTests(SynchronousTestCase):
    """Which stream gets what."""

    def setUp(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()

    def output(self, *, json: bool = False) -> Output:
        return Output(json=json, stdout=self.out, stderr=self.err)

    def test_notes_leave_stdout_alone_with_json(self) -> None:
        """A program reads nothing but objects."""
        output = self.output(json=True)
        output.note("hello")
        output.item({"a": 1}, "one")
        output.table(("A",), [("1",)])
        self.assertEqual((self.out.getvalue(), self.err.getvalue()), ('{"a": 1}\n', "hello\n"))

    def test_tables_are_never_cut_where_there_is_no_terminal(self) -> None:
        """Long values stay whole, and columns stand under each other."""
        self.output().table(("NAME", "SIZE"), [("x" * 300, "1"), ("[b]", "22")], right=("SIZE",))
        lines = self.out.getvalue().splitlines()
        self.assertEqual(lines[0].split(), ["NAME", "SIZE"])
        self.assertEqual(lines[1], "x" * 300 + "     1")
        self.assertTrue(lines[2].startswith("[b] ") and lines[2].endswith("  22"))

    def test_a_stream_that_cannot_say_it_gets_an_escape(self) -> None:
        """Output never fails over a character."""
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii")
        Output(stdout=stream, stderr=stream).note("é")
        self.assertEqual(raw.getvalue(), b"\\xe9\n")

    def test_a_file_has_no_width(self) -> None:
        """Only terminals do."""
        self.assertIsNone(terminal_width(self.out))
