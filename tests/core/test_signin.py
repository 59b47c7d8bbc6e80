"""Failed sign-ins are counted per address and account, and the waits grow."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import SIGN_IN_DELAY, SIGN_IN_DELAY_MAX, SIGN_IN_FORGET, SIGN_IN_TRIES
from p2pim.core.signin import SignInTries, delay_after


class SignInTriesTests(SynchronousTestCase):
    def test_the_first_failures_cost_nothing_and_then_the_waits_double(self) -> None:
        """A person may mistype; a guesser waits."""
        tries = SignInTries()
        waits = []
        for _ in range(SIGN_IN_TRIES + 3):
            tries.begin(0.0, "a")
            waits.append(tries.wait(0.0, "a"))
        self.assertEqual(waits, [0.0] * SIGN_IN_TRIES + [SIGN_IN_DELAY, 2 * SIGN_IN_DELAY, 4 * SIGN_IN_DELAY])

    def test_the_wait_ends_when_its_time_has_passed(self) -> None:
        """Whoever waits as told may try again."""
        tries = SignInTries()
        for _ in range(SIGN_IN_TRIES + 2):
            tries.begin(10.0, "a")
        self.assertEqual(tries.wait(11.0, "a"), 1.0)
        self.assertLessEqual(tries.wait(12.0, "a"), 0.0)

    def test_tries_at_once_count_before_any_of_them_has_failed(self) -> None:
        """Many connections in parallel are no way around the count."""
        tries = SignInTries()
        for _ in range(SIGN_IN_TRIES + 1):
            tries.begin(0.0, "a")
        self.assertGreater(tries.wait(0.0, "a"), 0.0)

    def test_a_success_takes_its_own_try_back_and_no_other(self) -> None:
        """An attacker with an account of their own cannot clear their address by signing in to it."""
        tries = SignInTries()
        for _ in range(SIGN_IN_TRIES):
            tries.begin(0.0, "address")
        for _ in range(50):
            tries.begin(0.0, "address")
            tries.forgive("address")
        self.assertEqual(tries.wait(0.0, "address"), 0.0)
        tries.begin(0.0, "address")
        self.assertGreater(tries.wait(0.0, "address"), 0.0)

    def test_failures_are_forgotten_after_a_while(self) -> None:
        """A mistake of this morning does not count tonight."""
        tries = SignInTries()
        for _ in range(SIGN_IN_TRIES + 1):
            tries.begin(0.0, "a")
        tries.begin(SIGN_IN_FORGET + 1.0, "a")
        self.assertEqual(tries.wait(SIGN_IN_FORGET + 1.0, "a"), 0.0)

    def test_another_key_waits_for_nothing(self) -> None:
        """One account under attack does not slow the others down."""
        tries = SignInTries()
        for _ in range(50):
            tries.begin(0.0, "a")
        self.assertEqual(tries.wait(0.0, "b"), 0.0)
        self.assertGreater(tries.wait(0.0, "a", "b"), 0.0)

    @given(st.lists(st.text(max_size=4), max_size=60))
    def test_the_table_stays_within_its_bound(self, keys: list[str]) -> None:
        """Any number of addresses costs a bounded amount of memory."""
        tries = SignInTries(table=5)
        for number, key in enumerate(keys):
            tries.begin(float(number), key)
            self.assertLessEqual(len(tries), 5)

    @given(st.integers(0, 10_000))
    def test_the_wait_grows_and_is_bounded(self, failures: int) -> None:
        """However often somebody failed, the wait never shrinks and never passes its bound."""
        self.assertLessEqual(delay_after(failures), delay_after(failures + 1))
        self.assertLessEqual(delay_after(failures), SIGN_IN_DELAY_MAX)
