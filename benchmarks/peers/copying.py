"""The programs that copy a file or a folder from disk to disk, each with its receiving side already running.

``copy`` copies ``source``, and gives the seconds from typing the command that does it to that command's end.
``received`` is where the copy is then; `forget` removes it.
"""

from __future__ import annotations

import getpass
import os
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import HERE, PEERS, Missing, Program, Rig, find_program, free_port, run, wait_until


class Copier:
    """One way to copy."""

    received: Path
    programs: Sequence[Program] = ()
    """Those that run all the time."""

    def copy(self, source: Path) -> float:
        """Copies ``source`` and gives the seconds that the command took."""
        raise NotImplementedError

    def cpu_seconds(self) -> float:
        """What the programs of both sides have used so far; commands count when they have ended (of all contenders)."""
        commands = resource.getrusage(resource.RUSAGE_CHILDREN)
        return commands.ru_utime + commands.ru_stime + sum(program.cpu_seconds() for program in self.programs)

    def forget(self) -> None:
        """Removes what was received."""
        if self.received.is_dir():
            shutil.rmtree(self.received)
        else:
            self.received.unlink(missing_ok=True)


class BareTls(Copier):
    """`bare_tls`: both ends written for this benchmark."""

    def __init__(self, rig: Rig) -> None:
        certificate, key = rig.make_certificate()
        self._port, self.received = free_port(), rig.folder / "bare-received"
        self._script = HERE / "peers" / "bare_tls.py"
        argv: list[str | Path] = [
            sys.executable,
            self._script,
            "receive",
            str(self._port),
            certificate,
            key,
            self.received,
        ]
        self.programs = [rig.start("bare-tls", argv)]
        self.programs[0].wait_port(self._port)

    def copy(self, source: Path) -> float:
        begin = time.monotonic()
        run(sys.executable, self._script, "send", str(self._port), source)
        return time.monotonic() - begin


SSHD_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
"""


class Scp(Copier):
    """scp to an sshd of its own, with keys of its own.

    :param cipher: other than the default one.
    """

    def __init__(self, rig: Rig, cipher: str = "") -> None:
        folder = rig.folder / f"ssh{cipher.partition('@')[0]}"
        folder.mkdir(mode=0o700)
        self._port, self.received = free_port(), folder / "received"
        for key in ("host_key", "key"):
            run(find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
        config = folder / "sshd_config"
        config.write_text(SSHD_CONFIG.format(port=self._port, folder=folder))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it
        self.programs = [rig.start(folder.name, [find_program("sshd"), "-D", "-e", "-f", config])]
        self.programs[0].wait_port(self._port)
        self._argv = [
            find_program("scp"), "-q", "-r", "-F", "none", "-P", str(self._port), "-i", str(folder / "key"),
            "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder}/known", "-o", "LogLevel=ERROR",
            *(["-c", cipher] if cipher else []),
        ]  # fmt: skip

    def copy(self, source: Path) -> float:
        begin = time.monotonic()
        run(*self._argv, source, f"{getpass.getuser()}@127.0.0.1:{self.received}")
        return time.monotonic() - begin


RSYNCD_CONFIG = """
address = 127.0.0.1
port = {port}
use chroot = no
pid file = {folder}/rsyncd.pid
log file = {folder}/rsyncd.log
[bench]
path = {folder}/module
read only = no
{owner}
"""


class Rsync(Copier):
    """rsync to its daemon: without encryption, whole files since there is nothing to compare with."""

    def __init__(self, rig: Rig) -> None:
        folder = rig.folder / "rsync"
        (folder / "module").mkdir(parents=True)
        self._port, self.received = free_port(), folder / "module" / "received"
        owner = "uid = root\ngid = root" if os.getuid() == 0 else ""
        config = folder / "rsyncd.conf"
        config.write_text(RSYNCD_CONFIG.format(port=self._port, folder=folder, owner=owner))
        argv: list[str | Path] = [find_program("rsync"), "--daemon", "--no-detach", "--config", config]
        self.programs = [rig.start("rsyncd", argv)]
        self.programs[0].wait_port(self._port)

    def copy(self, source: Path) -> float:
        """A folder's contents go into the folder received, as with ``cp -r`` to a new name."""
        begin = time.monotonic()
        name = f"{source}/" if source.is_dir() else str(source)
        run(find_program("rsync"), "-rt", name, f"rsync://127.0.0.1:{self._port}/bench/received")
        return time.monotonic() - begin


class Wormhole(Copier):
    """magic-wormhole, directly, its mailbox server and transit relay its own.

    It listens on every interface, so all of it runs in a network namespace that has nothing but loopback.
    """

    CODE = "4-benchmark-loopback"

    def __init__(self, rig: Rig) -> None:
        self._bin = PEERS / "wormhole" / "bin"
        if not (self._bin / "wormhole").exists():
            raise Missing("magic-wormhole is not installed: run benchmarks/peers/install.sh")
        self._rig = rig
        folder = rig.folder / "wormhole"
        folder.mkdir()
        self.received = folder / "received"
        twist = self._bin / "twist"
        servers = (
            f"ip link set lo up && cd {folder} && {twist} transitrelay --port=tcp:4001:interface=127.0.0.1 &"
            f" sleep 0.5; cd {folder} && exec {twist} wormhole-mailbox --port=tcp:4000:interface=127.0.0.1"
        )
        home = rig.start("wormhole-servers", [find_program("unshare"), "-rn", "sh", "-c", servers])
        self._enter = [find_program("nsenter"), "-t", str(home.pid), "-U", "-n", "--preserve-credentials", "--"]
        self._client = [
            *self._enter, str(self._bin / "wormhole"),
            "--relay-url", "ws://127.0.0.1:4000/v1", "--transit-helper", "tcp:127.0.0.1:4001",
        ]  # fmt: skip
        wait_until(lambda: all(_listening(home.pid, port) for port in (4000, 4001)), "wormhole's servers")

    def copy(self, source: Path) -> float:
        """The sender waits with its code; the time is that of the receiver's command."""
        argv = [*self._client, "send", "--hide-progress", "--code", self.CODE, str(source)]
        sender = self._rig.start(f"wormhole-send-{time.monotonic_ns()}", argv)
        wait_until(lambda: "wormhole receive" in sender.log.read_text(), "wormhole's sender", 20.0)
        begin = time.monotonic()
        run(
            *self._client, "receive", "--hide-progress", "--accept-file", "--output-file", self.received, self.CODE,
        )  # fmt: skip
        seconds = time.monotonic() - begin
        sender.process.wait(20.0)
        return seconds


def _listening(pid: int, port: int) -> bool:
    """Whether somebody listens on ``port`` in the network namespace of ``pid``."""
    lines = Path(f"/proc/{pid}/net/tcp").read_bytes().splitlines()[1:]
    wanted = b":%04X" % port
    return any(line.split()[1].endswith(wanted) and line.split()[3] == b"0A" for line in lines)
