"""``msg``: what is said."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from p2pim.cli.backend import Backend, ignore_item
from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.text import route_text
from p2pim.core.limits import MESSAGE_TEXT
from p2pim.errors import Usage


@click.command("msg", cls=Command)
@click.argument("user")
@click.argument("text", nargs=-1, required=True)
@click.option("--route", type=click.Choice(["auto", "direct", "relay"]), default="auto", help="Which way it may go.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Seconds to wait at most.")
@click.option("--wait/--no-wait", default=True, help="Wait for the receipt (the default), or not.")
@pass_invocation
def msg_command(
    invocation: Invocation, user: str, text: tuple[str, ...], route: str, timeout: float | None, wait: bool
) -> None:
    """Send TEXT to USER (or '#GROUP') and wait for the receipt; `-` sends what stdin holds."""
    message = _from_stdin() if text == ("-",) else " ".join(text)
    if not message.strip():
        raise Usage("There is no text to send.")
    params = {"user": user, "text": message, "route": route, "wait": wait}
    if timeout is not None:
        params["timeout"] = timeout

    async def work(backend: Backend) -> tuple[bool, dict[str, Any]]:
        return backend.is_agent, await backend.call("msg", params, ignore_item)

    by_agent, result = invocation.work(work, else_offline=True)
    invocation.output.item(result, _sent_text(user, result))
    if result.get("note"):
        invocation.output.aside(str(result["note"]))
    if result.get("queued") and not by_agent:
        invocation.output.aside(f"No agent runs here: `{invocation.command_prefix} up` sends it.")


def _from_stdin() -> str:
    """What stdin holds, at most one byte more than a message may have: the refusal of that says the limit."""
    data = sys.stdin.buffer.read(MESSAGE_TEXT + 1)
    try:
        return data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise Usage(
            f"What stdin holds is no text in UTF-8 of at most {MESSAGE_TEXT} bytes; send it as a file."
        ) from None


def _sent_text(user: str, result: Mapping[str, Any]) -> str:
    if result.get("members") is not None:
        return _group_text(user, result)
    if result.get("queued"):
        return f"waits for {user} in this home's outbox"
    way = route_text(result.get("route"), result.get("address"))
    if result.get("route") == "classic":
        return f"sent to {user}: {way}"
    if result["state"] == "sent":
        return f"sent to {user}, not confirmed yet: {way}"
    took = f", {result['ms']:.0f} ms" if result.get("ms") is not None else ""
    return f"{result['state']} to {user}: {way}{took}"


def _group_text(group: str, result: Mapping[str, Any]) -> str:
    """``delivered to 2 of 3 in #team, 1 in the mailbox: relayed by 192.0.2.1:4530, 12 ms``."""
    if result.get("queued"):
        return f"waits for {group} in this home's outbox"
    states = [member["state"] for member in result["members"]]
    have = sum(state in ("delivered", "read") for state in states)
    safe = states.count("stored")
    took = f", {result['ms']:.0f} ms" if result.get("ms") is not None else ""
    mailbox = f", {safe} in the mailbox" if safe else ""
    way = route_text(result.get("route"), result.get("address"))
    return f"delivered to {have} of {len(states)} in {group}{mailbox}: {way}{took}"
