"""One call of the command: its home, its output, and how its work is run. Commands get it as their first argument."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from p2pim.cli.agent_socket import connect, drive
from p2pim.cli.backend import Backend, LiveBackend, OpenBackend, ignore_item, open_backend
from p2pim.cli.output import Output
from p2pim.cli.running import Main, run_reactor
from p2pim.errors import ServerUnreachable

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

T = TypeVar("T")
P = ParamSpec("P")
Work = Callable[[Backend], Coroutine["Deferred[Any]", Any, T]]
"""What a command does with a backend."""
LiveWork = Callable[[Any, LiveBackend], Coroutine["Deferred[Any]", Any, T]]
"""The same on a reactor, which it takes first."""


class Invocation:
    """What the parts of one command share.

    :param launch: runs a coroutine on the reactor; tests bring their own.
    :param opener: finds the agent or makes a peer; tests bring their own.
    """

    def __init__(
        self,
        *,
        output: Output | None = None,
        launch: Callable[[Main[Any]], Any] | None = None,
        opener: OpenBackend = open_backend,
    ) -> None:
        self.output = output or Output()
        self.verbose = False
        self._home: Path | None = None
        self._launch = launch
        self.opener = opener

    @property
    def home(self) -> Path:
        """``--home``, ``P2PIM_HOME``, or the platform's directory for a user's data."""
        if self._home is None:
            named = os.environ.get("P2PIM_HOME")
            self._home = Path(named).expanduser() if named else default_home()
        return self._home

    @home.setter
    def home(self, home: Path) -> None:
        self._home = home.expanduser().absolute()

    @property
    def command_prefix(self) -> str:
        """How to call p2pim for this very home: what a printed suggestion begins with."""
        import shlex

        if self._home is None or (not os.environ.get("P2PIM_HOME") and self._home == default_home()):
            return "p2pim"
        return (
            "p2pim"
            if os.environ.get("P2PIM_HOME") == str(self._home)
            else f"p2pim --home {shlex.quote(str(self._home))}"
        )

    def run(self, main: Main[T]) -> T:
        """What ``main(reactor)`` returns."""
        result: T = self._launch(main) if self._launch else run_reactor(main, verbose=self.verbose)
        return result

    def work(self, work: Work[T], *, online: bool = True, else_offline: bool = False) -> T:
        """What ``work(backend)`` returns; it awaits nothing but calls of the backend, which is closed afterwards.

        An agent is asked without loading Twisted; without one the peer runs in this process.

        :param online: whether it needs the server; the peer then signs in first.
        :param else_offline: whether it does what it can when the server cannot be reached.
        """
        agent = connect(self.home) if self._launch is None else None
        if agent is not None:
            return drive(_closing(agent, work))
        return self.live(lambda reactor, backend: work(backend), online=online, else_offline=else_offline)

    def live(self, work: LiveWork[T], *, online: bool = True, else_offline: bool = False) -> T:
        """What ``work(reactor, backend)`` returns, on the reactor: for what listens and speaks at once."""

        async def main(reactor: Any) -> T:
            try:
                backend = await self.opener(reactor, self.home, online)
            except ServerUnreachable:
                if not else_offline:
                    raise
                backend = await self.opener(reactor, self.home, False)
            return await _closing(backend, lambda opened: work(reactor, backend))

        return self.run(main)

    def ask(
        self, method: str, params: dict[str, Any] | None = None, *, item: Any = ignore_item, online: bool = True
    ) -> dict[str, Any]:
        """The result of one method of the local API."""

        async def work(backend: Backend) -> dict[str, Any]:
            return await backend.call(method, params or {}, item)

        return self.work(work, online=online)


async def _closing(backend: Backend, work: Work[T]) -> T:
    try:
        return await work(backend)
    finally:
        await backend.close()


def default_home() -> Path:
    """The platform's directory for this user's data."""
    from platformdirs import user_data_path

    return user_data_path("p2pim", appauthor=False)


def has_terminal() -> bool:
    """Whether a person can be asked: both what they type and what they see is a terminal."""
    import sys

    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def pass_invocation(function: Callable[Concatenate[Invocation, P], T]) -> Callable[P, T]:
    """Give a command its `Invocation` as first argument."""
    return click.make_pass_decorator(Invocation)(function)
