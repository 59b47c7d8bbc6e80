"""A peer's way to the server's store: requests over the session, bytes over a connection of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError, UserError
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from p2pim.errors import ChannelClosed, P2pimError, ServerUnreachable, UnexpectedMessage, from_wire
from p2pim.net.server_connection import ServerConnection, call_server, server_endpoint
from p2pim.net.trust import ServerAddress, ServerTls, Trust
from p2pim.wire.messages import PROTOCOL_VERSION, FromServer, Hello, Message, Refused
from p2pim.wire.signals import FileLeft
from p2pim.wire.store import (
    AskStored,
    BulkReady,
    Chunk,
    Committed,
    DownloadOpened,
    DropStored,
    OpenDownload,
    OpenUpload,
    StoredStates,
    UploadOpened,
    UseTicket,
)

T = TypeVar("T")
Post = Callable[[str, FileLeft], Awaitable[None]]
MAILBOX: Final = "mailbox"
"""How people are told of this way."""


@implementer(IPushProducer)
class StoreLink:
    """A connection for one upload or download.

    :ivar kind: the route, as for channels.
    :ivar lost: told why when it ends, unless `close` was called.
    :ivar took: takes (offset, sealed bytes) of a download.
    :ivar committed: told how far an upload is on the server's disk.
    """

    kind = MAILBOX
    rtt = None

    def __init__(self, ticket: bytes) -> None:
        self.offset = 0
        """From where on the bytes go, once `ready` has fired."""
        self.ready: Deferred[None] = Deferred()
        self.lost: Callable[[P2pimError], None] = lambda error: None
        self.took: Callable[[int, bytes], None] = lambda offset, data: None
        self.committed: Callable[[int], None] = lambda offset: None
        self._ticket = ticket
        self._connection: ServerConnection | None = None
        self._over = False
        self._room: Deferred[None] | None = None

    # --- an upload

    async def send(self, offset: int, data: bytes) -> None:
        """Send sealed bytes, once there is room for them.

        :raises P2pimError: the connection is gone.
        """
        if self._room is not None:
            await self._room
        if self._connection is None:
            raise ChannelClosed
        self._connection.send(Chunk(offset, data))
        self._connection.write_out()

    def resumeProducing(self) -> None:
        """The server reads."""
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def pauseProducing(self) -> None:
        """The server does not read."""
        if self._room is None:
            self._room = Deferred()

    def stopProducing(self) -> None:
        """It is going; `connection_ended` follows."""

    # --- a download

    def read_on(self, on: bool) -> None:
        """Take what comes, or not for now."""
        transport: Any = self._connection.transport if self._connection is not None else None
        if transport is not None:
            (transport.resumeProducing if on else transport.pauseProducing)()

    # --- both

    def close(self) -> None:
        """It is not needed any more."""
        self._over = True
        connection, self._connection = self._connection, None
        if connection is not None:
            self.resumeProducing()
            connection.end(ChannelClosed())

    def connection_trusted(self, connection: ServerConnection) -> None:
        """TLS stands: show the ticket."""
        if self._over:
            connection.end(ChannelClosed())
            return
        self._connection = connection
        transport: Any = connection.transport
        transport.registerProducer(self, True)
        connection.send(Hello(PROTOCOL_VERSION))
        connection.send(UseTicket(self._ticket))

    def message_received(self, connection: ServerConnection, message: FromServer) -> None:
        """Something of the server's."""
        if isinstance(message, Refused):
            connection.end(from_wire(message.code, message.message, message.retry_after))
        elif isinstance(message, BulkReady) and not self.ready.called:
            connection.introduced()
            self.offset = message.offset
            self.ready.callback(None)
        elif isinstance(message, Chunk) and self.ready.called:
            self.took(message.offset, message.data)
        elif isinstance(message, Committed):
            self.committed(message.offset)
        else:
            raise UnexpectedMessage

    def connection_ended(self, connection: ServerConnection, reason: P2pimError) -> None:
        """It is over."""
        was_open, self._connection = not self._over, None
        self._over = True
        self.resumeProducing()
        if not self.ready.called:
            self.ready.errback(reason)
        elif was_open:
            self.lost(reason)


class RequestingSession(Protocol):
    """What is needed of the session."""

    server: ServerAddress
    trust: Trust

    async def request(self, message_factory: Callable[[int], Message]) -> Message: ...


class StoreAccess:
    """See the module.

    :param post: leaves a signal, sealed, with every device of a user; fires when it will not be lost any more.
    :param alone: whether the account has no other device.
    """

    def __init__(self, reactor: Any, session: RequestingSession, post: Post, alone: Callable[[], bool]) -> None:
        self._reactor = reactor
        self._session = session
        self.post = post
        self.alone = alone

    async def open_upload(self, to: str, transfer: bytes, size: int) -> UploadOpened:
        """A place for ``size`` sealed bytes. Raises a `P2pimError`."""
        return await self._asked(UploadOpened, lambda number: OpenUpload(number, to, transfer, size))

    async def open_download(self, file: bytes, offset: int) -> DownloadOpened:
        """A ticket for ``file`` from the sealed ``offset`` on. Raises a `P2pimError`."""
        return await self._asked(DownloadOpened, lambda number: OpenDownload(number, file, offset))

    async def drop(self, file: bytes, outcome: str) -> None:
        """``file`` is not needed any more. Raises a `P2pimError`."""
        await self._session.request(lambda number: DropStored(number, file, outcome))

    async def states(self, files: list[bytes]) -> dict[bytes, str]:
        """What has become of ``files``. Raises a `P2pimError`."""
        answer = await self._asked(StoredStates, lambda number: AskStored(number, files))
        return {each.file: each.state for each in answer.states}

    async def _asked(self, kind: type[T], factory: Callable[[int], Message]) -> T:
        answer = await self._session.request(factory)
        if not isinstance(answer, kind):
            raise ServerUnreachable("The server answered with something else.")
        return answer

    async def link(self, ticket: bytes) -> StoreLink:
        """A connection for the upload or download of ``ticket``, ready.

        :raises P2pimError: there is none to be had.
        """
        session, link = self._session, StoreLink(ticket)
        endpoint = server_endpoint(self._reactor, session.server)
        try:
            await call_server(self._reactor, endpoint, ServerTls(session.server, session.trust), link)
        except (ConnectError, DNSLookupError, UserError, OSError) as error:
            raise ServerUnreachable(f"{session.server} cannot be reached: {error}") from None
        await link.ready
        return link
