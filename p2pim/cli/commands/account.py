"""``register``, ``login``, ``logout``: who this device is signed in as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pim.cli.backend import ignore_item
from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.passwords import read_password
from p2pim.errors import ServerUnreachable, Usage

if TYPE_CHECKING:
    from p2pim.cli.trust import TrustChoice

_FILE = click.Path(path_type=Path, dir_okay=False)


def _sign_in_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--trust-first-use", is_flag=True, help="Trust the certificate seen now, and pin it."),
        click.option(
            "--ca", "ca_file", type=_FILE, metavar="FILE", help="Trust what this authority vouches for (PEM)."
        ),
        click.option("--fingerprint", metavar="SHA256:…", help="Trust the certificate with this fingerprint."),
        click.option("--password-file", type=_FILE, metavar="F", help="Its first line (or P2PIM_PASSWORD)."),
        click.argument("account", metavar="NAME@HOST[:PORT]"),
    ):
        function = option(function)
    return function


@click.command("register", cls=Command)
@_sign_in_options
@click.option("--invite", default="", metavar="CODE", help="The operator's invitation, where one is needed.")
@pass_invocation
def register_command(
    invocation: Invocation,
    account: str,
    password_file: Path | None,
    fingerprint: str | None,
    ca_file: Path | None,
    trust_first_use: bool,
    invite: str,
) -> None:
    """Make an account on a server, and sign this device in to it."""
    choice = _choice(fingerprint, ca_file, trust_first_use)
    _sign_in(invocation, account, password_file, choice, register=True, invite=invite)


@click.command("login", cls=Command)
@_sign_in_options
@pass_invocation
def login_command(
    invocation: Invocation,
    account: str,
    password_file: Path | None,
    fingerprint: str | None,
    ca_file: Path | None,
    trust_first_use: bool,
) -> None:
    """Sign this device in to an account that exists."""
    _sign_in(invocation, account, password_file, _choice(fingerprint, ca_file, trust_first_use), register=False)


@click.command("logout", cls=Command)
@pass_invocation
def logout_command(invocation: Invocation) -> None:
    """Sign this device out, and forget how to sign in."""
    result = invocation.run(lambda reactor: _logout(reactor, invocation))
    invocation.output.item(result, "Signed out. Messages, contacts and files stay; `p2pim login` signs in again.")


async def _logout(reactor: Any, invocation: Invocation) -> dict[str, Any]:
    """Have the server forget this device's token too, where it can be reached."""
    try:
        backend = await invocation.opener(reactor, invocation.home, True)
    except ServerUnreachable:
        backend = await invocation.opener(reactor, invocation.home, False)
        invocation.output.aside("The server could not be told; its operator can end this device's session there.")
    try:
        return await backend.call("logout", {}, ignore_item)
    finally:
        await backend.close()


def _choice(fingerprint: str | None, ca_file: Path | None, first_use: bool) -> TrustChoice:
    from p2pim.cli.trust import TrustChoice

    if sum((fingerprint is not None, ca_file is not None, first_use)) > 1:
        raise Usage("--fingerprint, --ca and --trust-first-use exclude each other.")
    return TrustChoice(fingerprint, ca_file, first_use)


def _sign_in(
    invocation: Invocation, account: str, password_file: Path | None, choice: TrustChoice, *, register: bool,
    invite: str = "",
) -> None:  # fmt: skip
    from p2pim.cli.signing_in import sign_in
    from p2pim.cli.trust import decide_trust
    from p2pim.peer.home_account import parse_account

    name, server = parse_account(account)
    trust = decide_trust(invocation.home, server, choice)
    password = read_password(password_file, confirm=register, what=f"Password of {name}")
    result = invocation.run(
        lambda reactor: sign_in(reactor, invocation.home, account, password, trust, register=register, invite=invite)
    )
    verb = "registered and signed in" if register else "signed in"
    pinned = f", certificate {result['fingerprint']}" if result.get("fingerprint") else ""
    invocation.output.item(result, f"{result['user']} is {verb} at {result['server']}{pinned}.")
