"""Which P2P server a peer uses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.p2p_choice import P2pServer, choose_p2p_server, read_p2p_server
from p2pim.errors import BadP2pServer

REACHED = "192.0.2.10"


class ChoiceTests(SynchronousTestCase):
    def test_without_a_setting_it_is_the_one_that_the_server_names(self) -> None:
        """By address, by name, or as the port next to where the server was reached."""
        self.assertEqual(choose_p2p_server(None, "192.0.2.1:4531", REACHED), P2pServer("192.0.2.1", 4531))
        self.assertEqual(choose_p2p_server("", "p2p.example.org:9901", REACHED), P2pServer("p2p.example.org", 9901))
        self.assertEqual(choose_p2p_server(None, ":4531", REACHED), P2pServer(REACHED, 4531))
        self.assertEqual(str(choose_p2p_server(None, ":4531", "2001:db8::1")), "[2001:db8::1]:4531")

    def test_the_own_setting_outranks_the_servers_word(self) -> None:
        """Whatever that is; and setting the very same changes nothing."""
        for told in (None, ":4531", "192.0.2.1:4531", "nonsense"):
            self.assertEqual(choose_p2p_server("192.0.2.7:9901", told, REACHED), P2pServer("192.0.2.7", 9901))
        same = choose_p2p_server(f"{REACHED}:4531", ":4531", REACHED)
        self.assertEqual(same, choose_p2p_server(None, ":4531", REACHED))

    def test_none_is_no_p2p_server(self) -> None:
        """Switched off here, or nothing anywhere."""
        for own, told in (("none", ":4531"), ("none", None), (None, None), ("", ""), (None, "")):
            self.assertIsNone(choose_p2p_server(own, told, REACHED))

    def test_before_the_server_was_reached_its_port_alone_says_nothing(self) -> None:
        """An own setting does."""
        self.assertIsNone(choose_p2p_server(None, ":4531", ""))
        self.assertEqual(choose_p2p_server("[2001:db8::1]:9901", None, ""), P2pServer("2001:db8::1", 9901))

    def test_what_names_none_is_an_error_that_shows_how(self) -> None:
        """Wherever it came from."""
        for text in (
            "nonsense", "host:", "host:0", "host:65536", "host:-1", "host:12345678901", "host:٣", ":x", "a b:1",
            "2001:db8::1:9901", "[host]:1", "[]:1", "user@host:1", "a,b:1", f"{'x' * 254}:1", "\n:1", "h:1 ", "none:x",
        ):  # fmt: skip
            with self.assertRaises(BadP2pServer, msg=text):
                choose_p2p_server(text, None, REACHED)
            with self.assertRaises(BadP2pServer, msg=text):
                choose_p2p_server(None, text, REACHED)
        with self.assertRaises(BadP2pServer) as caught:
            read_p2p_server("nonsense")
        self.assertIn("HOST:PORT", caught.exception.message)

    @given(st.text(max_size=40), st.text(max_size=40))
    def test_any_text_is_a_choice_or_that_error(self, own: str, told: str) -> None:
        """And what is chosen reads back as itself."""
        try:
            chosen = choose_p2p_server(own, told, REACHED)
        except BadP2pServer:
            return
        if chosen is not None:
            self.assertEqual(read_p2p_server(str(chosen)), chosen)
