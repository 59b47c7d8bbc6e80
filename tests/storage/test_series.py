"""The operator's series on disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import SERIES_MOST
from p2pim.core.series import SPANS, Point
from p2pim.storage import operator, series
from p2pim.storage.database import prepare_file

HOUR, DAY = SPANS


class SeriesTests(SynchronousTestCase):
    def setUp(self) -> None:
        path = Path(self.mktemp())
        prepare_file(path, "server")
        self.db = sqlite3.connect(path)
        self.db.row_factory = sqlite3.Row
        self.enterContext(closing(self.db))

    def test_steps_come_back_as_they_were_written(self) -> None:
        """Each span by itself, the largest numbers too."""
        points = [Point(10, 9.5, 1, 2, 3, 4, 5, SERIES_MOST), Point(20, 10.0, 0, 0, 0, 0, 0, 0)]
        series.write(self.db, HOUR, points)
        series.write(self.db, DAY, [Point(300, 1.0, 1, 1, 1, 1, 1, 1)])
        self.assertEqual(series.load(self.db, HOUR), points)
        self.assertEqual(len(series.load(self.db, DAY)), 1)

    def test_a_step_takes_the_place_of_the_one_a_span_ago(self) -> None:
        """The table does not grow, however long the server runs."""
        for hour in range(3):
            steps = [Point(hour * 3_600 + 10 * step, 10.0, hour, 0, 0, 0, 0, 0) for step in range(360)]
            series.write(self.db, HOUR, steps)
        loaded = series.load(self.db, HOUR)
        self.assertEqual((len(loaded), {point.connections for point in loaded}), (360, {2}))

    def test_there_is_one_operators_password_at_most(self) -> None:
        """The newer takes the place of the older."""
        self.assertIsNone(operator.get_password(self.db))
        for text in ("one", "two"):
            operator.set_password(self.db, text)
        self.assertEqual(operator.get_password(self.db), "two")
