"""One small simulated clinic with both models fitted, shared by the tests of explanations and report."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import pandas as pd

from features import Columns, Panel
from personalize.effects.alliance_effect import AllianceEffect
from personalize.report import ReportInputs, gather
from personalize.simulate import simulate_clinic
from personalize.trajectories.calibration import calibration_table
from personalize.trajectories.evaluate import summarise
from personalize.trajectories.forecast import TrajectoryForecaster
from personalize.trajectories.held_out import held_out

SCRIPT = "<script>alert(1)</script>"
FORMULA = '=HYPERLINK("x")'
IMAGE = '"><img src=x onerror=alert(1)>'
LABEL = "<b>distress</b> & co"
# a minus before nothing, and what a program says where there is no number
NONSENSE = re.compile(r"[−-]0(?:[.,]0+)?(?![\d.,]*\d)|\bnan\b|\bNaN\b|\bNone\b|\bundefined\b|\bnull\b|\binf\b|Infinity")


class Fitted(NamedTuple):
    panel: Panel
    forecaster: TrajectoryForecaster
    effect: Any


@cache
def fitted() -> Fitted:
    """120 patients whose effects differ, with the harmful names, and both models."""
    panel = renamed(simulate_clinic("linear", n_patients=120, n_sessions=10, random_state=5).panel)
    return Fitted(panel, TrajectoryForecaster(random_state=0).fit(panel), AllianceEffect(random_state=0).fit(panel))


def renamed(panel: Panel) -> Panel:
    """The same clinic with identifiers and a label that would do harm on a careless page."""
    first, second = panel.patient_ids[:2]
    new = {first: SCRIPT, second: FORMULA}
    sessions = panel.sessions.assign(patient_id=panel.sessions["patient_id"].replace(new))
    patients = panel.patients.rename(index=new).reset_index()
    staff = {panel.therapist_ids[0]: IMAGE}
    ids = panel.therapist_ids[panel.therapist_index]
    patients["therapist_id"] = [staff.get(t, t) for t in ids]
    patients["gender"] = (
        patients["gender"].astype(object).where(patients.index > 0, "</script><script>alert(2)</script>")
    )
    therapists = panel.therapists.rename(index=staff).reset_index()
    columns = Columns(outcome="symptoms", alliance="alliance", therapist="therapist_id")
    return Panel(sessions, patients, therapists, columns=columns, better="low", labels={"symptoms": LABEL})


@cache
def report_inputs() -> ReportInputs:
    """Everything a report shows, for the clinic with the harmful names."""
    panel, forecaster, effect = fitted()
    held = held_out(forecaster, panel, landmarks=(3, 5), baselines={"last observation": ("last",)})
    run = {
        "title": f"Clinic {SCRIPT}",
        "seed": 0,
        "version": "0",
        "simulated": True,
        "inputs": {"sessions": {"file": IMAGE}},
    }
    given = {"evaluation": summarise(held, n_bootstrap=20), "calibration": calibration_table(held)}
    return gather(panel, forecaster, effect, notes=[f"A note about {IMAGE}"], run=run, **given)


def nonsense(text: str) -> list[str]:
    """Places of a text where a number or a word went wrong, with what stands around them."""
    return [text[max(m.start() - 40, 0) : m.end() + 20] for m in NONSENSE.finditer(text)]


def visible(page: str) -> str:
    """What a reader sees of a page before its script has run."""
    return re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.S)


def of_patient(table: pd.DataFrame, patient: str) -> pd.DataFrame:
    """Rows of one patient."""
    return table[table["patient_id"] == patient]
