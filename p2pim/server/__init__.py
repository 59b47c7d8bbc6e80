"""The services of the integrated server."""
