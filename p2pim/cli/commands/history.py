"""``history``: what was said, searched, written out and deleted."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from p2pim.cli.backend import Backend, ignore_item
from p2pim.cli.commands.options import Group
from p2pim.cli.export import Export
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.output import Output, one_line
from p2pim.cli.text import count_text, date_text, message_line
from p2pim.core.limits import HISTORY_EXPORT, HISTORY_PAGE
from p2pim.errors import Usage

_VALUED = ("--home",)
"""Global options that take a value, which is no name."""


class HistoryGroup(Group):
    """``history USER``, but for the names of the commands below it; ``--with USER`` is for users of such names."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        at = _first_own(args)
        if at < len(args) and (args[at] in self.commands or args[at] in context.help_option_names):
            return super().parse_args(context, args)
        return super().parse_args(context, [*args[:at], "show", *args[at:]])


def _first_own(args: list[str]) -> int:
    """Where the first word is that is no global option."""
    at = 0
    while at < len(args) and (args[at] in ("--json", "--verbose") or args[at].split("=")[0] in _VALUED):
        at += 2 if args[at] in _VALUED else 1
    return at


@click.group("history", cls=HistoryGroup, subcommand_metavar="[USER] [OPTIONS] | export … | delete …")
def history_command() -> None:
    """Read what was said with USER: with routes, receipts and times. Without USER: the conversations.

    `history show --help` tells how to search and page.
    """


@history_command.command("show")
@click.argument("user", required=False)
@click.option("--with", "named", metavar="USER", help="The same as USER, for whoever is called like a command.")
@click.option("--search", default="", metavar="TEXT", help="Only messages that contain it; without USER, of everyone.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="So many at most.")
@click.option("--before", default="", metavar="ID", help="Only messages before this one.")
@click.option("--after", default="", metavar="ID", help="Only messages after this one, the oldest first.")
@pass_invocation
def show_command(
    invocation: Invocation, user: str | None, named: str | None, search: str, limit: int, before: str, after: str
) -> None:
    """Read what was said with USER, or list the conversations."""
    user = user or named
    if user is None and not search:
        if before or after:
            raise Usage("--before and --after name a message in the conversation with a USER.")
        _show_conversations(invocation)
        return

    async def work(backend: Backend) -> list[dict[str, Any]]:
        return await _pages(backend, {"user": user, "search": search}, limit, before, after)

    messages = invocation.work(work, online=False)
    lit = highlights(invocation.output)
    for message in messages:
        invocation.output.item(message, message_line(message, lit, everyone=user is None), safe=True)
    if not messages:
        with_whom = f" with {user}" if user is not None else ""
        invocation.output.note(f"Nothing was said{with_whom}" + (f" that contains {search!r}." if search else " yet."))


def highlights(output: Output) -> bool:
    """Whether hits are shown in bold: to a person at a terminal who has not asked for none (no-color.org)."""
    return not output.json and output.stdout.isatty() and not os.environ.get("NO_COLOR")


def _show_conversations(invocation: Invocation) -> None:
    found = invocation.ask("conversations", online=False)["conversations"]
    for conversation in found:
        invocation.output.item(conversation)
    if not found:
        invocation.output.note("Nothing was said yet.")
        return
    rows = [_conversation_row(conversation) for conversation in found]
    invocation.output.table(("USER", "UNREAD", "LAST", "WHEN"), rows, right=("UNREAD",))


def _conversation_row(conversation: Mapping[str, Any]) -> tuple[str, ...]:
    last = conversation["last"]
    text = one_line(str(last["text"]))
    text = text if len(text) <= 48 else f"{text[:47]}…"
    mine = "me: " if last["direction"] == "out" else ""
    when = last["sent_at"] if mine else last.get("received_at") or last["sent_at"]
    return str(conversation["user"]), str(conversation["unread"] or "-"), f"{mine}{text}", date_text(when)


async def _pages(
    backend: Backend, what: dict[str, Any], limit: int, before: str | int, after: str | int
) -> list[dict[str, Any]]:
    """Up to ``limit`` messages, oldest first, asked for a page at a time."""
    forward = bool(after) and not before
    messages: list[dict[str, Any]] = []
    while len(messages) < limit:
        page = min(HISTORY_PAGE, limit - len(messages))
        params = {**what, "limit": page, "before": before, "after": after}
        more = (await backend.call("history", params, ignore_item))["messages"]
        messages = [*messages, *more] if forward else [*more, *messages]
        if len(more) < page:
            break
        if forward:
            after = more[-1]["number"]
        else:
            before = more[0]["number"]
    return messages


@history_command.command("export")
@click.argument("user", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), help="text, or an object a line.")
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="A new file, only for you; else stdout.")
@pass_invocation
def export_command(invocation: Invocation, user: str | None, form: str | None, to: Path | None) -> None:
    """Write out all that was said with USER, or with everyone, from the oldest on."""
    form = form or ("json" if invocation.output.json else "text")
    with Export(form, to, invocation.output, everyone=user is None) as export:

        async def work(backend: Backend) -> None:
            await _all_pages(backend, user, export.write)

        invocation.work(work, online=False)
    if to is not None:
        done = {"file": str(to), "messages": export.count, "bytes": export.bytes}
        invocation.output.item(done, f"{count_text(export.count, 'message')} in {to}")


async def _all_pages(backend: Backend, user: str | None, write: Callable[[dict[str, Any]], None]) -> None:
    params: dict[str, Any] = {"user": user, "limit": HISTORY_EXPORT, "oldest": True}
    while True:
        page = (await backend.call("history", params, ignore_item))["messages"]
        for message in page:
            write(message)
        if len(page) < HISTORY_EXPORT:
            return
        params = {"user": user, "limit": HISTORY_EXPORT, "after": page[-1]["number"]}


@history_command.command("delete")
@click.argument("user")
@click.argument("ids", nargs=-1, metavar="[ID]…")
@click.option("--all", "everything", is_flag=True, help="The whole conversation.")
@pass_invocation
def delete_command(invocation: Invocation, user: str, ids: tuple[str, ...], everything: bool) -> None:
    """Take messages out of my own history with USER, for good; the other side keeps theirs."""
    if bool(ids) == everything:
        raise Usage("Name the messages by their IDs, or say --all for the whole conversation.")
    parts: list[list[str] | None] = [list(ids[at : at + HISTORY_PAGE]) for at in range(0, len(ids), HISTORY_PAGE)]

    async def work(backend: Backend) -> tuple[int, int]:
        deleted = kept = 0
        for part in parts or [None]:
            done = await backend.call("delete", {"user": user, "ids": part}, ignore_item)
            deleted, kept = deleted + done["deleted"], kept + done["kept"]
        return deleted, kept

    deleted, kept = invocation.work(work, online=False)
    invocation.output.item(
        {"user": user, "deleted": deleted, "kept": kept}, f"{count_text(deleted, 'message')} deleted."
    )
    if kept:
        invocation.output.aside(f"{count_text(kept, 'message')} still on the way to {user}: kept until that has it.")
