"""Where passwords come from: a file, the environment, or a person at a terminal; never the command line.

What stands on a command line can be read by every other user of the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from p2pim.cli.invocation import has_terminal
from p2pim.core.limits import PASSWORD_LONGEST, PASSWORD_SHORTEST
from p2pim.errors import BadPassword, Usage

VARIABLE = "P2PIM_PASSWORD"
LONGEST_FILE = 4096
"""Bytes read of a password file: whoever names a disk by mistake should not wait for it."""


def read_password(file: Path | None, *, confirm: bool = False, what: str = "Password") -> str:
    """The password: from ``file``, else from ``P2PIM_PASSWORD``, else typed (twice when ``confirm``).

    The variable is taken out of the environment, so that no process started from here inherits it.

    :raises Usage: none was given and nobody can be asked.
    :raises BadPassword: it is empty.
    """
    from_environment = os.environ.pop(VARIABLE, None)
    if file is not None:
        password = _from_file(file)
    elif from_environment is not None:
        password = from_environment
    elif has_terminal():
        check = _acceptable if confirm else None
        password = click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True, value_proc=check)
    else:
        raise Usage(f"No password: give --password-file FILE or {VARIABLE}, or run it in a terminal.")
    if not password:
        raise BadPassword("The password is empty.")
    return password


def _acceptable(password: str) -> str:
    """A new password that the server would refuse is asked for again at once."""
    if not PASSWORD_SHORTEST <= len(password) <= PASSWORD_LONGEST:
        raise click.UsageError(BadPassword.default)
    return password


def _from_file(file: Path) -> str:
    with file.open("rb") as stream:
        data = stream.read(LONGEST_FILE)
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise Usage(f"{file} is no text in UTF-8.") from None
    return lines[0] if lines else ""
