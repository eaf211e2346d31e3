"""Features that have seen the whole treatment: for describing effects, never for forecasts."""

from __future__ import annotations

import numpy as np

from features.alliance import SPLITS
from features.feature import WHOLE, Feature
from features.panel import Panel
from features.windows import Floats

TRAIT_PARTS = ("trait", "therapist", "patient")
PARTS = {"three_levels": ("therapist", "patient", "session")}


def declared(panel: Panel) -> list[Feature]:
    """Declare every whole-treatment split of the alliance and of the outcome's level, and the length of treatment."""
    features: list[Feature] = []
    alliance, outcome = panel.columns.alliance, panel.columns.outcome
    for name, way in SPLITS.items():
        if alliance is None or way.whole is None:
            continue
        for part in PARTS.get(name, ("trait", "state")):
            group = "trait alliance" if part in TRAIT_PARTS else "state alliance"
            text = f"{part} part of {alliance}, split {name!r}: {way.formula}"
            features.append(Feature(f"{alliance}_{name}_{part}{WHOLE}", group, "whole", "points", text))
    for part, text in (("trait", "mean over the whole treatment"), ("state", "deviation from that mean")):
        name = f"{outcome}_person_mean_{part}{WHOLE}"
        features.append(Feature(name, "outcome history", "whole", "points", f"{outcome}: {text}"))
    features.append(
        Feature(f"sessions_total{WHOLE}", "time", "whole", "sessions", "observed sessions of the treatment")
    )
    return features


def whole_features(panel: Panel) -> dict[str, Floats]:
    """Compute the features of `declared` for every session row, shape (n_sessions,)."""
    values: list[Floats] = []
    for name, way in SPLITS.items():
        if panel.has_alliance and way.whole is not None:
            parts = way.whole(panel, np.asarray(panel.alliance, dtype=float))
            values += [parts[part] for part in PARTS.get(name, ("trait", "state"))]
    split_mean = SPLITS["person_mean"].whole
    if split_mean is not None:
        values += split_mean(panel, np.asarray(panel.outcome, dtype=float)).values()
    values.append(panel.sessions_per_patient[panel.patient_index].astype(float))
    return dict(zip((feature.name for feature in declared(panel)), values, strict=True))
