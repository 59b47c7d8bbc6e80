"""The tests of p2pim; the folders mirror the package."""
