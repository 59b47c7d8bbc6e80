"""A transfer through everything that can happen to it: kills, cut channels, pauses, a server that goes and comes."""

import contextlib
import os
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import TransferError
from tests.peer.transfer_world import Home, World

BLOWS = (
    *("connect", "connect", "relay", "cut", "kill", "kill", "tear", "start", "start", "start", "start", "meet"),
    *("time", "network", "pause", "resume", "resume", "nothing", "nothing"),
)
"""What can happen from outside, the names of methods below; some more often than others."""


SETTINGS = settings(max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))


def tree(path: Path) -> dict[str, tuple[bytes | None, int, bool]]:
    """Everything below ``path``: bytes (None for a folder), time, and whether it may be executed."""
    found: dict[str, tuple[bytes | None, int, bool]] = {}
    for below in [path, *sorted(path.rglob("*"))]:
        known = below.stat()
        content = below.read_bytes() if below.is_file() else None
        found[str(below.relative_to(path))] = (
            content,
            known.st_mtime_ns,
            content is not None and bool(known.st_mode & 0o100),
        )
    return found


def make_folder(root: Path, sizes: list[int]) -> Path:
    """A folder with files of ``sizes`` spread over it, an empty folder, an executable file, and times of its own."""
    folder = root / "things"
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / "nothing in here").mkdir()
    for number, size in enumerate(sizes):
        place = (folder, folder / "inner", folder / "inner" / "deep")[number % 3]
        (place / f"file {number}").write_bytes(os.urandom(size))
    (folder / "run").write_bytes(b"#!")
    (folder / "run").chmod(0o755)
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_600_000_000_000_000_000 + number))
    return folder


class TransferMachine(RuleBasedStateMachine):
    """One transfer, from its offer to its end."""

    blows: tuple[str, ...] = BLOWS

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.path = self.world.source

    @initialize(sizes=st.one_of(st.integers(0, 2_000), st.lists(st.integers(0, 300), max_size=8)))
    def offer(self, sizes: int | list[int]) -> None:
        self.world.start()
        if isinstance(sizes, int):
            self.path = self.world.source / "data.bin"
            self.path.write_bytes(os.urandom(sizes))
        else:
            self.path = make_folder(self.world.source, sizes)
        self.world.result(self.world.alice.transfers.offer("bob", self.path))

    @rule(seed=st.integers(0, 2**32))
    def something_happens(self, seed: int) -> None:
        """A blow, and then some of what would happen by itself, in an order of chance."""
        chance = Random(seed)
        home = chance.choice([self.world.alice, self.world.bob])
        getattr(self, chance.choice(self.blows))(home, chance.randrange(6))
        for _ in range(chance.choice([0, 3, 10, 40, 100])):
            self.world.step(chance.randrange(10))

    def nothing(self, home: Home, number: int) -> None:
        pass

    def connect(self, home: Home, number: int, kind: str = "tcp") -> None:
        if self.world.alice.alive and self.world.bob.alive:
            self.world.connect(kind)

    def relay(self, home: Home, number: int) -> None:
        self.connect(home, number, "relay")

    def cut(self, home: Home, number: int) -> None:
        if home.channels:
            self.world.cut(home.channels[number % len(home.channels)])

    def kill(self, home: Home, number: int) -> None:
        if home.alive:
            home.kill()

    def tear(self, home: Home, number: int) -> None:
        """Kill the receiver in the middle of a write."""
        self.world.bob.tear = number

    def start(self, home: Home, number: int) -> None:
        for dead in (self.world.alice, self.world.bob):
            if not dead.alive:
                dead.start()
        self.world.meet()

    def meet(self, home: Home, number: int) -> None:
        self.world.meet()

    def time(self, home: Home, number: int) -> None:
        self.world.clock.advance((0.1, 0.6, 2, 5, 30, 60)[number])

    def network(self, home: Home, number: int) -> None:
        self.world.server_down, self.world.direct = number < 2, number % 2 == 0

    def pause(self, home: Home, number: int) -> None:
        self._person(home, "pause")

    def resume(self, home: Home, number: int) -> None:
        self._person(home, "resume")

    def _person(self, home: Home, verb: str) -> None:
        if home.alive:
            for transfer in list(home.transfers._transfers.values()):
                if transfer.record.state.value in ("running", "waiting", "paused"):
                    getattr(transfer, verb)()

    def teardown(self) -> None:
        try:
            if self.path is not self.world.source:
                self.everything_ends_well()
        finally:
            self.world.close()

    def everything_ends_well(self) -> None:
        world = self.world
        world.heal()
        for home in (world.alice, world.bob):
            if home.only().state == "paused":
                world.result(home.transfers.resume(home.only().transfer))
        world.heal()
        assert [home.only().state for home in (world.alice, world.bob)] == ["completed"] * 2, [
            home.only() for home in (world.alice, world.bob)
        ]
        assert not world.broken, world.broken
        (arrived,) = world.bob.downloads.iterdir()
        assert arrived.name == self.path.name
        assert tree(arrived) == tree(self.path)
        for home in (world.alice, world.bob):
            assert len(home.events_named("completed")) <= 1
        assert not world.bob.transfers._context.arrivals
        assert not world.bob.transfers._context.slots._held


class CancelMachine(TransferMachine):
    """The same, and somebody may have enough of it."""

    blows = (*BLOWS, "cancel", "cancel")

    def cancel(self, home: Home, number: int) -> None:
        if home.alive:
            for transfer in list(home.transfers._transfers.values()):
                with contextlib.suppress(TransferError):
                    transfer.cancel()

    def everything_ends_well(self) -> None:
        """Both know that it is over; what was cancelled leaves nothing, what was completed is whole."""
        world = self.world
        world.heal()
        for home in (world.alice, world.bob):
            for status in home.transfers.list():
                if status.state == "paused":
                    world.result(home.transfers.resume(status.transfer))
        world.heal()
        ends = [status for home in (world.alice, world.bob) for status in home.transfers.list()]
        assert all(end.state in ("completed", "disrupted") for end in ends), ends
        assert {end.reason for end in ends} <= {"", "cancelled", "peer-cancelled"}, ends
        arrived = list(world.bob.downloads.iterdir()) if world.bob.downloads.exists() else []
        assert [path.name for path in arrived] in ([], [self.path.name])
        for path in arrived:
            assert tree(path) == tree(self.path)
        assert not world.broken, world.broken


class TransferMachineTests(SynchronousTestCase):
    """Every road leads to the same end."""

    def test_whatever_happens_the_content_arrives_once_and_whole(self) -> None:
        """Kills, cut channels, pauses and lost signals, in any order: the same bytes, and nothing left over."""
        run_state_machine_as_test(TransferMachine, settings=SETTINGS)

    def test_a_cancelled_transfer_is_over_at_both_ends_and_leaves_nothing(self) -> None:
        """Whenever somebody cancels, whatever else happens."""
        run_state_machine_as_test(CancelMachine, settings=SETTINGS)
