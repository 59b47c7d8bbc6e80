"""Whether the server can do its work, for monitors: what is wrong, in words that tell a stranger nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from p2pim.core.limits import HEALTH_FRESH, HEALTH_PATIENCE
from p2pim.errors import DatabaseDown
from p2pim.server.store import Store


class Health:
    """Asks the database, once for everybody who asks within a second.

    :param probe: commits something; where that fails the store says so.
    :ivar stopping: the server is on its way out.
    """

    def __init__(self, clock: IReactorTime, store: Store, probe: Callable[[], Awaitable[None]]) -> None:
        self._clock = clock
        self._store = store
        self._probe = probe
        self._asked: float | None = None
        self._waiting: list[Deferred[list[str]]] | None = None
        self._problems: list[str] = []
        self.stopping = False

    def problems(self) -> Deferred[list[str]]:
        """What is wrong; nothing when all is well. Does not fail."""
        done: Deferred[list[str]] = Deferred()
        if self._waiting is not None:
            self._waiting.append(done)
        elif self._asked is not None and self._clock.seconds() - self._asked < HEALTH_FRESH:
            done.callback(list(self._problems))
        else:
            self._waiting = [done]
            Deferred.fromCoroutine(self._ask()).addTimeout(HEALTH_PATIENCE, self._clock).addCallbacks(
                self._answered, lambda failure: self._answered(_explain(failure.value))
            )
        return done

    async def _ask(self) -> list[str]:
        problems = ["The server is stopping."] if self.stopping else []
        if self._store.failing:
            await self._probe()
        if self._store.failing:
            problems.append("The database does not take what is written: its disk may be full.")
        await self._store.read(lambda db: db.execute("SELECT 1 FROM accounts LIMIT 1").fetchone())
        return problems

    def _answered(self, problems: list[str]) -> None:
        self._problems, self._asked = problems, self._clock.seconds()
        waiting, self._waiting = self._waiting or [], None
        for each in waiting:
            each.callback(list(problems))


def _explain(error: BaseException) -> list[str]:
    if isinstance(error, (DatabaseDown, TimeoutError)):
        return ["The database does not answer."]
    return ["The server met an unexpected error."]
