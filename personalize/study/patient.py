"""One patient's page from a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from personalize import explain
from personalize.report import ReportInputs, write_patient as write_page
from personalize.study.results import Results

SHIFTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)  # steps of the slider, within-patient SDs
STEPS = 8  # sessions ahead that the fan shows


def write_patient(results: Results, who: Any, path: Path | None = None) -> Path:
    """Write the page of one patient of a run.

    Parameters
    ----------
    results : Results
    who : identifier
        As in the panel; `Results.patient` finds it from text.
    path : Path, optional
        ``<patient>.html`` in the present folder by default.

    Returns
    -------
    Path
    """
    inputs = patient_inputs(results, [who])
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in str(who)).strip(".") or "patient"
    target = Path(f"{name}.html") if path is None else path
    return write_page(target, inputs, 0)


def patient_inputs(results: Results, who: list[Any]) -> ReportInputs:
    """What the pages of some patients show, computed from the saved models; the hinge table is the run's own."""
    panel = results.panel.subset(who)
    fan = explain.fan(results.forecaster, panel, sessions=STEPS)
    moved = explain.attributions(results.forecaster, panel)
    next_session = moved[~moved.duplicated(panel.columns.patient)].reset_index(drop=True)
    found: dict[str, Any] = {}
    effect, hinge = results.effect, results.table("hinge.csv")
    if effect is not None and hinge is not None:
        own = hinge.set_index(panel.columns.patient)
        own.index = own.index.map(str)
        found["hinge"] = own.loc[[str(one) for one in panel.patient_ids]].set_axis(panel.patient_ids, axis=0)
        found["scenarios"] = explain.scenarios(results.forecaster, effect, panel, shift=SHIFTS, forecasts=fan)
        found |= {"average": effect.average_, "state_sd": effect.state_sd_}
    return ReportInputs(panel=panel, forecasts=fan, attributions=next_session, run=results.run, **found)
