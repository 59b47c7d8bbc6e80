"""One module per family of commands; `p2pim.cli.main` loads the one that is asked for."""
