"""Keep a panel in a folder, and get the same panel back."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features import Columns, Panel
from features.errors import FileError
from features.measures import Measure, from_table
from personalize.files import read_table, write_table

FORMAT = 1
PARTS = ("sessions", "patients", "therapists")


def panel_tables(panel: Panel) -> dict[str, pd.DataFrame]:
    """The three tables of a panel as its constructor takes them: sessions, patients, therapists where there are any.

    Dates are dates again; the therapist of each patient stands in the patients table.
    """
    columns = panel.columns
    sessions = panel.sessions.copy()
    if columns.time is not None and panel.calendar is not None:
        sessions[columns.time] = pd.Timestamp("1970-01-01") + pd.to_timedelta(panel.calendar, unit="D")
    patients = panel.patients.rename_axis(index=columns.patient).reset_index()
    out = {"sessions": sessions, "patients": patients}
    if columns.therapist is not None and (panel.therapist_index >= 0).any():
        patients.insert(1, columns.therapist, own_therapists(panel))
        out["therapists"] = panel.therapists.rename_axis(index=columns.therapist).reset_index()
    return out


def own_therapists(panel: Panel) -> pd.Series:
    """Therapist of each patient, shape (n_patients,); None where there is none."""
    own = pd.Series([None] * panel.n_patients, dtype=object)
    has = panel.therapist_index >= 0
    own[has] = panel.therapist_ids[panel.therapist_index[has]].tolist()
    return own


def rebuilt(panel: Panel, tables: dict[str, pd.DataFrame]) -> Panel:
    """A panel of other tables with the roles, measures and names of ``panel``; its notes are taken over."""
    columns = panel.columns if "therapists" in tables else replace(panel.columns, therapist=None)
    new = Panel(
        tables["sessions"],
        tables["patients"],
        tables.get("therapists"),
        columns=replace(columns, episode=None),
        timing=panel.timing,
        measures=panel.measures,
        better=panel.better,
        names=panel.names,
        labels=panel.labels,
    )
    new.better_stated = panel.better_stated
    new.notes = list(panel.notes)
    return new


def save_panel(panel: Panel, folder: Path) -> None:
    """Write a panel as ``sessions.parquet``, ``patients.parquet``, ``therapists.parquet`` and ``panel.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = panel_tables(panel)
    for name, table in tables.items():
        write_table(table, folder / f"{name}.parquet")
    head = {
        "kind": "personalize panel",
        "format": FORMAT,
        "tables": list(tables),
        "columns": panel.columns.to_dict(),
        "timing": panel.timing,
        "measures": {column: _measure(m) for column, m in panel.measures.items()},
        "better": panel.better,
        "better_stated": panel.better_stated,
        "labels": panel.labels,
        "names": panel.names,
        "notes": panel.notes,
    }
    text = json.dumps(head, indent=1, ensure_ascii=False)
    (folder / "panel.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def load_panel(folder: Path) -> Panel:
    """Read what `save_panel` wrote.

    Raises
    ------
    FileError
        When the folder holds no panel, a damaged one, or one of another version.
    """
    place = folder / "panel.json"
    try:
        head: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        if not isinstance(head, dict) or head.get("kind") != "personalize panel" or head.get("format") != FORMAT:
            raise FileError(f"{place}: not a panel that this version reads; run the study again.")
        tables = {name: read_table(folder / f"{name}.parquet").frame for name in PARTS if name in head["tables"]}
        columns = replace(Columns(**head["columns"]), episode=None)
        if "therapists" not in tables:
            columns = replace(columns, therapist=None)
        panel = Panel(
            tables["sessions"],
            tables["patients"],
            tables.get("therapists"),
            columns=columns,
            timing=head["timing"],
            measures={column: from_table(m["name"], _unnamed(m)) for column, m in head["measures"].items()},
            better=head["better"],
            names=head["names"],
            labels=head["labels"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(
            f"{folder}: the saved panel is incomplete or damaged ({error}); run the study again."
        ) from error
    panel.better_stated, panel.notes = head["better_stated"], list(head["notes"])
    return panel


def _measure(m: Measure) -> dict[str, Any]:
    return {key: value for key, value in asdict(m).items() if value is not None}


def _unnamed(m: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in m.items() if key != "name"}


def plain(value: Any) -> Any:
    """A value for JSON: NumPy numbers become Python's, missing and infinite ones None."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, pd.DataFrame):
        return [plain(row) for row in value.to_dict("records")]
    if isinstance(value, pd.Series):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or value is pd.NaT or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value
