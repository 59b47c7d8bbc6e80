"""The ``p2pim`` command: finds the command that was named, runs it, and makes one line and a status of what went wrong.

Commands are loaded when they are named, Twisted when they need it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from p2pim import __version__
from p2pim.cli.commands.options import global_options
from p2pim.cli.invocation import Invocation
from p2pim.errors import Interrupted, P2pimError, Usage

COMMANDS: Final = {
    "register": "account", "login": "account", "logout": "account", "up": "agent", "web": "agent",
    "who": "contacts", "add": "contacts", "remove": "contacts", "block": "contacts", "unblock": "contacts",
    "status": "contacts", "guests": "contacts",
    "msg": "messages", "history": "history", "chat": "chat", "group": "groups",
    "send": "send", "transfers": "transfers", "accept": "transfers", "reject": "transfers", "pause": "transfers",
    "resume": "transfers", "cancel": "transfers", "leave": "transfers",
    "connect": "channels", "disconnect": "channels", "channels": "channels", "ping": "channels", "log": "channels",
    "verify": "keys", "devices": "keys", "doctor": "doctor", "demo": "demo", "classic": "classic", "admin": "admin",
}  # fmt: skip
"""Each command and the module under ``p2pim.cli.commands`` where it is, as an attribute named ``<command>_command``."""


class OtherError(P2pimError):
    """Something outside of p2pim failed, such as a file that cannot be read."""

    code = "system-error"


class InternalError(P2pimError):
    """A defect in p2pim."""

    code = "internal-error"


class LazyGroup(click.Group):
    """Imports the module of a command when that is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"p2pim.cli.commands.{COMMANDS[name]}")
        command: click.Command = getattr(module, f"{name}_command")
        return command


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"p2pim {__version__}")
        context.exit()


cli = LazyGroup(
    "p2pim",
    params=[
        *global_options(hidden=False),
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
            help="Show the version and exit.",
        ),
    ],
    help="Talk and send files, straight from one machine to the other whenever a direct way exists.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)  # fmt: skip


def run(arguments: Sequence[str] | None = None, invocation: Invocation | None = None) -> int:
    """Run the command line; the entry point of ``p2pim``.

    :param arguments: without the program's name; those of the process when None.
    :param invocation: what tests replace.
    :return: the exit status, as in ``docs/cli.md``.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    call = invocation or Invocation()
    try:
        with contextlib.suppress(click.exceptions.Exit):
            status: Any = cli.main(args=given, prog_name="p2pim", standalone_mode=False, obj=call)
            return status if isinstance(status, int) else 0
        return 0
    except click.exceptions.NoArgsIsHelpError as shown:
        call.output.aside(shown.format_message())
        return 2
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except (Exception, KeyboardInterrupt) as raised:  # noqa: BLE001 - people get a line, whatever it is
        error = as_error(raised, verbose=call.verbose)
        if "--json" in given and isinstance(raised, click.ClickException):
            call.output.json = True
        return _report(call, error)


def _report(call: Invocation, error: P2pimError) -> int:
    try:
        call.output.failure(error)
    except BrokenPipeError:
        _silence_stdout()
    return error.exit_status


def as_error(raised: BaseException, *, verbose: bool = False) -> P2pimError:
    """Whatever a command raised, as an error with a code, a status and a line for people."""
    match raised:
        case P2pimError():
            return raised
        case KeyboardInterrupt() | click.Abort():
            return Interrupted()
        case click.ClickException():
            where = getattr(raised, "ctx", None)
            hint = f" Try `{where.command_path} --help`." if where is not None else ""
            return Usage(f"{raised.format_message()}{hint}")
        case OSError():
            return OtherError(_os_error_text(raised))
        case _:
            if verbose:
                raise raised
            return InternalError(
                f"{type(raised).__name__}: {raised}. This is a defect in p2pim; `--verbose` shows where it happened."
            )


def _os_error_text(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}." if error.filename else f"{reason}."


def _silence_stdout() -> None:
    """Whoever read stdout is gone: do not let the interpreter complain about it at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(run())
