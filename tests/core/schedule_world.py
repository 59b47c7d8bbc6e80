"""Two peers made of the pure machines alone, a server between them, and everything that may go wrong meanwhile.

Each `Party` has what decides in a real peer: `Negotiation` and `CheckList` to find a path, `Gatherer` to know where it
is seen, `KeepAlive` to notice that a path has died, `Sending` and `Arrivals` to lose and double nothing. What carries
bytes is as simple as it can be: datagrams of the in-memory internet, a server that is a delay, and `Path` for QUIC.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final

from p2pim.core import limits
from p2pim.core.arrivals import Arrivals
from p2pim.core.candidates import UDP
from p2pim.core.delivery import DELIVERED, Dispatch, Outgoing, Sending, Target
from p2pim.core.gathering import Gatherer
from p2pim.core.negotiation import State, stands
from p2pim.wire.signals import Answer, Candidate, Decline, MoreCandidates, Offer
from tests.core.schedule_path import MARK, Path
from tests.core.schedule_talk import Talk
from tests.nat_kinds import place
from tests.network import Endpoint, Host, Internet, Link, Nat
from tests.passing_time import QuickClock, pass_time
from tests.stun_world import SERVER, StunWorld

RETRY: Final = 12.0
"""Seconds between attempts while there is no channel; shorter than in life, as these lives are."""
Body = Offer | Answer | MoreCandidates | Decline | Dispatch | bytes


class Party:
    """One peer."""

    def __init__(self, world: Schedule, host: Host, number: int) -> None:
        self.world, self.clock, self.rng, self.host = world, world.clock, world.rng, host
        self.number = number
        self.socket = host.bind(0, self.received)
        self.gatherer = Gatherer(SERVER, rng=self.rng, now=self.clock.seconds(), local=frozenset({self.socket.address}))
        self.session = 0
        self.online = False
        self.other: Party
        self.talk: Talk | None = None
        self.lingering: list[Talk] = []
        self.links: dict[bytes, Path] = {}
        self.channel: Path | None = None
        self.sending = Sending()
        self.arrivals: Arrivals[Outgoing] = Arrivals()
        self.written: list[bytes] = []
        self.shown: list[bytes] = []
        self.taken: set[bytes] = set()
        self.oldest: dict[int, int] = {}
        self.target: Target = ("other", bytes([number]) * 16)
        self.negotiations = self.checks_sent = 0
        self.longest = 0.0
        self.gather()
        self.look()

    # --- the network

    def received(self, data: bytes, source: Endpoint) -> None:
        now = self.clock.seconds()
        if data[:1] == MARK:
            self._path_datagram(data, source)
        elif self.gatherer.receive(data, source, now):
            self._gathered()
        else:
            for talk in [*([self.talk] if self.talk is not None else []), *self.lingering]:
                if talk.checks.receive(data, source, now):
                    talk.pump()
                    return

    def _path_datagram(self, data: bytes, source: Endpoint) -> None:
        path = self.links.get(data[1:9])
        if path is None and data[9:10] == b"H" and self.talk is not None and data[2:9] == self.talk.name[:7]:
            if self.talk.machine.offerer or not self.talk.checks.proved(source):
                return  # it is not expected from there
            path = self.path(data[1:9], source, self.talk, False)
            self.talk.called(path)
        if path is not None and path.remote == source:
            path.received(data[9:])

    def gather(self) -> None:
        """Ask the P2P server what is to be asked."""
        self.gatherer.handle_timer(self.clock.seconds())
        self._gathered()
        self.clock.callLater(max(self.gatherer.timer() - self.clock.seconds(), 0.05), self.gather)

    def _gathered(self) -> None:
        self.gatherer.handle_timer(self.clock.seconds())
        for data, target in self.gatherer.to_send():
            self.socket.send(data, target)
        while self.gatherer.next_change() is not None:
            if self.talk is not None and self.talk.told:
                new = [each for each in self.candidates() if each not in self.talk.told]
                self.talk.told += new
                self.signal(MoreCandidates(self.talk.name, new, "", self.gatherer.gathering))

    def candidates(self) -> list[Candidate]:
        found = [Candidate("host", UDP, *self.socket.address, 126)]
        seen = self.gatherer.found.reflexive
        if seen is not None and seen != self.socket.address:
            found.append(Candidate("reflexive", UDP, *seen, 100))
        return found

    def path(self, name: bytes, remote: Endpoint, talk: Talk, dialler: bool) -> Path:
        made = Path(
            self.clock,
            self.rng,
            name,
            remote,
            dialler=dialler,
            send=self.socket.send,
            up=lambda path: self.world.later(0.0, partial(talk.up, path)),
            frame=lambda path, frame: self.frame(path, frame, talk),
            down=lambda path, reason: self.path_down(path, reason, talk),
        )
        self.links[name] = made
        there = self.other.links.get(name)
        if there is not None:
            made.other, there.other = there, made
        return made

    def path_down(self, path: Path, reason: str, talk: Talk) -> None:
        self.links.pop(path.name, None)
        if path is self.channel:
            self.channel = None
            self.refresh()
            self.look_soon(0.5)
        elif not path.channel:
            talk.down(path, reason)

    def frame(self, path: Path, frame: object, talk: Talk) -> None:
        if frame == b"nominated":
            number = talk.number_of(path)
            talk.machine.nominated(number)
            talk.pump()
        elif isinstance(frame, Dispatch | bytes):
            self.arrived(frame)

    # --- negotiating

    def look(self) -> None:
        """Now and then: is there a channel?"""
        if self.channel is None:
            self.call()
        self.look_soon(RETRY * self.rng.uniform(0.8, 1.2))

    def look_soon(self, seconds: float) -> None:
        self.clock.callLater(seconds, self.look if seconds > 1.0 else self.call)

    def call(self) -> None:
        """Offer, unless there is a channel or something is under way."""
        if self.talk is not None or self.channel is not None or not self.online or not self.other.online:
            return
        tie_breaker = self.rng.getrandbits(62)
        talk = self.talk = Talk(self, self.rng.randbytes(16), tie_breaker, offerer=True)
        self.negotiations += 1
        talk.told = self.candidates()
        talk.offer = Offer(
            talk.name, tie_breaker, bytes(32), bytes(32), talk.told, ["udp"], more=self.gatherer.gathering
        )
        self.signal(talk.offer)

    def signalled(self, signal: Offer | Answer | MoreCandidates | Decline) -> None:
        now = self.clock.seconds()
        if isinstance(signal, Offer):
            self.offered(signal)
            return
        talk = self.talk
        if talk is None or talk.name != signal.negotiation:
            return
        if isinstance(signal, Answer):
            talk.machine.begin(signal.candidates, now, complete=not signal.more)
        elif isinstance(signal, MoreCandidates):
            talk.machine.more(signal.candidates, now, complete=not signal.more)
        else:
            talk.machine.declined(signal.reason)
        talk.pump()

    def offered(self, offer: Offer) -> None:
        mine = self.talk
        unanswered = mine is not None and mine.machine.state is State.OFFERED
        if mine is not None and mine.offer is not None and unanswered and stands(mine.offer, offer):
            return
        if mine is not None:
            self.ended(mine)
            for path in list(mine.paths.values()):
                path.drop("another offer came")
        self.negotiations += 1
        talk = self.talk = Talk(self, offer.negotiation, self.rng.getrandbits(62), offerer=False)
        talk.told = self.candidates()
        self.signal(Answer(talk.name, bytes(32), bytes(32), talk.told, ["udp"], "", self.gatherer.gathering))
        talk.machine.begin(offer.candidates, self.clock.seconds(), complete=not offer.more)
        talk.pump()

    def ended(self, talk: Talk) -> None:
        self.longest = max(self.longest, self.clock.seconds() - talk.begun)
        talk.checks.stop()
        if not talk.machine.over:
            talk.machine.abandon("over")
        if self.talk is talk:
            self.talk = None
        self.lingering = [*self.lingering[-3:], talk]

    def adopt(self, path: Path, talk: Talk) -> None:
        older, self.channel = self.channel, path
        path.channel = True
        self.ended(talk)
        for other in list(talk.paths.values()):
            if other is not path:
                other.drop("not needed")
        if older is not None:
            older.drop("replaced")
        self.refresh()

    def failed(self, talk: Talk) -> None:
        self.ended(talk)
        for path in list(talk.paths.values()):
            path.drop("failed")

    # --- messages

    def write(self) -> None:
        """A person writes."""
        seq = len(self.written) + 1
        message = Outgoing(bytes([self.number]) + seq.to_bytes(15), seq, "text", 0)
        self.written.append(message.id)
        self.oldest[seq] = min([each.seq for each in self.sending], default=seq)
        self.sending.add(message, [self.target])
        self.send_messages()

    def refresh(self) -> None:
        """The ways have changed."""
        ways: dict[str, Hashable] = {}
        if self.channel is not None:
            ways["direct"] = id(self.channel)
        if self.online and self.other.online:
            ways["relay"] = (self.session, self.other.session)
        self.sending.set_ways(self.target, ways)
        self.send_messages()

    def send_messages(self) -> None:
        for dispatch in self.sending.to_send(self.clock.seconds()):
            if dispatch.way == "direct" and self.channel is not None:
                self.channel.put(dispatch)
            elif dispatch.way == "relay":
                self.signal(dispatch)

    def arrived(self, body: Dispatch | bytes) -> None:
        """A message of the other side, or a receipt for one of mine."""
        if isinstance(body, bytes):
            self.sending.settle(self.target, body, DELIVERED, self.clock.seconds())
            self.send_messages()
            return
        message = body.message
        if message.id not in self.taken:
            self.taken.add(message.id)
            oldest = self.other.oldest[message.seq]
            for ready in self.arrivals.arrived(message.seq, oldest, message, self.clock.seconds()):
                self.show(ready)
        if self.channel is not None:
            self.channel.put(message.id)
        else:
            self.signal(message.id)

    def show(self, message: Outgoing) -> None:
        """Its turn has come."""
        self.shown.append(message.id)

    def second(self) -> None:
        """What is to be done about messages now and then."""
        for message in self.arrivals.expire(self.clock.seconds()):
            self.show(message)
        self.send_messages()

    # --- the session

    def signal(self, body: Body) -> None:
        self.world.carry(self, body)

    def sign_in(self) -> None:
        self.online = True
        self.session += 1

    def interrupt(self) -> None:
        self.online = False


class Schedule:
    """The world of one history.

    :param link: between each party and the internet.
    """

    def __init__(self, seed: int, one: str, other: str, link: Link) -> None:
        self.rng = random.Random(seed)
        self.clock = QuickClock()
        self.net = Internet(self.clock, self.rng)
        self.stun = StunWorld(self.net)
        self.delay = self.rng.choice((0.005, 0.05, 0.4))
        hosts = [place(self.net, kind, number, link) for number, kind in enumerate((one, other))]
        self.parties = [Party(self, host, number) for number, host in enumerate(hosts)]
        self.parties[0].other, self.parties[1].other = self.parties[1], self.parties[0]
        for party in self.parties:
            self.sign_in(party)
        self._second()

    def _second(self) -> None:
        for party in self.parties:
            party.second()
        self.clock.callLater(0.5, self._second)

    def carry(self, sender: Party, body: Body) -> None:
        """By the server, in order; lost with the session of either."""
        other, sessions = sender.other, (sender.session, sender.other.session)

        def arrive() -> None:
            if not (sender.online and other.online) or sessions != (sender.session, other.session):
                return
            if isinstance(body, Dispatch | bytes):
                other.arrived(body)
            else:
                other.signalled(body)

        if sender.online and other.online:
            self.clock.callLater(self.delay, arrive)

    def sign_in(self, party: Party) -> None:
        party.sign_in()
        self.both_refresh()

    def interrupt(self, party: Party) -> None:
        party.interrupt()
        if party.talk is not None and party.talk.machine.state is State.OFFERED:
            party.talk.machine.abandon("the connection to the server was lost")
            party.talk.pump()
        self.both_refresh()

    def both_refresh(self) -> None:
        for party in self.parties:
            party.refresh()

    def nat_of(self, party: Party) -> Nat | None:
        return party.host.network.gateway

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        self.clock.callLater(seconds, function)

    def run(self, seconds: float) -> None:
        pass_time(self.clock, seconds)


assert limits.NEGOTIATION_TIME < RETRY
