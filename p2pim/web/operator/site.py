"""What is where on the operator's page, and what each of it does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs

from prometheus_client import CONTENT_TYPE_LATEST

from p2pim.errors import LinkSpent, NoOperatorPassword, NotEntered, P2pimError, Usage, WrongPassword
from p2pim.server.admin_socket import AdminDesk
from p2pim.server.house import House
from p2pim.web.answers import Answer, json_answer, see_other, status_of
from p2pim.web.assets import LANGUAGES, Assets
from p2pim.web.guard import Guard, Links, Sessions
from p2pim.web.http import WebRequest
from p2pim.web.operator.access import LOCAL, SIGNED_IN, LocalOperator, MetricsToken, PasswordDoor, host_of
from p2pim.web.operator.feed import Feed
from p2pim.web.operator.metrics import Metrics
from p2pim.web.operator.view import View
from p2pim.web.routing import API, OPEN, Routes
from p2pim.web.sse import serve_events

ACTIONS: Final = {"kick": "kick", "disable": "user-disable", "enable": "user-enable", "invite": "invite"}
"""What can be done from the page, and what the operator's command for it is called."""


class OperatorSite:
    """The routes.

    :param desk: carries out commands. :param local: knows the operator's own browser.
    """

    def __init__(self, house: House, desk: AdminDesk, sessions: Sessions, local: LocalOperator) -> None:
        self._house = house
        self._desk = desk
        self._sessions = sessions
        self._local = local
        self._door = PasswordDoor(house)
        self._view = View(house)
        self.feed = Feed(house.clock, house.live, self._view, lambda: house.random_bytes(8).hex())
        self._metrics = Metrics(house, self._view, self.feed)
        self.links = Links(house.clock.seconds, house.random_bytes)
        self.token = MetricsToken()
        self.assets = Assets()
        self.guard: Guard

    def routes(self) -> Routes:
        """All of them."""
        routes = Routes()
        routes.add("GET", "/", self._get_page, OPEN)
        routes.add("GET", "/enter/{token}", self._enter, OPEN)
        routes.add("GET", "/sign-in", self._get_sign_in, OPEN)
        routes.add("POST", "/sign-in", self._sign_in, OPEN)
        routes.add("POST", "/sign-out", self._sign_out, API)
        routes.add("GET", "/api/1/table", self._get_table, API)
        routes.add("GET", "/api/1/changes", self._get_changes, API)
        routes.add("POST", "/api/1/{action}", self._act, API)
        routes.add("GET", "/metrics", self._get_metrics, OPEN)
        routes.add("GET", "/health", self._get_health, OPEN)
        self.assets.serve(routes)
        return routes

    # --- coming in

    async def _get_page(self, request: WebRequest) -> Answer:
        """The page itself. Whoever was led here by another page comes without the (strict) cookie, and is sent once
        more, by ourselves; so is whoever has just been given one."""
        if self._is_in(request):
            return self.assets.page("operator.html", request)
        if request.header("sec-fetch-site") in ("cross-site", "same-site"):
            return self.assets.page("again.html", request)
        if not request.query("again") and self._local.is_behind(request):
            return see_other(_at("/?again=1", request), self.guard.set_cookie(self._sessions.open(LOCAL)))
        return see_other(_at("/sign-in", request))

    def _is_in(self, request: WebRequest) -> bool:
        try:
            self.guard.entered(request)
        except NotEntered:
            return False
        return True

    async def _enter(self, request: WebRequest) -> Answer:
        if "prefetch" in request.header("sec-purpose") + request.header("purpose"):
            return Answer(status=503)  # a browser's guess what comes next must not use the link up
        if self._is_in(request):
            return see_other("/")
        suspicious = request.header("sec-fetch-site") in ("", "none", "same-origin")
        try:
            token = self.links.use(request.facts["token"], self._sessions, suspicious=suspicious)
        except LinkSpent as error:
            self._house.complain(host_of(request), f"{error.code}: at the operator's page", error.code)
            raise
        return see_other("/", self.guard.set_cookie(token))

    async def _get_sign_in(self, request: WebRequest) -> Answer:
        if self._is_in(request):
            return see_other("/")
        return self._sign_in_page(request)

    def _sign_in_page(self, request: WebRequest, error: P2pimError | None = None) -> Answer:
        status = 200 if error is None else _SIGN_IN_STATUSES.get(type(error), status_of(error))
        code = error.code if error is not None else ""
        seconds = max(1, round(error.retry_after)) if error is not None else 0
        page = self.assets.page("sign_in.html", request, status=status, code=code, seconds=seconds)
        # Without a referrer browsers name no origin with a form, and it would be taken for another page's.
        return replace(page, headers=(*page.headers, ("Referrer-Policy", "same-origin")))

    async def _sign_in(self, request: WebRequest) -> Answer:
        assert request.content is not None
        try:
            fields = parse_qs(request.content.read().decode("utf-8", "replace"), max_num_fields=8)
        except ValueError:
            raise Usage("The form has too many fields.") from None
        password = (fields.get("password") or [""])[0]
        try:
            await self._door.prove(password, host_of(request))
        except P2pimError as error:
            return self._sign_in_page(request, error)
        return see_other("/?again=1", self.guard.set_cookie(self._sessions.open(SIGNED_IN)))

    async def _sign_out(self, request: WebRequest) -> Answer:
        self._sessions.end(request.facts["session"].digest)
        return Answer(status=204, cookies=(self.guard.drop_cookie(),))

    # --- what it shows

    async def _get_table(self, request: WebRequest) -> Answer:
        return Answer(body=await self.feed.snapshot(), kind="application/json")

    async def _get_changes(self, request: WebRequest) -> None:
        await serve_events(request, self.feed.watch, self._house.clock)

    # --- what can be done

    async def _act(self, request: WebRequest) -> Answer:
        command = ACTIONS.get(request.facts["action"])
        if command is None:
            raise Usage(f"There is no such action; there are {', '.join(ACTIONS)}.")
        result = await self._desk.run(command, request.json())
        self.feed.soon()
        return json_answer(result)

    # --- for programs

    async def _get_metrics(self, request: WebRequest) -> Answer:
        if not (self.token.is_shown(request) or self._is_in(request) or self._local.is_behind(request)):
            raise NotEntered(
                "Metrics are for the operator, and for those who show the token of [web] metrics_token_file."
            )
        await self._view.look()
        return Answer(body=self._metrics.text(), kind=CONTENT_TYPE_LATEST)

    async def _get_health(self, request: WebRequest) -> Answer:
        problems = await self._house.health.problems()
        if problems:
            return json_answer({"status": "failing", "problems": problems}, 503)
        return json_answer({"status": "ok"})


def _at(path: str, request: WebRequest) -> str:
    """``path`` in the language that was asked for."""
    lang = request.query("lang")
    return f"{path}{'&' if '?' in path else '?'}lang={lang}" if lang in LANGUAGES else path


_SIGN_IN_STATUSES: Final[dict[type[Any], int]] = {WrongPassword: 401, NoOperatorPassword: 403}
