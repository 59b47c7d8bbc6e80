"""A laboratory of kernel NATs, and the pairs of peers that are tried in it."""
