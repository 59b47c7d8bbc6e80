"""``classic``: a client of the classic text protocol, which knows neither passwords nor encryption."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.text import clock_text, count_text
from p2pim.errors import BadClassicLine, NoSuchUser, P2pimError, ServerUnreachable, Usage

if TYPE_CHECKING:
    from p2pim.peer.classic_client import ClassicClient

DEFAULT_PORT = 4540
_WARNING = (
    "The classic protocol knows no passwords and no encryption: anybody on the way can read and change what is said."
)
_HELP = "NAME text says something to NAME; /list shows who is there; /quit (or Ctrl-D) ends."


@click.command("classic", cls=Command)
@click.argument("account", metavar="NAME@HOST[:PORT]")
@click.option("--utf16", is_flag=True, help="Speak UTF-16LE, as the old .NET clients do.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Own UDP port. [default: any]")
@click.option("--no-input", is_flag=True, help="Do not read stdin; listen until stopped.")
@pass_invocation
def classic_command(invocation: Invocation, account: str, utf16: bool, port: int, no_input: bool) -> int:
    """Talk by the classic text protocol: to a p2pim-server's gateway, or to any other server of it.

    Each line of stdin is `NAME text`, `/list` or `/quit`. Logs out when stdin ends, or when it is stopped.
    """
    name, host, server_port = read_account(account)
    invocation.output.aside(_WARNING)

    async def main(reactor: Any) -> int:
        return await _Run(reactor, invocation).run(name, host, server_port, utf16, port, no_input)

    return invocation.run(main)


def read_account(text: str) -> tuple[str, str, int]:
    """The parts of ``NAME@HOST[:PORT]``; names of this protocol may hold almost anything.

    :raises Usage: it has no such form.
    """
    from p2pim.peer.home_account import parse_server
    from p2pim.wire.classic import check_name

    name, at, server = text.rpartition("@")
    if not at or not name or not server:
        raise Usage(f"{text!r} is no NAME@HOST[:PORT], such as alice@192.0.2.1:{DEFAULT_PORT}.")
    try:
        address = parse_server(server, DEFAULT_PORT)
        return check_name(name), address.host, address.port
    except BadClassicLine as error:
        raise Usage(error.message) from None


class _Run:
    """One run of the command."""

    def __init__(self, reactor: Any, invocation: Invocation) -> None:
        self._reactor = reactor
        self._output = invocation.output
        self._failed = False
        self._client: ClassicClient

    async def run(self, name: str, host: str, server_port: int, utf16: bool, port: int, no_input: bool) -> int:
        """Until stdin ends; the exit status."""
        from p2pim.cli.chat.lines import Lines
        from p2pim.net.resolve import resolve
        from p2pim.peer.classic_client import ClassicClient
        from p2pim.wire.classic import Coding, Endpoint

        addresses = await resolve(self._reactor, host, server_port)
        if not addresses:
            raise ServerUnreachable(f"Nobody knows the host {host!r}.")
        coding = Coding.UTF16 if utf16 else Coding.UTF8
        self._client = ClassicClient(
            self._reactor, name, Endpoint(*addresses[0]), self._show, time.time, coding=coding, port=port
        )
        lines: Lines | None = None
        try:
            await self._client.sign_in()
            self._client.ended.addErrback(lambda failure: failure if lines is None else lines.fail(failure))
            if no_input:
                await self._client.ended
            else:
                if sys.stdin is not None and sys.stdin.isatty():
                    self._output.aside(_HELP)
                lines = Lines(self._reactor, self._line)
                await lines.ended
        except _Quit:
            pass
        finally:
            if lines is not None:
                lines.stop()
            self._client.leave()
        return NoSuchUser.exit_status if self._failed else 0

    async def _line(self, text: str) -> None:
        if text in ("/quit", "/exit"):
            raise _Quit
        if text == "/list":
            self._client.show_list()
        elif text in ("/help", "/?"):
            self._output.note(_HELP)
        else:
            try:
                self._client.say(*self._client.book.address_line(text))
            except P2pimError as error:
                self._failed = self._failed or not sys.stdin.isatty()
                self._output.failure(error)

    def _show(self, event: Mapping[str, Any]) -> None:
        self._output.item(event, event_text(event))


class _Quit(Exception):
    """The person has had enough."""


def event_text(event: Mapping[str, Any]) -> str | None:
    """One line about ``event`` for people; None for what they see anyway."""
    at = clock_text(event.get("at"))
    match event["event"]:
        case "accepted":
            return f"{at} Signed in as {event['user']} at {event['server']}; the others find you at {event['address']}."
        case "list":
            users = "".join(f"\n  {user['user']}  {user['address']}" for user in event["users"])
            return f"{count_text(len(event['users']), 'user')}:{users}" if users else "Nobody is there."
        case "login":
            return f"{at} {event['user']} is here ({event['address']})."
        case "logout":
            return f"{at} {event['user']} has left."
        case "talk":
            stranger = "" if event["listed"] else f" (from {event['address']}, where the list does not have them)"
            text = "\n    ".join(str(event["text"]).rstrip().splitlines())  # no further line can pose as one of ours
            return f"{at} {event['user']}{stranger}: {text}"
        case "interrupted":
            return f"{at} {event['reason']}; signing in again."
    return None
