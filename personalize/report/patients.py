"""What the page knows of each patient, as plain values for its script."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.feature import GROUPS
from features.panel import Panel
from personalize.explain.on_track import OnTrack
from personalize.explain.verdicts import meanings
from personalize.report.glossary import GLOSSARY
from personalize.report.inputs import ReportInputs
from personalize.report.names import Names
from personalize.report.words import Words

DEFINED = (
    "verdict", "signed benefit", "P(benefit > 0)", "P(> reliable change)", "P(top)", "own-data reliability", "on track",
    "background",
)  # fmt: skip
MOST_INPUTS = 5  # of the boosted trees, a patient
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
    measure = panel.outcome_measure
    ratings = (inputs.reference or panel).alliance
    return dict(
        plain(
            {
                "outcome": words.outcome,
                "alliance": words.alliance,
                "better": words.better,
                "shifts": shifts,
                "sessions": sessions,
                "cutoff": None if measure is None else measure.cutoff,
                "level": 0.90 if found is None else float(found.attrs.get("level", 0.90)),
                "ends": _ends(inputs),
                "alliance_ends": [np.nanmin(ratings), np.nanmax(ratings)] if np.isfinite(ratings).any() else None,
                "judged": inputs.on_track is not None,
                "terms": {word: GLOSSARY[word] for word in DEFINED},
                "verdicts": meanings(words.alliance) if words.alliance else {},
            }
        )
    )


def _ends(inputs: ReportInputs) -> list[float]:
    """Ends of the outcome axis: the same for every patient, so that pictures can be compared.

    The middle 98 % of scores and forecasts; the picture of a patient who goes beyond makes its axis longer.
    """
    values = [(inputs.reference or inputs.panel).outcome]
    if inputs.forecasts is not None:
        values += [inputs.forecasts["lower"].to_numpy(dtype=float), inputs.forecasts["upper"].to_numpy(dtype=float)]
    every = np.concatenate(values)
    every = every[np.isfinite(every)]
    return [float(v) for v in np.quantile(every, [0.01, 0.99])] if len(every) else [0.0, 1.0]


class Records:
    """Looks every patient's rows up once, so that a record costs no search; ``shared`` is what `shared` returns."""

    def __init__(self, inputs: ReportInputs, names: Names, in_common: dict[str, Any]) -> None:
        self.inputs, self.names, self.panel, self.shared = inputs, names, inputs.panel, in_common
        column = self.panel.columns.patient
        track = inputs.on_track
        self.forecasts = Rows.of(self.panel, inputs.forecasts, column)
        self.scenarios = Rows.of(self.panel, inputs.scenarios, column)
        self.attributions = Rows.of(self.panel, inputs.attributions, column)
        self.trees = Rows.of(self.panel, inputs.tree_attributions, column)
        self.track = Rows.of(self.panel, track.signals if isinstance(track, OnTrack) else None, "patient")
        self.hinge = None if inputs.hinge is None else inputs.hinge.to_dict("records")
        self.intake = self.panel.patients.to_dict("records")

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
            "intake": [[str(c), _shown(v)] for c, v in self.intake[i].items()],
        }
        session = panel.columns.session
        own = self.forecasts.rows(i)
        if own:
            record["fan"] = {"s": own[session], **{key: own[name] for key, name in FAN.items() if name in own}}
        own = self.scenarios.rows(i)
        if own:
            record["what"] = [_scenario(own, d) for d in self.shared["shifts"]]
            furthest = int(np.argmax(own["shift"]))
            record["sd"] = own["shift_points"][furthest] / own["shift"][furthest] if own["shift"][furthest] else None
        own = self.attributions.rows(i)
        if own:
            record["moved"] = {
                "forecast": own["forecast"][0],
                "background": own["background"][0],
                "session": own[session][0] if session in own else None,
                "groups": [[g, own[g][0]] for g in GROUPS if g in own],
                "trees": _single(self.trees.rows(i)),
            }
        own = self.track.rows(i)
        if own:
            keys = ("session", "expected", "bound", "outcome", "off_track")
            record["track"] = [list(row) for row in zip(*(own[k] for k in keys), strict=True)]
        if self.hinge is not None:
            record["hinge"] = _hinge(self.hinge[i])
        return dict(plain(record))


FAN = {
    "m": "mean",
    "lo": "lower",
    "hi": "upper",
    "q1": "q0.25",
    "q3": "q0.75",
    "blo": "band_lower",
    "bhi": "band_upper",
}


def _single(own: dict[str, NDArray[Any]]) -> list[list[Any]]:
    """Single inputs that move the forecast most through its trees: name, value, points; those that move nothing not."""
    if not own:
        return []
    size = np.abs(own["contribution"].astype(float))
    order = np.argsort(-size, kind="stable")[:MOST_INPUTS]
    return [[own["input"][k], own["value"][k], own["contribution"][k]] for k in order if size[k] > 0]


def _scenario(own: dict[str, NDArray[Any]], shift: float) -> dict[str, Any]:
    at = np.flatnonzero(np.isclose(own["shift"].astype(float), shift))
    values = {key: own[name][at] for key, name in (("m", "mean"), ("lo", "lower"), ("hi", "upper"))}
    return {
        "d": shift,
        **values,
        "out": bool(own["outside"][at].any()),
        "note": str(own["note"][at[0]]) if len(at) else "",
    }


def _hinge(row: Mapping[Any, Any]) -> dict[str, Any]:
    out = {k: row[k] for k in HINGE if k in row} | {k: _text(row[k]) for k in HINGE_WORDS if k in row}
    out["moderators"] = [
        [row[f"moderator_{k}"], row[f"moderator_{k}_direction"], row[f"moderator_{k}_effect"]]
        for k in (1, 2, 3)
        if _text(row.get(f"moderator_{k}"))
    ]
    return out


@dataclass(frozen=True)
class Rows:
    """A table sorted by patient, as arrays.

    Attributes
    ----------
    columns : dict of str to array of shape (n_rows,)
    start : int array of shape (n_patients + 1,)
        Rows of patient i stand at ``start[i]:start[i + 1]``.
    """

    columns: dict[str, NDArray[Any]]
    start: NDArray[np.intp]

    @classmethod
    def of(cls, panel: Panel, table: pd.DataFrame | None, column: str) -> Rows:
        """Sort a table by the panel's patients; rows of others are dropped."""
        if table is None or table.empty:
            return cls({}, np.zeros(panel.n_patients + 1, dtype=np.intp))
        who = panel.patient_ids.get_indexer(pd.Index(table[column]))
        order = np.argsort(who, kind="stable")
        order = order[who[order] >= 0]
        start = np.searchsorted(who[order], np.arange(panel.n_patients + 1))
        return cls({str(c): table[c].to_numpy()[order] for c in table.columns}, start.astype(np.intp))

    def rows(self, i: int) -> dict[str, NDArray[Any]]:
        """Columns of one patient; empty where the table says nothing of them."""
        own = slice(self.start[i], self.start[i + 1])
        return {} if own.start == own.stop else {c: v[own] for c, v in self.columns.items()}


def _text(value: Any) -> str:
    """A text; empty where a table that was read from a file holds nothing."""
    return value if isinstance(value, str) else ""


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
