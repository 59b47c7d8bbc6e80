"""A home and whoever is signed in under it: opening, signing in and out, and the events of all of it."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import msgspec
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from p2pim.core.candidates import Endpoint
from p2pim.core.message_ids import show_message_id
from p2pim.core.names import canonical_name
from p2pim.errors import NotSignedIn, Usage
from p2pim.net.certificates import format_fingerprint, parse_fingerprint
from p2pim.net.trust import ServerAddress, Trust
from p2pim.peer.account import Account
from p2pim.peer.account_context import AccountContext
from p2pim.peer.best_route import BestRoute, RouteWatch, best_route
from p2pim.peer.events import Event, MessageWritten, rfc3339
from p2pim.peer.home import Credentials, Home
from p2pim.peer.journal import Journal
from p2pim.peer.kept_settings import KeptSettings
from p2pim.peer.session import Session
from p2pim.peer.states import PeerSettings
from p2pim.wire import messages as m

DEFAULT_PORT = 4530


def parse_account(text: str) -> tuple[str, ServerAddress]:
    """The parts of ``NAME@HOST[:PORT]``.

    :raises Usage: it has no such form.
    :raises BadName: the name can be nobody's.
    """
    name, at, server = text.rpartition("@")
    if not at or not server:
        raise Usage(f"{text!r} is no NAME@HOST[:PORT], such as alice@chat.example.org:{DEFAULT_PORT}.")
    return canonical_name(name), parse_server(server)


def parse_server(text: str, default_port: int = DEFAULT_PORT) -> ServerAddress:
    """``HOST[:PORT]``; an IPv6 host stands in brackets when a port follows.

    :raises Usage: it has no such form.
    """
    host, colon, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        host, colon, port = text, "", ""
    elif text.count(":") > 1 and not text.startswith("["):
        host, colon, port = _ipv6(text), "", ""
    if not colon:
        host, port = host or text, str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Usage(f"{text!r} is no HOST[:PORT].")
    return ServerAddress(host, int(port))


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise Usage(f"{text!r} is no HOST[:PORT].") from None


class HomeAccount:
    """A home directory, and the account of this device once there is one.

    :param reactor: clock, sockets and threads; timers should not follow the wall clock (``reactor.seconds``).
    :param home: the directory of this device; made when it is not there.
    :param wall: the time in seconds since 1970.
    :param fixed: the names of ``settings`` that those kept in the home do not override; None: those that are not the
        defaults.
    :raises HomeLocked: another process uses this home.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        home: Path,
        settings: PeerSettings | None = None,
        *,
        wall: Callable[[], float] = time.time,
        rng: Random | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
        fixed: frozenset[str] | None = None,
    ) -> None:
        self._reactor = reactor
        self._wall = wall
        self._rng = rng or SystemRandom()
        self._random_bytes = random_bytes
        self.home = Home(home, random_bytes)
        self.home.lock()
        try:
            self._credentials = self.home.credentials()
            self.kept = KeptSettings(self.home, settings, fixed)
        except BaseException:
            self.home.unlock()
            raise
        self.settings = self.kept.now
        self._opening = DeferredLock()
        self.journal = Journal(self.home.log, wall)
        self._account: Account | None = None
        self.route_watch = RouteWatch(reactor, wall, self._route_to, self._emit)
        self._subscribers: list[Callable[[Event], object]] = []

    # --- signing in and out

    async def register(self, account: str, password: str, invite: str = "", trust: Trust | None = None) -> m.Welcome:
        """Make the account ``NAME@HOST[:PORT]``, and sign this device in.

        :raises SignInError: the server refuses, by subclass.
        """
        user, opened = await self._open_for(account, trust)
        return await self._signing_in(opened.session.register(user, password, invite))

    async def login(self, account: str, password: str, trust: Trust | None = None) -> m.Welcome:
        """Sign this device in to an existing account.

        :raises SignInError: the server refuses, by subclass.
        """
        user, opened = await self._open_for(account, trust)
        return await self._signing_in(opened.session.sign_in(user, password=password))

    async def start(self) -> m.Welcome:
        """Sign in as whoever was signed in here last, and stay so through interruptions.

        :raises NotSignedIn: nobody was.
        :raises ServerUnreachable: for now; `begin` would go on trying.
        """
        account = await self._own_account()
        token = bytes.fromhex(self._credentials.token)
        return await self._signing_in(account.session.sign_in(self._credentials.user, token=token))

    async def begin(self) -> None:
        """The same without waiting: keep trying until the server is there. Events tell.

        :raises NotSignedIn: nobody was signed in here.
        """
        account = await self._own_account()
        account.session.start(self._credentials.user, bytes.fromhex(self._credentials.token))

    async def stop(self) -> None:
        """End everything in order; what is under way waits on disk for the next time."""
        account, self._account = self._account, None
        try:
            if account is not None:
                await account.stop()
        finally:
            self.route_watch.stop()
            self.journal.close()
            self.home.unlock()

    async def logout(self) -> None:
        """Sign this device out for good: its token ends at the server, and here."""
        if not self._credentials.token:
            raise NotSignedIn
        account, self._account = self._account, None
        if account is not None:
            await account.stop(forget=True)
        self._save(token="")

    @property
    def signed_in_here(self) -> bool:
        """Whether this home can sign in without a password."""
        return bool(self._credentials.token)

    @property
    def welcome(self) -> m.Welcome | None:
        """What the server said at the latest sign-in."""
        return self._account.session.welcome if self._account is not None else None

    @property
    def p2p_server(self) -> Endpoint | None:
        """The address of the P2P server in use; None when there is none, or it is not known (yet)."""
        return self._account.p2p_server.endpoint if self._account is not None else None

    def identity(self) -> dict[str, str]:
        """Who is signed in here: user, device, server and the server's fingerprint."""
        c = self._credentials
        return {"user": c.user, "device": c.device, "server": c.server, "fingerprint": c.fingerprint}

    async def opened(self) -> Account:
        """The account's parts, signed in or not: history and transfers can be read without the server.

        :raises NotSignedIn: nobody has signed in here yet.
        """
        await self.reopened()
        if self._account is None:
            if not self._credentials.user:
                raise NotSignedIn
            trust = self._known_trust(parse_server(self._credentials.server))
            await self._open(self._credentials.user, parse_server(self._credentials.server), trust)
        assert self._account is not None
        return self._account

    async def reopen(self) -> None:
        """Begin anew with the settings as they are now; what is under way goes on afterwards."""
        async with self._opening:
            account, self._account = self._account, None
            if account is None:
                return
            await account.stop()
            server = parse_server(self._credentials.server)
            fresh = await self._open(self._credentials.user, server, self._known_trust(server))
            fresh.session.start(self._credentials.user, bytes.fromhex(self._credentials.token))

    async def reopened(self) -> None:
        """Once it is not being opened anew."""
        if self._opening.locked:
            async with self._opening:
                return

    async def _own_account(self) -> Account:
        if not self._credentials.token:
            raise NotSignedIn
        return await self.opened()

    async def _open_for(self, account: str, trust: Trust | None) -> tuple[str, Account]:
        user, server = parse_account(account)
        if self._credentials.token and self._credentials.user != user:
            raise Usage(f"{self._credentials.user} is signed in under this home; log out first, or use another --home.")
        if self._account is not None:
            await self._account.stop()
            self._account = None
        return user, await self._open(user, server, trust or self._known_trust(server))

    async def _open(self, user: str, server: ServerAddress, trust: Trust) -> Account:
        self.home.take_database(user)
        context = AccountContext(
            self._reactor,
            wall=self._wall,
            rng=self._rng,
            random_bytes=self._random_bytes,
            emit=self._emit,
            journal=self.journal,
            home=self.home,
            settings=self.settings,
            user=user,
            device=bytes.fromhex(self._credentials.device),
            server=server,
            route_changed=self.route_watch.changed,
        )
        self._account = account = Account(
            context,
            session=lambda owner: self._make_session(owner, server, trust),
            welcomed=lambda welcome: self._welcomed(welcome, server, trust),
        )
        await account.load()
        return account

    def _make_session(self, owner: Account, server: ServerAddress, trust: Trust) -> Session:
        return Session(
            self._reactor,
            server=server,
            trust=trust,
            device=bytes.fromhex(self._credentials.device),
            device_name=self._credentials.device_name,
            rng=self._rng,
            user=owner,
        )

    async def _signing_in(self, attempt: Any) -> m.Welcome:
        """The end of a sign-in: when it fails, nothing of the account stays open; when it does not, others can seal for
        this device."""
        try:
            welcome: m.Welcome = await attempt
            if self._account is not None:  # whoever is signed in can be written to
                await self._account.seals.stock.settled()
        except BaseException:
            account, self._account = self._account, None
            if account is not None:
                await account.stop()
            raise
        assert self._account is not None
        self._account.session.start()
        await self._account.seals.stock.settled()
        return welcome

    def _known_trust(self, server: ServerAddress) -> Trust:
        c = self._credentials
        if c.server != str(server):
            return Trust(fingerprint=None, ca_file=None, first_use=False)
        fingerprint = parse_fingerprint(c.fingerprint) if c.pinned else None
        return Trust(fingerprint=fingerprint, ca_file=Path(c.ca_file) if c.ca_file else None, first_use=False)

    def _welcomed(self, welcome: m.Welcome, server: ServerAddress, trust: Trust) -> None:
        assert self._account is not None
        session = self._account.session
        self._save(
            user=welcome.user,
            server=str(server),
            token=welcome.token.hex(),
            fingerprint=format_fingerprint(session.fingerprint),
            pinned=session.trust.fingerprint is not None,
            ca_file=str(trust.ca_file) if trust.ca_file else "",
        )

    def _save(self, **changes: str | bool) -> None:
        credentials: Credentials = msgspec.structs.replace(self._credentials, **changes)
        if credentials != self._credentials:
            self.home.save(credentials)
            self._credentials = credentials

    # --- events

    def subscribe(self, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call ``callback`` with every event from now on; returns what ends that."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    def _route_to(self, user: str) -> BestRoute | None:
        return best_route(self._account, user) if self._account is not None else None

    def _wrote(self, message: bytes, user: str, text: str) -> None:
        """Tell of a message that was put into the outbox of ``user`` (or ``#GROUP``)."""
        now = self._wall()
        group = user if user.startswith("#") else None
        id, sent_at = show_message_id(message), rfc3339(now)
        self._emit(MessageWritten(at=now, id=id, user=user, text=text, sent_at=sent_at, group=group))

    def _emit(self, event: Event) -> None:
        self.route_watch.event(event)
        for subscriber in list(self._subscribers):
            try:
                subscriber(event)
            except Exception:  # noqa: BLE001 - an application's mistake must not end the delivery of others' messages
                self.log.failure("a subscriber failed at the event {event}", event=event.event)
