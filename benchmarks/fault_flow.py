"""A flow of numbered messages from one person to another, and the verdict on what became of each."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field

from benchmarks.common import wait_until
from benchmarks.fault_town import Person, Receiver, number_of, text_of
from p2pim.cli.agent_socket import AgentSocket, connect, drive
from p2pim.errors import P2pimError
from p2pim.peer.control_wire import AgentGone

AHEAD = 1_000
"""Messages handed in that the receiver has not announced: enough that something is always on its way."""


class Feeder(threading.Thread):
    """Hands messages to the sender's agent, one after the other, until `finish`; never the same twice.

    `accepted` are those for which the agent gave an id: they are in the outbox. `refused` are those for which it
    answered with an error. `unknown` are those where it ended before it had answered.
    """

    def __init__(self, sender: Person, receiver: Receiver) -> None:
        super().__init__(daemon=True)
        self._sender = sender
        self._receiver = receiver
        self._agent: AgentSocket | None = None
        self._finish = threading.Event()
        self._next = 0
        self.accepted: dict[int, str] = {}
        self.refused: dict[int, str] = {}
        self.unknown: list[int] = []

    def finish(self) -> None:
        """Hand in no more."""
        self._finish.set()
        self.join(60.0)

    def run(self) -> None:
        while not self._finish.is_set():
            if self._agent is None:
                self._agent = connect(self._sender.home)
            if self._agent is None or len(self.accepted) - self._receiver.count > AHEAD:
                time.sleep(0.01)
            else:
                self._hand_in(self._agent)

    def _hand_in(self, agent: AgentSocket) -> None:
        number, self._next = self._next, self._next + 1
        params = {"user": self._receiver.name, "text": text_of(number), "wait": False}
        try:
            self.accepted[number] = drive(agent.call("msg", params, lambda item: None))["id"]
        except AgentGone:
            self.unknown.append(number)
            self._agent = None
        except P2pimError as error:
            self.refused[number] = f"{error.code}: {error.message}"
            time.sleep(0.05)


@dataclass
class Verdict:
    """What went wrong, by kind; all empty when all is well."""

    accepted: int = 0
    lost: list[int] = field(default_factory=list)
    """Accepted, and never arrived."""
    twice: list[int] = field(default_factory=list)
    """Twice in the receiver's history, or announced twice."""
    out_of_order: list[int] = field(default_factory=list)
    """After one that was handed in later."""
    invented: list[int] = field(default_factory=list)
    """Arrived although the sender's agent had refused it."""
    unconfirmed: list[int] = field(default_factory=list)
    """Arrived, and the sender's history does not say so."""

    @property
    def good(self) -> bool:
        """Whether nothing did."""
        return not any((self.lost, self.twice, self.out_of_order, self.invented, self.unconfirmed))

    def row(self) -> tuple[int, ...]:
        """For a table under `COLUMNS`."""
        kinds = (self.lost, self.twice, self.out_of_order, self.invented, self.unconfirmed)
        return self.accepted, *map(len, kinds)


COLUMNS = ("", "acknowledged", "lost", "shown twice", "out of order", "refused, yet shown", "receipt missing")


def judge(feeder: Feeder, sender: Person, receiver: Receiver, seconds: float = 60.0) -> Verdict:
    """Wait until all that was accepted has arrived, or nothing has for ``seconds``; then compare both histories."""
    wait_while_arriving(feeder, sender, receiver, seconds)
    arrived = stored_numbers(sender, receiver)
    verdict = Verdict(accepted=len(feeder.accepted))
    verdict.lost = sorted(set(feeder.accepted) - set(arrived))
    verdict.twice = sorted({*repeated(arrived), *repeated(receiver.announced)})
    verdict.out_of_order = sorted({*disordered(arrived), *disordered(receiver.announced)})
    verdict.invented = sorted(set(feeder.refused) & set(arrived))
    verdict.unconfirmed = unconfirmed(feeder, sender, receiver, set(arrived), seconds)
    return verdict


def stored_numbers(sender: Person, receiver: Person) -> list[int]:
    """What the receiver's history has from the sender, in its order."""
    return [number_of(m["text"]) for m in receiver.history(sender.name) if m["direction"] == "in"]


def unconfirmed(feeder: Feeder, sender: Person, receiver: Person, arrived: set[int], seconds: float) -> list[int]:
    """What arrived, and the sender does not come to know of in time."""
    missing: list[int] = []

    def confirmed() -> bool:
        states = {number_of(m["text"]): m["state"] for m in sender.history(receiver.name)}
        missing[:] = [n for n in feeder.accepted if n in arrived and states.get(n) not in ("delivered", "read")]
        return not missing

    with contextlib.suppress(TimeoutError):
        wait_until(confirmed, "receipts", seconds)
    return sorted(missing)


def wait_while_arriving(feeder: Feeder, sender: Person, receiver: Receiver, seconds: float) -> None:
    """Until all has arrived, or nothing more does.

    What the receiver's agent stored before it was ended, and did not announce any more, is in its history.
    """
    known, since = -1, time.monotonic()
    while not set(feeder.accepted) <= set(receiver.announced):
        if receiver.count != known:
            known, since = receiver.count, time.monotonic()
        elif set(feeder.accepted) <= set(stored_numbers(sender, receiver)) or time.monotonic() - since > seconds:
            return
        time.sleep(0.5)


def repeated(numbers: list[int]) -> set[int]:
    """Those that are there more than once."""
    seen: set[int] = set()
    return {number for number in numbers if number in seen or seen.add(number)}  # type: ignore[func-returns-value]


def disordered(numbers: list[int]) -> list[int]:
    """Those that come after a greater one."""
    wrong, greatest = [], -1
    for number in numbers:
        if number < greatest:
            wrong.append(number)
        greatest = max(greatest, number)
    return wrong
