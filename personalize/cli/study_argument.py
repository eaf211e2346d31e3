"""The first argument of most commands: a ``study.toml``, or the sessions table itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from features.errors import OptionError
from personalize.study.config import Study
from personalize.study.reading import study_from, study_from_toml

STUDY = typer.Argument(
    help="study.toml with the settings of the study; or the table with one row a session, and flags.",
    metavar="STUDY",
    show_default=False,
)


def study_of(path: Path | None, flags: Mapping[str, Any]) -> Study:
    """Settings from a file and from flags; flags win."""
    if path is not None and path.suffix.lower() == ".toml":
        return study_from_toml(path, flags)
    if path is None:
        return study_from(flags)
    if path.is_dir():
        hint = f"; did you mean {path / 'study.toml'}?" if (path / "study.toml").is_file() else ""
        raise OptionError(f"{path}: is a folder; name a study.toml or a table with one row a session{hint}")
    if "data.sessions" in flags:
        raise OptionError(
            f"the sessions table is named twice: {path} and --sessions {flags['data.sessions']}; keep one."
        )
    return study_from({**flags, "data.sessions": str(path)})
