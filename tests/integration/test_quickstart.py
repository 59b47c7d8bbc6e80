"""The example of the README does what it shows."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from pathlib import Path
from typing import Any

from twisted.internet import reactor

from tests.integration.neighbours import NeighboursCase

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "quickstart.py"


def load_example() -> Any:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("quickstart", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class QuickstartTests(NeighboursCase):
    async def test_the_example_signs_in_connects_talks_and_sends_a_file(self) -> None:
        """In under twenty lines, against a real server."""
        folder = self.root / "quickstart"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            await load_example().main(reactor, f"127.0.0.1:{self.port}", folder)
        lines = printed.getvalue().splitlines()
        self.assertTrue(lines[0].startswith("bob — direct TCP 127.0.0.1:"), lines)
        self.assertEqual(sorted(lines[1:]), ["alice says hello", "completed", "delivered by tcp"])
        self.assertEqual((folder / "bobs-files" / EXAMPLE.name).read_bytes(), EXAMPLE.read_bytes())

    async def test_the_readme_shows_an_api_that_exists(self) -> None:
        """Its program compiles, and what it imports is there."""
        readme = (EXAMPLE.parents[2] / "README.md").read_text()
        program = readme.split("```python\n")[1].split("```")[0]
        compile(program, "README.md", "exec")
        self.assertLess(len([line for line in program.splitlines() if line.strip()]), 20)
        imports = [line for line in program.splitlines() if line.startswith(("from ", "import "))]
        exec("\n".join(imports), {})
        for name in ("register", "connect", "send_message", "send_file", "subscribe", "stop"):
            self.assertIn(f".{name}(", program)
