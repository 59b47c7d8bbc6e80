"""A conversation in a terminal: `keys` and `editor` turn bytes into a line of text, `screen` draws, `session` talks."""
