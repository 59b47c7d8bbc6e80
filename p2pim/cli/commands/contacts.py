"""``who``, ``add``, ``remove``, ``block``, ``unblock``: the people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.text import milliseconds_text, route_text


@click.command("who", cls=Command)
@click.option("--all", "everyone", is_flag=True, help="Everyone online whom the server lets you see.")
@pass_invocation
def who_command(invocation: Invocation, everyone: bool) -> None:
    """Show your contacts: who is there, and by which route."""
    people = invocation.ask("who", {"all": everyone})["people"]
    for person in people:
        invocation.output.item(person)
    if people:
        columns = ("USER", "STATUS", "DEVICES", "ROUTE", "RTT")
        invocation.output.table(columns, [_row(person) for person in people], right=("DEVICES", "RTT"))
    elif everyone:
        invocation.output.note("Nobody is online but you.")
    else:
        invocation.output.note("No contacts yet: `p2pim add USER` adds one, `p2pim who --all` shows who is online.")


def _row(person: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(person["user"]),
        str(person["status"]),
        str(_count(person.get("devices"))),
        route_text(person.get("route"), person.get("address")),
        milliseconds_text(person.get("rtt_ms")),
    )


def _count(devices: object) -> int:
    return len(devices) if isinstance(devices, list) else int(devices) if isinstance(devices, int) else 0


@click.command("add", cls=Command)
@click.argument("user")
@pass_invocation
def add_command(invocation: Invocation, user: str) -> None:
    """Put USER on your contact list."""
    result = invocation.ask("add", {"user": user})
    status = f" ({result['status']})" if result.get("status") else ""
    invocation.output.item(result, f"{result.get('user', user)} is a contact{status}.")


def _change(name: str, text: str, help_text: str) -> click.Command:
    @click.command(name, cls=Command, help=help_text)
    @click.argument("user")
    @pass_invocation
    def command(invocation: Invocation, user: str) -> None:
        result = invocation.ask(name, {"user": user})
        invocation.output.item(result, text.format(user=result.get("user", user)))

    return command


remove_command = _change("remove", "{user} is no contact any more.", "Take USER off your contact list.")
block_command = _change("block", "{user} cannot reach you any more.", "Let USER reach you no more.")
unblock_command = _change("unblock", "{user} can reach you again.", "Let USER reach you again.")
