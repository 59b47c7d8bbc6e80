"""The part of a server that knows devices and their keys and forwards envelopes, as dictionaries; and peers' `Seals` on
real databases that use it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from p2pim.core.identity import identity_bytes, one_time_bytes, signed_by
from p2pim.errors import BadKeys, NotSignedIn, Offline, P2pimError
from p2pim.peer.events import Event
from p2pim.peer.seals import Seals
from p2pim.storage.database import Database
from p2pim.wire import keys as k
from p2pim.wire.messages import Done, Limits, Message, Person, Welcome
from p2pim.wire.signals import AnySignal, Sealed, Signal, decode_signal

PICKLE_KEY = b"k" * 32


class KeyServer:
    """Devices, keys, and who is connected.

    `asked` is every request; `forwarded` every envelope as (from, to, payload). What `tamper` returns for an envelope
    is forwarded in its place: none, it or several.
    """

    def __init__(self) -> None:
        self.identities: dict[tuple[str, bytes], k.Identity | None] = {}
        self.names: dict[bytes, str] = {}
        self.one_time: dict[bytes, list[k.OneTimeKey]] = {}
        self.fallbacks: dict[bytes, k.OneTimeKey] = {}
        self.connected: dict[bytes, SealingPeer] = {}
        self.asked: list[Message] = []
        self.forwarded: list[tuple[bytes, bytes, bytes]] = []
        self.tamper: Callable[[bytes, bytes, bytes], list[bytes]] = lambda origin, to, payload: [payload]

    # --- keys

    def known(self, user: str, device: bytes, name: str = "") -> None:
        """There is such a device, with keys or without."""
        self.identities.setdefault((user, device), None)
        self.names.setdefault(device, name)
        self.one_time.setdefault(device, [])

    def keys_left(self, user: str, device: bytes) -> int:
        return -1 if self.identities[user, device] is None else len(self.one_time[device])

    def answer(self, user: str, device: bytes, message: Message) -> Message:
        self.asked.append(message)
        if isinstance(message, k.PublishKeys):
            return self.publish(user, device, message)
        if isinstance(message, k.ListDevices):
            return k.DeviceLists(message.id, [self.list(name) for name in message.users])
        if isinstance(message, k.ClaimKeys):
            return k.ClaimedKeys(message.id, [self.claim(each.user, each.device) for each in message.claims])
        if isinstance(message, k.RenameDevice):
            self.names[message.device] = message.name
            return Done(message.id)
        assert isinstance(message, k.RemoveDevice)
        del self.identities[user, message.device]
        return Done(message.id)

    def publish(self, user: str, device: bytes, message: k.PublishKeys) -> k.KeysLeft:
        i = message.identity
        assert signed_by(i.ed25519, i.signature, identity_bytes(user, device, i.ed25519, i.curve25519))
        if self.identities[user, device] not in (None, i):
            raise BadKeys
        self.identities[user, device] = i
        for key in [*message.one_time, *([message.fallback] if message.fallback else [])]:
            assert signed_by(i.ed25519, key.signature, one_time_bytes(user, device, key.id, key.key, key.fallback))
        self.one_time[device] += message.one_time
        if message.fallback is not None:
            self.fallbacks[device] = message.fallback
        return k.KeysLeft(message.id, len(self.one_time[device]))

    def list(self, user: str) -> k.DeviceList:
        return k.DeviceList(
            user,
            [
                k.KnownDevice(device, self.names[device], identity, 1.0)
                for (owner, device), identity in self.identities.items()
                if owner == user
            ],
        )

    def claim(self, user: str, device: bytes) -> k.ClaimedKey:
        keys = self.one_time.get(device, [])
        key = keys.pop(0) if keys else self.fallbacks.get(device)
        return k.ClaimedKey(user, device, self.identities.get((user, device)), key)

    def tell_devices(self, user: str) -> None:
        """Everyone connected is told of the devices of ``user``."""
        for peer in list(self.connected.values()):
            peer.seals.devices_changed(self.list(user))

    # --- envelopes

    def forward(self, origin: SealingPeer, to: bytes, payload: bytes, on_failed: Any) -> None:
        self.forwarded.append((origin.device, to, payload))
        other = self.connected.get(to)
        if other is None:
            if on_failed is not None:
                reactor.callLater(0, on_failed, Offline())
            return
        for each in self.tamper(origin.device, to, payload):
            reactor.callLater(0, other.take, origin.user, origin.device, each)


class SealingPeer:
    """A device with a home's database and nothing else of a peer."""

    def __init__(self, server: KeyServer, user: str, number: int, path: Path) -> None:
        self.server, self.user, self.device, self.path = server, user, bytes([number]) * 16, path
        self.events: list[Event] = []
        self.log: list[str] = []
        self.got: list[AnySignal] = []
        self.again: list[list[bytes]] = []
        self.arrival: Deferred[None] = Deferred()
        self.now = 1_700_000_000.0
        self.online = False
        server.known(user, self.device, f"{user}'s {number}")

    async def open(self) -> None:
        self.database = Database(reactor, self.path, "peer")
        self.seals = Seals(
            reactor,
            lambda: self.now,
            database=self.database,
            session=self,
            user=self.user,
            device=self.device,
            key=PICKLE_KEY,
            emit=self.events.append,
            journal=lambda kind, user, text: self.log.append(f"{user}: {text}"),
            random_bytes=os.urandom,
            again=lambda user, device, ids: self.again.append(ids),
            from_thread=reactor.callFromThread,  # type: ignore[attr-defined]
        )
        await self.seals.load()

    def sign_in(self, *contacts: str) -> None:
        self.online = True
        self.server.connected[self.device] = self
        people = [Person(name, "online", [], "contact") for name in contacts]
        left = self.server.keys_left(self.user, self.device)
        self.seals.signed_in(
            Welcome(b"s", self.user, "a", None, 5.0, 30.0, Limits(1, 1, 1), b"t", people, keys_left=left)
        )

    def sign_out(self) -> None:
        self.online = False
        self.server.connected.pop(self.device, None)
        self.seals.interrupted()

    async def close(self) -> None:
        self.sign_out()
        self.seals.stop()
        await self.database.close()

    # --- its session

    async def request(self, message_factory: Callable[[int], Message]) -> Message:
        if not self.online:
            raise NotSignedIn
        return self.server.answer(self.user, self.device, message_factory(1))

    def send_envelope(
        self,
        user: str,
        device: bytes,
        kind: int,
        payload: bytes,
        on_failed: Callable[[P2pimError], None] | None = None,
        message: bytes = b"",
    ) -> None:
        self.server.forward(self, device, payload, on_failed)

    # --- what comes

    def take(self, user: str, device: bytes, payload: bytes) -> None:
        sealed = decode_signal(payload)
        assert isinstance(sealed, Sealed)
        self.seals.received(user, device, sealed, self._got)

    def _got(self, signal: AnySignal) -> None:
        self.got.append(signal)

    def send(self, other: SealingPeer, signal: Signal, message: bytes = b"") -> None:
        self.seals.send(other.user, other.device, signal, message=message)

    def seals_ready(self, user: str) -> Deferred[list[bytes]]:
        return Deferred.fromCoroutine(self.seals.ready(user))

    def seals_load(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.seals.load())
