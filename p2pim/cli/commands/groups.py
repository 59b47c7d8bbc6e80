"""``group``: named groups, their members and roles. What is said in them goes by ``msg '#NAME'``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from p2pim.cli.commands.options import Command
from p2pim.cli.invocation import Invocation, pass_invocation

_NAME = click.argument("group", metavar="NAME")


@click.group("group")
def group_command() -> None:
    """Make groups, change them and see who is in them; NAME may be written with its #, in quotes."""


def _members_text(group: Mapping[str, Any]) -> str:
    members = [
        member["user"] if member["role"] == "member" else f"{member['user']} ({member['role']})"
        for member in group["members"]
    ]
    topic = f" — {group['topic']}" if group.get("topic") else ""
    return f"{group['group']}{topic}: {', '.join(members)}"


def _change(invocation: Invocation, method: str, params: dict[str, Any]) -> None:
    result = invocation.ask(method, params)
    invocation.output.item(result, _members_text(result))


@group_command.command("list", cls=Command)
@pass_invocation
def list_command(invocation: Invocation) -> None:
    """Show the groups that you are in, with their members."""
    groups = invocation.ask("groups", {})["groups"]
    for group in groups:
        invocation.output.item(group, _members_text(group))
    if not groups:
        invocation.output.note("You are in no group: `p2pim group create NAME USER…` makes one.")


@group_command.command("create", cls=Command)
@_NAME
@click.argument("users", metavar="USER…", nargs=-1)
@pass_invocation
def create_command(invocation: Invocation, group: str, users: tuple[str, ...]) -> None:
    """Make the group NAME, with the USERs in it; you are its owner."""
    _change(invocation, "group-create", {"group": group, "users": list(users)})


@group_command.command("add", cls=Command)
@_NAME
@click.argument("users", metavar="USER…", nargs=-1, required=True)
@pass_invocation
def add_command(invocation: Invocation, group: str, users: tuple[str, ...]) -> None:
    """Add the USERs; they read what is said from now on."""
    _change(invocation, "group-add", {"group": group, "users": list(users)})


@group_command.command("remove", cls=Command)
@_NAME
@click.argument("users", metavar="USER…", nargs=-1, required=True)
@pass_invocation
def remove_command(invocation: Invocation, group: str, users: tuple[str, ...]) -> None:
    """Remove the USERs; they read nothing that is said from now on."""
    _change(invocation, "group-remove", {"group": group, "users": list(users)})


@group_command.command("leave", cls=Command)
@_NAME
@pass_invocation
def leave_command(invocation: Invocation, group: str) -> None:
    """Leave the group; its last owner is followed by whoever is longest an admin, or else a member."""
    result = invocation.ask("group-leave", {"group": group})
    invocation.output.item(result, f"You have left {result['group']}.")


@group_command.command("end", cls=Command)
@_NAME
@pass_invocation
def end_command(invocation: Invocation, group: str) -> None:
    """End the group, for everybody; only an owner may."""
    result = invocation.ask("group-end", {"group": group})
    invocation.output.item(result, f"{result['group']} has ended.")


@group_command.command("role", cls=Command)
@_NAME
@click.argument("user")
@click.argument("role", type=click.Choice(["owner", "admin", "member"]))
@pass_invocation
def role_command(invocation: Invocation, group: str, user: str, role: str) -> None:
    """Make USER owner, admin or member; only an owner may."""
    _change(invocation, "group-role", {"group": group, "user": user, "role": role})


@group_command.command("topic", cls=Command)
@_NAME
@click.argument("topic", nargs=-1, required=True)
@pass_invocation
def topic_command(invocation: Invocation, group: str, topic: tuple[str, ...]) -> None:
    """Say what the group is about."""
    _change(invocation, "group-topic", {"group": group, "topic": " ".join(topic)})
