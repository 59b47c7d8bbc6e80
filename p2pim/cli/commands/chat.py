"""``chat``: a conversation in the terminal, or line by line where there is none."""

from __future__ import annotations

import sys
from typing import Any

import click

from p2pim.cli.backend import LiveBackend
from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.core.names import canonical_conversation


@click.command("chat", cls=Command)
@click.argument("user")
@pass_invocation
def chat_command(invocation: Invocation, user: str) -> None:
    """Talk with USER (or in '#GROUP'); the title line shows the route as it changes.

    Without a terminal every line of stdin is a message, and what USER says comes out as lines (objects with --json).
    """
    user = canonical_conversation(user)
    if not invocation.output.json and sys.stdin.isatty() and sys.stdout.isatty():
        invocation.live(lambda reactor, backend: _on_terminal(reactor, backend, invocation, user))
    else:
        from p2pim.cli.chat.lines import chat_by_lines

        invocation.live(lambda reactor, backend: chat_by_lines(reactor, backend, invocation, user))


async def _on_terminal(reactor: Any, backend: LiveBackend, invocation: Invocation, user: str) -> None:
    from p2pim.cli.chat.session import ChatSession, wall_time
    from p2pim.cli.chat.terminal import Terminal

    def draw() -> None:
        terminal.write(session.screen.draw(*terminal.size()))

    session = ChatSession(reactor, backend, user, invocation.command_prefix, draw, wall_time)
    terminal = Terminal(reactor, session.keys, draw)
    terminal.open()
    try:
        draw()
        session.start()
        await session.ended
    finally:
        session.stop()
        terminal.close()
