"""Options, configuration and makeService for twistd."""
