"""Are the probabilities of being in the top fifth right? Stated and observed shares over many simulated clinics.

Claim: of the patients with a stated probability near p of being among the fifth with the largest benefit, a share p is:
every bin with at least 300 patients lies within five points. Clinics differ in their effects: linear and nonlinear
moderators, and harsh ones with error of measurement, ceiling, missing ratings and drop-out. Seeds from 9000 were used
to choose nothing. Clinics in which the test finds no differences are not ranked; they are counted and left out.

Run ``python -m experiments.top_fifth --clinics 8 --checkpoint file.jsonl``; an interrupted run continues.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.checkpoint import Row
from experiments.many_clinics import run_clinics, study_main
from experiments.recovery_cell import fitted
from personalize.explain.hinge import hinge
from personalize.simulate import PRESETS, simulate_clinic

PRESETS_ASKED = ("linear", "nonlinear", "harsh")
FIRST_SEED = 9_000
BINS = 10
TOP = 0.2
FEWEST = 300  # patients of a bin that is judged
POINTS = 0.05


def one_clinic(n_patients: int, n_sessions: int, preset: str, seed: int) -> list[Row]:
    """Rank one clinic, and count by bins of the stated probability how many patients are in the true top fifth.

    Returns
    -------
    list of dict
        One row a bin: bin, n, stated (sum of probabilities), observed (patients in the true top fifth). A single row
        with bin −1 where nobody was ranked.
    """
    clinic = simulate_clinic(preset, n_patients=n_patients, n_sessions=n_sessions, random_state=seed)
    effect = fitted(preset, clinic, seed)
    p = hinge(effect, clinic.panel, top=TOP, random_state=seed)["p_top"].to_numpy(dtype=float)
    known = np.isfinite(p)
    if not known.any():
        return [{"bin": -1, "n": len(p), "stated": 0.0, "observed": 0}]
    benefit = -clinic.truth.patients["effect"].to_numpy()[known]  # a lower outcome is better
    return counted(p[known], benefit)


def counted(p: np.ndarray, benefit: np.ndarray) -> list[Row]:
    """Patients, stated probability and members of the true top by bin of the stated probability.

    Examples
    --------
    >>> counted(np.array([0.05, 0.15, 0.95, 0.05, 0.05]), np.array([0.0, 1.0, 5.0, 2.0, 3.0]))[-1]
    {'bin': 9, 'n': 1, 'stated': 0.95, 'observed': 1}
    """
    count = int(np.ceil(TOP * len(p) - 1e-9))
    best = np.zeros(len(p), dtype=bool)
    best[np.argsort(-benefit, kind="stable")[:count]] = True
    of = np.minimum((p * BINS).astype(int), BINS - 1)
    return [
        {
            "bin": int(k),
            "n": int((of == k).sum()),
            "stated": float(p[of == k].sum()),
            "observed": int(best[of == k].sum()),
        }
        for k in np.unique(of)
    ]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Stated and observed share of each bin, over all clinics and by preset.

    Returns
    -------
    DataFrame
        preset ("all" first), bin (lower end), n, stated, observed, difference (observed less stated), mc (binomial
        standard error of the observed share), within (difference of at most five points; missing in bins of fewer than
        300 patients). How many clinics were not ranked stands in ``attrs["notes"]``.
    """
    ranked = rows[rows["bin"] >= 0]
    parts = [ranked.assign(preset="all"), ranked]
    total = pd.concat(parts).groupby(["preset", "bin"], sort=False)[["n", "stated", "observed"]].sum().reset_index()
    total = total.sort_values(["preset", "bin"], kind="stable", ignore_index=True)
    out = pd.DataFrame({"preset": total["preset"], "bin": total["bin"] / BINS, "n": total["n"]})
    out["stated"], out["observed"] = total["stated"] / total["n"], total["observed"] / total["n"]
    out["difference"] = out["observed"] - out["stated"]
    out["mc"] = np.sqrt(out["observed"] * (1 - out["observed"]) / out["n"])
    within = (out["difference"].abs() <= POINTS + 1e-9).astype(object)
    out["within"] = within.where(out["n"] >= FEWEST, None)
    unranked = rows.loc[rows["bin"] < 0, "preset"].value_counts().to_dict()
    out.attrs["notes"] = [f"Clinics in which nobody was ranked: {unranked or 'none'}."]
    return out


def top_fifth(
    *,
    presets: Sequence[str] = PRESETS_ASKED,
    clinics: int = 8,
    n_patients: int = 1000,
    n_sessions: int = 12,
    **where: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run the clinics that are not done yet.

    Parameters
    ----------
    presets : sequence of str
    clinics : int
        A preset.
    n_patients, n_sessions, where
        As `experiments.many_clinics.run_clinics`.

    Returns
    -------
    table : DataFrame
        As `summary`.
    rows : DataFrame
        One row a clinic and bin.
    """
    cells = [{"preset": p, "seed": FIRST_SEED + k} for k in range(clinics) for p in presets]
    size = {"n_patients": n_patients, "n_sessions": n_sessions}
    rows = run_clinics("top_fifth", one_clinic, cells, **size, **where)
    return summary(rows), rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS), default=list(PRESETS_ASKED))
    return study_main(
        parser, lambda **given: top_fifth(**given)[0], arguments, clinics=8, patients=1000, words="preset"
    )


if __name__ == "__main__":
    sys.exit(main())
