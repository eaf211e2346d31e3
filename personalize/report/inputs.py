"""Everything the report shows, as plain tables: the page never fits or estimates anything itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from features.errors import OptionError
from features.panel import Panel

SMALLEST_GROUP = 5  # groups of fewer patients are not shown


@dataclass(frozen=True)
class ReportInputs:
    """Tables and numbers behind one report.

    Only ``panel`` must be there; a section without its table says what is missing. `personalize.report.gather`
    fills it from a panel and fitted models.

    Parameters
    ----------
    panel : Panel
    forecasts : DataFrame, optional
        One row a patient and step ahead, from the end of each patient's sessions: the panel's patient and session
        columns, ``step`` (1, 2, ...), ``mean``, ``lower``, ``upper``, ``band_lower``, ``band_upper`` and quantiles
        (``"q0.05"`` ...). `personalize.explain.fan` makes it.
    evaluation : DataFrame, optional
        From `personalize.trajectories.evaluate.evaluate`.
    calibration : DataFrame, optional
        From `personalize.trajectories.calibration.calibration_table`.
    on_track : OnTrack, optional
        From `personalize.explain.on_track`.
    attributions : DataFrame, optional
        From `personalize.explain.attributions`, for the next session of each patient.
    tree_attributions : DataFrame, optional
        From `personalize.explain.tree_attributions` (all inputs), for the next session of each patient.
    alliance_variance, outcome_variance : DataFrame, optional
        ``features.variance.variance_shares(...).table``.
    effects, average, heterogeneity, persistence : optional
        ``effects_``, ``average_``, ``heterogeneity_``, ``persistence_`` of a fitted ``AllianceEffect``; ``None`` where
        there is no alliance column or too little data (then ``notes`` says which).
    state_sd : float, optional
        ``state_sd_``, in alliance points.
    validation, sensitivity : DataFrame, optional
        ``validate()`` and ``sensitivity()``.
    hinge, scenarios : DataFrame, optional
        From `personalize.explain.hinge` and `personalize.explain.scenarios` (several shifts on end).
    subgroups : Subgroups, optional
        From `personalize.explain.subgroups`.
    reference : Panel, optional
        Where ``panel`` holds new patients: those of the fit, whose scores set the axes of pictures.
    notes : sequence of str
        What was left out, assumed or set aside; shown on the first screen.
    run : mapping
        What the run knows of itself; shown as it is. Keys used by name where present: ``title``, ``version``, ``seed``,
        ``level``, ``inputs`` (mapping of file to sha256), ``options`` (mapping), ``seconds`` (mapping of stage to
        seconds), ``simulated`` (bool), ``software`` (mapping of package to version), ``command``.
    """

    panel: Panel
    forecasts: pd.DataFrame | None = None
    evaluation: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    on_track: Any = None
    attributions: pd.DataFrame | None = None
    tree_attributions: pd.DataFrame | None = None
    alliance_variance: pd.DataFrame | None = None
    outcome_variance: pd.DataFrame | None = None
    effects: pd.DataFrame | None = None
    average: pd.Series | None = None
    heterogeneity: pd.Series | None = None
    persistence: pd.Series | None = None
    state_sd: float | None = None
    validation: pd.DataFrame | None = None
    sensitivity: pd.DataFrame | None = None
    hinge: pd.DataFrame | None = None
    scenarios: pd.DataFrame | None = None
    subgroups: Any = None
    reference: Panel | None = None
    notes: Sequence[str] = ()
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def level(self) -> float:
        """Probability of the intervals of forecasts and of the effect."""
        given = self.run.get("level") if self.average is None else self.average.get("level")
        return 0.90 if given is None else float(given)

    @property
    def new_patients(self) -> bool:
        """Whether the patients are others than those the models were fitted to."""
        return self.reference is not None

    def __post_init__(self) -> None:
        if not isinstance(self.panel, Panel):
            raise OptionError(f"ReportInputs: panel must be a Panel, {type(self.panel).__name__} came.")
