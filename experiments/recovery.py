# ruff: noqa: D400
"""Simulation study of per-patient effects: what is recovered, what covers, and who does it better.

Run ``python -m experiments.recovery`` (quick) or ``--size full``, or any part of it. Cells run on all cores
(``--jobs``) or on a Dask cluster (``--dask``); each is saved when it is done, and an interrupted run continues.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.checkpoint import Cell, Checkpoint, Failure, run_cells
from experiments.peers import NEEDS, PEERS, available
from experiments.question import SIZES, Size, checked_size
from experiments.recovery_answer import NOTHING_VARIES, checks, figure, recovery_table, sentence, shown
from experiments.recovery_cell import OURS, one_cell
from experiments.result import ExperimentResult
from experiments.workers import cores
from features import Panel
from features.errors import NotEnoughData, OptionError, PersonalizeError, check_option, counted
from personalize import __version__
from personalize.simulate import PRESETS, Truth

CLAIM = "Effects of single patients are estimated with less error than by any peer, and their intervals cover."
FIRST_SEED, APART = 9000, 1000  # no default was chosen on seeds from 9000; another random_state starts APART further on
FEWEST_PATIENTS, FEWEST_SESSIONS = 40, 4


@dataclass(frozen=True)
class Plan:
    """Which clinics are made.

    Parameters
    ----------
    presets : sequence of str
    patients, sessions : sequence of int
        Patients of a clinic, and average length of their treatments.
    seeds : int
        Clinics of each kind.
    """

    presets: Sequence[str]
    patients: Sequence[int]
    sessions: Sequence[int]
    seeds: int

    def __post_init__(self) -> None:
        for preset in self.presets:
            check_option("presets", preset, tuple(PRESETS))
        for name, least in (("patients", FEWEST_PATIENTS), ("sessions", FEWEST_SESSIONS)):
            values = list(getattr(self, name))
            if not values or min(values) < least:
                raise OptionError(f"{name}={values!r} is not allowed; give sizes from {least}.")
        if not self.presets or self.seeds < 1:
            raise OptionError("a study needs at least one preset and seeds=1.")

    def cells(self, estimators: Sequence[str], first_seed: int) -> list[dict[str, Any]]:
        """Clinics × estimators; ours also of clinics in which nothing varies, for the falsification check."""
        seeds = range(first_seed, first_seed + self.seeds)
        clinics = list(product(self.presets, self.patients, self.sessions, seeds))
        out = [_cell(*clinic, name) for clinic in clinics for name in estimators]
        size = (min(self.patients), min(self.sessions))
        left = [preset for preset in NOTHING_VARIES if preset not in self.presets]
        return out + [_cell(preset, *size, seed, OURS) for preset in left for seed in seeds]


PLANS: dict[Size, Plan] = {
    "quick": Plan(("linear", "nonlinear", "harsh"), (300,), (12,), 3),
    "full": Plan(tuple(PRESETS), (300, 1000), (6, 12, 24), 10),
}


def run(
    panel: Panel | None = None,
    *,
    size: Size = "quick",
    random_state: int = 0,
    truth: Truth | None = None,
    quick: bool | None = None,
    alliance_sem: float | None = None,
    outcome_sem: float | None = None,
    presets: Sequence[str] | None = None,
    patients: Sequence[int] | None = None,
    sessions: Sequence[int] | None = None,
    seeds: int | None = None,
    first_seed: int | None = None,
    peers: Sequence[str] | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
    n_jobs: int | None = None,
    dask: str | None = None,
) -> ExperimentResult:
    """How well are effects of single patients recovered, do intervals cover, and who does it better?

    Claim: effects of state-like alliance of single patients can be estimated with less error than by any peer, with
    intervals that cover. Sample: simulated clinics whose every effect is known, on seeds on which no default was
    chosen. Estimands: root mean squared error over patients, of every estimator on the same clinics and as a share
    above ours; rank correlation with the truth; true benefit of the fifth ranked highest as a share of the best
    fifth's; coverage of 90 % intervals over all patients, the fifth ranked highest and the fifth with the fewest
    sessions. Beside the peers (`experiments.peers`, those installed) stand three yardsticks: the average for everybody,
    ours told which intake columns moderate, and ours given the true moderators. Means over clinics with Monte Carlo
    intervals (t), as Morris, White & Crowther 2019 (Statistics in Medicine 38, 2074-2102) ask. Assumptions: patients
    are like the simulator's; peers are given within-patient deviations, time and the lagged outcome, usual settings,
    and one core.

    Falsification: in clinics in which nothing varies patients must be ranked in no more than 5 %, and intervals cover.
    """
    chosen = checked_size(size, quick, random_state)
    if panel is not None:
        raise NotEnoughData(_why_not(panel))
    if truth is not None or alliance_sem is not None or outcome_sem is not None:
        raise OptionError("truth and errors of measurement are those of the simulated clinics; leave them out here.")
    base = PLANS[chosen]
    plan = Plan(
        presets or base.presets,
        patients or base.patients,
        sessions or base.sessions,
        base.seeds if seeds is None else seeds,
    )
    names = available() if peers is None else list(peers)
    for name in names:
        check_option("peers", name, tuple(PEERS))
        if name not in available():
            raise OptionError(f"peers: {name} needs {NEEDS[name]}; python -m pip install 'personalize[benchmark]'")
    failures: list[tuple[Cell, Failure]] = []
    cells = run_cells(
        plan.cells([OURS, *names], FIRST_SEED + APART * random_state if first_seed is None else first_seed),
        one_cell,
        checkpoint=Checkpoint(checkpoint, {"experiment": "recovery", "version": __version__}),
        n_jobs=cores() if n_jobs is None else n_jobs,
        dask=dask,
        progress=progress,
        words="cells",
        failed=lambda cell, failure: failures.append((cell, failure)),
    )
    cells = _with_ours(cells, failures)
    table = recovery_table(cells)
    return ExperimentResult(
        "recovery",
        CLAIM,
        table,
        sentence(table),
        checks(cells),
        figure(table),
        tuple(_notes(failures, names, set(table["estimator"]))),
        shown(table),
    )


def _cell(preset: str, patients: int, sessions: int, seed: int, estimator: str) -> dict[str, Any]:
    return {"preset": preset, "patients": patients, "sessions": sessions, "seed": seed, "estimator": estimator}


def _why_not(panel: Panel) -> str:
    n, length = panel.n_patients, panel.sessions_per_patient
    typical = max(round(float(length[length > 0].mean())), FEWEST_SESSIONS) if (length > 0).any() else 12
    return (
        f"{panel.names['sessions']}: recovery cannot be asked of a study, because nobody knows the true effects of its "
        "patients; it simulates clinics in which they are known. Leave the study out; for clinics of its size, "
        f"python -m experiments.recovery --patients {max(n, FEWEST_PATIENTS)} --sessions {typical}. What the study "
        "itself can say of its estimates: experiment for-whom (calibration slope and sorted groups on held-out "
        "therapists); whether it is large enough: experiment power."
    )


def _with_ours(cells: pd.DataFrame, failures: Sequence[tuple[Cell, Failure]]) -> pd.DataFrame:
    """Clinics that ours was fitted to; all else is told relative to it."""
    key = ["preset", "patients", "sessions", "seed"]
    if cells.empty or not (cells["estimator"] == OURS).any():
        raise NotEnoughData(f"recovery: ours could be fitted to no clinic: {failures[0][1].reason}")
    fitted = pd.MultiIndex.from_frame(cells.loc[cells["estimator"] == OURS, key])
    return cells[pd.MultiIndex.from_frame(cells[key]).isin(fitted)]


def _notes(failures: Sequence[tuple[Cell, Failure]], names: Sequence[str], judged: set[str]) -> list[str]:
    out = [
        f"{name} was left out: it needs {package}, which is in the extra 'benchmark'."
        for name, package in NEEDS.items()
        if name not in names and name not in available()
    ]
    for name in dict.fromkeys(str(cell["estimator"]) for cell, _ in failures):
        own = [failure for cell, failure in failures if cell["estimator"] == name]
        rest = "is judged on the others" if name in judged else "is left out"
        out.append(
            f"{name} failed on {counted(len(own), 'clinic')} and {rest} ({own[0].reason}); the next run tries again."
        )
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--out", type=Path, default=Path("results-recovery"), help="folder for the result")
    parser.add_argument("--checkpoint", type=Path, help="file that keeps finished cells; default: OUT.cells.jsonl")
    parser.add_argument("--presets", nargs="+", choices=sorted(PRESETS))
    parser.add_argument("--patients", nargs="+", type=int)
    parser.add_argument("--sessions", nargs="+", type=int)
    parser.add_argument("--seeds", type=int, help="clinics of each kind")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--peers", nargs="*", choices=sorted(PEERS), help="default: all that are installed; none: none")
    parser.add_argument("--jobs", type=int, help="processes; default: one a core")
    parser.add_argument("--dask", metavar="ADDRESS", help="scheduler of a Dask cluster that takes the cells instead")
    parser.add_argument("--study", help="refused, with what to ask of a study instead")
    parser.add_argument("--overwrite", action="store_true")
    given = parser.parse_args(arguments)
    try:
        panel = None
        if given.study:
            from personalize.study import study_from_toml

            panel = study_from_toml(given.study).read()
        result = run(
            panel,
            size=given.size,
            presets=given.presets,
            patients=given.patients,
            sessions=given.sessions,
            seeds=given.seeds,
            first_seed=given.first_seed,
            peers=given.peers,
            checkpoint=given.checkpoint or given.out.with_name(f"{given.out.name}.cells.jsonl"),
            progress=True,
            n_jobs=given.jobs,
            dask=given.dask,
        )
        print(result.text, end="")
        result.save(given.out, overwrite=given.overwrite)
    except PersonalizeError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command continues where it was.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
