"""The classic gateway: the text protocol of the old clients, on UDP and TCP ports of one number.

Sockets and the database are here; who is who and who is gone is decided in `p2pim.core.classic`. What a guest has to do
with the server's own users goes by way of `p2pim.server.classic_residents` and `p2pim.server.guests`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from p2pim.core.address_rate import AddressRates, address_key
from p2pim.core.addresses import format_address
from p2pim.core.classic import Guest, Roster, Verdict, effective, is_near
from p2pim.core.classic_names import account_names
from p2pim.core.limits import (
    CLASSIC_CONFLICT_WAIT,
    CLASSIC_CONFLICTS,
    CLASSIC_LOGIN_BURST,
    CLASSIC_LOGIN_RATE,
    CLASSIC_NEWS_BURST,
    CLASSIC_NEWS_RATE,
    CLASSIC_RATE_TABLE,
)
from p2pim.core.rate import TokenBucket
from p2pim.errors import BadClassicLine, BadClassicName, P2pimError
from p2pim.net.classic_list import ListFactory
from p2pim.net.classic_pair import Pair
from p2pim.server.settings import ClassicSection
from p2pim.wire.classic import (
    BAD_NAME,
    NOT_NOW,
    TAKEN,
    Accept,
    Alive,
    Coding,
    Endpoint,
    Line,
    Login,
    Logout,
    Refuse,
    decode_text,
    encode_list,
    encode_text,
    parse,
    strip_end,
    write,
)

_log = Logger()

INTERFACES: Final = {"loopback": "127.0.0.1", "lan": "0.0.0.0", "": "0.0.0.0"}  # noqa: S104 - "lan" looks at who comes
_LONGEST_ANSWER: Final = len(write(Refuse(TAKEN)))
"""Characters of the longest answer to a login with a name that is not too long: only the shortest forms of IPv6 with a
port of one or two digits make a shorter question, and those get none, since it may be for somebody else."""
_REASONS: Final = {Verdict.TAKEN: TAKEN, Verdict.BAD: BAD_NAME, Verdict.FULL: NOT_NOW}
_WARNING: Final = (
    "the classic gateway is open on UDP and TCP {address}. It knows no passwords and no encryption: whoever reaches it "
    "can take any free name, and whoever is on the way can read and change what is said"
)
_OPEN_WARNING: Final = 'the classic gateway takes datagrams from every network; with interface = "lan" it would not'


@dataclass
class Counts:
    """What the gateway could not use; none of it cost more than this."""

    bad: int = 0
    """Datagrams that are no line, or none for a server."""
    limited: int = 0
    """Datagrams beyond what one host may send."""
    far: int = 0
    """Datagrams from outside of the local networks."""
    refused: int = 0
    """Logins answered with ``Refuse``."""
    foreign: int = 0
    """Logouts of somebody at another host."""


class IGuestWatcher(Protocol):
    """Who hears of guests on behalf of the server's own users."""

    def guest_came(self, guest: Guest) -> None:
        """They are here."""

    def guest_went(self, guest: Guest) -> None:
        """They are gone."""

    def residents(self, local_host: str) -> Iterable[Login]:
        """The users whom guests are shown, each with the address that is theirs at ``local_host``."""


class Gateway:
    """An open gateway.

    :param reactor: sockets and the clock.
    :param exists: whether an account has this name.
    :param random_bytes: for the tables of rates, so that nobody can choose a row.
    :raises CannotListenError: its ports cannot be had.
    """

    def __init__(
        self,
        reactor: Any,
        section: ClassicSection,
        exists: Callable[[str], Awaitable[bool]],
        watcher: IGuestWatcher,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._clock = reactor
        self._exists = exists
        self._watcher = watcher
        self.section = section
        self.roster = Roster(section.expiry)
        self.counts = Counts()
        secret = int.from_bytes(random_bytes(8), "big")
        self._rates = AddressRates(CLASSIC_LOGIN_RATE, CLASSIC_LOGIN_BURST, CLASSIC_RATE_TABLE, secret)
        self._news = TokenBucket(CLASSIC_NEWS_RATE, CLASSIC_NEWS_BURST, reactor.seconds())
        self._conflicts: set[IDelayedCall] = set()
        self._closed = False
        self.lists = ListFactory(reactor, self._list, self.welcomes)
        host = INTERFACES.get(section.interface, section.interface)
        self._pair = Pair(reactor, host, section.port or 0, self.lists, self.received, self.unreachable)
        self.host, self.port = self._pair.address
        _log.warn(_WARNING, address=self.address)
        if section.interface not in ("loopback", "lan") and not is_near(self.host):
            _log.warn(_OPEN_WARNING)

    @property
    def address(self) -> str:
        """Where it listens."""
        return format_address(self.host, self.port)

    def use(self, section: ClassicSection) -> None:
        """Go on with other settings, on the same ports."""
        self.section = section
        self.roster.expiry = section.expiry

    def close(self) -> Deferred[object]:
        """Listen no more; guests are told nothing, as the grammar has no word for it."""
        self._closed = True
        for call in self._conflicts:
            call.cancel()
        self._conflicts.clear()
        return self._pair.close()

    def welcomes(self, host: str) -> bool:
        """Whether ``host`` may use the gateway at all."""
        if self.section.interface != "lan" or is_near(host):
            return True
        self.counts.far += 1
        return False

    # --- datagrams in

    def received(self, data: bytes, source: tuple[str, int]) -> None:
        """A datagram: whatever it is, it costs no more than a counter unless it is a login or logout."""
        host, port = source
        if not self.welcomes(host):
            return
        if not self._rates.allow(address_key(ip_address(host).packed), port, self._clock.seconds()):
            self.counts.limited += 1
            return
        try:
            text, coding = decode_text(data)
            self._take(strip_end(text), coding, host)
        except BadClassicLine:
            self.counts.bad += 1

    def _take(self, text: str, coding: Coding, host: str) -> None:
        try:
            line = parse(text)
        except BadClassicName as error:
            if error.endpoint[1] and len(text) >= _LONGEST_ANSWER and text.startswith("login,"):
                self._refuse(Endpoint(host, error.endpoint[1]), coding, error.reason)
            raise
        if len(text) < _LONGEST_ANSWER:  # a refusal would be longer than the question
            self.counts.bad += 1
        elif isinstance(line, Login):
            self._login(line, text, coding, effective(line.endpoint, host))
        elif isinstance(line, Logout):
            self._logout(line, text, host)
        else:
            self.counts.bad += 1

    def _login(self, line: Login, text: str, coding: Coding, endpoint: Endpoint, *, last: bool = False) -> None:
        verdict = self.roster.judge(line.name, endpoint)
        if verdict is Verdict.KNOWN:
            guest = self.roster.repeat(line, coding, self._clock.seconds())
            self._send(Accept(self.port), guest)
        elif verdict is Verdict.NEW:
            admitted = Deferred.fromCoroutine(self._admit(line, text, coding, endpoint))
            admitted.addErrback(lambda failure: _log.failure("a classic login failed", failure))
        elif verdict is Verdict.TAKEN and not last and len(self._conflicts) < CLASSIC_CONFLICTS:
            self._ask_holder(line, text, coding, endpoint)
        else:
            self._refuse(endpoint, coding, _REASONS[verdict])

    def _ask_holder(self, line: Login, text: str, coding: Coding, endpoint: Endpoint) -> None:
        """Whoever has the name may have vanished: ask them, and wait a moment for the network's word."""
        holder = self.roster.alike(line.name)
        assert holder is not None
        self._ask(holder)

        def decide() -> None:
            self._conflicts.discard(call)
            if holder.refusals:
                self._gone(holder)
            self._login(line, text, coding, endpoint, last=True)

        call = self._clock.callLater(CLASSIC_CONFLICT_WAIT, decide)
        self._conflicts.add(call)

    async def _admit(self, line: Login, text: str, coding: Coding, endpoint: Endpoint) -> None:
        if self._news.take(self._clock.seconds()):
            self._refuse(endpoint, coding, NOT_NOW)
            return
        try:
            is_account = [name for name in account_names(line.name) if await self._exists(name)]
        except P2pimError:  # the database is down, and whose the name is cannot be known
            self._refuse(endpoint, coding, NOT_NOW)
            return
        if self._closed:
            return
        verdict = self.roster.judge(line.name, endpoint)  # others may have come meanwhile
        if is_account or verdict is not Verdict.NEW:
            self._refuse(endpoint, coding, TAKEN if is_account else _REASONS.get(verdict, TAKEN))
            return
        guest, gone = self.roster.admit(line, endpoint, coding, self._clock.seconds())
        self._send(Accept(self.port), guest)
        self._broadcast(text, guest)
        self._watcher.guest_came(guest)
        for each in gone:
            self._tell_gone(each)

    def _logout(self, line: Logout, text: str, host: str) -> None:
        guest = self.roster.leaving(line.name, host)
        if guest is None:
            self.counts.foreign += 1
            return
        self.roster.remove(guest)
        self._broadcast(text, guest)
        self._watcher.guest_went(guest)

    # --- datagrams out

    def _send(self, line: Line, guest: Guest) -> None:
        self.send_text(write(line), guest)

    def send_text(self, text: str, guest: Guest) -> None:
        """A line for ``guest``, in the coding of their login."""
        self._pair.udp.send(encode_text(text, guest.coding), guest.endpoint)

    def _refuse(self, endpoint: Endpoint, coding: Coding, reason: str) -> None:
        self.counts.refused += 1
        self._pair.udp.send(encode_text(write(Refuse(reason)), coding), endpoint)

    def _broadcast(self, text: str, about: Guest) -> None:
        """To the others who listen, as it was received; one encoding for all of one coding."""
        datagrams = {coding: encode_text(text, coding) for coding in Coding}
        for guest in self.roster.listeners():
            if guest is not about:
                self._pair.udp.send(datagrams[guest.coding], guest.endpoint)

    def _ask(self, guest: Guest) -> None:
        self.roster.asked(guest, self._clock.seconds())
        self._send(Alive(guest.name), guest)

    # --- the list

    def _list(self, host: str, local_host: str) -> bytes:
        coding = self.roster.list_fetched(host, self._clock.seconds())
        return encode_list([*(guest.login for guest in self.roster), *self._watcher.residents(local_host)], coding)

    # --- who is gone

    def sweep(self) -> None:
        """Called every second or so: ask the silent, let the vanished go."""
        found = self.roster.sweep(self._clock.seconds())
        for guest in found.gone:
            self._gone(guest)
        for guest in found.ask:
            self._ask(guest)

    def evict(self, account: str) -> None:
        """Somebody signed in to ``account``: no guest keeps a name that could be mistaken for it."""
        for guest in self.roster:
            if account in account_names(guest.name):
                self._refuse(guest.endpoint, guest.coding, TAKEN)
                self._gone(guest)

    def _gone(self, guest: Guest) -> None:
        if self.roster.remove(guest):
            self._tell_gone(guest)

    def _tell_gone(self, guest: Guest) -> None:
        self._broadcast(write(Logout(guest.name, guest.stated)), guest)
        self._watcher.guest_went(guest)

    def unreachable(self, address: tuple[str, int]) -> None:
        """The network says that nobody is at ``address`` (port 0: at all of its host)."""
        self.roster.unreachable(Endpoint(*address))
