"""Tables for people, drawn by rich: fitted to a terminal, and never cut when the output is not one."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from p2pim.cli.text import printable

_UNBOUNDED = 4096


def render_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), width: int | None = None
) -> list[str]:
    """The lines of a table.

    :param right: the columns that are aligned to the right.
    :param width: the terminal's columns; None when there is no terminal, which then gets no colours and nothing cut.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold", no_wrap=width is None)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    sink = io.StringIO()
    console = Console(
        file=sink, width=width or _UNBOUNDED, force_terminal=width is not None, markup=False, highlight=False
    )
    console.print(table)
    return [line.rstrip() for line in sink.getvalue().splitlines()]
