"""The operator's page of the integrated server."""
