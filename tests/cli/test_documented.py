"""docs/cli.md and docs/api.md beside the program: what there is stands there, and what stands there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest import mock

import click
from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.main import cli
from p2pim.peer import events, transfer_events
from p2pim.peer.local_api import METHODS
from p2pim.web.drop_calls import DropCalls

DOCS = Path(__file__).parents[2] / "docs"
INSIDE = {"events": "GET /api/1/events", "server_problem": "what the command found out itself"}
"""Of the local API: what has another form over HTTP, and what only our own command says."""

DEFAULT = {"history show": "history"}
"""What a group does when none of its commands is named."""


def rows(text: str) -> list[list[str]]:
    """The cells of all rows of tables."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def quoted(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def leaves(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, and groups that do something alone."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found is not None and not found.hidden:
                yield from leaves(found, f"{name} {each}".strip())
    else:
        yield name, command


class CommandLineTests(SynchronousTestCase):
    """docs/cli.md."""

    text = (DOCS / "cli.md").read_text(encoding="utf-8")

    def documented(self, name: str) -> str:
        """The rows with a command in front, and then the paragraphs that speak of it; nothing when it has no row."""
        first, *rest = name.split()
        bare = DEFAULT.get(name, " ".join(rest) if first == "admin" else name)
        usage = re.compile(rf"{bare}\b(?!-)")
        found = [
            " ".join(row) for row in rows(self.text) if any(map(usage.match, quoted(row[0].replace("[list]", "list"))))
        ]
        about = [
            part
            for part in self.text.split("\n\n")
            if f"`{first}`" in part or "Passwords" in part or "p2pim admin [" in part
        ]
        return "\n".join(found + about) if found else ""

    def test_every_command_has_its_row(self) -> None:
        """Those of groups too."""
        missing = [name for name, _ in leaves(cli) if not self.documented(name)]
        self.assertEqual(missing, [])

    def test_every_option_stands_with_its_command(self) -> None:
        """In its row, or in what is said below."""
        missing = []
        for name, command in leaves(cli):
            said = self.documented(name)
            for option in command.params:
                if isinstance(option, click.Option) and not option.hidden:
                    flags = [*option.opts, *option.secondary_opts]
                    if not any(re.search(rf"(?<![\w-]){flag}(?![\w-])", said) for flag in flags):
                        missing.append(f"{name} {flags}")
        self.assertEqual(missing, [])

    def test_no_command_stands_there_that_is_not(self) -> None:
        """The first column of the tables of commands."""
        names = {name for name, _ in leaves(cli)}
        known = names | {name.removeprefix("admin ") for name in names} | {name.rpartition(" ")[0] for name in names}
        part = self.text[self.text.index("### Commands") : self.text.index("## Events")]
        for table in part.split("| command |")[1:]:
            for row in rows(table.split("\n\n")[0].split("\n", 1)[1]):
                for usage in quoted(row[0]):
                    words = re.match(r"[a-z-]+(?: [a-z-]+(?= |$))?", usage)
                    assert words is not None, usage
                    self.assertTrue({words[0], words[0].split()[0]} & known, usage)

    def test_every_event_stands_there_with_its_keys(self) -> None:
        """Those of transfers too."""
        self.assertIn(transfer_events.TransferOffered, events.Event.__subclasses__())
        table = rows(self.text[self.text.index("## Events of") :])
        for kind in events.Event.__subclasses__():
            said = next((row[1] for row in table if kind.event in quoted(row[0])), None)
            self.assertIsNotNone(said, kind.event)
            keys = {field.name for field in fields(kind)} - {"at"}
            self.assertEqual(keys - set(quoted(str(said))), set(), kind.event)


class LocalApiTests(SynchronousTestCase):
    """docs/api.md."""

    text = (DOCS / "api.md").read_text(encoding="utf-8")

    def setUp(self) -> None:
        self.table: dict[str, Any] = {**METHODS, **DropCalls(mock.Mock(), mock.MagicMock()).methods}
        part = self.text[self.text.index("## Methods") :]
        self.rows = [row for row in rows(part) if quoted(row[0])]

    def test_every_method_stands_there_with_its_parameters(self) -> None:
        """And with no others."""
        for name, (kind, _) in self.table.items():
            if name in INSIDE:
                continue
            row = next((row for row in self.rows if name in quoted(row[0])), None)
            self.assertIsNotNone(row, name)
            said = {re.split(r"[?=]", word)[0] for word in quoted(row[1] if row else "")}
            self.assertEqual(set(kind.__struct_fields__) - set(INSIDE) - said, set(), name)

    def test_no_method_stands_there_that_is_not(self) -> None:
        """``web-link`` and ``stop`` are of whoever runs the peer."""
        documented = {name for row in self.rows for name in quoted(row[0])}
        self.assertEqual(documented - set(self.table), {"web-link", "stop"})
