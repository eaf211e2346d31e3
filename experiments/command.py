"""``python -m experiments.NAME``: ask one question of a simulated clinic or of a study."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from typing import Any

from experiments.question import FULL_PATIENTS, QUICK_PATIENTS, SIZES, Run
from features.errors import PersonalizeError
from personalize.simulate import PRESETS, simulate_clinic


def main(run: Run, arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, print, save; return the exit code.

    Parameters
    ----------
    run : callable
        The experiment.
    arguments : sequence of str, optional
        Those of the command line by default.
    """
    parser = argparse.ArgumentParser(
        description=inspect.getdoc(run), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", help="study.toml; without it a simulated clinic, whose truth is known")
    parser.add_argument("--preset", default=None, choices=list(PRESETS), help="kind of simulated clinic")
    parser.add_argument("--patients", type=int, default=None, help="patients of the simulated clinic")
    parser.add_argument("--sessions", type=int, default=12, help="average length of its treatments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--alliance-sem", type=float, help="standard error of measurement of one rating")
    parser.add_argument("--outcome-sem", type=float)
    parser.add_argument("--out", help="folder for table, sentence, check and figure")
    parser.add_argument("--overwrite", action="store_true")
    given = parser.parse_args(arguments)
    try:
        panel, truth, sems = _input(given)
        result = run(panel, truth=truth, size=given.size, random_state=given.seed, **sems)
        print(result.text, end="")
        if given.out:
            result.save(given.out, overwrite=given.overwrite)
    except PersonalizeError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 0


def _input(given: argparse.Namespace) -> tuple[Any, Any, dict[str, float | None]]:
    sems = {"alliance_sem": given.alliance_sem, "outcome_sem": given.outcome_sem}
    if given.study:
        from personalize.study import study_from_toml

        study = study_from_toml(given.study)
        for name in sems:
            if sems[name] is None:
                sems[name] = study.get(name.replace("_", "."))
        return study.read(), None, sems
    if given.preset is None and given.patients is None and given.sessions == 12:
        return None, None, sems
    n = given.patients or (QUICK_PATIENTS if given.size == "quick" else FULL_PATIENTS)
    panel, truth = simulate_clinic(
        given.preset or "nonlinear", n_patients=n, n_sessions=given.sessions, random_state=given.seed
    )
    return panel, truth, sems
