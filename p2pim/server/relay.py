"""Envelopes from one device to another: the server's hot path.

A message costs a lookup of the recipient's session, four additions, and one encoding; its bytes go out with everything
else for that recipient when the turn ends. Whatever is not the rule (away, blocked, backed up) answers with `Failed`
and a reason, and the sender keeps its copy.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.limits import SEND_BACKLOG
from p2pim.core.names import canonical_name
from p2pim.errors import BadName, Blocked, NoSuchUser, Offline, P2pimError, RateLimited, RecipientBusy
from p2pim.server.mail import BLOCKED_BY_ME
from p2pim.server.names import KnownNames
from p2pim.server.sessions import Directory, Session
from p2pim.wire.messages import MESSAGE, Failed, Incoming, Send, encode

_log = Logger()

DEVICE_AWAY = "This device of the user is not connected."


class Relay:
    """Forwards envelopes.

    :param mail: what happens to those that carry a message id.
    """

    def __init__(
        self,
        clock: IReactorTime,
        directory: Directory,
        names: KnownNames,
        mail: Callable[[Session, Send], None],
    ) -> None:
        self._clock = clock
        self._users = directory.users
        self._names = names
        self._mail = mail

    def forward(self, sender: Session, envelope: Send) -> None:
        """Pass ``envelope`` on, or tell ``sender`` why not."""
        if envelope.message:
            self._mail(sender, envelope)
            return
        user = self._users.get(envelope.to)
        if user is not None:
            target = user.sessions.get(envelope.device)
            me = sender.user
            if (
                target is not None
                and target.client.output_bytes < SEND_BACKLOG
                and me.name not in user.entry.blocked
                and user.name not in me.entry.blocked
            ):
                payload, kind = envelope.payload, envelope.kind
                target.client.send_frame(encode(Incoming(me.name, sender.device, kind, payload)))
                if kind == MESSAGE:
                    size = len(payload)
                    counters = me.counters
                    counters.uploads += 1
                    counters.upload_bytes += size
                    counters = user.counters
                    counters.downloads += 1
                    counters.download_bytes += size
                return
        self._refuse(sender, envelope)

    def _refuse(self, sender: Session, envelope: Send) -> None:
        """The envelope did not go the short way: find out why, and whether it goes all the same."""
        try:
            name = canonical_name(envelope.to)
        except BadName as error:
            self._fail(sender, envelope, NoSuchUser(error.message))
            return
        if name != envelope.to and name in self._users:
            self.forward(sender, Send(envelope.id, name, envelope.device, envelope.kind, envelope.payload))
        elif name in self._users:
            self._fail(sender, envelope, self._why_not(sender, name, envelope.device))
        else:
            self._away(sender, envelope, name)

    def _why_not(self, sender: Session, name: str, device: bytes) -> P2pimError:
        user = self._users[name]
        if name in sender.user.entry.blocked:
            return Blocked(BLOCKED_BY_ME)
        if sender.user.name in user.entry.blocked:
            return Blocked()
        if device not in user.sessions:
            return Offline(DEVICE_AWAY)
        return RecipientBusy(retry_after=1.0)

    def _away(self, sender: Session, envelope: Send, name: str) -> None:
        if self._names.remembered(name):
            self._fail(sender, envelope, Offline())
            return
        wait = sender.bucket.take(self._clock.seconds())
        if wait:
            self._fail(sender, envelope, RateLimited(retry_after=wait))
            return
        looked_up = Deferred.fromCoroutine(self._look_up(sender, envelope, name))
        looked_up.addErrback(lambda failure: _log.failure("looking up the recipient of an envelope failed", failure))

    async def _look_up(self, sender: Session, envelope: Send, name: str) -> None:
        try:
            exists = await self._names.exists(name)
        except P2pimError as error:
            self._fail(sender, envelope, error)
            return
        if name in self._users:  # they came online meanwhile
            self.forward(sender, Send(envelope.id, name, envelope.device, envelope.kind, envelope.payload))
        else:
            self._fail(sender, envelope, Offline() if exists else NoSuchUser())

    @staticmethod
    def _fail(sender: Session, envelope: Send, error: P2pimError) -> None:
        sender.send(Failed(envelope.id, error.code, error.message, error.retry_after))
