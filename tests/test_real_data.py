"""The command line on real data, where it is there: RefraMED (no alliance) and Riesby (drug level for alliance)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features import Columns
from personalize.cli import app
from personalize.effects.alliance_effect import AllianceEffect
from personalize.files import read_panel
from personalize.mixed import within_between_model
from personalize.study import load_results, study_from
from tests.personalize.report_clinic import nonsense, visible

# Linear mixed models of the same data in R (lme4), see tests/personalize/reference: week and both centred levels
WITHIN_BETWEEN = {
    "session": (-2.024, 0.292),
    "lnimi_between": (-0.313, 1.004),
    "lndmi_between": (-2.367, 0.796),
    "lnimi_within": (2.444, 1.456),
    "lndmi_within": (-1.797, 0.999),
}
DEVIANCE = 1495.77
WITHIN_ALONE = -1.17  # the within effect of lndmi alone in the mixed model


def personalize(*args: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(map(str, args)))
    return result.exit_code, result.stdout, result.stderr


def riesby_flags(data: Path) -> list[str | Path]:
    roles = ["--outcome", "hamdelt", "--alliance", "lndmi", "--session", "week", "--patient-id", "id"]
    return [data / "riesby" / "riesby4.csv", *roles, "--covariate", "lnimi", "--timing", "before", "--better", "low"]


def test_reframed_stops_at_a_score_outside_the_range_and_runs_with_the_remedy(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "reframed"
    flags = ["--sessions", folder / "sessions.csv", "--patients", folder / "patients.csv", "--outcome", "phq9"]
    flags += ["--measure", "phq9", "--time", "month", "--out", tmp_path / "r"]
    code, _, told = personalize("run", *flags)
    assert code == 2
    assert "-0.248546" in told and "phq9 runs from 0 to 27" in told and "--out-of-range 'missing'" in told
    assert not (tmp_path / "r").exists()
    code, said, told = personalize("run", *flags, "--out-of-range", "missing")
    assert code == 0, told
    assert "250 patients, 22 therapists" in said and "Left out: effects.csv, hinge.csv" in said
    results = load_results(tmp_path / "r")
    forecasts = results.table("forecasts.csv")
    assert forecasts is not None and len(forecasts) == 3 * 250
    assert forecasts[["lower", "mean", "upper"]].stack().between(0, 27).all()
    summary = json.loads((tmp_path / "r" / "summary.json").read_text(encoding="utf-8"))
    assert any("outside 0 to 27 (phq9)" in note for note in summary["notes"])
    accuracy = pd.DataFrame(summary["accuracy"])
    overall = accuracy[(accuracy["horizon"] == "all") & (accuracy["metric"] == "mae")].set_index("forecaster")[
        "estimate"
    ]
    assert overall["forecaster"] < overall["last observation"]
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "No column plays the role of the alliance" in page
    said = visible(page)
    assert nonsense(said) == []
    assert "hinges on" not in said and "Robustness" not in said and "The average effect: not estimated" in said


def test_riesby_runs_and_says_how_little_can_be_known(real_data: Path, tmp_path: Path) -> None:
    code, said, told = personalize("run", *riesby_flags(real_data), "--out", tmp_path / "r")
    assert code == 0, told
    summary = json.loads((tmp_path / "r" / "summary.json").read_text(encoding="utf-8"))
    assert summary["data"]["patients"] == 66 and summary["data"]["timing"] == "before"
    average = summary["average_effect"]
    assert average["lower"] <= WITHIN_ALONE <= average["upper"]
    notes = " ".join(summary["notes"])
    assert "too short" in notes, notes
    hinge = load_results(tmp_path / "r").table("hinge.csv")
    assert hinge is not None and len(hinge) == 66
    assert hinge["rank"].isna().all() and hinge["p_top"].isna().all(), "nobody is ranked"
    assert not hinge["verdict"].str.startswith("hinges").any()
    assert "say little about a single patient" in notes
    assert "Results in" in said
    page = visible((tmp_path / "r" / "report.html").read_text(encoding="utf-8"))
    assert nonsense(page) == []
    assert "too few data to test whether patients differ in this. Nobody is ranked." in page
    assert "an effect is not shown" in page and ": an improvement" not in page


def test_riesby_effect_names_what_is_too_short(real_data: Path) -> None:
    columns = Columns(outcome="hamdelt", alliance="lndmi", patient="id", session="week", covariates=("lnimi",))
    path = real_data / "riesby" / "riesby4.csv"
    panel = read_panel(path, columns=columns, timing="before", better="low")
    effect = AllianceEffect(random_state=0).fit(panel)
    assert any("too short" in note for note in effect.notes_)
    width = (effect.effects_["upper"] - effect.effects_["lower"]).dropna()
    assert (width > 0).all()
    assert np.median(width) > abs(effect.average_["estimate"]), "single patients are hardly known"


def test_riesby_mixed_model_reproduces_the_split_within_and_between(real_data: Path) -> None:
    given = {"outcome.column": "hamdelt", "alliance.column": "lndmi", "columns.covariates": ["lnimi"]}
    given |= {"columns.patient": "id", "columns.session": "week", "alliance.timing": "before", "outcome.better": "low"}
    panel = study_from({**given, "data.sessions": str(real_data / "riesby" / "riesby4.csv")}).read()
    fit = within_between_model(panel, time="session", slopes=("time",), method="ML")
    for term, (estimate, error) in WITHIN_BETWEEN.items():
        assert fit.fixed.loc[term, "estimate"] == pytest.approx(estimate, abs=1e-3), term
        assert fit.fixed.loc[term, "se"] == pytest.approx(error, abs=1e-3), term
    assert fit.deviance == pytest.approx(DEVIANCE, abs=0.01)
