"""What every command takes: the global options stand before or after its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from p2pim.cli.invocation import Invocation


def _set_json(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Invocation).output.json = True


def _set_home(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Invocation).home = value


def _set_verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Invocation).verbose = True


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """``--home``, ``--json`` and ``--verbose``; ``hidden`` on commands, whose help should speak of their own."""
    shared: dict[str, Any] = {"expose_value": False, "is_eager": True, "hidden": hidden}
    return [
        click.Option(
            ["--home"],
            type=click.Path(path_type=Path, file_okay=False),
            callback=_set_home,
            metavar="DIR",
            help="Where this person's data is (or P2PIM_HOME; else the platform's user data directory).",
            **shared,
        ),
        click.Option(
            ["--json"], is_flag=True, callback=_set_json, help="One JSON object per line on stdout.", **shared
        ),
        click.Option(["--verbose"], is_flag=True, callback=_set_verbose, help="Tell on stderr what happens.", **shared),
    ]


class Command(click.Command):
    """A command that also takes the global options after its name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["params"] = [*(kwargs.get("params") or []), *global_options(hidden=True)]
        super().__init__(*args, **kwargs)


class Group(click.Group):
    """A command with commands below it."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["params"] = [*(kwargs.get("params") or []), *global_options(hidden=True)]
        super().__init__(*args, **kwargs)


Group.group_class = Group
