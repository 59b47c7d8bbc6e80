"""The tests of p2pim; the folders mirror the package."""

from hypothesis import HealthCheck, settings

# No property depends on how fast the machine is, and a failing example is printed, not kept in a folder.
settings.register_profile("p2pim", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("p2pim")
