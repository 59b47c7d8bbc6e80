"""Network namespaces with real kernel NATs between them, for real processes of the real commands.

::

            S  198.51.100.10, .11                    the server
            |
    --------+-----------+-----------+--------        a bridge: the public internet
                        |           |
                  NAT of A      NAT of B             198.51.100.20, 203.0.113.30
                        |           |
                        A           B                192.168.10.2, 192.168.20.2

Every NAT here has one LAN of its own behind it, so the port that a host binds can be kept outside (no two collide), and
each kind of RFC 4787 is a handful of nftables rules:

==================  ===================================  =======================================================
kind                mapping                              who is let in
==================  ===================================  =======================================================
``full-cone``       the port is kept                     anyone: what comes is handed to the host inside
``addr-restricted``  the port is kept                    whose address the host has sent to
``port-restricted``  the port is kept                    whose address and port the host has sent to
``symmetric``       a random port for each destination   as port-restricted
``udp-blocked``     no UDP gets out                      nobody
``public``          none                                 anyone
``public-fw``       none                                 answers alone: a stateful firewall on the host
``double``          port-restricted behind another one   as port-restricted
==================  ===================================  =======================================================

Packets from strangers are dropped before connection tracking keeps anything of them, as a router with a firewall does:
otherwise an early packet takes the port that the inside host is about to use.

Needs root, iproute2 and nftables. What a laboratory made it removes; the names carry a random prefix, so several can
stand side by side.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

KINDS = (
    "public",
    "public-fw",
    "full-cone",
    "addr-restricted",
    "port-restricted",
    "symmetric",
    "udp-blocked",
    "double",
)
SERVER = ("198.51.100.10", "198.51.100.11")
OUTSIDE = {"A": "198.51.100.20", "B": "203.0.113.30"}
"""In different networks, since two public addresses next to each other are taken for one LAN."""
PUBLIC = ("198.51.100.0/24", "203.0.113.0/24")
LAN = {"A": "192.168.10", "B": "192.168.20"}
CARRIER = {"A": "100.64.10", "B": "100.64.20"}


def missing() -> str:
    """Why no laboratory can be made here; empty when one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    probe = f"p2pim-probe-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True)
    subprocess.run(["ip", "netns", "delete", probe], capture_output=True)
    return "" if made.returncode == 0 else "network namespaces cannot be made here"


def nat_rules(kind: str, inside: str) -> str:
    """The nftables rules of a router of this kind: "wan" is outside, "lan" inside, ``inside`` the one host there."""
    scattered = " fully-random" if kind == "symmetric" else ""
    translated = ""
    guard = ""
    if kind in ("full-cone", "addr-restricted"):
        translated = f'iifname "wan" meta l4proto udp dnat to {inside}'
    if kind == "addr-restricted":
        guard = 'iifname "wan" meta l4proto udp ct state new ip saddr != @spoken drop'
    blocked = "meta l4proto tcp" if kind == "udp-blocked" else ""
    return f"""
table ip lab {{
  set spoken {{ type ipv4_addr; flags dynamic,timeout; timeout 2m; }}
  chain note {{
    type filter hook prerouting priority mangle;
    iifname "lan" meta l4proto udp update @spoken {{ ip daddr }}
    {guard}
  }}
  chain in_from_outside {{
    type nat hook prerouting priority dstnat;
    {translated}
  }}
  chain out {{
    type nat hook postrouting priority srcnat;
    oifname "wan" masquerade{scattered}
  }}
  chain through {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "lan" oifname "lan" accept
    iifname "lan" oifname "wan" {blocked} accept
    ct status dnat accept
  }}
  chain to_router {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "lan" accept
  }}
}}
"""


FIREWALL = """
table ip lab {
  chain to_host {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state established,related accept
  }
}
"""


@dataclass
class Laboratory:
    """Hosts "S", "A" and "B". ``kinds`` tells what A and B sit behind; with ``same_lan`` B is in A's LAN."""

    kinds: dict[str, str]
    same_lan: bool = False
    links: dict[str, str] = field(default_factory=dict)
    """Options of `tests.natlab.link` for the way of a host (or of its NAT) to the bridge, by side: "--delay 0.02"."""
    prefix: str = field(default_factory=lambda: f"pl{secrets.token_hex(2)}")
    _spaces: list[str] = field(default_factory=list)
    _script: list[str] = field(default_factory=list)
    _link_processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for kind in self.kinds.values():
            if kind not in KINDS:
                raise ValueError(f"unknown kind of NAT {kind!r}; known: {', '.join(KINDS)}")

    # --- use

    def command(self, host: str, *command: str | Path) -> list[str]:
        """The command line that runs ``command`` on ``host``."""
        return ["ip", "netns", "exec", self._space(host), *map(str, command)]

    def run(self, host: str, *command: str | Path, timeout: float = 30.0) -> str:
        """What a command prints on ``host``."""
        done = subprocess.run(self.command(host, *command), capture_output=True, text=True, timeout=timeout, check=True)
        return done.stdout

    def address(self, host: str) -> str:
        """The address that ``host`` itself has."""
        if host == "S":
            return SERVER[0]
        if host == "B" and self.same_lan:
            return f"{LAN['A']}.3"
        return OUTSIDE[host] if self.kinds[host].startswith("public") else f"{LAN[host]}.2"

    def cut_udp(self, host: str, cut: bool = True) -> None:
        """Drop (or again let pass) all UDP between ``host`` and everyone but the server."""
        rules = "table ip cut\ndelete table ip cut\n"
        if cut:
            others = f"!= {{ {', '.join(SERVER)} }}"
            rules = f"""{rules}table ip cut {{
              chain i {{ type filter hook input priority -300; meta l4proto udp ip saddr {others} drop; }}
              chain o {{ type filter hook output priority -300; meta l4proto udp ip daddr {others} drop; }}
            }}"""
        subprocess.run(self.command(host, "nft", "-f", "-"), input=rules, text=True, check=True)

    def count_udp(self, host: str, match: str = "meta l4proto udp") -> None:
        """Count what matches among the datagrams that ``host`` sends from now on, and among those that it gets."""
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority -310; {match} counter comment {hook}\n}}\n"
            for hook in ("input", "output")
        )
        rules = f"table inet counted {{\n{chains}}}\n"
        subprocess.run(self.command(host, "nft", "-f", "-"), input=rules, text=True, check=True)

    def counted(self, host: str) -> dict[str, int]:
        """How many there were since `count_udp`, by "input" and "output"."""
        listed = json.loads(self.run(host, "nft", "-j", "list", "table", "inet", "counted"))["nftables"]
        rules = [each["rule"] for each in listed if "rule" in each]
        return {rule["comment"]: rule["expr"][-1]["counter"]["packets"] for rule in rules}

    # --- making

    def __enter__(self) -> Laboratory:
        try:
            self._build()
            self._execute()
        except BaseException:
            self.close()
            raise
        return self

    def _execute(self) -> None:
        """Make the namespaces, then the links between them that are processes, then what needs those."""
        script = "\n".join(line for line in self._script if not line.startswith("LINK "))
        spaces = [line for line in self._script if line.startswith("ip netns add")]
        if self.links:
            subprocess.run(["sh", "-e"], input="\n".join(spaces), text=True, check=True)
            script = "\n".join(line for line in script.split("\n") if not line.startswith("ip netns add"))
            for line in self._script:
                if line.startswith("LINK "):
                    self._start_link(line.split()[1:])
        done = subprocess.run(["sh", "-e"], input=script, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the laboratory could not be made: {done.stderr}")

    def _start_link(self, words: list[str]) -> None:
        root = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-m", "tests.natlab.link", *words]
        link = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._link_processes.append(link)
        assert link.stdout is not None
        if link.stdout.readline().strip() != "ready":
            raise RuntimeError("a link could not be made")

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the namespaces and with them everything in them."""
        for link in self._link_processes:
            link.terminate()
            link.wait()
            for stream in (link.stdin, link.stdout):
                if stream is not None:
                    stream.close()
        self._link_processes.clear()
        for space in self._spaces:
            subprocess.run(["ip", "netns", "delete", space], capture_output=True)
        self._spaces.clear()

    def _space(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def _say(self, *lines: str) -> None:
        self._script += lines

    def _host(self, name: str) -> None:
        space = self._space(name)
        self._spaces.append(space)
        self._say(f"ip netns add {space}", f"ip -n {space} link set lo up")

    def _wire(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        (first, first_name), (second, second_name) = one, other
        self._say(
            f"ip link add {first_name} netns {self._space(first)} type veth "
            f"peer name {second_name} netns {self._space(second)}",
            f"ip -n {self._space(first)} link set {first_name} up",
            f"ip -n {self._space(second)} link set {second_name} up",
        )

    def _address(self, host: str, device: str, address: str, gateway: str = "") -> None:
        space = self._space(host)
        self._say(f"ip -n {space} address add {address}/24 dev {device}")
        if gateway:
            self._say(f"ip -n {space} route add default via {gateway}")

    def _rules(self, host: str, rules: str) -> None:
        self._say(f"ip netns exec {self._space(host)} nft -f - <<'RULES'", rules, "RULES")

    def _build(self) -> None:
        self._host("net")
        self._say(f"ip -n {self._space('net')} link add br0 type bridge", f"ip -n {self._space('net')} link set br0 up")
        self._host("S")
        self._plug("S", "wan", SERVER[0])
        self._say(f"ip -n {self._space('S')} address add {SERVER[1]}/24 dev wan")
        for side in ("A", "B"):
            self._host(side)
            if side == "B" and self.same_lan:
                self._join_lan()
            elif self.kinds[side].startswith("public"):
                self._plug(side, "wan", OUTSIDE[side])
                if self.kinds[side] == "public-fw":
                    self._rules(side, FIREWALL)
            else:
                self._behind(side, self.kinds[side])

    def _plug(self, host: str, device: str, address: str) -> None:
        """Put ``host`` on the public bridge."""
        port = f"to-{host}"[:15]
        options = self.links.get(host[-1], "")
        if options:
            self._say(f"LINK {self._space(host)} {device} {self._space('net')} {port} {options}")
        else:
            self._wire((host, device), ("net", port))
        self._say(f"ip -n {self._space('net')} link set {port} master br0")
        self._address(host, device, address)
        for network in PUBLIC:
            if network.rpartition(".")[0] != address.rpartition(".")[0]:
                self._say(f"ip -n {self._space(host)} route add {network} dev {device}")

    def _router(self, name: str, kind: str, inside: str, lan: str) -> None:
        self._host(name)
        self._say(f"ip netns exec {self._space(name)} sysctl -qw net.ipv4.ip_forward=1")
        self._say(
            f"ip -n {self._space(name)} link add lan type bridge",
            f"ip -n {self._space(name)} link set lan up",
        )
        self._address(name, "lan", f"{lan}.1")
        self._rules(name, nat_rules(kind, inside))

    def _behind(self, side: str, kind: str) -> None:
        home = f"nat{side}"
        single = "port-restricted" if kind == "double" else kind
        self._router(home, single, f"{LAN[side]}.2", LAN[side])
        self._attach(home, side, "eth0", f"{LAN[side]}.2", f"{LAN[side]}.1")
        if kind == "double":
            carrier = f"cgn{side}"
            self._router(carrier, "port-restricted", f"{CARRIER[side]}.2", CARRIER[side])
            self._attach(carrier, home, "wan", f"{CARRIER[side]}.2", f"{CARRIER[side]}.1")
            self._plug(carrier, "wan", OUTSIDE[side])
        else:
            self._plug(home, "wan", OUTSIDE[side])

    def _attach(self, router: str, host: str, device: str, address: str, gateway: str) -> None:
        """Connect ``host`` to a router's LAN."""
        port = f"p-{host}"[:15]
        self._wire((router, port), (host, device))
        self._say(f"ip -n {self._space(router)} link set {port} master lan")
        self._address(host, device, address, gateway)

    def _join_lan(self) -> None:
        if self.kinds["A"].startswith("public"):
            raise ValueError("A has no LAN to join")
        self._attach("natA", "B", "eth0", f"{LAN['A']}.3", f"{LAN['A']}.1")


@contextlib.contextmanager
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """A list of processes that are ended when the block is left."""
    running: list[subprocess.Popen[str]] = []
    try:
        yield running
    finally:
        for process in reversed(running):
            process.terminate()
        for process in reversed(running):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def pairs(kinds: Sequence[str] = KINDS) -> list[tuple[str, str]]:
    """Each unordered pair of kinds once."""
    return [(one, other) for index, one in enumerate(kinds) for other in kinds[index:]]
