"""Bytes to values and back, with no I/O: framing, client-server messages, peer-to-peer signals."""
