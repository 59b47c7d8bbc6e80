"""``who``, ``add``, ``remove``, ``block``, ``unblock``, ``status``: the people."""

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
    listed = [person for person in people if person.get("relation") != "asks"]
    if listed:
        columns = ("USER", "STATUS", "DEVICES", "ROUTE", "RTT")
        invocation.output.table(columns, [_row(person) for person in listed], right=("DEVICES", "RTT"))
    for person in people:
        if person.get("relation") == "asks":
            asks = f"{person['user']} wants to be your contact"
            invocation.output.note(f"{asks}: {invocation.command_prefix} add {person['user']} (or remove, or block)")
    if any(person.get("relation") == "guest" for person in people):
        invocation.output.note("Names with @classic are guests: anybody could use them, and nothing is encrypted.")
    if not people:
        nobody = "Nobody is online but you." if everyone else _NO_CONTACTS
        invocation.output.note(nobody)


_NO_CONTACTS = "No contacts yet: `p2pim add USER` asks one, `p2pim who --all` shows who is online."


def _row(person: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(person["user"]),
        "requested" if person.get("relation") == "requested" else str(person["status"]),
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
    """Ask USER to be your contact, or agree when they have asked you."""
    result = invocation.ask("add", {"user": user})
    name = result.get("user", user)
    if result.get("relation") == "requested":
        text = f"{name} is asked to be your contact, and has to agree."
    else:
        text = f"{name} is a contact" + (f" ({result['status']})." if result.get("status") else ".")
    invocation.output.item(result, text)


@click.command("remove", cls=Command)
@click.argument("user")
@pass_invocation
def remove_command(invocation: Invocation, user: str) -> None:
    """Take USER off your contact list, and yourself off theirs; or decline their request, or withdraw yours."""
    result = invocation.ask("remove", {"user": user})
    name = result.get("user", user)
    texts = {"asks": f"The request of {name} is declined.", "requested": f"Your request to {name} is withdrawn."}
    invocation.output.item(result, texts.get(str(result.get("was")), f"{name} is no contact any more."))


@click.command("status", cls=Command)
@click.argument("status", type=click.Choice(["online", "away", "busy", "invisible"]), required=False)
@pass_invocation
def status_command(invocation: Invocation, status: str | None) -> None:
    """Show, or set, what others see of you. It is remembered."""
    result = invocation.ask("status", {"set": status or ""}, online=False)
    seen = f", seen by {result['server']} at {result['address']}" if result.get("address") else ", not connected"
    own = " by itself" if result["status"] != result["chosen"] else ""
    invocation.output.item(result, f"{result['user']} is {result['status']}{own}{seen}")


@click.command("guests", cls=Command)
@click.argument("wish", type=click.Choice(["on", "off"]), required=False)
@pass_invocation
def guests_command(invocation: Invocation, wish: str | None) -> None:
    """Show the guests of the server's classic gateway, or set whether you meet them at all. It is remembered.

    Guests use the old text protocol: anybody can take any name, and nothing that is said is encrypted. They are called
    NAME@classic, and see you, too, while you meet them and are not invisible.
    """
    result = invocation.ask("guests", {} if wish is None else {"on": wish == "on"})
    invocation.output.item(result, _GUESTS[result["policy"] if result["on"] else "off"])
    for user in result["users"]:
        invocation.output.note(f"  {user}")


_GUESTS = {
    "off": "You do not meet guests.",
    "apart": "You would meet guests, but this server does not let users and guests meet.",
    "shown": "You see this server's guests; it lets nobody write to them.",
    "together": "You meet this server's guests. What is said is NOT encrypted.",
}


def _change(name: str, text: str, help_text: str) -> click.Command:
    @click.command(name, cls=Command, help=help_text)
    @click.argument("user")
    @pass_invocation
    def command(invocation: Invocation, user: str) -> None:
        result = invocation.ask(name, {"user": user})
        invocation.output.item(result, text.format(user=result.get("user", user)))

    return command


block_command = _change("block", "{user} cannot reach you any more.", "Let USER reach you no more.")
unblock_command = _change("unblock", "{user} can reach you again.", "Let USER reach you again.")
