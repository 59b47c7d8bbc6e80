"""Accounts, contacts, history and transfers on disk, behind one narrow seam."""
