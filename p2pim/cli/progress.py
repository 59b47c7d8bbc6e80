"""Bars for transfers: bytes, rate, time left, route; on stderr, and only where that is a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from p2pim.cli.text import duration_text, printable, rate_text, route_text, size_text


class TransferBars:
    """A bar per transfer, fed with events."""

    def __init__(self, stream: IO[str]) -> None:
        self._progress = Progress(
            _Name(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[amount]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.fields[route]}", markup=False),
            console=Console(file=stream, markup=False, highlight=False),
            auto_refresh=False,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> TransferBars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def event(self, event: Mapping[str, Any]) -> None:
        """Draw what ``event`` changes."""
        transfer = str(event.get("transfer"))
        match event.get("event"):
            case "offer":
                self._offer(transfer, event)
            case "progress" if transfer in self._tasks:
                self._advance(self._tasks[transfer], event)
            case "completed" | "disrupted" | "stored" if transfer in self._tasks:
                self._finish(self._tasks[transfer], event)
        self._progress.refresh()

    def _offer(self, transfer: str, event: Mapping[str, Any]) -> None:
        if transfer in self._tasks:
            return
        self._tasks[transfer] = self._progress.add_task(
            printable(str(event["name"])), total=max(int(event["size"]), 1), amount=size_text(event["size"]),
            rate="", left="waits for an answer", route="",
        )  # fmt: skip

    def _advance(self, task: TaskID, event: Mapping[str, Any]) -> None:
        done, total, rate = event["bytes"], event["total"], event.get("rate") or 0
        self._progress.update(
            task, completed=done, total=max(total, 1), amount=f"{size_text(done)} of {size_text(total)}",
            rate=rate_text(rate), left=duration_text((total - done) / rate) if rate else "",
            route=route_text(event.get("route")),
        )  # fmt: skip

    def _finish(self, task: TaskID, event: Mapping[str, Any]) -> None:
        if event["event"] == "stored":
            self._progress.update(task, rate="", left="at the server", route="")
            return
        if event["event"] == "disrupted":
            self._progress.update(task, rate="", left=str(event["reason"]))
            return
        seconds = float(event.get("seconds") or 0)
        total = self._progress.tasks[task].total or 1
        self._progress.update(
            task, completed=total, amount=size_text(event["bytes"]), left=duration_text(seconds),
            rate=rate_text(event["bytes"] / seconds) if seconds else "", route=route_text(event.get("route")),
        )  # fmt: skip


class _Name(TextColumn):
    """The file's name, shortened where it would push the figures off the line; brackets in it are only brackets."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Any) -> Text:
        return Text(task.description[:30] + ("…" if len(task.description) > 30 else ""), no_wrap=True)
