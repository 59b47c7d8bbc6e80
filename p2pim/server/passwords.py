"""Hashing passwords without stopping the server: argon2id in two threads of its own.

A hash takes 19 MiB and some 20 ms on purpose. Twisted's own pool of ten threads would take ten times that memory and
keep the database waiting; two threads bound both, and `PASSWORD_QUEUE` bounds who waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from p2pim.core.limits import PASSWORD_LONGEST, PASSWORD_QUEUE, PASSWORD_SHORTEST
from p2pim.errors import BadPassword, StorageError, TooManyTries, WrongPassword

T = TypeVar("T")

THREADS = 2

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Run(Protocol):
    """Runs a function somewhere else; its result comes as a Deferred."""

    def __call__(self, function: Callable[..., T], *arguments: object) -> Deferred[T]: ...


def check_new_password(password: str) -> str:
    """``password`` when it may be one.

    :raises BadPassword: it is too short or too long.
    """
    if not PASSWORD_SHORTEST <= len(password) <= PASSWORD_LONGEST:
        raise BadPassword
    return password


def hash_password(password: str) -> str:
    """The argon2id hash to store; takes its time."""
    return _hasher.hash(password.encode("utf-8", "surrogatepass"))


def verify_password(stored: str, password: str) -> None:
    """Whether ``password`` is the one behind ``stored``; takes its time.

    :raises WrongPassword: it is another.
    :raises StorageError: what is stored is no hash.
    """
    try:
        _hasher.verify(stored, password.encode("utf-8", "surrogatepass"))
    except VerifyMismatchError:
        raise WrongPassword from None
    except (VerificationError, InvalidHashError):
        raise StorageError("The stored password hash cannot be read; the operator must set a new password.") from None


class Passwords:
    """The two threads and who waits for them.

    :param run: runs a function in one of the threads.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.waiting = 0

    async def hash(self, password: str) -> str:
        """See `hash_password`.

        :raises TooManyTries: too many are waiting already.
        """
        return await self._queued(hash_password, password)

    async def verify(self, stored: str, password: str) -> None:
        """See `verify_password`.

        :raises TooManyTries: too many are waiting already.
        """
        await self._queued(verify_password, stored, password)

    async def _queued(self, function: Callable[..., T], *arguments: str) -> T:
        if self.waiting >= PASSWORD_QUEUE:
            raise TooManyTries(
                "Too many people are signing in at this moment; try again in a few seconds.", retry_after=5
            )
        self.waiting += 1
        try:
            return await self._run(function, *arguments)
        finally:
            self.waiting -= 1


class PasswordThreads:
    """The threads themselves; start them with the service and stop them with it."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=THREADS, name="passwords")

    def start(self) -> None:
        """Take work from now on."""
        self._pool.start()

    def stop(self) -> None:
        """Finish the work under way."""
        self._pool.stop()

    def run(self, function: Callable[..., T], *arguments: object) -> Deferred[T]:
        """``function(*arguments)`` in one of the threads."""
        done: Deferred[T] = deferToThreadPool(self._reactor, self._pool, function, *arguments)
        return done
