"""The only Twisted protocols: framed streams over TLS, channels, splices."""
