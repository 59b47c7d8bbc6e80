"""``send``: files and folders."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from p2pim.cli.backend import Backend
from p2pim.cli.commands.options import Command
from p2pim.cli.event_text import event_line, waiting_text
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.errors import FileUnreadable, Offline, P2pimError, PeerRefused, TimedOut, TransferError


class Rejected(PeerRefused):
    """The other side does not want the file."""

    code = "rejected"
    default = "The other side did not take it."


@click.command("send", cls=Command)
@click.argument("user")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(path_type=Path))
@click.option("--comment", default="", metavar="TEXT", help="What the other side reads beside the offer.")
@click.option("--route", type=click.Choice(["auto", "direct", "relay"]), default="auto", help="Which way it may go.")
@click.option(
    "--leave",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="Leave it, sealed, at the server: when USER is away (auto), always, or never.",
)
@click.option("--wait/--no-wait", default=True, help="Wait until it has arrived (the default), or not.")
@pass_invocation
def send_command(
    invocation: Invocation, user: str, paths: tuple[Path, ...], comment: str, route: str, leave: str, wait: bool
) -> None:
    """Offer files and folders to USER, and send them when they are accepted.

    To somebody who is away they are left at the server, sealed, until they come and take them.
    """
    params = {
        "user": user, "paths": [_existing(path) for path in paths], "comment": comment, "route": route, "leave": leave,
        "wait": wait,
    }  # fmt: skip
    ended: dict[str, Mapping[str, Any]] = {}
    with _shown(invocation) as show:

        async def work(backend: Backend) -> tuple[bool, dict[str, Any]]:
            def item(event: dict[str, Any]) -> None:
                if event.get("event") in ("completed", "disrupted"):
                    ended[str(event["transfer"])] = event
                show(event)

            return backend.is_agent, await backend.call("send", params, item)

        by_agent, result = invocation.work(work)
    _conclude(invocation, user, result["transfers"], ended, wait=wait, by_agent=by_agent)


def _existing(path: Path) -> str:
    """The absolute path, which the agent sees from another working directory."""
    absolute = path.expanduser().absolute()
    if not absolute.exists():
        raise FileUnreadable(f"{path} does not exist.")
    return str(absolute)


@contextlib.contextmanager
def _shown(invocation: Invocation) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Something that shows events: bars on a terminal, lines elsewhere, objects with ``--json``."""
    output = invocation.output
    if not output.json and output.stderr.isatty():
        from p2pim.cli.progress import TransferBars

        with TransferBars(output.stderr) as bars:
            yield bars.event
    else:
        yield lambda event: output.item(event, event_line(event, invocation.command_prefix))


def _conclude(
    invocation: Invocation, user: str, transfers: Sequence[Any], ended: Mapping[str, Mapping[str, Any]], *,
    wait: bool, by_agent: bool,
) -> None:  # fmt: skip
    """Say where it stands; a transfer that ended without success makes the command fail."""
    failures = [event for event in ended.values() if event["event"] == "disrupted" and (wait or not event.get("waits"))]
    if failures:
        raise _failure(user, failures[0])
    if not wait:
        who = "The agent" if by_agent else f"The next `{invocation.command_prefix} up`"
        invocation.output.aside(f"{who} goes on with it; `{invocation.command_prefix} transfers` shows how far it is.")


def _failure(user: str, event: Mapping[str, Any]) -> P2pimError:
    reason = str(event["reason"])
    detail = waiting_text(event) if event.get("waits") else str(event.get("message") or "")
    match reason:
        case "rejected":
            return Rejected(detail or f"{user} did not take it.")
        case "peer-cancelled":
            return Rejected(detail or f"{user} cancelled it.")
        case "peer-offline":
            return Offline(detail or f"{user} is not online.")
        case "no-answer":
            return TimedOut(detail or f"{user} did not answer.")
        case _:
            return TransferError(detail or f"The transfer ended without success: {reason}.")
