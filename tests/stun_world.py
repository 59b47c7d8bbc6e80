"""The P2P server's real answers on hosts of the in-memory internet, with one address or two."""

from __future__ import annotations

from p2pim.core.address_rate import AddressRates
from p2pim.core.stun_answers import Answer, Site, StunAnswers
from p2pim.core.stun_cookies import Cookies
from p2pim.wire.stun import Address
from tests.network import Endpoint, Host, Internet, Link, Received, UdpSocket

SERVER: Endpoint = ("198.51.100.10", 9901)
OTHER: Endpoint = ("198.51.100.11", 19901)


def pack_ip(host: str) -> bytes:
    return bytes(int(part) for part in host.split("."))


class StunWorld:
    """A P2P server at `SERVER`.

    :param second_address: whether it also has that of `OTHER`; its second port it always has.
    :param mute: ends from which nothing leaves, as behind the operator's firewall.
    """

    def __init__(self, world: Internet, *, second_address: bool = True, mute: tuple[Endpoint, ...] = ()) -> None:
        self.world = world
        self.answers = StunAnswers(Cookies(b"k" * 32), AddressRates(100.0, 300.0, 64, 12345))
        self.mute = mute
        self.sockets: dict[Endpoint, UdpSocket] = {}
        hosts = (SERVER[0], OTHER[0]) if second_address else (SERVER[0],)
        for place, host in enumerate(hosts):
            machine: Host = world.host(host, Link(0.01))
            for port, other in ((SERVER[1], OTHER[1]), (OTHER[1], SERVER[1])):
                there = Address(pack_ip(hosts[1 - place if len(hosts) > 1 else 0]), other)
                site = Site(Address(pack_ip(host), port), there)
                self.sockets[host, port] = machine.bind(port, self._receiver(site))

    def _receiver(self, site: Site) -> Received:
        def received(data: bytes, source: Endpoint) -> None:
            asker = Address(pack_ip(source[0]), source[1])
            answer = self.answers.answer(data, asker, site, self.world.clock.seconds())
            if isinstance(answer, Answer):
                origin = (".".join(map(str, answer.origin.ip)), answer.origin.port)
                if origin not in self.mute:
                    self.sockets[origin].send(answer.data, source)

        return received
