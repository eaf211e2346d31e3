# ruff: noqa: D400
"""All experiments in one command: every answer, its figure and its check in one folder, with a page that lists them.

Run ``python -m experiments --out FOLDER``, with ``--study study.toml`` for a study's own data. What is done is kept:
the same command continues an interrupted run, and tries again what failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.checkpoint import Cell, Checkpoint, Failure, Row, run_cells
from experiments.everything_page import page
from experiments.question import SIZES, Size, checked_size
from experiments.workers import cores
from features import Panel
from features.errors import FileError, OptionError, PersonalizeError, check_option
from personalize import __version__
from personalize.files.atomic import whole_file
from personalize.simulate import Truth
from personalize.study.panel_store import panel_tables

EXPERIMENTS = {
    "state-and-trait": "experiments.state_and_trait",
    "trait-mediation": "experiments.trait_mediation",
    "state-mechanism": "experiments.state_mechanism",
    "for-whom": "experiments.for_whom",
    "when": "experiments.when",
    "targeting": "experiments.targeting",
    "forecast-value": "experiments.forecast_value",
    "recovery": "experiments.recovery",
    "power": "experiments.power",
}
SPREAD = ("power", "recovery")  # spread their own cells over the cores; the others run side by side, one core each
FIRST = ("forecast-value", "trait-mediation")  # the longest of them, so that no core waits for one at the end
ANSWERED, CANNOT, FAILED = "answered", "cannot answer", "failed"


@dataclass(frozen=True)
class Answers:
    """What all experiments said.

    Attributes
    ----------
    table : DataFrame
        experiment, status, sentence (why not, where there is no answer), checks, passed.
    folder : Path
        Where a folder an experiment, summary.csv, index.html and run.json are.
    """

    table: pd.DataFrame
    folder: Path

    @property
    def text(self) -> str:
        """One paragraph an experiment."""
        parts = []
        for row in self.table.to_dict("records"):
            held = f"; {row['passed']:.0f} of {row['checks']:.0f} checks hold" if row["status"] == ANSWERED else ""
            parts.append(f"{row['experiment']} ({row['status']}{held})\n{row['sentence']}")
        return "\n\n".join([*parts, f"All of it: {self.folder / 'index.html'}"]) + "\n"


def run(
    panel: Panel | None = None,
    *,
    size: Size = "quick",
    random_state: int = 0,
    truth: Truth | None = None,
    quick: bool | None = None,
    alliance_sem: float | None = None,
    outcome_sem: float | None = None,
    folder: str | Path | None = None,
    only: Sequence[str] | None = None,
    progress: bool = False,
    n_jobs: int | None = None,
) -> Answers:
    """All experiments one after another into one folder: what does each answer, and does its check hold?

    Each is asked of the panel, or of its own simulated clinic. One that cannot be answered from these data, or fails,
    says why and does not stop the others. Same panel, size and seed: the same answers, however many processes.

    Parameters
    ----------
    panel, size, random_state, truth, quick, alliance_sem, outcome_sem
        As every experiment takes them.
    folder : str or Path
        For the answers. A folder of an earlier run with the same data and settings is continued; any other is refused.
    only : sequence of str, optional
        Names of `EXPERIMENTS`; all by default.
    progress : bool
    n_jobs : int, optional
        Processes; one a core by default.

    Raises
    ------
    OptionError, FileError
        When an option makes no sense, or the folder belongs to something else.
    """
    chosen = checked_size(size, quick, random_state)
    if folder is None:
        raise OptionError("folder (--out): all experiments need a folder for their answers.")
    names = list(EXPERIMENTS) if only is None else list(only)
    for name in names:
        check_option("only", name, tuple(EXPERIMENTS))
    place, jobs = Path(folder), cores() if n_jobs is None else n_jobs
    sems = {"alliance_sem": alliance_sem, "outcome_sem": outcome_sem}
    about = {
        "size": chosen,
        "random_state": random_state,
        **sems,
        "data": "simulated" if panel is None else digest(panel),
    }
    kept = _continued(place, {"experiment": "all", "version": __version__, **about})
    asked = {"panel": panel, "truth": truth, "size": chosen, "random_state": random_state, **sems}
    failures: dict[str, Failure] = {}

    def failed(cell: Cell, failure: Failure) -> None:
        failures[str(cell["experiment"])] = failure

    wide = {"n_jobs": jobs, "progress": progress}
    alone = [name for name in sorted(names, key=lambda name: name not in FIRST) if name not in SPREAD]
    spread = [name for name in SPREAD if name in names]
    for group, processes, more in ((alone, jobs, {}), (spread, 1, wide)):
        cells = [{"experiment": name} for name in group]
        for cell in cells:
            if not (place / cell["experiment"] / "result.txt").is_file():
                kept.forget(cell)
        work = partial(answer, asked, more, place)
        words = "experiments" if group is alone else "experiments that use all cores"
        run_cells(cells, work, checkpoint=kept, n_jobs=processes, progress=progress, words=words, failed=failed)
    rows = kept.table([{"experiment": name} for name in names])
    table = _table(names, rows, failures)
    _write(place, table, rows, failures, {**about, "version": __version__, "jobs": jobs})
    return Answers(table, place)


def answer(asked: Mapping[str, Any], more: Mapping[str, Any], place: Path, experiment: str) -> list[Row]:
    """Run one experiment and put its result into its folder."""
    if more:
        more = {**more, "checkpoint": place / "cells" / f"{experiment}.jsonl"}
    began = time.perf_counter()
    result = import_module(EXPERIMENTS[experiment]).run(**asked, **more)
    result.save(place / experiment)
    passed = result.falsification["passed"].astype(bool)
    return [
        {
            "claim": result.claim,
            "sentence": result.sentence,
            "checks": len(passed),
            "passed": int(passed.sum()),
            "seconds": time.perf_counter() - began,
        }
    ]


def digest(panel: Panel) -> str:
    """Hash of all that an experiment is told of a panel."""
    made = sha256(repr((panel.columns, panel.timing, panel.better)).encode())
    for name, table in panel_tables(panel).items():
        made.update(name.encode() + table.to_csv(index=False).encode())
    return made.hexdigest()


def _continued(place: Path, settings: Mapping[str, Any]) -> Checkpoint:
    """The run that the folder holds, or a new one."""
    path = place / "cells" / "all.jsonl"
    if place.exists() and not path.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FileError(f"{place}: is in the way and holds no run of all experiments; choose another name.")
    try:
        return Checkpoint(path, settings)
    except FileError as error:
        raise FileError(f"{place}: cannot be continued; choose another folder to start anew. {error}") from error


def _table(names: Sequence[str], rows: pd.DataFrame, failures: Mapping[str, Failure]) -> pd.DataFrame:
    done = {} if rows.empty else rows.set_index("experiment").to_dict("index")
    out = []
    for name in names:
        if name in failures:
            said = {"status": CANNOT if failures[name].refused else FAILED, "sentence": failures[name].reason}
        else:
            said = {"status": ANSWERED, **{k: done[name][k] for k in ("sentence", "checks", "passed")}}
        out.append({"experiment": name, **said})
    return pd.DataFrame(out, columns=["experiment", "status", "sentence", "checks", "passed"])


def _write(
    place: Path, table: pd.DataFrame, rows: pd.DataFrame, failures: Mapping[str, Failure], about: Mapping[str, Any]
) -> None:
    for name in table["experiment"]:
        trace = place / "errors" / f"{name}.txt"
        trace.unlink(missing_ok=True)
        if name in failures and not failures[name].refused:
            trace.parent.mkdir(exist_ok=True)
            trace.write_text(failures[name].trace, encoding="utf-8")
    counts = table.astype({"checks": "Int64", "passed": "Int64"})
    with whole_file(place / "summary.csv") as new:
        counts.to_csv(new, index=False)
    claims = {} if rows.empty else dict(zip(rows["experiment"], rows["claim"], strict=True))
    with whole_file(place / "index.html") as new:
        new.write_text(page(table, claims, place, about), encoding="utf-8")
    seconds = {} if rows.empty else dict(zip(rows["experiment"], rows["seconds"].round(1), strict=True))
    with whole_file(place / "run.json") as new:
        new.write_text(json.dumps({**about, "seconds": seconds}, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of all experiments."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", help="study.toml; without it simulated clinics, whose truth is known")
    parser.add_argument("--only", nargs="+", choices=list(EXPERIMENTS), help="some of them; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--jobs", type=int, help="processes; default: one a core")
    parser.add_argument(
        "--out", default="results-experiments", help="folder for all answers; continued where it is one"
    )
    given = parser.parse_args(arguments)
    try:
        panel, sems = None, {}
        if given.study:
            from personalize.study import study_from_toml

            study = study_from_toml(given.study)
            panel = study.read()
            sems = {"alliance_sem": study.get("alliance.sem"), "outcome_sem": study.get("outcome.sem")}
        found = run(
            panel,
            size=given.size,
            random_state=given.seed,
            folder=given.out,
            only=given.only,
            progress=True,
            n_jobs=given.jobs,
            **sems,
        )
    except PersonalizeError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command continues where it was.", file=sys.stderr)
        return 1
    print(found.text, end="")
    return 1 if FAILED in set(found.table["status"]) else 0
