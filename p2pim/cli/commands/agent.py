"""``up``: the agent in the foreground; ``web``: its page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from p2pim.cli.commands.options import Command
from p2pim.cli.event_text import event_line
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.running import Terminated
from p2pim.core.limits import AWAY_AFTER
from p2pim.errors import Interrupted, SignInError, Usage

if TYPE_CHECKING:
    from p2pim.peer.states import PeerSettings
    from p2pim.web.address import PageAddress


@click.command("up", cls=Command)
@click.option(
    "--accept",
    type=click.Choice(["always", "contacts", "ask", "never"]),
    default="ask",
    show_default=True,
    help="Which offered files to take without asking.",
)
@click.option("--downloads", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Where files go.")
@click.option("--p2p-server", metavar="HOST:PORT|none", help="Instead of the one that the server names.")
@click.option(
    "--channel",
    type=click.Choice(["auto", "tcp", "udp", "none"]),
    default="auto",
    show_default=True,
    help="Which direct channels may be made.",
)
@click.option(
    "--connect",
    type=click.Choice(["chat", "lan", "never"]),
    default="chat",
    show_default=True,
    help="When to make them: with a conversation, or to the whole LAN at once.",
)
@click.option(
    "--away-after",
    type=click.FloatRange(0, 1440),
    default=AWAY_AFTER / 60,
    show_default=True,
    metavar="MINUTES",
    help="Without anything you did for so long others see you as away; 0: never.",
)
@click.option(
    "--web",
    metavar="auto|ADDR:PORT|none",
    default="auto",
    show_default=True,
    help="Where the chat page is served, on this machine only.",
)
@pass_invocation
def up_command(
    invocation: Invocation, accept: str, downloads: Path | None, p2p_server: str | None, channel: str, connect: str,
    away_after: float, web: str,
) -> int:  # fmt: skip
    """Run the agent: stay signed in, receive messages and files, and print what happens."""
    from p2pim.peer.states import PeerSettings
    from p2pim.web.address import parse_page_address

    page = parse_page_address(web)
    context = click.get_current_context()
    names = ("accept", "downloads", "p2p_server", "channel", "connect", "away_after")
    fixed = frozenset(name for name in names if context.get_parameter_source(name) is not ParameterSource.DEFAULT)

    settings = PeerSettings(
        accept=accept, downloads=downloads.expanduser().absolute() if downloads else None, p2p_server=p2p_server,
        channel=channel, connect=connect, away_after=away_after * 60,
    )  # fmt: skip
    try:
        invocation.run(lambda reactor: _agent(reactor, invocation, settings, fixed, page))
    except Terminated:
        return 0
    except Interrupted as error:  # the usual way to end it: programs see the status, and only events on stdout
        invocation.output.aside(f"p2pim: {error.code}: The agent has ended.")
        return error.exit_status
    return 0


async def _agent(
    reactor: Any, invocation: Invocation, settings: PeerSettings, fixed: frozenset[str], page: PageAddress | None
) -> None:
    """Be the agent until stopped or signed out for good.

    :raises SignInError: the server wants this device no more.
    """
    from twisted.internet.defer import Deferred

    from p2pim.peer.api import Peer
    from p2pim.peer.events import Event, SignedOut, as_json
    from p2pim.web.agent import Agent

    ended: Deferred[str] = Deferred()
    refusals: list[SignedOut] = []
    prefix = invocation.command_prefix if settings.accept in ("ask", "contacts") else None

    def show(event: Event) -> None:
        value = as_json(event)
        invocation.output.item(value, event_line(value, prefix))
        if isinstance(event, SignedOut) and event.reason != "logout":
            refusals.append(event)

    peer = Peer(reactor, invocation.home, settings, fixed=fixed)
    agent = Agent(reactor, peer, ended.callback, page)
    peer.subscribe(show)
    try:
        await agent.start()
        invocation.output.aside(f"The agent of {peer.home.path} runs; Ctrl-C ends it.")
        await ended
    finally:
        await agent.stop()
    if refusals:
        raise SignInError(refusals[-1].message or f"Signed out: {refusals[-1].reason}.")


@click.command("web", cls=Command)
@click.option("--no-open", is_flag=True, help="Print the link, and leave the browser alone.")
@pass_invocation
def web_command(invocation: Invocation, no_open: bool) -> None:
    """Open the agent's chat page in the browser, by a link that lets in one browser, once, within ten minutes."""
    from p2pim.cli.agent_socket import connect, drive
    from p2pim.cli.browser import open_link

    agent = connect(invocation.home)
    if agent is None:
        raise Usage(f"No agent runs under {invocation.home}; start one with `{invocation.command_prefix} up`.")
    url: str = drive(agent.call("web-link", {}, lambda item: None))["url"]
    invocation.output.item({"url": url}, url)
    if not no_open and not invocation.output.json and open_link(invocation.home, url):
        invocation.output.aside("Opened in the browser.")
