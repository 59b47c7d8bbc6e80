"""``doctor``: what this network lets through, and what would help."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import click

from p2pim.cli.backend import Backend, ignore_item
from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.output import Output, terminal_width
from p2pim.cli.text import milliseconds_text
from p2pim.core.doctor import FILTERING_MEANS, MAPPING_MEANS
from p2pim.errors import NotSignedIn, ServerUnreachable, SignInError

_WIDTH = 100
_LABEL = 16


@click.command("doctor", cls=Command)
@click.option("--p2p-server", metavar="HOST:PORT", help="Ask this P2P server; then it works without an account, too.")
@pass_invocation
def doctor_command(invocation: Invocation, p2p_server: str | None) -> None:
    """Find out which ways to others this network lets through, and what would help."""

    async def main(reactor: Any) -> dict[str, Any]:
        backend, problem = await _backend(invocation, reactor, p2p_server)
        try:
            params = {"p2p_server": p2p_server, "server_problem": problem}
            return await backend.call("doctor", params, ignore_item)
        finally:
            await backend.close()

    invocation.output.aside("Asking the P2P server; this takes a few seconds where a NAT keeps silent.")
    report = invocation.run(main)
    invocation.output.item(report)
    if not invocation.output.json:
        _show(invocation.output, report)


async def _backend(invocation: Invocation, reactor: Any, p2p_server: str | None) -> tuple[Backend, str]:
    """Who does it, and why there is no session; without one a P2P server must be named.

    :raises P2pimError: there is neither.
    """
    try:
        return await invocation.opener(reactor, invocation.home, True), ""
    except (NotSignedIn, ServerUnreachable, SignInError) as error:
        if p2p_server is None:
            raise type(error)(f"{error.message} `p2pim doctor --p2p-server HOST:PORT` works without.") from None
        problem = "" if isinstance(error, NotSignedIn) else error.message
    return await invocation.opener(reactor, invocation.home, False), problem


def _show(output: Output, report: Mapping[str, Any]) -> None:
    width = min(terminal_width(output.stdout) or _WIDTH, _WIDTH)
    for label, text in _findings(report):
        _line(output, label, text, _LABEL, width)
    output.note(f"\n{'RUNG':<11} {'WORKS':<7} WHY")
    for rung in report["rungs"]:
        works = {True: "yes", False: "no"}.get(rung["works"], "depends")
        _line(output, f"{rung['rung']:<11} {works:<7}", rung["why"], 20, width)
    if report["advice"]:
        output.note("")
    for advice in report["advice"]:
        _line(output, "*", advice, 2, width)


def _line(output: Output, label: str, text: str, indent: int, width: int) -> None:
    body = textwrap.wrap(text, max(width - indent, 30)) or [""]
    first, *rest = body
    output.note(f"{label:<{indent}}{first}".rstrip())
    for line in rest:
        output.note(f"{'':<{indent}}{line}")


def _findings(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    server = report["p2p_server"] or "none"
    time = f", {milliseconds_text(report['rtt_ms'])} away" if report["rtt_ms"] is not None else ""
    mapping, filtering = report["mapping"], report["filtering"]
    return [
        ("P2P server", f"{server}{time}"),
        ("Public address", report["public_address"] or "not known"),
        ("Mapping", f"{mapping}: {MAPPING_MEANS.get(mapping, '')}"),
        ("Filtering", f"{filtering}: {FILTERING_MEANS.get(filtering, '')}"),
        ("IPv6", _ipv6_text(report)),
        ("Port mapping", "not tried by this version (UPnP, PCP, NAT-PMP)"),
    ]


def _ipv6_text(report: Mapping[str, Any]) -> str:
    address = report["ipv6_address"]
    if address is None:
        return "this machine has no global address"
    reaches = {True: "the P2P server answers", False: "the P2P server does not answer"}
    return f"{address}; {reaches.get(report['ipv6'], 'not tested, the P2P server has no IPv6 address')}"
