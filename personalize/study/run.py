"""One run: from files (or a panel) to a results folder that appears whole or not at all."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from features import Panel
from features.errors import OptionError
from personalize.files import results_folder, write_table
from personalize.files.longtable import long_table
from personalize.report import gather, write_report
from personalize.study.analysis import Analysis, analyse
from personalize.study.config import Study
from personalize.study.dictionary import results_dictionary
from personalize.study.panel_store import plain, save_panel
from personalize.study.progress import Show, Stages
from personalize.study.pseudonyms import check_moderators, pseudonymised
from personalize.study.summary import summarise_run

PACKAGES = ("personalize", "numpy", "scipy", "pandas", "scikit-learn", "lightgbm", "pyarrow")
BLOCK = 1 << 20


@dataclass(frozen=True)
class RunSummary:
    """What a run made.

    Parameters
    ----------
    folder : Path
        The results folder.
    analysis : Analysis
    summary : dict
        Content of ``summary.json``.
    seconds : dict of str to float
        Wall-clock seconds by stage.
    key : Path or None
        Where the key to the pseudonyms was written: beside the results, not in them.
    """

    folder: Path
    analysis: Analysis
    summary: dict[str, Any]
    seconds: dict[str, float]
    key: Path | None


def run_study(study: Study, *, show: Show | None = None) -> RunSummary:
    """Read a study's files, fit everything, and write its results folder.

    Parameters
    ----------
    study : Study
    show : callable, optional
        Called with the words for each stage; returns a context that lasts as long as the stage.

    Raises
    ------
    FileError, PanelError, OptionError
        When files, data or options are at fault; nothing is written then.
    NotEnoughData
        When not even a forecast can be learned.
    """
    stages = Stages(show)
    with results_folder(study.folder, overwrite=study.get("output.overwrite")) as folder:
        inside = [role for role, file in study.files.items() if _inside(file, study.folder)]
        if inside:
            raise OptionError(
                f"{study.files[inside[0]]}: lies in the results folder {study.folder}, which is replaced whole; choose "
                "another --out."
            )
        with stages("Reading the data"):
            panel = study.read()
            inputs = {role: fingerprint(file) for role, file in study.files.items()}
        return _write_run(panel, study, folder, inputs, {}, stages)


def run_panel(
    panel: Panel,
    study: Study,
    *,
    show: Show | None = None,
    inputs: Mapping[str, Any] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> RunSummary:
    """Run a study on a panel that is already there.

    Parameters
    ----------
    panel : Panel
        Its roles must be those of ``study``.
    inputs : mapping, optional
        Where the panel comes from, for ``run.json``.
    tables : mapping of file name to DataFrame, optional
        Further tables for the results folder.
    """
    if panel.columns.scores != study.columns.scores:
        raise OptionError(
            f"run_panel: the panel's scores are {panel.columns.scores}, the study's {study.columns.scores}."
        )
    with results_folder(study.folder, overwrite=study.get("output.overwrite")) as folder:
        return _write_run(panel, study, folder, dict(inputs or {}), dict(tables or {}), Stages(show))


def _write_run(
    panel: Panel,
    study: Study,
    folder: Path,
    inputs: dict[str, Any],
    further: dict[str, pd.DataFrame],
    stages: Stages,
) -> RunSummary:
    key_table, key = None, None
    if study.get("output.pseudonyms"):
        check_moderators(panel, study.get("analysis.moderators"))
        panel, key_table = pseudonymised(panel, study.get("analysis.seed"))
        further = {}  # they would name patients
    done = analyse(panel, study, stages)
    summary = summarise_run(done, study.get("title"))
    about = run_facts(study, inputs, simulated="simulated" in inputs)
    with stages("Report"):
        report = gather(
            panel,
            done.forecaster,
            done.effect,
            notes=summary["notes"],
            run={**about, "level": study.get("analysis.level"), "seconds": dict(stages.seconds)},
            sd=study.get("analysis.shift_sd"),
            **_given(done),
        )
        write_report(folder, report)
    with stages("Figures"):
        from personalize.report.figures import write_figures  # matplotlib is slow to load

        write_figures(folder / "figures", report)
    with stages("Writing the tables"):
        tables = {**results_tables(done), **further}
        for name, table in tables.items():
            write_table(table, folder / name)
        write_table(results_dictionary(panel, tables, done.features_dictionary), folder / "data-dictionary.csv")
        write_json(folder / "summary.json", summary)
        done.forecaster.save(folder / "model" / "forecaster")
        if done.effect is not None:
            done.effect.save(folder / "model" / "effect")
        save_panel(panel, folder / "model" / "panel")
    write_json(folder / "run.json", {**about, "seconds": stages.seconds})
    if key_table is not None:
        key = study.folder.with_name(f"{study.folder.name}.key.csv")
        write_table(key_table, key)  # text that a spreadsheet would run is escaped
    return RunSummary(study.folder, done, summary, stages.seconds, key)


def results_tables(done: Analysis) -> dict[str, pd.DataFrame]:
    """The tables of a results folder, by file name, as they are written."""
    panel, patient = done.panel, done.panel.columns.patient
    out = {"features.csv": done.features.copy().reset_index(), "forecasts.csv": done.forecasts}
    if done.effect is not None and done.hinge is not None:
        out["effects.csv"] = done.effect.effects_.copy().rename_axis(index=patient).reset_index()
        out["hinge.csv"] = done.hinge.copy().rename_axis(index=patient).reset_index()
    out["attributions.csv"] = done.attributions
    out["tree-attributions.csv"] = done.tree_attributions
    if done.on_track is not None:
        signals = done.on_track.signals.rename(columns={"patient": patient, "session": "sessions_seen"})
        out["on-track.csv"] = signals
    out["panel.parquet"] = long_table(panel).frame
    return out


def run_facts(study: Study, inputs: Mapping[str, Any], *, simulated: bool = False) -> dict[str, Any]:
    """What ``run.json`` says besides seconds: inputs, options, versions, seed."""
    options = {section: own for section, own in study.plain().items() if own}
    data = {**options.get("data", {})}
    data |= {role: Path(str(data[role])).name for role in ("sessions", "patients", "therapists") if role in data}
    output = {**options.get("output", {}), "folder": study.folder.name}
    software = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    return {
        "title": study.get("title"),
        "version": software["personalize"],
        "seed": study.get("analysis.seed"),
        "simulated": simulated,
        "inputs": plain(dict(inputs)),
        "options": plain({**options, "data": data, "output": output}),
        "software": software,
    }


def fingerprint(file: Path) -> dict[str, Any]:
    """Name, size and SHA-256 of a file."""
    digest = sha256()
    with file.expanduser().open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return {"file": file.name, "bytes": file.expanduser().stat().st_size, "sha256": digest.hexdigest()}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write readable JSON: the same content gives the same bytes."""
    path.write_text(
        json.dumps(plain(dict(content)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n"
    )


def _given(done: Analysis) -> dict[str, Any]:
    """What the report need not make again; None where it cannot be made."""
    next_session = done.attributions[done.attributions["target"] == "next session"].drop(columns="target")
    return {
        **({} if done.on_track is None else {"on_track": done.on_track}),
        "evaluation": done.evaluation,
        "calibration": done.calibration,
        "attributions": next_session.reset_index(drop=True),
        "hinge": done.hinge,
        "validation": done.validation,
        "sensitivity": done.sensitivity,
    }


def _inside(file: Path, folder: Path) -> bool:
    return file.expanduser().absolute().is_relative_to(folder.expanduser().absolute())
