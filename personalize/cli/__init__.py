"""The command line: ``personalize check``, ``run``, ``demo``, ``predict`` and the rest."""

from __future__ import annotations

import signal
from typing import NoReturn

from personalize.cli.app import app


def main() -> None:
    """Run the command line; the exit code is 0 (done), 1 (failed) or 2 (bad usage or data)."""
    signal.signal(signal.SIGTERM, _stopped)  # as Ctrl-C: what is half done, copies of data too, is cleared away
    app(prog_name="personalize")


def _stopped(*_: object) -> NoReturn:
    raise KeyboardInterrupt


__all__ = ["app", "main"]
