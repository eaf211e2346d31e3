"""Simulated clinics on disk: the demo that runs everything, and a folder to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from features import Panel
from personalize.files import results_folder, write_table
from personalize.simulate import SimulatedClinic, Truth, simulate_clinic
from personalize.study.panel_store import panel_tables
from personalize.study.progress import Show, Stages
from personalize.study.reading import study_from
from personalize.study.run import RunSummary, run_panel

ROLES = {"outcome.column": "symptoms", "outcome.better": "low", "alliance.column": "alliance"}


def run_demo(
    out: Path,
    *,
    preset: str = "nonlinear",
    n_patients: int = 1000,
    n_sessions: int = 12,
    seed: int = 0,
    overwrite: bool = False,
    show: Show | None = None,
) -> tuple[RunSummary, Truth]:
    """Simulate a clinic and run a study on it; ``truth.csv`` joins the results.

    Returns
    -------
    summary : RunSummary
    truth : Truth
    """
    made: list[SimulatedClinic] = []
    stages = Stages(show)
    with stages("Simulating the clinic"):
        made.append(simulate_clinic(preset, n_patients=n_patients, n_sessions=n_sessions, random_state=seed))
    panel, truth = made[0]
    study = study_from(
        {
            **ROLES,
            **_errors(truth),
            "title": f"Simulated clinic ({preset}, {n_patients} patients, seed {seed})",
            "analysis.seed": seed,
            "output.folder": str(out),
            "output.overwrite": overwrite,
        },
        source="demo",
    )
    simulated = {"preset": preset, "n_patients": n_patients, "n_sessions": n_sessions, "random_state": seed}
    tables = {"truth.csv": truth.patients.rename_axis(index=panel.columns.patient).reset_index()}
    return run_panel(panel, study, show=show, inputs={"simulated": simulated}, tables=tables), truth


def write_clinic(
    out: Path,
    *,
    preset: str = "nonlinear",
    n_patients: int = 1000,
    n_sessions: int = 12,
    caseload: int = 20,
    seed: int = 0,
    overwrite: bool = False,
) -> Panel:
    """Write a simulated clinic: three tables as a researcher would have them, ``study.toml``, and the truth.

    Files: ``sessions.csv``, ``patients.csv``, ``therapists.csv``, ``study.toml``, ``truth/patients.csv`` and
    ``truth/sessions.csv``.
    """
    panel, truth = simulate_clinic(
        preset, n_patients=n_patients, n_sessions=n_sessions, patients_per_therapist=caseload, random_state=seed
    )
    with results_folder(out, overwrite=overwrite) as folder:
        for name, table in panel_tables(panel).items():
            write_table(_as_dates(table, panel), folder / f"{name}.csv")
        (folder / "truth").mkdir()
        write_table(
            truth.patients.rename_axis(index=panel.columns.patient).reset_index(), folder / "truth" / "patients.csv"
        )
        write_table(truth.sessions, folder / "truth" / "sessions.csv")
        text = _toml(panel, truth, f"Simulated clinic ({preset}, seed {seed})", out.name)
        (folder / "study.toml").write_text(text, encoding="utf-8", newline="\n")
    return panel


def _errors(truth: Truth) -> dict[str, Any]:
    """Measurement errors of the clinic, as somebody would know them who knows the instruments."""
    known = {"alliance.sem": truth.options.alliance_sem, "outcome.sem": truth.options.outcome_sem}
    return {key: value for key, value in known.items() if value > 0}


def _as_dates(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    name = panel.columns.time
    if name is None or name not in table.columns or panel.calendar is None:
        return table
    return table.assign(**{name: table[name].dt.strftime("%Y-%m-%d")})


def _toml(panel: Panel, truth: Truth, title: str, folder: str) -> str:
    errors: Mapping[str, float] = _errors(truth)
    lines = [f'title = "{title}"', "", "[data]"]
    lines += [f'{name} = "{name}.csv"' for name in panel_tables(panel)]
    if panel.columns.time is not None:
        lines += ["", "[columns]", f'time = "{panel.columns.time}"']
    for role in ("outcome", "alliance"):
        lines += ["", f"[{role}]", f'column = "{getattr(panel.columns, role)}"']
        lines += ['better = "low"'] if role == "outcome" else [f'timing = "{panel.timing}"']
        lines += [f"sem = {errors[f'{role}.sem']}"] if f"{role}.sem" in errors else []
    lines += ["", "[output]", f'folder = "../{folder}-results"']
    return "\n".join(lines) + "\n"
