"""``transfers``, ``accept``, ``reject``, ``pause``, ``resume``, ``cancel``: what is being sent and received."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.text import rate_text, route_text, size_text


@click.command("transfers", cls=Command)
@pass_invocation
def transfers_command(invocation: Invocation) -> None:
    """Show the transfers, those that wait for you first."""
    transfers = invocation.ask("transfers", online=False)["transfers"]
    for transfer in transfers:
        invocation.output.item(transfer)
    if not transfers:
        invocation.output.note("No transfers.")
        return
    columns = ("ID", "USER", "", "NAME", "STATE", "DONE", "RATE", "ROUTE")
    invocation.output.table(columns, [_row(transfer) for transfer in transfers], right=("DONE", "RATE"))


def _row(transfer: Mapping[str, Any]) -> tuple[str, ...]:
    done, total = transfer.get("bytes") or 0, transfer.get("total") or 0
    reason = f" ({transfer['reason']})" if transfer.get("reason") else ""
    return (
        str(transfer["transfer"]),
        str(transfer["user"]),
        "from" if transfer.get("direction") == "in" else "to",
        str(transfer["name"]),
        f"{transfer['state']}{reason}",
        f"{size_text(done)} of {size_text(total)}",
        rate_text(transfer["rate"]) if transfer.get("rate") else "-",
        route_text(transfer.get("route")),
    )


@click.command("accept", cls=Command)
@click.argument("transfer", metavar="ID")
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Where to put it.")
@pass_invocation
def accept_command(invocation: Invocation, transfer: str, to: Path | None) -> None:
    """Take what is offered as ID (its first characters are enough)."""
    params = {"id": transfer, "to": str(to.expanduser().absolute()) if to else None}
    result = invocation.ask("accept", params, online=False)
    invocation.output.item(result, _answer_text(result, transfer, "accepted"))


def _change(name: str, done: str, help_text: str) -> click.Command:
    @click.command(name, cls=Command, help=help_text)
    @click.argument("transfer", metavar="ID")
    @pass_invocation
    def command(invocation: Invocation, transfer: str) -> None:
        result = invocation.ask(name, {"id": transfer}, online=False)
        invocation.output.item(result, _answer_text(result, transfer, done))

    return command


def _answer_text(result: Mapping[str, Any], transfer: str, done: str) -> str:
    name = result.get("name")
    return f"{name} {done}." if name else f"{transfer} {done}."


reject_command = _change("reject", "rejected", "Do not take what is offered as ID.")
pause_command = _change("pause", "paused; `p2pim resume` goes on", "Halt the transfer ID, at either end.")
resume_command = _change("resume", "goes on", "Let the transfer ID go on from where it was.")
leave_command = _change("leave", "is left at the server", "Leave the transfer ID, which waits, at the server.")
cancel_command = _change("cancel", "cancelled", "End the transfer ID, at either end.")
