"""Every bound is named once, and can be had from one place."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from inspect import get_annotations

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits


def bounds_by_module() -> dict[str, set[str]]:
    """The bounds that each module of the package defines itself."""
    found = {}
    for info in pkgutil.iter_modules(limits.__path__, "p2pim.core.limits."):
        module = import_module(info.name)
        found[info.name] = {name for name in get_annotations(module) if name.isupper()}
    return found


class LimitsTests(SynchronousTestCase):
    def test_a_bound_has_one_home(self) -> None:
        """Two modules with the same name would hide one number behind the other."""
        homes: dict[str, str] = {}
        for module, names in bounds_by_module().items():
            for name in names:
                self.assertNotIn(name, homes, f"{name} is also in {module}")
                homes[name] = module
        self.assertIn("CLIENT_FRAME", homes)

    def test_every_bound_can_be_imported_from_the_package(self) -> None:
        """Nobody needs to know the module."""
        for module, names in bounds_by_module().items():
            for name in names:
                self.assertIs(vars(limits).get(name), vars(import_module(module))[name], name)
