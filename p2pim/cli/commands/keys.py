"""``verify`` and ``devices``: whose keys these are."""

from __future__ import annotations

import sys
from typing import Any

import click

from p2pim.cli.backend import LiveBackend, ignore_item
from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.errors import Usage


@click.command("verify", cls=Command)
@click.argument("user")
@click.option("--sas", is_flag=True, help="Compare a short authentication string with the other side, over p2pim.")
@click.option("--confirm", is_flag=True, help="The safety number is the same on the other side: USER is verified.")
@click.option("--accept", is_flag=True, help="Take new devices of USER as they are, without comparing.")
@pass_invocation
def verify_command(invocation: Invocation, user: str, sas: bool, confirm: bool, accept: bool) -> None:
    """Show the safety number that you share with USER, to be compared with the one on their side."""
    if sas + confirm + accept > 1:
        raise Usage("Use one of --sas, --confirm and --accept.")
    if sas:
        result = invocation.live(lambda reactor, backend: _compare(invocation, backend, user))
        invocation.output.item(result, f"{result['user']} is verified on device {result['device'][:8]}.")
        return
    report = invocation.ask("verify", {"user": user, "accept": accept, "confirm": confirm})
    invocation.output.item(report, _text(report))
    columns = ("USER", "DEVICE", "NAME", "STATE", "KEY")
    invocation.output.table(columns, [_row(device) for device in report["devices"]])


def _text(report: dict[str, Any]) -> str:
    groups = report["safety_number"].split()
    lines = ["  ".join(groups[n : n + 4]) for n in range(0, len(groups), 4)]
    state = "verified" if report["verified"] else "CHANGED since verified" if report["changed"] else "not verified"
    head = f"Safety number with {report['user']} ({state}), over the devices below:"
    return "\n".join([head, *(f"    {line}" for line in lines)])


def _row(device: dict[str, Any]) -> tuple[str, ...]:
    state = "this device" if device["this"] else "verified" if device["verified"] else ""
    if not device["accepted"]:
        state = "NEW, not accepted"
    return device["user"], device["device"][:8], device["name"], state, device["fingerprint"]


async def _compare(invocation: Invocation, backend: LiveBackend, user: str) -> dict[str, Any]:
    """Show what comes, take the person's word for it, and wait for the other side's."""

    def show(item: dict[str, Any]) -> None:
        numbers = " ".join(str(number) for number in item["decimals"])
        invocation.output.item(
            item, f"Both sides must show: {', '.join(item['emoji'])}\n                  or: {numbers}"
        )
        done = backend.call("match", {"run": item["run"], "same": _same()}, ignore_item)
        done.addErrback(lambda failure: None)  # the comparison itself fails, too, and says why

    invocation.output.aside(f"Waiting for {user} to run `p2pim verify YOUR-NAME --sas` too…")
    return await backend.call("compare", {"user": user}, show)


def _same() -> bool:
    """What the person says; without a terminal, what the next line of stdin says."""
    if sys.stdin.isatty():
        return click.confirm("Do they?", err=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class DeviceGroup(click.Group):
    """``devices`` alone lists them; the global options stand after it, too."""

    command_class = Command


@click.group("devices", cls=DeviceGroup, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line on stdout.")
@click.pass_context
def devices_command(context: click.Context, as_json: bool) -> None:
    """The devices of your account: list them, name one, remove one."""
    invocation: Invocation = context.obj
    invocation.output.json = invocation.output.json or as_json
    if context.invoked_subcommand is None:
        _list(invocation)


@devices_command.command("list")
@pass_invocation
def _list_command(invocation: Invocation) -> None:
    """List them (the default)."""
    _list(invocation)


def _list(invocation: Invocation) -> None:
    devices = invocation.ask("devices")["devices"]
    for device in devices:
        invocation.output.item(device)
    rows = [
        (d["device"][:8], d["name"], d["added"][:10], (d["used"] or "")[:10], "this device" if d["this"] else "")
        for d in devices
    ]
    invocation.output.table(("DEVICE", "NAME", "ADDED", "USED", ""), rows)


@devices_command.command("name")
@click.argument("device")
@click.argument("name", nargs=-1, required=True)
@pass_invocation
def _name_command(invocation: Invocation, device: str, name: tuple[str, ...]) -> None:
    """Call DEVICE (the beginning of its id) NAME."""
    result = invocation.ask("rename-device", {"id": device, "name": " ".join(name)})
    invocation.output.item(result, f"{result['device'][:8]} is called {result['name']} now.")


@devices_command.command("remove")
@click.argument("device")
@pass_invocation
def _remove_command(invocation: Invocation, device: str) -> None:
    """Sign DEVICE out for good: its sign-in, keys and mailbox end."""
    result = invocation.ask("remove-device", {"id": device})
    invocation.output.item(result, f"{result['device'][:8]} is removed.")
