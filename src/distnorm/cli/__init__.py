"""The command line: parsing, progress and exit codes; no mathematics."""

from distnorm.cli.main import main

__all__ = ["main"]
