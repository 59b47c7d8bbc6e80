"""One machine is one address, however it is written."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.addresses import format_address, host_key, is_loopback, normal_host


class AddressTests(SynchronousTestCase):
    @given(st.ip_addresses(v=4).map(str))
    def test_an_ipv4_address_mapped_into_ipv6_is_the_ipv4_address(self, host: str) -> None:
        """Nobody has two counts by calling over IPv6."""
        self.assertEqual(normal_host(f"::ffff:{host}"), host)
        self.assertEqual(host_key(normal_host(f"::ffff:{host}")), host)

    def test_ipv6_addresses_of_one_network_share_a_key(self) -> None:
        """A customer with 2^64 addresses is one customer."""
        self.assertEqual(host_key("2001:db8::1"), host_key("2001:db8::ffff:1"))
        self.assertNotEqual(host_key("2001:db8::1"), host_key("2001:db8:0:1::1"))

    def test_loopback_is_known_in_every_form(self) -> None:
        """The machine itself is not bounded like a stranger."""
        for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost"):
            self.assertTrue(is_loopback(host), host)
        self.assertFalse(is_loopback("192.168.1.1"))
        self.assertFalse(is_loopback("nonsense"))

    def test_ipv6_is_written_in_brackets(self) -> None:
        """The port can be told from the address."""
        self.assertEqual(format_address("::1", 4530), "[::1]:4530")
        self.assertEqual(format_address("10.0.0.1", 4530), "10.0.0.1:4530")

    def test_a_zone_is_no_part_of_the_address(self) -> None:
        """A link-local neighbour is the same on every interface's name."""
        self.assertEqual(normal_host("fe80::1%eth0"), "fe80::1")

    @given(st.text(max_size=40))
    def test_any_text_is_taken_without_an_error(self, host: str) -> None:
        """What a transport calls its peer never breaks the server."""
        host_key(normal_host(host))
        is_loopback(host)
