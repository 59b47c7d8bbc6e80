"""A home's history, for programs: what was said, and what is to be forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from p2pim.core.limits import HISTORY_PAGE
from p2pim.core.message_ids import read_message_id
from p2pim.core.names import canonical_conversation
from p2pim.errors import Usage
from p2pim.peer.events import HistoryDeleted
from p2pim.peer.home_account import HomeAccount
from p2pim.storage.history import ConversationSummary, Deleted, HistoryEntry, Place


class HomeHistory(HomeAccount):
    """The history under a home; it can be read without the server. A group's conversation is named ``#NAME``."""

    async def history(
        self,
        user: str | None,
        search: str = "",
        limit: int = HISTORY_PAGE,
        before: str | int = "",
        after: str | int = "",
        oldest: bool = False,
    ) -> list[HistoryEntry]:
        """Up to ``limit`` messages with ``user`` (None: with everyone), oldest first.

        The newest, unless ``after`` is given or ``oldest`` set. Places are messages' ids, or their ``number``.

        :param search: only those that contain this text, whatever its case.
        :raises Usage: a place is none.
        """
        account = await self.opened()
        return await account.history.page(
            None if user is None else canonical_conversation(user),
            search=search,
            limit=limit,
            before=_place(before),
            after=_place(after),
            oldest=oldest,
        )

    async def message_members(self, group: str, message: str) -> list[tuple[str, str, int | None]]:
        """How far each member of ``#GROUP`` is with a message of mine: user, state, and since when (milliseconds since
        1970)."""
        account = await self.opened()
        name = canonical_conversation("#" + group.removeprefix("#"))[1:]
        return await account.groups.store.members(name, _message_id(message))

    async def conversations(self) -> list[ConversationSummary]:
        """All conversations with their last message and what is unread in them, the latest first."""
        return await (await self.opened()).history.conversations()

    async def delete_history(self, user: str, messages: Sequence[str] | None = None) -> Deleted:
        """Take these messages (their ids), or all, out of my history with ``user``, for good. Others keep theirs.

        What somebody has yet to get stays.
        """
        account = await self.opened()
        ids = None if messages is None else [_message_id(message) for message in messages]
        name = canonical_conversation(user)
        deleted = await account.history.delete(name, ids)
        if deleted.count:
            gone = None if messages is None else tuple(messages)
            self._emit(HistoryDeleted(at=self._wall(), user=name, ids=gone))
        return deleted


def _place(given: str | int) -> Place | None:
    if isinstance(given, int):
        return given
    return _message_id(given) if given else None


def _message_id(text: str) -> bytes:
    raw = read_message_id(text)
    if raw is None:
        raise Usage(f"{text!r} is no message id.")
    return raw
