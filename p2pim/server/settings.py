"""What an operator can set, a value class per section of the configuration file. The defaults are a working server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from platformdirs import user_data_path

from p2pim.core import limits
from p2pim.storage.mail import Quota

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(ge=0.1, le=3600.0)]
Bytes = Annotated[int, Meta(ge=0, le=2**53)]
Positive = Annotated[int, Meta(ge=1, le=1_000_000)]


def default_data() -> Path:
    """Where the server keeps its files when nobody says otherwise."""
    return user_data_path("p2pim", appauthor=False) / "server"


class ServerSection(Struct, frozen=True, kw_only=True):
    """``[server]``: where it listens, who may come, who sees whom."""

    port: Port = 4530
    """The TCP port of clients; 0 picks a free one."""
    interface: str = ""
    """The address to listen on; empty for all of IPv4, ``::`` for IPv6 and IPv4."""
    data: Path = msgspec.field(default_factory=default_data)
    """The folder of the database, the certificate and ready.json."""
    registration: Literal["open", "invite", "closed"] = "open"
    same_device: Literal["replace", "refuse"] = "replace"
    """Signing in twice on one device: the newer replaces the older, or is refused."""
    roster: Literal["contacts", "everyone"] = "contacts"
    """Who sees whom; "everyone" is for an office, up to `p2pim.core.limits.EVERYONE_ROSTER` people."""


class TlsSection(Struct, frozen=True, kw_only=True):
    """``[tls]``: a certificate (with its chain) and key in PEM; empty for the self-made one in the data folder."""

    certificate: Path | None = None
    key: Path | None = None


class LimitsSection(Struct, frozen=True, kw_only=True):
    """``[limits]``: what an operator may want to change of `p2pim.core.limits`."""

    max_connections: Positive = limits.CONNECTIONS
    connections_per_address: Positive = limits.CONNECTIONS_PER_ADDRESS
    requests_per_second: Annotated[float, Meta(ge=0.1, le=1e6)] = limits.REQUESTS_PER_SECOND
    request_burst: Annotated[float, Meta(ge=1, le=1e6)] = limits.REQUEST_BURST
    heartbeat: Seconds = limits.HEARTBEAT
    patience: Seconds = limits.PATIENCE
    handshake: Seconds = limits.HANDSHAKE


class FilesSection(Struct, frozen=True, kw_only=True):
    """``[files]``: files kept for people who are away, sealed. Quotas in bytes."""

    enabled: bool = True
    """Whether this server keeps files at all."""
    quota: Bytes = limits.STORE_BYTES
    """All of them together."""
    quota_per_sender: Bytes = limits.STORE_PER_SENDER
    quota_per_recipient: Bytes = limits.STORE_PER_RECIPIENT
    days: Annotated[float, Meta(ge=0.01, le=3650.0)] = limits.STORE_DAYS
    """A file that nobody has fetched is deleted after so many days."""


class MailSection(Struct, frozen=True, kw_only=True):
    """``[mail]``: what waits for devices that are away."""

    expiry: Annotated[float, Meta(ge=0.01, le=3650.0)] = limits.MAIL_LIFETIME / 86_400.0
    """Days after which mail that nobody has fetched is dropped."""
    messages: Annotated[int, Meta(ge=1, le=10_000_000)] = limits.MAIL_MESSAGES
    """Messages that may wait for one account, all its devices together."""
    megabytes: Annotated[int, Meta(ge=1, le=1_000_000)] = limits.MAIL_BYTES // limits.MIB
    """And what they may take (MiB)."""

    @property
    def quota(self) -> Quota:
        """What may wait for one account."""
        return Quota(self.messages, self.megabytes * limits.MIB)

    @property
    def lifetime(self) -> float:
        """How long mail waits, in seconds."""
        return self.expiry * 86_400.0


class P2pSection(Struct, frozen=True, kw_only=True):
    """``[p2p]``: the P2P server on UDP, at the TCP port + 1; or another one that clients are told of."""

    enabled: bool = True
    """Whether this server is a P2P server too."""
    address: str = ""
    """``HOST:PORT`` of the P2P server that clients are told of; empty: this one, if it is enabled."""
    alternate_port: Port = 0
    """The companion port of NAT tests; 0: the UDP port + 10000, or any free one where that is taken."""
    alternate_address: str = ""
    """The second address of NAT tests; empty: found where the host has one; "none": not used."""
    rate: Annotated[float, Meta(ge=0.1, le=1e6)] = limits.STUN_RATE
    """Answers per second to one address (IPv6: network of 64 bits) on average."""
    burst: Annotated[float, Meta(ge=10, le=1e6)] = limits.STUN_BURST
    """Answers to one address at once."""


class ClassicSection(Struct, frozen=True, kw_only=True):
    """``[classic]``: the gateway for the classic text protocol, which knows neither passwords nor encryption."""

    port: Port | None = None
    """The number of its UDP and its TCP port; not set: there is no gateway; 0 picks one that is free for both."""
    interface: str = "lan"
    """ "loopback", "lan" (all of IPv4, but only for addresses that the internet does not route), or an address:
    ``0.0.0.0`` or ``::`` for everybody."""
    guests: Literal["apart", "shown", "together"] = "apart"
    """Whether its users (guests) and the server's own users who wish it meet: not at all; guests are shown to users;
    or each is shown to the other, and they can write to each other, in plain text."""
    expiry: Annotated[float, Meta(ge=10.0, le=30 * 86_400.0)] = limits.CLASSIC_EXPIRY
    """Seconds of silence after which a guest is gone of whom nothing else is known."""


class WebSection(Struct, frozen=True, kw_only=True):
    """``[web]``: the operator's page."""

    address: str = "auto"
    """``ADDR:PORT``; "auto": loopback, at the TCP port + 2 or any free one; "none": there is no page."""
    hosts: list[Annotated[str, Meta(max_length=255)]] = []
    """Further names under which browsers may ask for it."""
    metrics_token_file: str = ""
    """Whoever shows what is in this file may read ``/metrics``; empty: nobody by a token."""


class ServerSettings(Struct, frozen=True, kw_only=True):
    """All of it."""

    server: ServerSection = msgspec.field(default_factory=ServerSection)
    tls: TlsSection = msgspec.field(default_factory=TlsSection)
    limits: LimitsSection = msgspec.field(default_factory=LimitsSection)
    mail: MailSection = msgspec.field(default_factory=MailSection)
    p2p: P2pSection = msgspec.field(default_factory=P2pSection)
    files: FilesSection = msgspec.field(default_factory=FilesSection)
    classic: ClassicSection = msgspec.field(default_factory=ClassicSection)
    web: WebSection = msgspec.field(default_factory=WebSection)
