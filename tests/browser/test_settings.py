"""The dialog of settings."""

from __future__ import annotations

from tests.browser.chromium import expect
from tests.browser.people import BrowserCase
from tests.integration.town import Person


class SettingsTests(BrowserCase):
    """What is chosen in the page holds at once, and stays."""

    def test_what_is_chosen_takes_effect_and_what_is_fixed_says_why(self) -> None:
        """Files are taken by themselves from then on, also after a restart; a device gets a name."""
        alice, bob = self.people("alice", "bob")
        page = bob.open()
        page.by("open-settings").click()
        page.by("settings-files").click()
        page.by("setting-accept").select_option("contacts")
        dialog = page.by("settings")
        expect(dialog).to_contain_text("Saved.")
        expect(page.by("setting-downloads")).to_be_disabled()  # `up` was told which
        expect(dialog).to_contain_text("Set by an option")
        page.by("settings-files").press("ArrowDown")
        expect(page.by("setting-channel")).to_be_disabled()
        page.by("setting-p2p_server").select_option("own")
        page.by("setting-p2p-address").fill("no such thing")
        page.by("setting-p2p-address").press("Enter")
        self.watch.expect("400")
        expect(dialog.locator(".error:not(:empty)")).to_have_count(1)
        page.by("settings-devices").click()
        expect(page.by("device", this="true")).to_contain_text("this device")
        page.by("rename-device").click()
        page.by("device-name").fill("the <b>desk</b>")
        page.by("device-name").press("Enter")
        expect(page.by("device")).to_contain_text("the <b>desk</b>")

        path = alice.home.parent / "note.txt"
        path.write_text("hello")
        alice.run("send", "bob", str(path))
        self.assertEqual((bob.downloads / "note.txt").read_text(), "hello")
        page.page.close()
        bob.end()
        bob.up()
        self.assertEqual(bob.run("devices").objects[0]["name"], "the <b>desk</b>")
        path.write_text("hello again")
        alice.run("send", "bob", str(path))
        self.assertEqual(len(list(bob.downloads.iterdir())), 2)

    def test_a_device_is_removed_once_one_is_sure(self) -> None:
        """It is signed out for good; who is not sure keeps it."""
        (bob,) = self.people("bob")
        laptop = Person(self.town, "laptop")
        account = f"bob@{self.town.address}"
        self.wait(laptop.run("login", account, "--fingerprint", self.town.fingerprint))
        self.wait(laptop.up())
        page = bob.open()
        page.by("open-settings").click()
        page.by("settings-devices").click()
        expect(page.by("device")).to_have_count(2)
        expect(page.by("device", this="true").get_by_test_id("remove-device")).to_have_count(0)
        other = page.by("device", this="false")
        other.get_by_test_id("remove-device").click()
        expect(page.by("confirm")).to_contain_text("is signed out for good")
        page.page.keyboard.press("Escape")
        expect(page.by("confirm")).to_have_count(0)
        expect(other).to_have_count(1)
        other.get_by_test_id("remove-device").click()
        page.by("confirm-yes").click()
        expect(other).to_have_count(0)
        self.assertEqual(len(bob.ask("devices")["devices"]), 1)
        self.wait(laptop.until("signed-out"))
