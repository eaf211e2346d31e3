"""A fitted run applied to new patients: forecasts, effects from intake, pages. The path of decision support."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from features import Panel
from features.build import dictionary as feature_dictionary
from features.errors import OptionError
from personalize.files import read_panel, results_folder, write_table
from personalize.report import gather, write_report
from personalize.study.analysis import attribution_table, forecast_table, tree_table
from personalize.study.config import Study
from personalize.study.dictionary import results_dictionary
from personalize.study.panel_store import panel_tables
from personalize.study.progress import Show, Stages
from personalize.study.reading import study_from_values
from personalize.study.results import Results
from personalize.study.run import fingerprint, write_json


@dataclass(frozen=True)
class Prediction:
    """What a saved run says of new patients.

    Attributes
    ----------
    panel : Panel
        Their histories so far.
    forecasts, attributions : DataFrame
        One row a patient and target.
    tree_attributions : DataFrame
        The five single inputs that move each forecast most through its boosted trees.
    effects : DataFrame or None, index patient id
        From intake alone: estimate, lower, upper, sd; None where the run has no effect.
    notes : list of str
        What counted as unknown.
    """

    panel: Panel
    forecasts: pd.DataFrame
    attributions: pd.DataFrame
    tree_attributions: pd.DataFrame
    effects: pd.DataFrame | None
    notes: list[str]


def new_panel(results: Results, given: Mapping[str, Any]) -> Panel:
    """Read the files of new patients with the roles, measures and codes of the run.

    Parameters
    ----------
    results : Results
    given : mapping of ``section.key`` to value
        The new files, and what is written in another way than in the run's own files.

    Raises
    ------
    OptionError, FileError, PanelError
        As `personalize.files.read_panel`; and without any file.
    """
    study = new_study(results, given)
    if study.files.get("sessions") is None:
        return _without_sessions(study)
    return study.read(absent="unknown")


def new_study(results: Results, given: Mapping[str, Any]) -> Study:
    """Options of the run with the files of new patients."""
    values = {section: dict(own) for section, own in results.study.values.items()}
    for role in ("sessions", "patients", "therapists"):
        values["data"][role] = None
    for dotted, value in given.items():
        section, _, name = dotted.partition(".")
        if value is not None:
            values[section][name] = value
    known = {s: {k: v for k, v in own.items() if v is not None} for s, own in values.items()}
    return study_from_values(known, source="predict")


def predict(results: Results, panel: Panel) -> Prediction:
    """Forecast new patients, and say what their intake tells of their effect."""
    forecasts = forecast_table(results.forecaster, panel)
    effects = None
    if results.effect is not None:
        intake = panel_tables(panel)["patients"].set_index(panel.columns.patient)
        effects = results.effect.predict(intake)
    notes = [*panel.notes, *forecasts.attrs.get("notes", [])]
    moved, single = attribution_table(results.forecaster, panel), tree_table(results.forecaster, panel)
    return Prediction(panel, forecasts, moved, single, effects, notes)


def write_prediction(
    results: Results, given: Mapping[str, Any], folder: Path, *, overwrite: bool = False, show: Show | None = None
) -> Prediction:
    """Read new patients' files, predict, and write a folder: tables, page, data dictionary, ``run.json``.

    The folder appears whole or not at all.
    """
    stages = Stages(show)
    if folder.absolute() == results.folder.absolute():
        raise OptionError(f"{folder}: is the folder of the run itself; choose another --out.")
    with results_folder(folder, overwrite=overwrite) as partial:
        with stages("Reading the new patients"):
            panel = new_panel(results, given)
        with stages("Forecasts"):
            made = predict(results, panel)
        tables = {
            "forecasts.csv": made.forecasts,
            "attributions.csv": made.attributions,
            "tree-attributions.csv": made.tree_attributions,
        }
        if made.effects is not None:
            tables["effects.csv"] = made.effects.rename_axis(index=panel.columns.patient).reset_index()
        for name, table in tables.items():
            write_table(table, partial / name)
        described = results_dictionary(panel, tables, feature_dictionary(panel))
        write_table(described, partial / "data-dictionary.csv")
        about = _about(results, given, panel)
        with stages("Report"):
            # no ranking: new patients among themselves say nothing of who hinges most
            report = gather(
                panel,
                results.forecaster,
                results.effect,
                notes=made.notes,
                run=about,
                evaluate=False,
                hinge=None,
                effects=None,
                reference=results.panel,
                sd=results.study.get("analysis.shift_sd"),
            )
            write_report(partial, report)
        write_json(partial / "run.json", {**about, "seconds": stages.seconds})
    return made


def _about(results: Results, given: Mapping[str, Any], panel: Panel) -> dict[str, Any]:
    files = {
        name: Path(str(given[f"data.{name}"]))
        for name in ("sessions", "patients", "therapists")
        if given.get(f"data.{name}")
    }
    return {
        "title": f"New patients, forecast by {results.folder.name}",
        "fitted_run": {key: results.run.get(key) for key in ("version", "seed", "inputs", "options")},
        "level": results.study.get("analysis.level"),
        "seed": results.run.get("seed"),
        "version": results.run.get("version"),
        "inputs": {role: fingerprint(file) for role, file in files.items()},
        "patients": panel.n_patients,
    }


def _without_sessions(study: Study) -> Panel:
    """A panel of patients who have not had a session yet."""
    if study.files.get("patients") is None:
        raise OptionError("predict: name the new patients' files: --sessions FILE, --patients FILE, or both.")
    columns = study.columns
    names = [columns.patient, columns.session, *columns.scores]
    if columns.time is not None:
        names.append(columns.time)
    if columns.episode is not None:
        names.append(columns.episode)
    options = study._reading() | {"layout": "long", "wide": None, "intake": None}
    empty = pd.DataFrame({name: pd.Series(dtype=float) for name in names})
    return read_panel(empty, **options, absent="unknown")
