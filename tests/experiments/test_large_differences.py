"""Study of patients who differ far more than usual: what it compares, and its table."""

from __future__ import annotations

import pandas as pd
import pytest

from experiments import large_differences as study


def test_the_prior_makes_differences_smaller_and_intervals_narrower() -> None:
    rows = pd.DataFrame(study.one_clinic(80, 8, 3.0, study.FIRST_SEED)).set_index("prior")
    ours, flat = rows.loc["ours"], rows.loc["no ω too large"]
    assert 0.5 < ours["omega"] < flat["omega"]
    assert ours["width"] < flat["width"]
    assert ours["coverage"] <= flat["coverage"]


def test_the_table_is_the_mean_over_clinics(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"omega": 1.0, "rmse": 2.0, "coverage_top_fifth": 0.9}
    rows = [{"sd": 3.0, "seed": s, "prior": "ours", "coverage": c, **scores} for s, c in ((1, 0.8), (2, 0.9))]
    table = study.summary(pd.DataFrame(rows))
    assert table.to_dict("records") == [
        {"sd": 3.0, "prior": "ours", "clinics": 2, "coverage": pytest.approx(0.85), **scores}
    ]
    assert study.main(["--sds", "-1"]) == 2
    assert "give SDs of 0 or more" in capsys.readouterr().err
