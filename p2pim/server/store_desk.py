"""The server's store: who may put a file there, who may fetch it, and what becomes of it.

A file is uploaded by one device of its sender, and goes to whichever device of its recipient fetches it whole first;
then it is deleted, as it is when it is rejected, withdrawn or expired. Its row stays as a note of how it ended until
the sender's device has heard it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.limits import STORE_CONNECTIONS, STORE_FREE_KEPT, STORE_TICKET, STORE_TICKETS_PER_USER
from p2pim.core.names import canonical_name
from p2pim.errors import BadMessage, BadName, BadTicket, NoStore, NoSuchUser, StoredFileGone, TooMany
from p2pim.server.requests import Answer
from p2pim.server.sessions import Directory, Session
from p2pim.server.settings import FilesSection
from p2pim.server.store import Store
from p2pim.server.store_bulk import Bulk, BulkConnection, Download, Threads, Upload
from p2pim.storage import stored_files
from p2pim.storage.accounts import hash_secret
from p2pim.storage.stored_files import FETCHED, REJECTED, WITHDRAWN, Quotas, StoredFile, StoredFolder
from p2pim.wire.messages import Done, Message
from p2pim.wire.store import (
    AskStored,
    DownloadOpened,
    DropStored,
    OpenDownload,
    OpenUpload,
    StoredEnded,
    StoredState,
    StoredStates,
    UploadOpened,
)

_log = Logger()
TICKET_BYTES = 32


class _Grant:
    """What a ticket is good for."""

    def __init__(self, session: Session, file: StoredFile, offset: int | None, ends: float) -> None:
        self.session = session
        self.file = file
        self.offset = offset
        """Of a download; None for an upload."""
        self.ends = ends


class StoreDesk:
    """See the module.

    :param folder: where the bytes are; None: this server keeps no files.
    :param threads: runs disk jobs.
    :param random_bytes: a source of secrets, as `os.urandom`.
    :param wall: seconds since 1970.
    """

    def __init__(
        self,
        clock: IReactorTime,
        store: Store,
        directory: Directory,
        folder: StoredFolder | None,
        threads: Threads,
        random_bytes: Callable[[int], bytes],
        wall: Callable[[], float],
    ) -> None:
        self.section = FilesSection()
        self.threads = threads
        self.uploaded = 0
        """Bytes received from senders since the server started."""
        self._clock = clock
        self._store = store
        self._directory = directory
        self._folder = folder
        self._random_bytes = random_bytes
        self._wall = wall
        self._grants: dict[bytes, _Grant] = {}
        self._bulk: dict[Bulk, None] = {}
        self.answers: dict[type[Message], Answer] = {
            OpenUpload: self._open_upload,
            OpenDownload: self._open_download,
            DropStored: self._drop,
            AskStored: self._ask,
        }
        """What requests of signed-in devices are answered by."""

    # --- requests

    def _in_use(self) -> StoredFolder:
        if self._folder is None or not self.section.enabled:
            raise NoStore
        return self._folder

    async def _open_upload(self, session: Session, message: OpenUpload) -> Message:
        folder, me, to = self._in_use(), session.user.name, _canonical(message.to)
        if to == me:
            raise BadMessage("Nothing is stored for oneself.")
        free = await self.threads(folder.free) - STORE_FREE_KEPT
        reserve = partial(
            stored_files.reserve, sender=me, device=session.device, recipient=to, transfer=message.transfer,
            size=message.size, new_id=self._random_bytes(16), free=free, quotas=self._quotas(), now=self._wall(),
        )  # fmt: skip
        file = await self._store.write(reserve)
        ticket = self._grant(session, file, None)
        return UploadOpened(message.id, file.id, file.committed, ticket, STORE_TICKET, file.expires_at)

    def _quotas(self) -> Quotas:
        files = self.section
        return Quotas(files.quota, files.quota_per_sender, files.quota_per_recipient, files.days * 86_400.0)

    async def _open_download(self, session: Session, message: OpenDownload) -> Message:
        self._in_use()
        file = await self._store.read(partial(stored_files.find, file=message.file))
        if file is None or file.recipient != session.user.name:
            raise StoredFileGone
        if file.outcome:
            raise StoredFileGone(_GONE[file.outcome])
        if file.committed != file.size or message.offset >= file.size:
            raise BadMessage("This file is not there as a whole, or no longer than that.")
        return DownloadOpened(message.id, file.size, self._grant(session, file, message.offset), STORE_TICKET)

    def _grant(self, session: Session, file: StoredFile, offset: int | None) -> bytes:
        name = session.user.name
        held = sum(grant.session.user.name == name for grant in self._grants.values())
        held += sum(bulk.user == name for bulk in self._bulk)
        if held >= STORE_TICKETS_PER_USER or len(self._bulk) >= STORE_CONNECTIONS:
            raise TooMany("Too many uploads and downloads at once; it goes on by itself.", retry_after=5.0)
        ticket = self._random_bytes(TICKET_BYTES)
        self._grants[hash_secret(ticket)] = _Grant(session, file, offset, self._clock.seconds() + STORE_TICKET)
        return ticket

    async def _drop(self, session: Session, message: DropStored) -> Message:
        me = session.user.name
        file = await self._store.read(partial(stored_files.find, file=message.file))
        if file is not None and me == file.recipient and message.outcome in (FETCHED, REJECTED):
            await self._end(file, message.outcome, session)
        elif file is not None and me == file.sender:
            if file.outcome:
                await self._store.write(partial(stored_files.forget, file=file.id))
            else:
                await self._end(file, WITHDRAWN, session)
        return Done(message.id)

    async def _end(self, file: StoredFile, outcome: str, by: Session) -> None:
        work = partial(stored_files.end, file=file.id, outcome=outcome, now=self._wall())
        if await self._store.write(work) is None:
            return
        self._tell(file, outcome, by)
        await self._remove([file])

    async def _ask(self, session: Session, message: AskStored) -> Message:
        found = await self._store.read(partial(stored_files.find_all, files=message.files))
        mine = {file.id: file.state for file in found if session.user.name in (file.sender, file.recipient)}
        return StoredStates(message.id, [StoredState(file, mine.get(file, "unknown")) for file in message.files])

    # --- what became of a file

    def _tell(self, file: StoredFile, outcome: str, by: Session | None = None) -> None:
        """Those who are online hear it now; the others ask when they come."""
        for session in (*self._directory.of(file.sender), *self._directory.of(file.recipient)):
            mine = session.user.name != file.sender or session.device == file.sender_device
            if session is not by and mine:
                session.send(StoredEnded(file.id, outcome))

    async def _remove(self, files: list[StoredFile]) -> None:
        ids = {file.id for file in files}
        for bulk in list(self._bulk):
            if bulk.file.id in ids:
                bulk.cut(StoredFileGone())
        if self._folder is not None:
            await self.threads(partial(self._folder.delete, ids))

    async def expire(self) -> None:
        """End what is overdue, and remove what belongs to nobody."""
        if self._folder is None:
            return
        for file in (expired := await self._store.write(partial(stored_files.expire, now=self._wall()))):
            self._tell(file, stored_files.EXPIRED)
        await self._remove(expired)
        lying = await self.threads(self._folder.ids)
        kept = await self._store.read(stored_files.open_ids)  # read after the list: a row is older than its file
        if lying - kept:
            _log.info("removing {count} files of the store that belong to nobody", count=len(lying - kept))
            await self.threads(partial(self._folder.delete, lying - kept))

    # --- bulk

    def take(self, ticket: bytes, connection: BulkConnection) -> Bulk:
        """The upload or download for a connection that shows ``ticket``, which is thereby used up.

        :raises BadTicket: it is unknown, too old, or whoever asked for it has signed out.
        """
        grant = self._grants.pop(hash_secret(ticket), None)
        if grant is None or grant.ends < self._clock.seconds():
            raise BadTicket
        session = grant.session
        if self._directory.find(session.user.name, session.device) is not session or self._folder is None:
            raise BadTicket
        user, file = session.user.name, grant.file
        bulk: Upload | Download
        if grant.offset is None:
            bulk = Upload(self, connection, user, file)
            bulk.begin(self._start_upload(bulk, self._folder))
        else:
            bulk = Download(self, connection, user, file, grant.offset)
            bulk.begin(self._start_download(bulk, self._folder))
        return bulk

    async def _start_upload(self, bulk: Upload, folder: StoredFolder) -> None:
        """One connection writes to a file at a time: an older one, which its client has given up, ends first."""
        older = [each for each in self._bulk if isinstance(each, Upload) and each.file.id == bulk.file.id]
        self._bulk[bulk] = None
        try:
            for each in older:
                each.cut(BadTicket("This upload goes on over another connection."))
                each.lost()
                await _settled(each.over)
            file = await self._store.read(partial(stored_files.find, file=bulk.file.id))
            if file is None or file.outcome:
                raise StoredFileGone
            descriptor = await self.threads(partial(folder.open_for_upload, file.id, file.committed))
        except BaseException:
            bulk.not_started()
            raise
        await bulk.start(descriptor, file.committed)

    async def _start_download(self, bulk: Download, folder: StoredFolder) -> None:
        self._bulk[bulk] = None
        try:
            descriptor = await self.threads(partial(folder.open_for_download, bulk.file.id, bulk.file.size))
        except BaseException:
            bulk.not_started()
            raise
        await bulk.start(descriptor)

    def seconds(self) -> float:
        """The clock's time."""
        return self._clock.seconds()

    def later(self, call: Callable[[], None]) -> None:
        """At the next turn."""
        self._clock.callLater(0, call)

    async def grown(self, file: bytes, committed: int) -> bool:
        """Commit how far an upload is; whether it is still wanted."""
        work = partial(stored_files.grew, file=file, committed=committed, now=self._wall())
        return await self._store.write(work)

    def over(self, bulk: Bulk) -> None:
        """It has let go of its file."""
        self._bulk.pop(bulk, None)

    # --- watching

    def sweep(self, now: float) -> None:
        """Forget tickets that nobody used."""
        for ticket, grant in list(self._grants.items()):
            if grant.ends < now:
                del self._grants[ticket]

    def sever(self, user: str) -> None:
        """End the uploads and downloads of ``user``: the account is no more, or was signed out by the operator."""
        for ticket, grant in list(self._grants.items()):
            if grant.session.user.name == user:
                del self._grants[ticket]
        for bulk in list(self._bulk):
            if bulk.user == user:
                bulk.cut(BadTicket("You were signed out."))

    async def let_go(self) -> None:
        """Wait until every file is closed; their connections are gone by now."""
        for bulk in list(self._bulk):
            bulk.lost()
            await _settled(bulk.over)


_GONE = {
    FETCHED: "It was fetched by another of your devices.",
    REJECTED: "It was rejected, by another of your devices.",
    WITHDRAWN: "Its sender has withdrawn it.",
    stored_files.EXPIRED: "It waited too long and was deleted; ask for it to be sent again.",
}


def _canonical(name: str) -> str:
    try:
        return canonical_name(name)
    except BadName:
        raise NoSuchUser(f"There is no user {name!r} on this server.") from None


def _settled(over: Deferred[None]) -> Deferred[None]:
    """Fires when ``over`` does, for one more who waits for it."""
    waiting: Deferred[None] = Deferred()

    def pass_on(result: None) -> None:
        waiting.callback(None)

    over.addCallback(pass_on)
    return waiting
