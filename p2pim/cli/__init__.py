"""The p2pim command."""
