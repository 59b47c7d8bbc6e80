"""Errors are told apart by their codes, and come back as what they were."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from twisted.trial.unittest import SynchronousTestCase

from p2pim import errors
from p2pim.errors import P2pimError, UnknownRemoteError, from_wire


def all_errors() -> Iterator[type[P2pimError]]:
    """Every class of the package, from the module that defines it."""
    for info in pkgutil.iter_modules(errors.__path__, "p2pim.errors."):
        for each in vars(import_module(info.name)).values():
            if isinstance(each, type) and issubclass(each, P2pimError) and each.__module__ == info.name:
                yield each


class ErrorsTests(SynchronousTestCase):
    def test_every_error_has_a_code_of_its_own(self) -> None:
        """Two with one code could not be told apart at the other side."""
        seen: dict[str, str] = {}
        for each in all_errors():
            self.assertIn("code", vars(each), each.__name__)
            self.assertNotIn(each.code, seen, each.__name__)
            seen[each.code] = each.__name__
        self.assertIn("wrong-password", seen)

    def test_every_error_can_be_imported_from_the_package(self) -> None:
        """Nobody needs to know the module."""
        for each in all_errors():
            self.assertIs(vars(errors).get(each.__name__), each)

    def test_an_error_comes_back_from_the_wire_as_its_class(self) -> None:
        """Code, message and waiting time are all that travels."""
        for each in all_errors():
            if each not in (P2pimError, UnknownRemoteError):
                back = from_wire(each.code, "It went wrong.", 3.0)
                self.assertIs(type(back), each)
                self.assertEqual((back.message, back.retry_after), ("It went wrong.", 3.0))

    def test_an_unknown_code_keeps_its_name(self) -> None:
        """A newer server knows more errors than this version."""
        back = from_wire("too-tired", "The server sleeps.")
        assert isinstance(back, UnknownRemoteError)
        self.assertEqual(back.wire_code, "too-tired")
