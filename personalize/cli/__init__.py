"""The command line: ``personalize check``, ``run``, ``demo``, ``predict`` and the rest."""

from __future__ import annotations

from personalize.cli.app import app


def main() -> None:
    """Run the command line; the exit code is 0 (done), 1 (failed) or 2 (bad usage or data)."""
    app(prog_name="personalize")


__all__ = ["app", "main"]
