"""The server's figures for Prometheus, in a registry of its own: what other code of this process counts is not ours.

Everything is read when somebody asks; nothing is counted twice for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from p2pim import __version__
from p2pim.server.house import House
from p2pim.web.operator.feed import Feed
from p2pim.web.operator.view import View


class ServerCollector(Collector):
    """Reads the figures of ``house``."""

    def __init__(self, house: House, view: View, feed: Feed) -> None:
        self._house = house
        self._view = view
        self._feed = feed

    def collect(self) -> Iterator[Metric]:
        """All of them, as they are now."""
        yield InfoMetricFamily("p2pim_server", "The software.", value={"version": __version__})
        for name, what, value in self._gauges():
            yield GaugeMetricFamily(f"p2pim_{name}", what, value=value)
        for name, what, value in self._counters():
            yield CounterMetricFamily(f"p2pim_{name}", what, value=value)
        yield self._refusals()
        yield from self._p2p()

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        house, stored = self._house, self._view.stored
        yield "start_time_seconds", "When the server started, in seconds since 1970.", house.started
        yield "connections", "TCP connections to the server's port.", house.gate.connections
        yield "connections_unauthenticated", "Those of them that have not signed in.", house.gate.strangers
        yield "sessions", "Devices signed in.", house.directory.sessions
        yield "sessions_limit", "How many may be.", house.settings.limits.max_connections
        yield "users_online", "Users with a device signed in.", len(house.directory.users)
        yield "accounts", "Accounts.", stored.accounts
        yield "splices", "Relayed channels.", sum(1 for splice in house.splices.splices if splice.joined)
        yield "mailbox_messages", "Messages that wait in mailboxes.", stored.mail.get("messages", 0)
        yield "mailbox_bytes", "Their bytes.", stored.mail.get("bytes", 0)
        yield "stored_files", "Files kept for people who are away.", stored.files.get("files", 0)
        yield "stored_file_bytes", "Their bytes.", stored.files.get("bytes", 0)
        yield "operator_watchers", "Browsers that watch the operator's page.", self._feed.watchers

    def _counters(self) -> Iterator[tuple[str, str, float]]:
        reading = self._house.read_counters()
        yield "messages_relayed", "Messages relayed.", reading.messages
        yield "bytes_relayed", "Bytes through the server: messages, relayed channels, stored files.", reading.relayed
        yield "messages_direct", "Messages sent directly, as clients report.", reading.direct_messages
        yield "bytes_direct", "Bytes sent directly, as clients report.", reading.direct
        yield "operator_ticks", "Computations for the watchers of the operator's page.", self._feed.ticks

    def _refusals(self) -> Metric:
        refused = CounterMetricFamily("p2pim_refusals", "Strangers who were not let in.", labels=["code"])
        for code, times in sorted(self._house.refusals.by_code.items()):
            refused.add_metric([code], times)
        return refused

    def _p2p(self) -> Iterator[Metric]:
        counted = self._house.beside.counters()
        if counted is None:
            return
        questions = CounterMetricFamily("p2pim_p2p_requests", "Questions to the P2P server.", labels=["outcome"])
        for outcome in ("answers", "refused", "ignored"):
            questions.add_metric([outcome], float(str(counted[outcome])))
        yield questions


class Metrics:
    """The registry."""

    def __init__(self, house: House, view: View, feed: Feed) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(ServerCollector(house, view, feed))

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
