"""Counts are neither lost nor doubled on their way to the disk."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.counters import CounterTable

STEPS = st.lists(st.tuples(st.sampled_from(["send", "take", "fail"]), st.sampled_from("ab"), st.integers(1, 9)))


class CounterTableTests(SynchronousTestCase):
    @given(STEPS)
    def test_what_is_counted_is_written_exactly_once_however_often_writing_fails(
        self, steps: list[tuple[str, str, int]]
    ) -> None:
        """A failed commit is counted on; a successful one is not counted again."""
        table, sent, written = CounterTable(), {"a": 0, "b": 0}, {"a": 0, "b": 0}
        for what, user, size in [*steps, ("take", "a", 1)]:
            if what == "send":
                sent[user] += size
                table.of(user).uploads += 1
                table.of(user).upload_bytes += size
                continue
            increases = table.take(5.0, [])
            if what == "fail":
                table.put_back(increases)
                continue
            for increase in increases:
                written[increase.user] += increase.upload_bytes
        self.assertEqual(written, sent)
        self.assertEqual(table.messages, sum(1 for step in steps if step[0] == "send"))

    def test_who_is_offline_is_forgotten_once_written(self) -> None:
        """The table holds the users online and nobody else."""
        table = CounterTable()
        online, offline = table.of("online"), table.of("offline")
        offline.downloads += 1
        self.assertEqual([increase.user for increase in table.take(1.0, ["online"])], ["offline"])
        self.assertIs(table.of("online"), online)
        self.assertIsNot(table.of("offline"), offline)

    def test_a_time_is_told_only_with_something_to_tell(self) -> None:
        """Being online counts nothing."""
        table = CounterTable()
        table.of("a")
        self.assertEqual(table.take(1.0, ["a"]), [])
