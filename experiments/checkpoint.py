"""Long runs that survive an interruption: every finished cell is on disk before the next one starts.

The file holds one JSON object a line: first the settings of the run, then a line a cell with its rows. A line is
flushed to disk when its cell is done, so a killed run loses the cell it was in and nothing else; a last line that was
cut in two is dropped. A file of other settings is refused, never mixed in.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.workers import Cell, Failure, Row, Work, work_through
from features.errors import FileError, OptionError, listed
from personalize.files.atomic import whole_file

__all__ = ["Cell", "Checkpoint", "Failure", "Row", "run_cells"]


class Checkpoint:
    """Rows of the cells of one run, kept in a file.

    Parameters
    ----------
    path : str or Path or None
        The file, made where it is missing; ``None`` keeps rows in memory only.
    settings : mapping
        What all cells share, as plain values. A file with other settings is refused.

    Raises
    ------
    FileError
        When the file is not a checkpoint, or belongs to a run with other settings.
    """

    def __init__(self, path: str | Path | None, settings: Mapping[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self.settings = _plain(dict(settings))
        self._rows: dict[str, list[Row]] = {}
        if self.path is not None:
            self._open(self.path)

    def __contains__(self, cell: Cell) -> bool:
        return _key(cell) in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, cell: Cell, rows: Sequence[Row]) -> None:
        """Keep the rows of a finished cell; they are on disk when this returns."""
        key, kept = _key(cell), [_plain(dict(row)) for row in rows]
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"cell": json.loads(key), "rows": kept}) + "\n")
                file.flush()
                os.fsync(file.fileno())
        self._rows[key] = kept

    def forget(self, cell: Cell) -> None:
        """Let a cell be worked through again; what is then added takes the place of what the file holds of it."""
        self._rows.pop(_key(cell), None)

    def table(self, cells: Iterable[Cell] | None = None) -> pd.DataFrame:
        """Rows of all cells (or of these, in this order), each with its cell's values in front."""
        keys = list(self._rows) if cells is None else [_key(cell) for cell in cells]
        return pd.DataFrame([{**json.loads(key), **row} for key in keys for row in self._rows.get(key, [])])

    def _open(self, path: Path) -> None:
        if not path.exists():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(path) as new:
                    new.write_text(json.dumps({"settings": self.settings}) + "\n", encoding="utf-8")
            except OSError as error:
                raise FileError(f"{path}: the checkpoint cannot be written ({error.strerror}).") from error
            return
        whole, cut = _lines(path)
        if not whole or "settings" not in whole[0]:
            raise FileError(f"{path}: is not a checkpoint of an experiment; name another file, or remove it.")
        if whole[0]["settings"] != self.settings:
            apart = [
                k
                for k in {**whole[0]["settings"], **self.settings}
                if whole[0]["settings"].get(k) != self.settings.get(k)
            ]
            raise FileError(
                f"{path}: holds a run with other settings ({listed(apart)} differ); give the same settings to continue "
                "it, or another file to start anew."
            )
        if cut is not None:  # the run was killed while it wrote; what is whole stays
            with path.open("r+b") as file:
                file.truncate(cut)
        for line in whole[1:]:
            self._rows[_key(line["cell"])] = line["rows"]


def run_cells(
    cells: Sequence[Cell],
    work: Work,
    *,
    checkpoint: Checkpoint,
    n_jobs: int = 1,
    dask: str | None = None,
    progress: bool = True,
    words: str = "cells",
    failed: Callable[[Cell, Failure], None] | None = None,
) -> pd.DataFrame:
    """Work through cells that are not done yet; save each; return the rows of all.

    Parameters
    ----------
    cells : sequence of mapping
        Plain values; each is passed to ``work`` as keywords.
    work : callable
        Returns the rows of a cell. Elsewhere than in this process it must be importable (a module's function, or a
        partial of one).
    checkpoint : Checkpoint
    n_jobs, dask
        Where cells run, as in `experiments.workers.work_through`.
    progress : bool
        Whether a line on stderr says how far the run is and how long it will take.
    words : str
        What the cells are called in that line.
    failed : callable, optional
        Told of a cell that raised. The others go on, and the next run tries it again. Without it the error is raised.

    Raises
    ------
    OptionError
        When two cells are the same.
    """
    keys = [_key(cell) for cell in cells]
    if len(set(keys)) < len(keys):
        raise OptionError("cells: two cells are the same; every cell needs values of its own.")
    left = [cell for cell in cells if cell not in checkpoint]
    start, done = time.monotonic(), len(cells) - len(left)
    if progress and done:
        print(f"{done} of {len(cells)} {words} were done before and are not repeated.", file=sys.stderr)
    results = work_through(left, work, n_jobs=n_jobs, dask=dask, keep_going=failed is not None)
    for k, (cell, found) in enumerate(results, start=1):
        if isinstance(found, Failure):
            if failed is not None:
                failed(cell, found)
        else:
            checkpoint.add(cell, found)
        if progress:
            _tell(done + k, len(cells), k, time.monotonic() - start, len(left) - k, words)
    return checkpoint.table(cells)


def _tell(done: int, total: int, now: int, seconds: float, left: int, words: str) -> None:
    """One line that rewrites itself on a terminal; in a log file a line every twentieth of the way."""
    text = f"{done} of {total} {words}, {left} left, about {_duration(seconds / now * left)} to go"
    if sys.stderr.isatty():
        print(f"\r{text}   ", end="" if left else "\n", file=sys.stderr, flush=True)
    elif not left or done * 20 // total > (done - 1) * 20 // total:
        print(text, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """Seconds in the unit a person would use."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _key(cell: Cell) -> str:
    return json.dumps(_plain(dict(cell)), sort_keys=True)


def _plain(value: Any) -> Any:
    """NumPy scalars, tuples and NaN as JSON has them."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(path: Path) -> tuple[list[dict[str, Any]], int | None]:
    """Whole lines, and where a line that was cut in two starts."""
    whole: list[dict[str, Any]] = []
    at = 0
    with path.open("rb") as file:
        for raw in file:
            try:
                if not raw.endswith(b"\n"):
                    return whole, at
                whole.append(json.loads(raw))
            except ValueError:
                raise FileError(
                    f"{path}: line {len(whole) + 1} is damaged; remove that line to continue the run."
                ) from None
            at += len(raw)
    return whole, None
