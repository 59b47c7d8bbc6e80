"""What other devices say, by a channel or in an envelope: who of the account gets it."""

from __future__ import annotations

from p2pim.core.limits import TYPING_LEAST
from p2pim.errors import BadMessage, WireError
from p2pim.peer import events
from p2pim.peer.account_context import AccountContext
from p2pim.peer.channels import ChannelTable
from p2pim.peer.group_parts import GroupParts
from p2pim.peer.inbox import Inbox
from p2pim.peer.interfaces import IChannel
from p2pim.peer.look_ups import LookUps
from p2pim.peer.outbox import Outbox
from p2pim.peer.people import People
from p2pim.peer.queries import Queries
from p2pim.peer.seals import Seals
from p2pim.peer.transfers import Transfers
from p2pim.wire import messages as m
from p2pim.wire import signals as s


class Dispatcher:
    """Gives every signal to the part that it is for."""

    def __init__(
        self,
        context: AccountContext,
        people: People,
        look_ups: LookUps,
        seals: Seals,
        *,
        channels: ChannelTable,
        inbox: Inbox,
        outbox: Outbox,
        transfers: Transfers,
        groups: GroupParts,
        queries: Queries,
    ) -> None:
        self._context = context
        self._journal = context.journal
        self._people = people
        self._look_ups = look_ups
        self._seals = seals
        self._channels = channels
        self._inbox = inbox
        self._outbox = outbox
        self._transfers = transfers
        self._groups = groups
        self._queries = queries
        self._typed: dict[tuple[str, str], float] = {}

    def envelope(self, envelope: m.Incoming) -> None:
        """An envelope came through the server. One that cannot be read is its sender's fault and ends nothing."""
        user, device = envelope.sender, envelope.device
        try:
            signal = s.decode_signal(envelope.payload)
        except BadMessage as error:
            self._journal.write("error", user, f"an envelope could not be read: {error.message}")
            return
        if not isinstance(signal, s.Sealed):
            self._journal.write("error", user, "an envelope was not sealed, and was dropped")
            return
        if self._people.is_blocked(user):
            return
        self._look_ups.heard_from(user, device)
        if envelope.kind == m.MESSAGE or envelope.message:
            self._inbox.live(user, device, signal, envelope.message, "relay", str(self._context.server))
        else:
            self._seals.received(user, device, signal, lambda opened: self.opened(user, device, opened))

    def opened(self, user: str, device: bytes, signal: s.AnySignal) -> None:
        """A signal came sealed through the server."""
        if isinstance(signal, (*s.CHANNEL_ONLY, s.ChatMessage)):
            self._journal.write("error", user, "an envelope carried what may not come that way")
        else:
            self._signal(user, device, signal, None)

    def signal(self, user: str, device: bytes, signal: s.AnySignal, channel: IChannel) -> None:
        """A signal came over a channel: messages are sealed there too, since it is the same copy for every way."""
        if self._people.is_blocked(user):
            return
        if isinstance(signal, s.Sealed):
            self._inbox.live(user, device, signal, b"", channel.kind, channel.address)
        else:
            self._signal(user, device, signal, channel)

    def _signal(self, user: str, device: bytes, signal: s.AnySignal, channel: IChannel | None) -> None:
        if isinstance(signal, s.Receipt):
            route = channel.kind if channel is not None else "relay"
            self._outbox.receipt(user, device, signal.ids, signal.state, route)
            self._groups.receipt(user, device, signal.ids, signal.state, route)
        elif isinstance(signal, s.Typing):
            self._typing(user, signal.conversation, channel)
        elif isinstance(signal, s.Query):
            self._queries.asked(user, device, signal)
        elif isinstance(signal, s.Reply):
            self._queries.replied(user, device, signal)
        elif isinstance(signal, s.TRANSFER):
            self._transfer_signal(user, device, signal, channel)
        elif isinstance(signal, s.ReadMark) and user == self._context.user:
            self._context.emit(events.ConversationRead(at=self._context.wall(), user=signal.conversation))
        elif isinstance(signal, s.NEGOTIATION) and channel is None:
            self._channels.envelope(user, device, signal)

    def _typing(self, user: str, conversation: str, channel: IChannel | None) -> None:
        """Somebody is writing to me: shown of contacts and of those on a channel, and not more often than is of use; or
        to a group that both of us are in."""
        now = self._context.reactor.seconds()
        if conversation and not self._groups.known.has_member(conversation, user):
            return
        if not conversation and channel is None and not self._people.knows_me(user):
            return
        self._typed = {what: at for what, at in self._typed.items() if now - at < TYPING_LEAST}
        if (user, conversation) not in self._typed:
            self._typed[user, conversation] = now
            self._context.emit(events.Typing(at=self._context.wall(), user=user, group=conversation or None))

    def _transfer_signal(self, user: str, device: bytes, signal: s.AnySignal, channel: IChannel | None) -> None:
        try:
            self._transfers.signal_received(user, device, signal, channel)
        except WireError as error:
            if channel is not None:
                raise
            self._journal.write("error", user, f"a signal made no sense: {error.message}")
