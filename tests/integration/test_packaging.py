"""However p2pim is installed (wheel, source tree, editable), twistd finds its plugins and the command runs."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from twisted.trial.unittest import TestCase

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "*.egg-info", "_trial_temp*", "__pycache__", ".*_cache", ".hypothesis", ".peers"
)

FIND_ALL = """
import sys
from pathlib import Path
import p2pim
from p2pim.web.assets import Assets
Assets()
missing = [name for name in sys.argv[1:] if not (Path(p2pim.__file__).parent / name).is_file()]
sys.exit(f"not installed: {missing}" if missing else 0)
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; its failure is this test's."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


class InstallationTests(TestCase):
    timeout = 600

    def setUp(self) -> None:
        self.work = Path(self.mktemp()).resolve()
        self.source = self.work / "source"
        shutil.copytree(ROOT, self.source, ignore=LEFT_OUT)
        venv.create(self.work / "venv", with_pip=True)
        self.bin = self.work / "venv" / "bin"

    def check(self, how: str) -> None:
        """The programs of a fresh environment know p2pim."""
        listed = run(self.bin / "twistd", "--help", cwd=self.work)
        for plugin in ("p2pim-server", "p2pim-p2p", "p2pim-peer"):
            self.assertRegex(listed, rf"(?m)^ +{plugin} +\S", how)
        self.assertIn("p2pim", run(self.bin / "p2pim", "--version", cwd=self.work))
        # The schemas are data files: they are the ones that packaging forgets.
        run(
            self.bin / "python",
            "-c",
            "from pathlib import Path; from p2pim.storage.database import prepare_file as p; "
            "p(Path('server.db'), 'server'); p(Path('peer.db'), 'peer')",
            cwd=self.work,
        )
        run(self.bin / "python", "-c", FIND_ALL, *self.data_files(), cwd=self.work)

    def data_files(self) -> list[str]:
        """What is no program text: schemas, pages, pictures, strings."""
        package = self.source / "p2pim"
        files = [file for file in package.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")]
        self.assertIn(package / "web" / "templates" / "chat.html", files)
        return [str(file.relative_to(package)) for file in files]

    def test_each_way_of_installing_makes_twistd_list_the_plugins(self) -> None:
        """The wheel, ``pip install .`` and ``pip install -e .``, in one fresh environment one after the other."""
        run(sys.executable, "-m", "build", "--wheel", "--outdir", self.work / "dist", self.source, cwd=self.work)
        (wheel,) = (self.work / "dist").glob("*.whl")
        pip: list[str | Path] = [self.bin / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(*pip, wheel, cwd=self.work)
        self.check("wheel")
        run(self.bin / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "p2pim", cwd=self.work)
        run(*pip, "--no-deps", self.source, cwd=self.work)
        self.check("pip install .")
        run(self.bin / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "p2pim", cwd=self.work)
        run(*pip, "--no-deps", "--editable", self.source, cwd=self.work)
        self.check("pip install -e .")
