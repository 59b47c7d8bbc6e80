"""Files from page to page."""

from __future__ import annotations

import hashlib
import re
import signal
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from tests.browser.chromium import expect
from tests.browser.people import BrowserCase, ChatPage, Resident

if TYPE_CHECKING:
    from playwright.sync_api import Locator

MIB = 2**20
LARGE = 100
HOSTILE = "<img src=x onerror=alert(1)> \u202egnp.exe &amp; #?%2e"
"""A file's name: markup, an override of direction, and what means something in addresses."""

DROP = """
async ([name, mib]) => {
  const block = new Uint8Array(2 ** 20).map((_, n) => (n * 7 + (n >> 8)) & 255);
  const parts = Array.from({ length: mib }, (_, n) => [new Uint8Array([n]), block]).flat();
  const dropped = new DataTransfer();
  dropped.items.add(new File(parts, name, { lastModified: 1500000000000 }));
  const tell = (kind) => document.querySelector("#messages").dispatchEvent(
    new DragEvent(kind, { dataTransfer: dropped, bubbles: true, cancelable: true }));
  tell("dragenter");
  tell("dragover");
  const covered = !document.querySelector(".drop-cover").hidden;
  tell("drop");
  return covered;
}
"""


def dropped_digest(mib: int) -> str:
    """Of what `DROP` drops."""
    digest = hashlib.sha256()
    block = bytes((n * 7 + (n >> 8)) & 255 for n in range(MIB))
    for number in range(mib):
        digest.update(bytes([number]) + block)
    return digest.hexdigest()


def dropped_size(mib: int) -> int:
    """Bytes of what `DROP` drops."""
    return mib * (MIB + 1)


def picture(path: Path, width: int, height: int) -> None:
    """A PNG of that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x * y) & 255 for x in range(width) for _ in range(3)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


class FilesTests(BrowserCase):
    """Two people, each before their page."""

    def setting(self) -> tuple[Resident, Resident, ChatPage, ChatPage]:
        """Alice and bob, talking with one another."""
        alice, bob = self.people("alice", "bob")
        a, b = alice.open(), bob.open()
        a.open("bob")
        b.open("alice")
        return alice, bob, a, b

    def send(self, page: ChatPage, path: Path, *, folder: bool = False, comment: str = "") -> None:
        page.by("attach-folder-input" if folder else "attach-input").set_input_files(path)
        page.by("files-comment").fill(comment)
        page.by("send-files").click()

    def card(self, page: ChatPage, name: str, state: str) -> Locator:
        """The one transfer of that name, in the conversation, once it stands so."""
        card = page.by("messages").locator(f'[data-testid=transfer][data-state="{state}"]').filter(has_text=name)
        expect(card).to_have_count(1)
        return card

    def stop_at_first_progress(self, sender: Resident, receiver: Resident) -> Deferred[dict[str, Any]]:
        """Halt the sender's agent as soon as the receiver's tells that something arrived; fires with what it told."""
        halted: Deferred[dict[str, Any]] = Deferred()

        def heed(event: dict[str, Any]) -> None:
            if event["event"] == "progress" and not halted.called:
                self.signal(sender, signal.SIGSTOP)
                halted.callback(event)

        receiver.person.heed = heed
        return halted

    def signal(self, resident: Resident, number: int) -> None:
        assert resident.person.agent is not None
        resident.person.agent.send_signal(number)

    def talk(self, one: ChatPage, other: ChatPage, text: str) -> None:
        """A word to and fro: whatever the agents had to say to one another before has been said."""
        for here, there in ((one, other), (other, one)):
            here.write(text)
            expect(there.message(text)).to_have_count(1 if here is one else 2)

    def status(self, resident: Resident) -> dict[str, Any]:
        """Of the only transfer."""
        (status,) = resident.ask("transfers")["transfers"]
        return dict(status)

    def test_what_is_dropped_on_a_conversation_is_paused_goes_on_from_there_and_arrives_whole(self) -> None:
        """A large file, under a name that is text and nothing else; its sender is halted in the middle of it, so that
        somebody can pause it there however fast the machine is, and let it go on later."""
        alice, bob, a, b = self.setting()
        self.assertTrue(a.page.evaluate(DROP, [HOSTILE, LARGE]))
        a.by("files-comment").fill("<b>all of it</b>")
        a.by("files-comment").press("Enter")
        offer = self.card(b, HOSTILE, "offered")
        expect(offer).to_contain_text("alice offers it to you")
        expect(offer).to_contain_text("<b>all of it</b>")
        halted = self.stop_at_first_progress(alice, bob)
        offer.get_by_test_id("accept").click()
        self.until(b.page, lambda: halted.called)
        self.card(b, HOSTILE, "running").get_by_test_id("pause").click()
        expect(self.card(b, HOSTILE, "paused")).to_contain_text("Paused by you")
        self.signal(alice, signal.SIGCONT)
        expect(self.card(a, HOSTILE, "paused")).to_contain_text("Paused by bob")

        self.talk(a, b, "is it paused?")
        held, sent = self.status(bob)["bytes"], self.status(alice)["bytes"]
        self.assertGreater(held, 0)
        self.assertLess(sent, dropped_size(LARGE))
        self.talk(b, a, "it is")
        self.assertEqual((self.status(bob)["bytes"], self.status(alice)["bytes"]), (held, sent))
        expect(self.card(a, HOSTILE, "paused").get_by_test_id("resume")).to_have_count(0)
        self.card(b, HOSTILE, "paused").get_by_test_id("resume").click()
        done = self.card(b, HOSTILE, "completed")
        expect(done).to_contain_text("direct TCP")
        self.card(a, HOSTILE, "completed")
        starts = re.findall(r"goes by tcp from byte (\d+) on", (bob.home / "log.txt").read_text())
        self.assertEqual(starts, ["0", str(held)])
        self.arrived(bob, b, done)

    def arrived(self, bob: Resident, b: ChatPage, done: Locator) -> None:
        """Whole, where the page says that it is."""
        (path,) = bob.downloads.iterdir()
        with path.open("rb") as file:
            self.assertEqual(hashlib.file_digest(file, "sha256").hexdigest(), dropped_digest(LARGE))
        self.assertEqual(path.stat().st_mtime, 1_500_000_000)
        self.assertEqual(b.page.locator(".transfer img").count(), 0)
        done.get_by_test_id("show").click()
        expect(b.by("path")).to_have_text(str(path))
        b.page.keyboard.press("Escape")
        expect(done.get_by_test_id("show")).to_be_focused()

    def test_pictures_are_shown_and_folders_arrive_as_they_are(self) -> None:
        """A picture on both sides, larger when asked for; a folder with odd names into a folder of one's choice."""
        alice, bob, a, b = self.setting()
        folder = alice.home.parent / "trip"
        (folder / "deep").mkdir(parents=True)
        for name in ("a#b&=+.txt", "%2e%2e", "空 ü", "deep/x"):
            (folder / name).write_text(name)
        picture(alice.home.parent / "view.png", 40, 30)
        self.send(a, alice.home.parent / "view.png")
        self.card(b, "view.png", "offered").get_by_test_id("accept").click()
        for page in (a, b):
            shown = self.card(page, "view.png", "completed").get_by_test_id("picture")
            expect(shown).to_have_js_property("naturalWidth", 40)
        self.card(b, "view.png", "completed").locator(".picture-button").press("Enter")
        expect(b.by("picture-large").locator("img")).to_have_js_property("naturalWidth", 40)
        b.page.keyboard.press("Escape")
        a.page.reload()
        a.open("bob")
        expect(self.card(a, "view.png", "completed").get_by_test_id("picture")).to_have_js_property("naturalWidth", 40)

        self.send(a, folder, folder=True, comment="from Sunday")
        offer = self.card(b, "trip", "offered")
        expect(offer).to_contain_text("4 files")
        offer.get_by_test_id("accept-to").click()
        b.by("accept-folder").fill("not/whole")
        b.by("accept-folder").press("Enter")
        expect(b.by("accept-to-dialog")).to_contain_text("Give the whole path")
        b.by("accept-folder").fill(str(bob.home.parent / "elsewhere"))
        b.by("accept-to-yes").click()
        self.card(b, "trip", "completed")
        arrived = bob.home.parent / "elsewhere" / "trip"
        found = {str(each.relative_to(arrived)): each.read_text() for each in arrived.rglob("*") if each.is_file()}
        self.assertEqual(found, {name: name for name in ("a#b&=+.txt", "%2e%2e", "空 ü", "deep/x")})

    def test_a_transfer_is_refused_or_cancelled_in_its_middle(self) -> None:
        """Both sides say who did it, and nothing of it stays; while the other side is away, that it goes on by
        itself."""
        alice, bob, a, b = self.setting()
        a.page.evaluate(DROP, ["another", 1])
        a.by("send-files").click()
        self.card(b, "another", "offered").get_by_test_id("reject").click()
        expect(self.card(a, "another", "disrupted")).to_contain_text("bob refused it")
        expect(self.card(b, "another", "disrupted")).to_contain_text("You refused it")

        path = alice.home.parent / "large.iso"
        with path.open("wb") as file:
            file.truncate(LARGE * MIB)
        alice.run("send", "bob", str(path), "--no-wait")
        halted = self.stop_at_first_progress(alice, bob)
        b.by("open-transfers").click()
        b.by("transfers").get_by_test_id("accept").click()
        self.until(b.page, lambda: halted.called)
        b.by("transfers").get_by_test_id("pause").click()
        expect(self.card(b, "large.iso", "paused")).to_contain_text("Paused by you")
        self.signal(alice, signal.SIGCONT)
        expect(self.card(a, "large.iso", "paused")).to_contain_text("Paused by bob")
        self.watch.expect("ERR_(INCOMPLETE_CHUNKED_ENCODING|CONNECTION_REFUSED)")
        alice.end()
        b.by("transfers").get_by_test_id("resume").click()
        expect(self.card(b, "large.iso", "waiting")).to_contain_text("alice is offline; goes on by itself")
        self.card(b, "large.iso", "waiting").get_by_test_id("cancel").click()
        b.by("confirm-yes").click()
        expect(self.card(b, "large.iso", "disrupted")).to_contain_text("Cancelled by you")
        self.assertEqual(list(bob.downloads.iterdir()), [])
