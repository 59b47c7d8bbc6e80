"""Who may use a page: this browser, by its cookie; through our own names only; and no other page in that browser.

A **link** (``/enter/TOKEN``) lets one browser in, once, within ten minutes: the token becomes a **session**, kept by
the browser as a cookie. Of links and sessions only hashes are kept here. What another page does in that browser
carries the cookie too, so everything but going to a page must also come from our own origin (``Origin``,
``Sec-Fetch-Site``); and a name of the attacker's that resolves to this machine (DNS rebinding) is told by ``Host``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path

import msgspec

from p2pim.core.limits import LINK_TIME, LINKS, PAGE_SESSION_TIME, PAGE_SESSIONS
from p2pim.errors import ForeignRequest, LinkSpent, NotEntered
from p2pim.web.http import WebRequest
from p2pim.web.routing import OPEN, PAGE

TOKEN_BYTES = 32


class Kept(msgspec.Struct, frozen=True):
    """A session as it is kept: the hash of its token (hexadecimal), since when (wall clock), and whose it is."""

    digest: str
    since: float
    who: str = ""


Save = Callable[[list[Kept]], None]


class Sessions:
    """The browsers that were let in.

    :param wall: the time in seconds since 1970: sessions survive a restart.
    :param load: those of the last time. :param save: keeps them, whenever they change.
    """

    def __init__(
        self,
        wall: Callable[[], float],
        random_bytes: Callable[[int], bytes] = os.urandom,
        load: Callable[[], list[Kept]] = list,
        save: Save = lambda kept: None,
        lifetime: float = PAGE_SESSION_TIME,
    ) -> None:
        self._wall = wall
        self._random = random_bytes
        self._save = save
        self._lifetime = lifetime
        self._kept = load()[-PAGE_SESSIONS:]

    def open(self, who: str = "") -> str:
        """A new session: its token, for the cookie."""
        token = self._random(TOKEN_BYTES).hex()
        self._kept = [*self._alive(), Kept(_digest(token), self._wall(), who)][-PAGE_SESSIONS:]
        self._save(self._kept)
        return token

    def find(self, token: str) -> Kept | None:
        """The session of this token, or None."""
        digest, found = _digest(token), None
        for kept in self._alive():
            if compare_digest(kept.digest, digest):
                found = kept
        return found

    def end(self, digest: str) -> None:
        """It ends now."""
        self._kept = [kept for kept in self._alive() if kept.digest != digest]
        self._save(self._kept)

    def end_all(self, who: str | None = None) -> None:
        """All of them (or those of ``who``) end now."""
        self._kept = [] if who is None else [kept for kept in self._alive() if kept.who != who]
        self._save(self._kept)

    def _alive(self) -> list[Kept]:
        now = self._wall()
        return [kept for kept in self._kept if now - self._lifetime < kept.since <= now + 86_400]


class Links:
    """The one-time links that are still good, and what became of those that were used.

    :param clock: seconds, steadily.
    """

    def __init__(self, clock: Callable[[], float], random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._random = random_bytes
        self._links: dict[str, tuple[float, str]] = {}
        """Until when each is good, by hash; and the hash of the session that it became, once it was used."""

    def make(self) -> str:
        """A new link's token."""
        self._expire()
        while len(self._links) >= LINKS:
            del self._links[next(iter(self._links))]
        token = self._random(TOKEN_BYTES).hex()
        self._links[_digest(token)] = (self._clock() + LINK_TIME, "")
        return token

    def use(self, token: str, sessions: Sessions, *, suspicious: bool = True) -> str:
        """Let a browser in: its session's token.

        A link that comes a second time was in two hands, and nobody knows whose was the first: the session that it
        became ends (when ``suspicious``), so whoever stole it has nothing.

        :raises LinkSpent: it is no link (any more).
        """
        self._expire()
        digest, found = _digest(token), ""
        for known in self._links:
            if compare_digest(known, digest):
                found = known
        if not found:
            raise LinkSpent
        until, became = self._links[found]
        if became:
            if suspicious:
                sessions.end(became)
            raise LinkSpent
        session = sessions.open()
        self._links[found] = (until, _digest(session))
        return session

    def _expire(self) -> None:
        now = self._clock()
        self._links = {digest: link for digest, link in self._links.items() if link[0] > now}


class Guard:
    """The gate of a page.

    :param cookie: the name of the session's cookie. Cookies of a host are shared by all of its ports, so it differs
        from page to page.
    :param hosts: the names under which we may be asked, with ports, as in ``Host``; None: any, where a certificate
        vouches for the name.
    :param secure: whether it is served over TLS.
    """

    def __init__(
        self, sessions: Sessions, cookie: str, hosts: Callable[[], frozenset[str]] | None, *, secure: bool = False
    ) -> None:
        self.sessions = sessions
        self.cookie_name = cookie
        self._hosts = hosts
        self._secure = secure

    def check(self, request: WebRequest, access: str) -> None:
        """See `p2pim.web.http.Gate`.

        :raises ForeignRequest: another name or another page.
        :raises NotEntered: no cookie of a session.
        """
        self._check_host(request)
        if access == OPEN and request.method in (b"GET", b"HEAD"):
            return
        if access != PAGE or request.method not in (b"GET", b"HEAD"):
            self._check_origin(request)
        if access != OPEN:
            self.entered(request)

    def entered(self, request: WebRequest) -> Kept:
        """The session of ``request``.

        :raises NotEntered: there is none.
        """
        token = request.cookie(self.cookie_name)
        kept = self.sessions.find(token) if token else None
        if kept is None:
            raise NotEntered
        request.facts["session"] = kept
        return kept

    def set_cookie(self, token: str) -> str:
        """The cookie that keeps a session in its browser."""
        return (
            f"{self.cookie_name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={round(PAGE_SESSION_TIME)}"
            + ("; Secure" if self._secure else "")
        )  # fmt: skip

    def drop_cookie(self) -> str:
        """What makes the browser forget it."""
        return f"{self.cookie_name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"

    def _check_host(self, request: WebRequest) -> None:
        named = request.requestHeaders.getRawHeaders(b"Host") or []
        if len(named) != 1 or (self._hosts is not None and named[0].decode("latin-1").lower() not in self._hosts()):
            raise ForeignRequest("This address is not served under that name; use the one that `p2pim web` prints.")

    def _check_origin(self, request: WebRequest) -> None:
        """From our own page: browsers say so in two headers, which no page can set. A program sends neither, but has
        to have the cookie."""
        site = request.header("sec-fetch-site")
        if site not in ("", "same-origin"):
            raise ForeignRequest
        origin = request.header("origin")
        own = f"{'https' if self._secure else 'http'}://{request.header('host')}"
        if origin and origin.lower() != own.lower():
            raise ForeignRequest


def loopback_hosts(host: str, port: int) -> frozenset[str]:
    """The names under which a page at a loopback address may be asked."""
    literal = f"[{host}]" if ":" in host else host
    names = {literal, "localhost"}
    return frozenset({f"{name}:{port}" for name in names} | (names if port == 80 else set()))


def cookie_name(purpose: str, secret: str) -> str:
    """A cookie's name that no other page of ours on this host has: made from ``secret``, which it does not tell."""
    return f"p2pim-{purpose}-{blake2b(secret.encode(), digest_size=6, person=b'p2pim-cookie').hexdigest()}"


def kept_in(path: Path, write: Callable[[Path, bytes], None]) -> tuple[Callable[[], list[Kept]], Save]:
    """``load`` and ``save`` of `Sessions`, in a file that ``write`` keeps from others.

    A file that cannot be read lets nobody in; the next link begins a new one.
    """

    def load() -> list[Kept]:
        try:
            return msgspec.json.decode(path.read_bytes(), type=list[Kept])
        except (OSError, msgspec.MsgspecError):
            return []

    return load, lambda kept: write(path, msgspec.json.encode(kept))


def _digest(token: str) -> str:
    return blake2b(token.encode(), digest_size=32, person=b"p2pim-session").hexdigest()
