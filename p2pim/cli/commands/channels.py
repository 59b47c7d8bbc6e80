"""``connect``, ``disconnect``, ``channels``, ``ping``, ``log``: the ways to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.text import clock_text, conversation_title, date_text, milliseconds_text, route_text, size_text
from p2pim.errors import TimedOut


@click.command("connect", cls=Command)
@click.argument("user")
@pass_invocation
def connect_command(invocation: Invocation, user: str) -> None:
    """Set up a direct channel to USER, and wait for it."""
    channel = invocation.ask("connect", {"user": user})
    rtt = f", {milliseconds_text(channel.get('rtt_ms'))}" if channel.get("rtt_ms") is not None else ""
    lan = ", same LAN" if channel.get("same_lan") else ""
    invocation.output.item(channel, f"{conversation_title(user, channel)}{lan}{rtt}")


@click.command("disconnect", cls=Command)
@click.argument("user")
@pass_invocation
def disconnect_command(invocation: Invocation, user: str) -> None:
    """Close the direct channels to USER."""
    result = invocation.ask("disconnect", {"user": user})
    invocation.output.item(result, f"No direct channel to {user} any more.")


@click.command("channels", cls=Command)
@pass_invocation
def channels_command(invocation: Invocation) -> None:
    """Show the open channels, and why the others are relayed."""
    channels = invocation.ask("channels")["channels"]
    for channel in channels:
        invocation.output.item(channel)
    if not channels:
        invocation.output.note("No channels are open; `p2pim connect USER` opens one.")
        return
    columns = ("USER", "ROUTE", "LOCAL", "LAN", "RTT", "SENT", "RECEIVED", "SINCE")
    rows = [_row(channel) for channel in channels]
    invocation.output.table(columns, rows, right=("RTT", "SENT", "RECEIVED"))
    for channel in channels:
        for reason in channel.get("reasons") or ():
            invocation.output.note(f"{channel['user']}: {_reason_text(reason)}")


def _row(channel: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(channel["user"]),
        route_text(channel["kind"], channel.get("address")),
        str(channel.get("local_address") or "-"),
        "yes" if channel.get("same_lan") else "no",
        milliseconds_text(channel.get("rtt_ms")),
        size_text(channel.get("sent") or 0),
        size_text(channel.get("received") or 0),
        clock_text(channel.get("since")),
    )


def _reason_text(reason: Any) -> str:
    return f"{reason['rung']}: {reason['reason']}" if isinstance(reason, Mapping) else str(reason)


@click.command("ping", cls=Command)
@click.argument("user", required=False)
@click.option("-c", "--count", type=click.IntRange(1, 10_000), default=4, show_default=True, help="How many.")
@click.option("--route", type=click.Choice(["auto", "direct", "relay"]), default="auto", help="Which way.")
@pass_invocation
def ping_command(invocation: Invocation, user: str | None, count: int, route: str) -> None:
    """Measure the way to USER and back, or without USER to the server."""
    output = invocation.output
    if user is None:
        result = invocation.ask("ping_server")
        output.item(result, f"the server: {milliseconds_text(result['rtt_ms'])}")
        return

    def answered(item: dict[str, Any]) -> None:
        way = route_text(item.get("route"), item.get("address"))
        time = milliseconds_text(item["rtt_ms"]) if item.get("rtt_ms") is not None else "no answer"
        output.item(item, f"{user}: seq={item.get('seq')} {time} ({way})")

    result = invocation.ask("ping", {"user": user, "count": count, "route": route}, item=answered)
    figures = " / ".join(milliseconds_text(result.get(key)) for key in ("min_ms", "avg_ms", "max_ms"))
    output.item(result, f"{result['received']} of {result['sent']} answered; min / avg / max {figures}")
    if not result["received"]:
        raise TimedOut(f"{user} answered none of {result['sent']} pings.")


@click.command("log", cls=Command)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now.")
@click.option(
    "-n", "--lines", type=click.IntRange(0, 100_000), default=100, show_default=True, help="How many at first."
)
@pass_invocation
def log_command(invocation: Invocation, follow: bool, lines: int) -> None:
    """Read the log: channels set up or failed and why, and each message's route."""

    def entry(item: dict[str, Any]) -> None:
        who = f"{item['user']}: " if item.get("user") else ""
        invocation.output.item(item, f"{date_text(item.get('at'))} {item.get('kind')}  {who}{item.get('text')}")

    invocation.ask("log", {"follow": follow, "lines": lines}, item=entry, online=follow)
