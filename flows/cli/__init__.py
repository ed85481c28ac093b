"""The command line: a shell over the flows and the core. Importing it imports neither torch nor Prefect."""

from flows.cli.app import main

__all__ = ["main"]
