"""Decisions, with no I/O: everything takes values and the present time as arguments."""
