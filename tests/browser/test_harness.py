"""The browser tests' own promises: what goes wrong in a page fails its test, and nothing waits for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import TimeoutError as TestTimedOut
from twisted.python.failure import Failure
from twisted.trial.reporter import TestResult
from twisted.trial.unittest import TestCase

from tests.browser.case import BrowserTestCase
from tests.browser.chromium import why_not


class Sample(BrowserTestCase):
    """What tests may do wrong; run by the tests below."""

    timeout = 5

    def runTest(self) -> None:
        """Never asked for."""

    def prints_an_error(self) -> None:
        self.context("somebody").new_page().evaluate("() => console.error('something is wrong')")

    def throws(self) -> None:
        self.context("somebody").new_page().evaluate("() => { setTimeout(() => { throw new Error('thrown') }) }")

    def breaks_the_policy(self) -> None:
        page = self.context("somebody").new_page()
        headers = {"Content-Security-Policy": "default-src 'none'", "Content-Type": "text/html"}
        body = "<p>hello<script>document.title = 'run'</script>"
        page.route("http://a.test/", lambda route: route.fulfill(body=body, headers=headers))
        page.goto("http://a.test/")
        self.assertEqual(page.title(), "")
        self.assertEqual(page.evaluate("() => document.querySelector('p').textContent.slice(0, 5)"), "hello")

    def never_ends(self) -> None:
        self.context("somebody").new_page().evaluate("() => { while (true); }")

    def is_well(self) -> None:
        self.watch.expect("a warning")
        page = self.context("somebody").new_page()
        page.evaluate("() => console.error('a warning that was to come')")


class HarnessTests(TestCase):
    """Run a sample, and look at what trial would tell."""

    timeout = 120
    skip = why_not()

    def run_sample(self, name: str) -> list[Failure]:
        """How it failed."""
        result = TestResult()
        Sample(name).run(result)
        failures: list[Any] = [failure for _, failure in [*result.failures, *result.errors]]
        return failures

    def test_an_error_on_the_console_fails_the_test_and_its_page_is_kept(self) -> None:
        """With a picture and a trace."""
        (failure,) = self.run_sample("prints_an_error")
        self.assertIn("something is wrong", failure.getErrorMessage())
        kept = Path("failed-pages") / "test_harness.Sample.prints_an_error"
        self.assertEqual({file.name for file in kept.iterdir()}, {"errors.txt", "somebody-0.png", "somebody.zip"})

    def test_an_exception_in_a_page_fails_the_test(self) -> None:
        """Although nothing in the test noticed it."""
        (failure,) = self.run_sample("throws")
        self.assertIn("thrown", failure.getErrorMessage())

    def test_a_refusal_by_the_policy_fails_the_test(self) -> None:
        """And what was refused did not run."""
        (failure,) = self.run_sample("breaks_the_policy")
        self.assertIn("policy: script-src-elem refused inline", failure.getErrorMessage())

    def test_a_page_that_never_answers_is_ended_with_its_browser_and_the_next_test_has_a_new_one(self) -> None:
        """There is no waiting without an end."""
        (failure,) = self.run_sample("never_ends")
        self.assertTrue(failure.check(TestTimedOut), failure)
        self.assertEqual(self.run_sample("is_well"), [])

    def test_what_a_test_brings_about_is_no_error(self) -> None:
        """Once it says so."""
        self.assertEqual(self.run_sample("is_well"), [])
