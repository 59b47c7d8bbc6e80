"""``admin``: the operator's commands, on a running server or on the files of a stopped one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from p2pim.cli.commands.options import Command, Group
from p2pim.cli.invocation import Invocation, pass_invocation
from p2pim.cli.passwords import read_password
from p2pim.cli.text import count_text, date_text, size_text
from p2pim.errors import P2pimError

_FILE = click.Path(path_type=Path, dir_okay=False)


class CheckFailed(P2pimError):
    """The server's files are not in order."""

    code = "check-failed"


def _set_data(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.meta[__name__] = value


def _data_option() -> click.Option:
    return click.Option(
        ["--data"], type=click.Path(path_type=Path, file_okay=False), metavar="DIR", callback=_set_data,
        expose_value=False, is_eager=True, help="The server's data folder (else the one that it uses by default).",
    )  # fmt: skip


class OperatorCommand(Command):
    """A command that takes ``--data`` after its name, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["params"] = [*(kwargs.get("params") or []), _data_option()]
        super().__init__(*args, **kwargs)


class OperatorGroup(Group):
    """Likewise for a group."""

    command_class = OperatorCommand

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["params"] = [*(kwargs.get("params") or []), _data_option()]
        super().__init__(*args, **kwargs)


OperatorGroup.group_class = OperatorGroup


def _data() -> Path:
    """The server's data folder, as given or as it uses by default."""
    from p2pim.server.settings import default_data

    data: Path = click.get_current_context().meta.get(__name__) or default_data()
    return data.expanduser()


def _operate(method: str, **params: Any) -> dict[str, Any]:
    """Carry out an operator's command."""
    from p2pim.server import admin

    return admin.run(_data(), method, {key: value for key, value in params.items() if value is not None})


@click.group("admin", cls=OperatorGroup)
def admin_command() -> None:
    """Operate a server: accounts, invitations, figures, backups."""


@admin_command.group("user")
def user_group() -> None:
    """The accounts."""


@user_group.command("add")
@click.argument("user")
@click.option("--password-file", type=_FILE, metavar="F", help="Its first line (or P2PIM_PASSWORD).")
@pass_invocation
def user_add(invocation: Invocation, user: str, password_file: Path | None) -> None:
    """Make an account."""
    password = read_password(password_file, confirm=True, what=f"Password for {user}")
    result = _operate("user-add", user=user, password=password)
    invocation.output.item(result, f"{result['user']} has an account now.")


@user_group.command("password")
@click.argument("user")
@click.option("--password-file", type=_FILE, metavar="F", help="Its first line (or P2PIM_PASSWORD).")
@pass_invocation
def user_password(invocation: Invocation, user: str, password_file: Path | None) -> None:
    """Set another password; every device has to sign in with it."""
    password = read_password(password_file, confirm=True, what=f"New password for {user}")
    result = _operate("user-password", user=user, password=password)
    invocation.output.item(result, f"{result['user']} has another password now.")


@user_group.command("list")
@pass_invocation
def user_list(invocation: Invocation) -> None:
    """Show the accounts."""
    users = _operate("user-list")["users"]
    for user in users:
        invocation.output.item(user)
    rows = [
        (
            user["user"],
            "disabled" if user["disabled"] else "enabled",
            str(user["devices"]),
            date_text(user["created_at"]),
        )
        for user in users
    ]
    invocation.output.table(("USER", "STATE", "DEVICES", "SINCE"), rows, right=("DEVICES",))


def _user_change(name: str, method: str, text: str, help_text: str, group: click.Group) -> None:
    @group.command(name, help=help_text)
    @click.argument("user")
    @pass_invocation
    def command(invocation: Invocation, user: str) -> None:
        result = _operate(method, user=user)
        invocation.output.item(result, text.format(**result))


_user_change("delete", "user-delete", "{user} has no account any more.", "End an account.", user_group)
_user_change("disable", "user-disable", "{user} cannot sign in any more.", "Switch an account off.", user_group)
_user_change("enable", "user-enable", "{user} can sign in again.", "Switch an account on again.", user_group)
_user_change("kick", "kick", "{user}: {sessions} sessions ended.", "Sign a user's devices out.", admin_command)


@admin_command.command("invite")
@click.option("--days", type=click.FloatRange(0, 3650, min_open=True), help="How long it is good.")
@pass_invocation
def invite_command(invocation: Invocation, days: float | None) -> None:
    """Make an invitation, good for one registration."""
    result = _operate("invite", days=days)
    invocation.output.item(result, f"{result['invite']}  (until {date_text(result['expires_at'])})")


@admin_command.command("operator-password")
@click.option("--password-file", type=_FILE, metavar="F", help="Its first line (or P2PIM_PASSWORD).")
@pass_invocation
def operator_password_command(invocation: Invocation, password_file: Path | None) -> None:
    """Set the password of the operator's page; whoever is signed in there has to sign in anew."""
    password = read_password(password_file, confirm=True, what="Password of the operator's page")
    invocation.output.item(_operate("operator-password", password=password), "The operator's page has a password now.")


@admin_command.command("web")
@click.option("--no-open", is_flag=True, help="Print the link, and leave the browser alone.")
@pass_invocation
def web_command(invocation: Invocation, no_open: bool) -> None:
    """Open the operator's page in the browser, by a link that lets in one browser, once, within ten minutes."""
    from p2pim.cli.browser import open_link

    result = _operate("web")
    invocation.output.item(result, result["url"])
    if not no_open and not invocation.output.json and open_link(_data(), result["url"]):
        invocation.output.aside("Opened in the browser.")


@admin_command.command("stats")
@pass_invocation
def stats_command(invocation: Invocation) -> None:
    """Show who is online and what went through the server; what went directly is not among it."""
    result = _operate("stats")
    invocation.output.item(result)
    state = "runs" if result["running"] else "does not run"
    invocation.output.note(
        f"The server {state}; {count_text(result['accounts'], 'account')}, {result['online']} online."
    )
    invocation.output.note(_p2p_text(result.get("p2p")))
    if result.get("classic"):
        invocation.output.note(_classic_text(result["classic"]))
    invocation.output.note(_mail_text(result.get("mail")))
    columns = ("USER", "ONLINE", "UPLOADS", "BYTES", "LAST", "DOWNLOADS", "BYTES", "LAST", "RELAYED")
    right = ("UPLOADS", "BYTES", "DOWNLOADS", "RELAYED")
    invocation.output.table(columns, [_stats_row(user) for user in result["users"]], right=right)


def _p2p_text(p2p: Mapping[str, Any] | None) -> str:
    if p2p is None:
        return "No P2P server runs beside it."
    counts = "{requests} questions, {answers} answered, {refused} refused; {ignored} other datagrams".format(**p2p)
    return f"P2P server on UDP {p2p['address']}: {counts}."


def _classic_text(classic: Mapping[str, Any]) -> str:
    counts = "{guests} guests, {refused} logins refused; dropped: {bad} unreadable datagrams, {limited} too many of one"
    more = "host, {far} from outside, {foreign} logouts of others"
    return f"Classic gateway on {classic['address']}: " + f"{counts} {more}.".format(**classic)


def _mail_text(mail: Mapping[str, Any] | None) -> str:
    if not mail or not mail["messages"]:
        return "No mail waits."
    return "Mail: {messages} messages ({bytes} bytes) wait for {devices} devices.".format(**mail)


def _stats_row(user: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(user["user"]),
        ", ".join(session["address"] for session in user["sessions"]) or "-",
        str(user["uploads"]),
        size_text(user["upload_bytes"]),
        date_text(user["last_up"]) if user["last_up"] else "-",
        str(user["downloads"]),
        size_text(user["download_bytes"]),
        date_text(user["last_down"]) if user["last_down"] else "-",
        size_text(user["spliced_bytes"]),
    )


@admin_command.command("backup")
@click.argument("file", type=_FILE)
@pass_invocation
def backup_command(invocation: Invocation, file: Path) -> None:
    """Write the server's database and certificate to FILE; the server may run. Files that wait are not in it."""
    result = _operate("backup", file=str(file))
    invocation.output.item(result, f"{result['file']}: {size_text(result['bytes'])}.")
    left_out = result.get("left_out", {"files": 0})
    if left_out["files"]:
        invocation.output.aside(
            f"Not in it: {count_text(left_out['files'], 'file')} ({size_text(left_out['bytes'])}) that wait for people"
            f" who are away; copy {result['folder']} too, or they have to be sent anew after a restore."
        )


@admin_command.command("restore")
@click.argument("file", type=_FILE)
@pass_invocation
def restore_command(invocation: Invocation, file: Path) -> None:
    """Put a backup in the place of what is there, which is kept beside it; the server must be stopped."""
    result = _operate("restore", file=str(file))
    invocation.output.item(result, f"{result['file']} restored: {count_text(result['users'], 'account')}.")


@admin_command.command("check")
@pass_invocation
def check_command(invocation: Invocation) -> None:
    """Say whether the server's files are in order."""
    result = _operate("check")
    if result["ok"]:
        invocation.output.item(
            result, f"All in order: {count_text(result['users'], 'account')}, certificate {result['fingerprint']}."
        )
        return
    invocation.output.item(result, "\n".join(result["problems"]))
    raise CheckFailed(f"{count_text(len(result['problems']), 'problem')}: {'; '.join(result['problems'])}")
