"""What the page knows of each patient, as plain values for its script."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.feature import GROUPS
from features.panel import Panel
from personalize.explain.on_track import OnTrack
from personalize.report.inputs import ReportInputs
from personalize.report.names import Names
from personalize.report.words import Words

DIGITS = 5  # significant digits of what is drawn
HINGE = (
    "effect", "effect_lower", "effect_upper", "shift", "benefit", "benefit_lower", "benefit_upper", "benefit_long_run",
    "p_benefit", "p_reliable", "p_top", "rank", "own_reliability", "n_transitions", "own_shift", "baseline_estimate",
)  # fmt: skip
HINGE_WORDS = ("verdict", "why", "reason", "ranking_reason", "p_reliable_reason")


def shared(inputs: ReportInputs, words: Words, sessions: int) -> dict[str, Any]:
    """What all patients have in common: words, the shifts of the slider, ends of the axes."""
    panel = inputs.panel
    found = inputs.scenarios
    shifts = [] if found is None else sorted(float(s) for s in found["shift"].unique())
    points = float("nan")
    if found is not None and len(found):
        one = found.loc[found["shift"] == found["shift"].max()].iloc[0]
        points = float(one["shift_points"]) / float(one["shift"]) if one["shift"] else float("nan")
    measure = panel.outcome_measure
    return plain(
        {
            "outcome": words.outcome,
            "alliance": words.alliance,
            "better": words.better,
            "shifts": shifts,
            "sd": points,
            "sessions": sessions,
            "cutoff": None if measure is None else measure.cutoff,
            "level": 0.90 if found is None else float(found.attrs.get("level", 0.90)),
            "ends": _ends(inputs),
            "alliance_ends": [np.nanmin(panel.alliance), np.nanmax(panel.alliance)] if panel.has_alliance else None,
        }
    )


def _ends(inputs: ReportInputs) -> list[float]:
    """Ends of the outcome axis: the same for every patient, so that pictures can be compared."""
    values = [inputs.panel.outcome]
    if inputs.forecasts is not None:
        values += [inputs.forecasts["lower"].to_numpy(dtype=float), inputs.forecasts["upper"].to_numpy(dtype=float)]
    if inputs.scenarios is not None:
        values += [inputs.scenarios["mean"].to_numpy(dtype=float)]
    every = np.concatenate(values)
    return [float(np.nanmin(every)), float(np.nanmax(every))] if np.isfinite(every).any() else [0.0, 1.0]


class Records:
    """Looks every patient's rows up once, so that a record costs no search."""

    def __init__(self, inputs: ReportInputs, names: Names) -> None:
        self.inputs, self.names, self.panel = inputs, names, inputs.panel
        column = self.panel.columns.patient
        self.forecasts = _by_patient(self.panel, inputs.forecasts, column)
        self.scenarios = _by_patient(self.panel, inputs.scenarios, column)
        self.attributions = _by_patient(self.panel, inputs.attributions, column)
        track = inputs.on_track
        self.track = _by_patient(self.panel, track.signals if isinstance(track, OnTrack) else None, "patient")

    def of(self, i: int) -> dict[str, Any]:
        """Record of the i-th patient of the panel."""
        panel = self.panel
        rows = slice(int(panel.offsets[i]), int(panel.offsets[i + 1]))
        therapist = int(panel.therapist_index[i])
        record: dict[str, Any] = {
            "name": self.names.patients[i],
            "therapist": self.names.therapists[therapist] if therapist >= 0 else "",
            "s": panel.session[rows],
            "y": panel.outcome[rows],
            "a": panel.alliance[rows] if panel.has_alliance else [],
            "intake": [[str(c), _shown(v)] for c, v in panel.patients.iloc[i].items()],
        }
        own = self.forecasts.get(i)
        if own is not None:
            record["fan"] = {
                "s": own[panel.columns.session],
                **{key: own[name] for key, name in _quantiles(own).items()},
            }
        own = self.scenarios.get(i)
        if own is not None:
            record["what"] = [
                {"d": d, "m": part["mean"], "lo": part["lower"], "hi": part["upper"], "out": bool(part["outside"].any()),
                 "note": str(part["note"].iloc[0])}
                for d, part in own.groupby("shift", sort=True)
            ]  # fmt: skip
        own = self.attributions.get(i)
        if own is not None:
            first = own.iloc[0]
            record["moved"] = {
                "forecast": first["forecast"],
                "background": first["background"],
                "session": first.get(panel.columns.session),
                "groups": [[g, first[g]] for g in GROUPS if g in own.columns],
            }
        own = self.track.get(i)
        if own is not None:
            record["track"] = [[r.session, r.expected, r.bound, r.outcome, bool(r.off_track)] for r in own.itertuples()]
        if self.inputs.hinge is not None:
            row = self.inputs.hinge.iloc[i]
            record["hinge"] = {k: row[k] for k in HINGE if k in row} | {k: str(row[k]) for k in HINGE_WORDS if k in row}
            record["hinge"]["moderators"] = [
                [row[f"moderator_{k}"], row[f"moderator_{k}_direction"], row[f"moderator_{k}_effect"]]
                for k in (1, 2, 3)
                if row.get(f"moderator_{k}")
            ]
        return dict(plain(record))


def _quantiles(own: pd.DataFrame) -> dict[str, str]:
    known = {"m": "mean", "lo": "lower", "hi": "upper", "q1": "q0.25", "q3": "q0.75", "blo": "band_lower", "bhi": "band_upper"}
    return {key: name for key, name in known.items() if name in own.columns}


def _by_patient(panel: Panel, table: pd.DataFrame | None, column: str) -> dict[int, pd.DataFrame]:
    if table is None or table.empty:
        return {}
    who = panel.patient_ids.get_indexer(pd.Index(table[column]))
    return {int(i): table.iloc[rows] for i, rows in _groups(who).items() if i >= 0}


def _groups(who: NDArray[np.intp]) -> Mapping[int, NDArray[np.intp]]:
    order = np.argsort(who, kind="stable")
    ids, start = np.unique(who[order], return_index=True)
    return dict(zip(ids.tolist(), np.split(order, start[1:]), strict=True))


def _shown(value: Any) -> Any:
    """A value of the intake table as it is read: numbers stay numbers, the rest becomes text."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return value if isinstance(value, (int, float, np.number)) else str(value)


def plain(value: Any) -> Any:
    """Numbers and texts that JSON can hold; missing becomes null, floats keep five significant digits."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, (np.ndarray, pd.Series, Sequence)):
        return [plain(v) for v in value]
    return None if value is None or value is pd.NA or value is pd.NaT else str(value)


def script_json(value: Any) -> str:
    r"""JSON that can stand inside a ``<script>`` element: no ``<``, ``>`` or ``&``, no line separators.

    Examples
    --------
    >>> script_json({"id": "</script>"})
    '{"id":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
