"""Transfers in a home's SQLite."""

import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import CHECKPOINTS_KEPT, PARTIAL_LIFETIME, TRANSFERS_KEPT
from p2pim.core.transfer import State
from p2pim.storage.database import prepare_file
from p2pim.storage.transfers import TransferRecord, TransferStore

ID = b"i" * 16


class Direct:
    """The database's interface, without threads."""

    def __init__(self, path: Path) -> None:
        prepare_file(path, "peer")
        self.connection = sqlite3.connect(path)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA foreign_keys = ON")

    def read(self, work: Callable[[sqlite3.Connection], Any]) -> Deferred[Any]:
        return succeed(work(self.connection))

    write = read


def record(**changes: Any) -> TransferRecord:
    known = TransferRecord(
        id=ID, direction="in", user="alice", device=b"A" * 16, name="n", size=10, files=1, manifest_size=0,
        modified_ns=5, comment="", folder=False, executable=True, route="auto", state=State.WAITING, created=1.0,
        changed=2.0,
    )  # fmt: skip
    return replace(known, **changes)


class TransferStoreTests(SynchronousTestCase):
    """`TransferStore`."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.database = Direct(Path(folder.name) / "home.db")
        self.addCleanup(self.database.connection.close)
        self.store = TransferStore(self.database)  # type: ignore[arg-type]

    def load(self) -> list[TransferRecord]:
        return self.successResultOf(self.store.load())

    @given(
        state=st.sampled_from(State),
        name=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
        size=st.integers(0, 2**62),
        flags=st.tuples(*[st.booleans()] * 5),
        took=st.floats(0, 1e9),
        digest=st.one_of(st.none(), st.binary(min_size=32, max_size=32)),
    )
    def test_a_record_comes_back_as_it_was(
        self, state: State, name: str, size: int, flags: tuple[bool, ...], took: float, digest: bytes | None
    ) -> None:
        """What is remembered is what was."""
        folder, executable, here, there, settled = flags
        saved = record(
            state=state, name=name, size=size, folder=folder, executable=executable, paused_here=here,
            paused_there=there, settled=settled, took=took, digest=digest,
        )  # fmt: skip
        self.successResultOf(self.store.save(saved))
        self.assertEqual(self.load(), [saved])

    @given(st.lists(st.integers(1, 1_000), unique=True, max_size=40))
    def test_the_journal_keeps_the_greatest_positions_in_order(self, positions: list[int]) -> None:
        """However checkpoints come, the newest ones are there to go on from."""
        self.successResultOf(self.store.restart(record()))
        self.successResultOf(self.store.save(record()))
        for position in positions:
            self.successResultOf(self.store.checkpoint(ID, position, position.to_bytes(32, "big")))
        kept: set[int] = set()
        for position in positions:
            kept = set(sorted(kept | {position})[-CHECKPOINTS_KEPT:])
        journal = self.successResultOf(self.store.checkpoints(ID))
        self.assertEqual(journal, [(position, position.to_bytes(32, "big")) for position in sorted(kept)])

    def test_saving_again_keeps_the_journal(self) -> None:
        """A change of state loses no progress."""
        self.successResultOf(self.store.save(record()))
        self.successResultOf(self.store.checkpoint(ID, 5, b"d" * 32))
        self.successResultOf(self.store.save(record(state=State.PAUSED), b"manifest"))
        self.assertEqual(self.successResultOf(self.store.checkpoints(ID)), [(5, b"d" * 32)])
        self.assertEqual(self.successResultOf(self.store.manifest(ID)), b"manifest")

    def test_an_end_forgets_what_only_a_transfer_under_way_needs(self) -> None:
        """Except the journal of a failed one, with which another may go on."""
        for part, left in (("", []), ("x.p2pim-part", [(5, b"d" * 32)])):
            self.successResultOf(self.store.save(record(), b"manifest"))
            self.successResultOf(self.store.checkpoint(ID, 5, b"d" * 32))
            self.successResultOf(self.store.end(record(state=State.DISRUPTED, part=part)))
            self.assertEqual(self.successResultOf(self.store.checkpoints(ID)), left)
            self.assertIsNone(self.successResultOf(self.store.manifest(ID)))

    def test_a_new_transfer_takes_over_the_journal_of_a_failed_one(self) -> None:
        """In one commit: never do two own one partial."""
        old, new = record(state=State.DISRUPTED, part="p"), record(id=b"n" * 16, part="p")
        self.successResultOf(self.store.save(old))
        self.successResultOf(self.store.checkpoint(ID, 5, b"d" * 32))
        self.successResultOf(self.store.adopt(new, replace(old, part="")))
        self.assertEqual(self.successResultOf(self.store.checkpoints(new.id)), [(5, b"d" * 32)])
        self.assertEqual(self.successResultOf(self.store.checkpoints(ID)), [])
        self.assertEqual({(r.id, r.part) for r in self.load()}, {(ID, ""), (new.id, "p")})

    def test_old_partials_are_found(self) -> None:
        """A week later nobody goes on with them."""
        for number, (changed, part) in enumerate([(0.0, "p"), (0.0, ""), (PARTIAL_LIFETIME, "p")]):
            saved = record(id=b"%016d" % number, state=State.DISRUPTED, changed=changed, part=part)
            self.successResultOf(self.store.save(saved))
        found = self.successResultOf(self.store.expired(PARTIAL_LIFETIME + 1))
        self.assertEqual([r.id for r in found], [b"%016d" % 0])

    def test_the_oldest_ended_ones_are_forgotten(self) -> None:
        """The table does not grow for ever; what is under way stays."""
        self.successResultOf(self.store.save(record(changed=0.0)))
        for number in range(TRANSFERS_KEPT + 2):
            saved = record(id=b"%016d" % number, state=State.COMPLETED, changed=float(number + 1))
            self.successResultOf(self.store.save(saved))
        gone = self.successResultOf(self.store.prune())
        self.assertEqual(set(gone), {b"%016d" % 0, b"%016d" % 1})
        self.assertEqual(len(self.load()), TRANSFERS_KEPT + 1)
