"""Sign-in and registration: from what a stranger says to a session.

Everything that can be refused cheaply is refused first: name, tries, capacity; then the database, and last the password
hash, which costs. A token is 32 random bytes that cannot be guessed, so tries by token are not slowed down: after
somebody's wrong passwords the other devices behind the same address still come back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.addresses import format_address, host_key, is_loopback
from p2pim.core.limits import (
    DEVICES,
    REGISTRATION_INTERVAL,
    REGISTRATIONS_PER_ADDRESS,
    SIGN_IN_TABLE,
)
from p2pim.core.names import canonical_name
from p2pim.core.presence import STATUSES, Entry
from p2pim.core.rate import TokenBucket
from p2pim.core.signin import SignInTries
from p2pim.errors import (
    AlreadySignedIn,
    BadMessage,
    BadToken,
    InviteNeeded,
    NameTaken,
    RegistrationClosed,
    ServerFull,
    TooManyTries,
    UnknownUser,
    WrongPassword,
)
from p2pim.server.names import KnownNames
from p2pim.server.passwords import Passwords, check_new_password
from p2pim.server.sessions import Directory, IClient, Session
from p2pim.server.settings import ServerSettings
from p2pim.server.store import Store
from p2pim.server.users import Users
from p2pim.storage import accounts, keys
from p2pim.storage.contacts import Lists
from p2pim.storage.keys import Standing
from p2pim.wire.messages import Register, SignIn

_log = Logger()

TOKEN_BYTES = 32
GAVE_WAY = f"This account has {DEVICES} devices that were used later; sign in with the password to add this one again."
SESSION_BYTES = 16


class Admitted(NamedTuple):
    """A session that stands, the token for the next time, and what the device is told of itself."""

    session: Session
    token: bytes
    standing: Standing


class _Proved(NamedTuple):
    """What was found in the database of somebody who may come in."""

    lists: Lists
    token: bytes
    standing: Standing


class Origin(NamedTuple):
    """Where a sign-in comes from: the client's address, and its connection."""

    host: str
    port: int
    client: IClient


class SignInDesk:
    """Turns `SignIn` and `Register` into sessions.

    :param wall: the time in seconds since 1970.
    :param random_bytes: a source of secrets, as `os.urandom`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: Callable[[], ServerSettings],
        store: Store,
        passwords: Passwords,
        users: Users,
        names: KnownNames,
        wall: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._store = store
        self._passwords = passwords
        self._users = users
        self._names = names
        self._wall = wall
        self._random_bytes = random_bytes
        self._tries = SignInTries()
        self._registrations: dict[str, TokenBucket] = {}

    @property
    def directory(self) -> Directory:
        """Who is signed in."""
        return self._users.directory

    # --- sign-in

    async def sign_in(self, message: SignIn, origin: Origin) -> Admitted:
        """A session for an existing account.

        :raises SignInError: why not.
        :raises DatabaseDown: the database does not answer.
        """
        name = canonical_name(message.name)
        if message.status not in STATUSES:
            raise BadMessage("The status in this sign-in is none of " + ", ".join(STATUSES) + ".")
        self._check_room(name, message.device)
        if message.token is not None:
            proved = await self._by_token(name, message, message.token)
        else:
            proved = await self._by_password(name, message, message.password or "", origin.host)
        return self._open(name, proved, message, message.status, origin)

    async def _by_token(self, name: str, message: SignIn, token: bytes) -> _Proved:
        now = self._wall()
        work = partial(accounts.resume, name=name, device=message.device, token=token, now=now)
        revision, touch = None, True
        while revision != self._store.revision(name):
            revision = self._store.revision(name)
            resumed, standing = await self._store.read(lambda db: (work(db), keys.standing(db, name, message.device)))
            if resumed.touch and touch:
                await self._store.write(partial(accounts.touch_device, name=name, device=message.device, now=now))
                touch = False
        return _Proved(resumed.lists, token, standing)

    async def _by_password(self, name: str, message: SignIn, password: str, host: str) -> _Proved:
        address, account = f"from {host_key(host)}", f"to {name}"
        now = self._clock.seconds()
        wait = self._tries.wait(now, address, account)
        if wait > 0:
            raise TooManyTries(retry_after=wait)
        self._tries.begin(now, address, account)
        try:
            proven = await self._prove(name, password)
        except UnknownUser:
            self._tries.clear(account)
            raise
        except WrongPassword:
            raise
        except BaseException:
            self._tries.forgive(address)
            self._tries.forgive(account)
            raise
        self._tries.forgive(address)
        self._tries.clear(account)
        return await self._new_token(name, message, proven)

    async def _prove(self, name: str, password: str) -> str:
        found = await self._store.read(partial(accounts.find_account, name=name))
        await self._passwords.verify(found.password, password)
        return found.password

    async def _new_token(self, name: str, message: SignIn, proven: str) -> _Proved:
        token = self._random_bytes(TOKEN_BYTES)
        work = partial(
            accounts.admit_device,
            name=name, device=message.device, device_name=message.device_name, token=token, now=self._wall(),
            proven=proven,
        )  # fmt: skip
        revision = None
        while revision != self._store.revision(name):
            revision = self._store.revision(name)
            try:
                proved = await self._store.write(
                    lambda db: _Proved(work(db), token, keys.standing(db, name, message.device))
                )
            except BadToken:
                raise WrongPassword from None
        await self._end_removed(name)
        return proved

    async def _end_removed(self, name: str) -> None:
        """Sign out the devices that gave way to a new one: their tokens, keys and mailboxes have ended."""
        if self.directory.of(name):
            left = {device.id for device in await self._store.read(partial(keys.devices_of, user=name))}
            for session in self.directory.of(name):
                if session.device not in left:
                    self._users.leave(session)
                    session.client.sign_out("removed", GAVE_WAY)

    # --- registration

    async def register(self, message: Register, origin: Origin) -> Admitted:
        """A new account and its first session.

        :raises SignInError: why not.
        :raises DatabaseDown: the database does not answer.
        """
        mode = self._settings().server.registration
        if mode == "closed":
            raise RegistrationClosed
        if mode == "invite" and not message.invite:
            raise InviteNeeded
        name = canonical_name(message.name)
        check_new_password(message.password)
        self._check_room(name, message.device)
        self._count_registration(origin.host)
        if await self._names.exists(name):
            raise NameTaken
        await self._make(name, message, token := self._random_bytes(TOKEN_BYTES), mode == "invite")
        self._names.learn(name)
        _log.info("registered {user} from {host}", user=name, host=origin.host)
        proved = _Proved(Lists(), token, Standing(message.device_name, -1, 0))
        return self._open(name, proved, message, "online", origin)

    async def _make(self, name: str, message: Register, token: bytes, invited: bool) -> None:
        password = await self._passwords.hash(message.password)
        await self._store.write(
            partial(
                accounts.register,
                name=name, password=password, device=message.device, device_name=message.device_name,
                token=token, now=self._wall(), invite=message.invite if invited else None,
            )
        )  # fmt: skip

    def _count_registration(self, host: str) -> None:
        if is_loopback(host):
            return
        now, key = self._clock.seconds(), host_key(host)
        if len(self._registrations) >= SIGN_IN_TABLE:
            self._registrations = {k: b for k, b in self._registrations.items() if not b.is_full(now)}
        bucket = self._registrations.get(key)
        if bucket is None:
            bucket = self._registrations[key] = TokenBucket(1 / REGISTRATION_INTERVAL, REGISTRATIONS_PER_ADDRESS, now)
        wait = bucket.take(now)
        if wait:
            raise TooManyTries("Too many registrations from this address; try again later.", retry_after=wait)

    # --- the session

    def _check_room(self, name: str, device: bytes) -> None:
        """:raises SignInError: the server is full, or the device is signed in and stays so."""
        present = self.directory.find(name, device)
        settings = self._settings()
        if present is not None and settings.server.same_device == "refuse":
            raise AlreadySignedIn
        if present is None and self.directory.sessions >= settings.limits.max_connections:
            raise ServerFull

    def _open(self, name: str, proved: _Proved, message: SignIn | Register, status: str, origin: Origin) -> Admitted:
        self._check_room(name, message.device)
        limits = self._settings().limits
        lists = proved.lists
        session = self._users.arrive(
            Entry(name, lists.contacts, lists.blocked, lists.requested, lists.asks),
            message.device,
            origin.client,
            id=self._random_bytes(SESSION_BYTES),
            device_name=proved.standing.name,
            status=status,
            address=format_address(origin.host, origin.port),
            since=self._wall(),
            bucket=TokenBucket(limits.requests_per_second, limits.request_burst, self._clock.seconds()),
        )
        return Admitted(session, proved.token, proved.standing)
