"""p2pim: an instant messenger whose server introduces people and then gets out of the way."""

__version__ = "0.1.0"
