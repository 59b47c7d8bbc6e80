"""The bucket lets through what it should, whatever the clock does."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.rate import TokenBucket


class TokenBucketTests(SynchronousTestCase):
    def test_a_burst_passes_and_the_next_one_is_told_how_long_to_wait(self) -> None:
        """What is refused comes with the time after which it will not be."""
        bucket = TokenBucket(rate=2.0, burst=3.0, now=0.0)
        self.assertEqual([bucket.take(0.0) for _ in range(4)], [0.0, 0.0, 0.0, 0.5])
        self.assertEqual(bucket.take(0.5), 0.0)

    @given(st.lists(st.floats(0, 10), max_size=100))
    def test_over_any_time_no_more_than_rate_and_burst_passes(self, pauses: list[float]) -> None:
        """Its promise."""
        bucket, now, passed = TokenBucket(3.0, 5.0, 0.0), 0.0, 0
        for pause in pauses:
            now += pause
            passed += bucket.take(now) == 0.0
        self.assertLessEqual(passed, 5.0 + 3.0 * now + 1e-6)

    def test_a_bucket_that_is_full_again_need_not_be_kept(self) -> None:
        """Tables of buckets can be cleared of those who went away."""
        bucket = TokenBucket(1.0, 2.0, 0.0)
        bucket.take(0.0)
        self.assertFalse(bucket.is_full(0.5))
        self.assertTrue(bucket.is_full(1.0))
