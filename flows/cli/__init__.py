"""The command line: a shell over the flows and the core. Importing it imports neither torch nor Prefect."""

from flows.cli.ending import main

__all__ = ["main"]
