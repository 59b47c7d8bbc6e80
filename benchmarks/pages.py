"""How soon does the chat page show something, and does it ever make one wait, with a long history behind it?

A server, two agents, Debian's Chromium (driven by Playwright) with a window of 1200 × 800. Alice's home has 10,000
messages of a conversation with Bob, from one word to some paragraphs, some with links, some in Chinese. Her page is
opened at that conversation with nothing in the browser's cache, and these are read from the browser's own clocks:

- the first contentful paint, and when the last messages of the conversation stand on the screen, both since the
  navigation began;
- long tasks (over 50 ms, by PerformanceObserver) while the whole history is scrolled through with the wheel, from the
  newest message to the oldest and back, and the frames drawn meanwhile.

    python -m benchmarks.pages             # about two minutes
    python -m benchmarks.pages --messages 1000 --rounds 1
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import (
    Figures,
    Missing,
    Rig,
    interleave,
    parser,
    patient,
    print_machine,
    print_table,
    print_targets,
    write_json,
)
from benchmarks.p2pim_rig import Agent, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WORDS = (
    "the",
    "map",
    "of",
    "a",
    "valley",
    "with",
    "bread",
    "and",
    "rain",
    "by",
    "train",
    "until",
    "we",
    "meet",
    "again",
)
OBSERVE = """
window.longest = []; window.frames_drawn = 0; window.first = 0;
new PerformanceObserver((list) => longest.push(...list.getEntries().map(({ duration }) => duration)))
  .observe({ type: "longtask", buffered: true });
new PerformanceObserver((list) => {
  window.first ||= list.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0;
}).observe({ type: "paint", buffered: true });
const drawn = () => { window.frames_drawn += 1; requestAnimationFrame(drawn); };
requestAnimationFrame(drawn);
new MutationObserver((_, observer) => {
  if (!document.querySelector("[data-testid=message]")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.shown = performance.now(); }));
}).observe(document, { subtree: true, childList: true });
"""
WHERE = """() => { const list = document.querySelector("#messages");
  return [list.scrollTop, list.scrollHeight - list.clientHeight - list.scrollTop]; }"""
STEP = 1200
"""Pixels of one turn of the wheel: two screens, drawn before the next."""
PATIENCE = 120.0


def text(number: int, chance: random.Random) -> str:
    """What people write: mostly little."""
    if number % 50 == 7:
        return "\n\n".join(" ".join(chance.choices(WORDS, k=60)) for _ in range(3))
    if number % 31 == 5:
        return f"https://example.org/{'/'.join(chance.choices(WORDS, k=6))}?page={number}"
    if number % 17 == 3:
        return "如果下雨，我们可以改到星期天。" * chance.randint(1, 6)
    return " ".join(chance.choices(WORDS, k=chance.randint(1, 30)))


def fill(home: Path, messages: int) -> None:
    """Put a conversation with Bob into a home, one message every two minutes until now."""
    chance = random.Random(1)
    now = round(time.time() * 1000)
    rows = []
    for number in range(messages):
        sent = now - (messages - number) * 120_000
        mine = chance.random() < 0.5
        id = sent.to_bytes(6, "big") + chance.randbytes(10)
        device = b"" if mine else b"\1" * 16
        rows.append((id, device, number + 1, text(number, chance), sent, sent + 40, "read"))
    with closing(sqlite3.connect(home / "home.db", timeout=30)) as database, database:
        database.executemany(
            "INSERT INTO messages (id, user, device, seq, text, sent_at, received_at, route, state)"
            " VALUES (?, 'bob', ?, ?, ?, ?, ?, 'tcp', ?)",
            rows,
        )


def look(browser: Browser, alice: Agent, address: str) -> Figures:
    """Open the page, go through the history, and tell what the browser measured."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, locale="en-US")
    context.set_default_timeout(PATIENCE * 1000)
    try:
        entering = context.new_page()
        entering.goto(str(alice.command("web", "--no-open")[0]["url"]))
        entering.get_by_test_id("contact").first.wait_for()
        entering.close()
        context.new_cdp_session(page := context.new_page()).send("Network.clearBrowserCache")
        page.add_init_script(OBSERVE)
        page.goto(f"{address}/#bob")
        page.wait_for_function("() => window.shown && window.first")
        first, shown = page.evaluate("() => [window.first, window.shown]")
        loading = page.evaluate("() => { const found = longest; longest = []; return Math.max(0, ...found); }")
        frames, begun = page.evaluate("() => window.frames_drawn"), time.monotonic()
        turns = scroll(page, -STEP) + scroll(page, STEP)
        took = time.monotonic() - begun
        tasks = page.evaluate("() => longest")
        return {
            "first paint ms": first,
            "messages shown ms": shown,
            "longest task of loading ms": loading,
            "long tasks of scrolling": len(tasks),
            "longest of them ms": max(tasks, default=0.0),
            "turns of the wheel": turns,
            "frames/s": (page.evaluate("() => window.frames_drawn") - frames) / took,
        }
    finally:
        context.close()


def scroll(page: Page, step: int) -> int:
    """Turn the wheel until there is nothing more that way; so many turns."""
    page.mouse.move(700, 400)
    turns, still = 0, 0
    before: Any = None
    end = time.monotonic() + PATIENCE
    while still < 5 and time.monotonic() < end:
        page.mouse.wheel(0, step)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        now = page.evaluate(WHERE)
        still = still + 1 if now == before else 0
        before = now
        turns += 1
        if still:
            page.wait_for_timeout(50)
    return turns


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--messages", type=int, default=10_000)
    given = options.parse_args()
    with patient(), Rig(given.folder) as rig:
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise Missing("Playwright is not installed: pip install -e '.[test]'") from None
        if (chromium := shutil.which("chromium")) is None:
            raise Missing("Chromium is not installed: apt-get install chromium")
        server = Server(rig)
        alice, bob = (Agent(rig, server, name) for name in ("alice", "bob"))
        alice.command("add", "bob")
        bob.command("add", "alice")
        fill(alice.home, given.messages)
        address = str(alice.command("web", "--no-open")[0]["url"]).partition("/enter")[0]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=os.geteuid() != 0)
            name = f"{given.messages:,} messages"
            medians = interleave({name: partial(look, browser, alice, address)}, given.rounds)[name]
            version = browser.version
            browser.close()
    print_machine()
    print(f"Chromium {version}")
    print_table(f"The chat page with {given.messages:,} messages", ["", "median"], list(medians.items()))
    print_targets(
        [
            ("ms until the first paint", medians["first paint ms"], 1000.0, False),
            ("ms until the last messages are shown", medians["messages shown ms"], 1000.0, False),
            ("ms of the longest task while scrolling", medians["longest of them ms"], 50.0, False),
        ]
    )
    write_json(given.json, medians)


if __name__ == "__main__":
    main()
