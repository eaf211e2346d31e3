"""Study of partial dependence: the truth it is held against, and the table."""

from __future__ import annotations

import pandas as pd
import pytest

from experiments import partial_dependence as study


def test_truth_follows_the_characteristic_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """With linear moderation the truth is a straight line in each moderator, and flat in what moderates nothing."""
    monkeypatch.setattr(study, "GROUPS", 0)  # no intervals: the truth is looked at
    rows = pd.DataFrame(study.one_clinic(80, 8, "linear", study.FIRST_SEED))
    assert not rows["covered"].any()
    spread = rows.groupby("moderator")["truth"].agg(lambda t: t.max() - t.min())
    moves = spread.index.isin(
        ["attachment_anxiety", "interpersonal_cold", "expectation", "life_satisfaction", "personality_disorder"]
    )
    assert 0 < moves.sum() < len(moves)
    assert (spread[moves] > 0.3).all()
    assert spread[~moves].max() == pytest.approx(0.0, abs=1e-12)


def test_coverage_is_the_mean_over_values() -> None:
    rows = pd.DataFrame({"preset": ["linear", "linear", "nonlinear"], "seed": [1, 2, 1], "covered": [1.0, 0.0, 1.0]})
    table = study.summary(rows).set_index("preset")
    assert table.loc["all", "coverage"] == pytest.approx(2 / 3)
    assert table.loc["linear"].to_dict() == {"clinics": 2, "n": 2, "coverage": 0.5}
