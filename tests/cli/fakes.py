"""A backend that answers as it is told, and a way to run the command line over it."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from p2pim.cli.backend import Item
from p2pim.cli.invocation import Invocation
from p2pim.cli.main import run
from p2pim.cli.output import Output
from p2pim.errors import P2pimError, ServerUnreachable

Answer = Mapping[str, Any] | P2pimError | Deferred[dict[str, Any]] | Callable[..., Any]


class FakeBackend:
    """Remembers what it was asked.

    :param answers: for each method its result, the error it fails with, or a function of (params, item) that gives one.
    :param items: for each method what it yields first.
    """

    def __init__(
        self, answers: Mapping[str, Answer] | None = None, items: Mapping[str, list[dict[str, Any]]] | None = None,
        *, is_agent: bool = True, offline: bool = False,
    ) -> None:  # fmt: skip
        self.is_agent = is_agent
        self.offline = offline
        self.answers = dict(answers or {})
        self.items = items or {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.closed = 0

    def call(self, method: str, params: dict[str, Any], item: Item) -> Deferred[dict[str, Any]]:
        self.asked.append((method, params))
        for value in self.items.get(method, ()):
            item(value)
        answer = self.answers.get(method, {})
        if callable(answer) and not isinstance(answer, Deferred):
            answer = answer(params, item)
        if isinstance(answer, P2pimError):
            return fail(answer)
        if isinstance(answer, Deferred):
            return answer
        return succeed(dict(answer))

    async def close(self) -> None:
        self.closed += 1


class Called:
    """One run of the command line.

    :param arguments: without the program's name.
    """

    def __init__(self, backend: FakeBackend | None, *arguments: str, home: Path = Path("/nowhere")) -> None:
        self.backend = backend or FakeBackend()
        self.clock = Clock()
        self.online: list[bool] = []
        out, err = io.StringIO(), io.StringIO()
        invocation = Invocation(output=Output(stdout=out, stderr=err), launch=self._launch, opener=self._open)
        invocation.home = home
        with contextlib.redirect_stdout(out):  # click itself prints help and version
            self.status = run(arguments, invocation)
        self.out, self.err = out.getvalue(), err.getvalue()

    def _launch(self, main: Callable[[Any], Any]) -> Any:
        results: list[Any] = []
        failures: list[BaseException] = []
        done = Deferred.fromCoroutine(main(self.clock))
        done.addCallbacks(results.append, lambda failure: failures.append(failure.value))
        if failures:
            raise failures[0]
        assert results, "the command waits for something that does not come"
        return results[0]

    async def _open(self, reactor: Any, home: Path, online: bool) -> FakeBackend:
        self.online.append(online)
        if online and self.backend.offline:
            raise ServerUnreachable
        return self.backend

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What stdout carried, each line an object."""
        return [json.loads(line) for line in self.out.splitlines()]
