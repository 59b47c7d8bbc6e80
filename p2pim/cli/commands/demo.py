"""``demo``: everything at once, on one machine, in one temporary directory."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.output import Output
from p2pim.core.limits import MIB


@click.command("demo", cls=Command)
@click.option(
    "--size", type=click.IntRange(1, 65_536), default=256, show_default=True, metavar="MB", help="Of the file to send."
)
@pass_invocation
def demo_command(invocation: Invocation, size: int) -> None:
    """Show how it works: a server and two peers sign in, connect, chat and send a file, directly and relayed."""
    from p2pim.cli.demo import Demo, check_space

    folder = Path(tempfile.mkdtemp(prefix="p2pim-demo-"))
    try:
        check_space(folder, size * MIB)

        async def main(reactor: Any) -> None:
            await Demo(reactor, folder, size * MIB, invocation.output, lambda: watching(invocation.output)).run()

        invocation.run(main)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def watching(output: Output) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Bars where there is a terminal, else nothing: the steps tell enough."""
    if output.json or not output.stderr.isatty():
        yield lambda event: None
        return
    from p2pim.cli.progress import TransferBars

    with TransferBars(output.stderr) as bars:
        yield bars.event
