"""A study that repeats something on many simulated clinics: its run, its command line, its table as it is printed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from experiments.checkpoint import Cell, Checkpoint, Row, run_cells
from features.errors import PersonalizeError

DECIMALS = 3


def run_clinics(
    name: str,
    one_clinic: Callable[..., Sequence[Row]],
    cells: Sequence[Cell],
    *,
    n_patients: int,
    n_sessions: int,
    checkpoint: str | None = None,
    n_jobs: int = 1,
    dask: str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Rows of the clinics of a study; those in the checkpoint are not made again.

    Parameters
    ----------
    name : str
        Of the study, in its checkpoint.
    one_clinic : callable
        Takes patients, sessions and what a cell holds.
    cells : sequence of dict
        A clinic each.
    n_patients, n_sessions : int
        Of each clinic.
    checkpoint : str or None
        File that keeps finished clinics. Clinics count up from the same seeds, so a longer run adds to a shorter one.
    n_jobs, dask, progress
        As `experiments.checkpoint.run_cells`.
    """
    settings = {"experiment": name, "n_patients": n_patients, "n_sessions": n_sessions}
    return run_cells(
        cells,
        partial(one_clinic, n_patients, n_sessions),
        checkpoint=Checkpoint(checkpoint, settings),
        n_jobs=n_jobs,
        dask=dask,
        progress=progress,
        words="clinics",
    )


def study_main(
    parser: argparse.ArgumentParser,
    study: Callable[..., pd.DataFrame],
    arguments: Sequence[str] | None,
    *,
    clinics: int,
    patients: int,
    words: str,
) -> int:
    """Add the options that all such studies have, run, print, and write the table; return the exit code.

    Parameters
    ----------
    parser : ArgumentParser
        With the study's own arguments, which are passed on by their names.
    study : callable
        Takes them and clinics, n_patients, n_sessions, checkpoint, n_jobs, dask and progress as keywords. What its
        table holds in ``attrs["notes"]`` is printed below it.
    arguments : sequence of str or None
        Those of the command line by default.
    clinics, patients : int
        Defaults.
    words : str
        What there are so many clinics of.
    """
    parser.add_argument("--clinics", type=int, default=clinics, help=f"clinics a {words}")
    parser.add_argument("--patients", type=int, default=patients, dest="n_patients", metavar="PATIENTS")
    parser.add_argument("--sessions", type=int, default=12, dest="n_sessions", metavar="SESSIONS")
    parser.add_argument("--checkpoint", help="file that keeps finished clinics")
    parser.add_argument("--jobs", type=int, default=1, dest="n_jobs", metavar="JOBS")
    parser.add_argument("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster that takes the clinics instead")
    parser.add_argument("--csv", help="also write the table to this file")
    given = vars(parser.parse_args(arguments))
    csv = given.pop("csv")
    try:
        table = study(**given, progress=True)
    except PersonalizeError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    if csv:
        table.to_csv(csv, index=False)
    print(readable(table).to_string(index=False))
    for note in table.attrs.get("notes", ()):
        print(note)
    return 0


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers as text, three decimals; more in rows whose numbers are so small that bias and its error would vanish.

    Where there are columns ``bias`` and ``bias_mc``, the latter decides: truth, estimate, bias, bias_mc and rmse of a
    row show two digits of it. Missing values are empty.

    Examples
    --------
    >>> readable(pd.DataFrame({"bias": [0.1234, 0.000123], "bias_mc": [0.02, 0.00021], "coverage": 0.9}))
          bias  bias_mc coverage
    0    0.123    0.020    0.900
    1  0.00012  0.00021    0.900
    """
    numeric = table.select_dtypes("number").columns
    out = table.astype(dict.fromkeys(numeric, object))
    for row in range(len(table)):
        error = float(table["bias_mc"].iloc[row]) if "bias_mc" in table else np.nan
        fine = 1 - int(np.floor(np.log10(error))) if error > 0 else DECIMALS
        for name in numeric:
            value = table[name].iloc[row]
            digits = max(DECIMALS, fine) if name in ("truth", "estimate", "bias", "bias_mc", "rmse") else DECIMALS
            whole = np.issubdtype(table[name].dtype, np.integer)
            text = "" if pd.isna(value) else str(value) if whole else f"{value:.{digits}f}"
            out.iloc[row, out.columns.get_loc(name)] = text
    return out
