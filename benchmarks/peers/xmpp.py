"""Prosody and ejabberd for the relay benchmark: as lean as their manuals allow, and how a client signs in to either.

Both get internal authentication, TLS from the first byte, one self-signed P-256 certificate, no limits on traffic, and
only the modules that signing in and relaying need.
"""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import Program, Rig, find_program, free_port
from benchmarks.loadgen import MARKER, Connection

PASSWORD = "correct horse"  # of accounts on loopback that live for minutes
RECEIPT_MARKER = b"urn:xmpp:receipts"

PROSODY_CONFIG = """
run_as_root = true
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder}"
modules_enabled = {{ "saslauth", "tls", "disco", "presence", "message", "iq", "c2s", "roster" }}
modules_disabled = {{ "s2s", "offline" }}
authentication = "internal_plain"
storage = "internal"
network_backend = "{backend}"
network_settings = {{ read_timeout = 3600, nagle = false, tcp_backlog = 4096 }}
c2s_timeout = 3600
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ }}
legacy_ssl_ports = {{ }}
s2s_ports = {{ }}
c2s_direct_tls_ports = {{ {port} }}
c2s_direct_tls_ssl = {{ certificate = "{certificate}", key = "{key}" }}
ssl = {{ certificate = "{certificate}", key = "{key}" }}
log = {{ warn = "*console" }}
VirtualHost "localhost"
"""

EJABBERD_CONFIG = """
hosts: [localhost]
loglevel: warning
certfiles: ["{both}"]
auth_method: internal
auth_password_format: plain
disable_sasl_mechanisms: []
registration_timeout: infinity
language: en
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    tls: true
    max_stanza_size: 262144
    shaper: none
    access: all
acl: {{}}
access_rules: {{}}
shaper: {{}}
modules:
  mod_roster: {{}}
  mod_register:
    access: all
    ip_access: all
    password_strength: 0
"""


def start_prosody(rig: Rig, cpu: int, names: Sequence[str], backend: str = "epoll") -> tuple[Program, int]:
    """Prosody on a free port, with the accounts ``names``."""
    folder, port = rig.folder / "prosody", free_port()
    accounts = folder / "localhost" / "accounts"
    accounts.mkdir(parents=True, exist_ok=True)
    for name in names:  # in-band registration takes it 47 ms each
        (accounts / f"{name}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}"; }};\n')
    certificate, key = rig.make_certificate()
    config = folder / "prosody.cfg.lua"
    config.write_text(
        PROSODY_CONFIG.format(folder=folder, port=port, certificate=certificate, key=key, backend=backend)
    )
    program = rig.start("prosody", [find_program("prosody"), "--config", config, "-F"], cpu=cpu)
    program.wait_port(port)
    return program, port


def start_ejabberd(rig: Rig, cpu: int, names: Sequence[str]) -> tuple[Program, int]:
    """ejabberd on a free port, with the accounts ``names``; started again in the same rig, it still has them."""
    folder = rig.folder / "ejabberd"
    if not folder.exists():
        folder.mkdir()
        program, port = _run_ejabberd(rig, cpu)
        _register(port, names)
        program.stop()
    return _run_ejabberd(rig, cpu)


def _run_ejabberd(rig: Rig, cpu: int) -> tuple[Program, int]:
    """As a node without a name: nothing is distributed, no port mapper is started."""
    folder, port = rig.folder / "ejabberd", free_port()
    certificate, key = rig.make_certificate()
    both = folder / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    config = folder / "ejabberd.yml"
    config.write_text(EJABBERD_CONFIG.format(port=port, both=both))
    argv: list[str | Path] = [
        find_program("erl"), "+K", "true", "+P", "250000", "-noinput",
        "-mnesia", "dir", f'"{folder}/mnesia"',
        "-ejabberd", "config", f'"{config}"', "log_path", f'"{folder}/ejabberd.log"', "quiet", "true",
        "-s", "ejabberd",
    ]  # fmt: skip
    libraries = "/usr/lib/x86_64-linux-gnu"  # where Debian's package has them
    environment = {"ERL_LIBS": libraries, "HOME": str(folder), "ERL_CRASH_DUMP_BYTES": "0"}
    program = rig.start("ejabberd", argv, cpu=cpu, env=environment)
    program.wait_port(port, 60.0)
    return program, port


STREAM = (
    b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)


SERVERS = {"prosody": start_prosody, "ejabberd": start_ejabberd}


def _register(port: int, names: Sequence[str]) -> None:
    """Makes the accounts ``names`` by in-band registration (XEP-0077)."""
    for name in names:
        with _connect(port) as link:
            link.sendall(STREAM)
            _wait_for(link, b"</stream:features>")
            link.sendall(
                b"<iq type='set' id='reg'><query xmlns='jabber:iq:register'><username>%s</username>"
                b"<password>%s</password></query></iq>" % (name.encode(), PASSWORD.encode())
            )
            answer = _wait_for(link, b"reg")
            if b"result" not in answer:
                raise RuntimeError(f"{name} was not registered: {answer.decode(errors='replace')}")


def _connect(port: int) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), 10.0)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost")


def _wait_for(link: ssl.SSLSocket, what: bytes) -> bytes:
    held = b""
    while what not in held:
        data = link.recv(65536)
        if not data:
            raise RuntimeError(f"the server closed after: {held.decode(errors='replace')}")
        held += data
    return held


def connections(names: Sequence[str], text: bytes) -> list[Connection]:
    """What each of ``names`` says: SASL PLAIN, resource "b", presence; then chat messages with the body ``text``."""
    assert MARKER in text
    made = []
    for index, name in enumerate(names):
        following, before = names[(index + 1) % len(names)], names[index - 1]
        secret = base64.b64encode(b"\0" + name.encode() + b"\0" + PASSWORD.encode())
        dialogue = [
            (STREAM, b"</stream:features>"),
            (
                b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>" % secret,
                b"<success",
            ),
            (STREAM, b"urn:ietf:params:xml:ns:xmpp-bind"),
            (
                b"<iq type='set' id='bind1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>b</resource>"
                b"</bind></iq>",
                b"bind1",
            ),
            (
                b"<iq type='set' id='sess1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
                b"sess1",
            ),
            (b"<presence/>", b"<presence"),
        ]
        body = b"<body>%s</body>" % text
        message = b"<message to='%s@localhost/b' type='chat' id='0123456789ab'>%s</message>" % (
            following.encode(),
            body,
        )
        received = b"<received xmlns='%s' id='0123456789ab'/>" % RECEIPT_MARKER
        receipt = b"<message to='%s@localhost/b' id='ba9876543210'>%s</message>" % (before.encode(), received)
        made.append(Connection(dialogue, message, receipt, b" "))
    return made
