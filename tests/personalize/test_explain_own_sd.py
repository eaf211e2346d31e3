"""The patient's own within-patient SD: shrinkage by hand, against the truth, and carried into hinge and scenarios."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel
from features.errors import OptionError
from personalize import explain
from personalize.effects.checks import within_sd
from personalize.explain.own_sd import sd_draws, shrunken_variances, within_sds
from personalize.explain.patient_effects import carried
from personalize.report import write_report
from tests.personalize.report_clinic import fitted, report_inputs

RATINGS = 10


class Pooled:
    """An effect of which only the pooled SD is asked."""

    def __init__(self, sd: float) -> None:
        self.state_sd_ = sd


def panel_of(rows: list[np.ndarray]) -> Panel:
    sessions = pd.concat(
        [
            pd.DataFrame(
                {"patient_id": f"p{i:04d}", "session": np.arange(1, len(a) + 1), "y": np.arange(len(a)), "a": a}
            )
            for i, a in enumerate(rows)
        ]
    )
    return Panel(sessions, columns=Columns(outcome="y", alliance="a"), better="low")


def drawn(n: int, spread: float, seed: int, error: float = 0.0) -> tuple[Panel, np.ndarray]:
    """Patients whose true SDs are 0.5 · exp(spread · z)."""
    rng = np.random.default_rng(seed)
    true = 0.5 * np.exp(spread * rng.standard_normal(n))
    rows = [5 + s * rng.standard_normal(RATINGS) + error * rng.standard_normal(RATINGS) for s in true]
    return panel_of(rows), true


def test_pooled_is_the_same_for_everybody():
    panel, _ = drawn(20, 0.3, 0)
    assert within_sds(Pooled(0.4), panel, "pooled").tolist() == [0.4] * 20


def test_posterior_variance_by_hand():
    """With d₀ and s₀² given by many patients, one patient's variance is the weighted mean of both."""
    rng = np.random.default_rng(1)
    freedom = np.full(4000, 9.0)
    others = 8 * 2.0 / rng.chisquare(8, 4000) * rng.chisquare(9, 4000) / 9  # d₀ = 8, s₀² = 2
    found = shrunken_variances(np.array([10.0, 0.0]), np.array([9.0, 0.0]), others, freedom)
    assert found.tolist() == pytest.approx([(8 * 2 + 9 * 10) / 17, 2.0], rel=0.06)  # 4,000 patients know d₀ to 5 %


def test_own_sds_are_closer_to_the_truth_than_raw_and_pooled():
    panel, true = drawn(300, 0.4, 3)
    pooled = within_sd(panel, 0.0)
    own = within_sds(Pooled(pooled), panel, "own")
    raw = np.array([panel.alliance[panel.patient_index == i].std(ddof=1) for i in range(300)])
    error = {k: np.sqrt(np.mean((v - true) ** 2)) for k, v in {"own": own, "raw": raw, "pooled": pooled}.items()}
    assert error["own"] < 0.95 * error["raw"] and error["own"] < 0.8 * error["pooled"]


def test_measurement_error_is_taken_out():
    panel, true = drawn(400, 0.2, 4, error=0.4)
    own = within_sds(Pooled(within_sd(panel, 0.4)), panel, "own")
    assert np.mean(own) == pytest.approx(np.mean(true), rel=0.1)
    assert np.mean(within_sds(Pooled(within_sd(panel, 0.0)), panel, "own")) > 1.15 * np.mean(true)


def test_where_patients_are_alike_everybody_gets_nearly_the_pooled_one():
    panel, _ = drawn(300, 0.0, 5)
    own = within_sds(Pooled(within_sd(panel, 0.0)), panel, "own")
    assert own.max() / own.min() < 1.4  # raw SDs of ten ratings differ by a factor of four


def test_one_rating_none_and_an_alliance_that_never_moves():
    rng = np.random.default_rng(6)
    rows = [5 + 0.5 * rng.standard_normal(RATINGS) for _ in range(30)]
    panel = panel_of([*rows, np.array([4.0]), np.full(RATINGS, 6.0), np.array([np.nan, np.nan])])
    pooled = within_sd(panel, 0.0)
    own = within_sds(Pooled(pooled), panel, "own")
    assert own[30] == own[32] == pytest.approx(pooled, rel=0.25)
    assert 0 < own[31] < own[:30].min()
    still = panel_of([np.full(4, 5.0), np.full(4, 6.0)])
    assert within_sds(Pooled(0.0), still, "own").tolist() == [0.0, 0.0]


def test_draws_of_the_own_sd_hold_the_truth_and_narrow_with_ratings():
    """90 % of the draws' intervals hold a true SD that follows the model; a patient without ratings has the widest."""
    rng = np.random.default_rng(11)
    n, prior = 2000, 12.0
    true = 0.5 * np.sqrt(prior / rng.chisquare(prior, n))
    panel = panel_of([5 + s * rng.standard_normal(RATINGS) for s in true])
    effect = Pooled(within_sd(panel, 0.0))
    draws = sd_draws(effect, panel, "own", n_draws=400, random_state=1)
    lower, upper = np.quantile(draws, [0.05, 0.95], axis=0)
    assert ((lower <= true) & (true <= upper)).mean() == pytest.approx(0.9, abs=0.02)  # Monte Carlo error .007
    few = panel_of([np.full(1, 5.0), 5 + 0.5 * rng.standard_normal(6), 5 + 0.5 * rng.standard_normal(60)])
    spread = sd_draws(effect, few, "own", panel, n_draws=2000, random_state=1)
    relative = spread.std(axis=0) / within_sds(effect, few, "own", panel)
    assert relative[0] > relative[1] > relative[2]
    assert sd_draws(effect, panel, "pooled", n_draws=9).tolist() == [[effect.state_sd_] * n]


def test_benefit_of_the_own_sd_is_covered():
    """Where effect and SD of each patient are drawn from what is stated, intervals of their product hold the truth."""
    rng = np.random.default_rng(3)
    true_sd = 0.5 * np.sqrt(12.0 / rng.chisquare(12.0, 1500))
    panel = panel_of([5 + s * rng.standard_normal(RATINGS) for s in true_sd])
    effect = Pooled(within_sd(panel, 0.0))
    said = rng.normal(-2.0, 0.8, 1500)
    true = said + 0.4 * rng.standard_normal(1500)
    drawn_effect = said + 0.4 * rng.standard_normal((1000, 1500))
    product = sd_draws(effect, panel, "own", n_draws=1000, random_state=2) * drawn_effect
    point = within_sds(effect, panel, "own") * drawn_effect
    covered = []
    for draws in (product, point):
        lower, upper = np.quantile(draws, [0.05, 0.95], axis=0)
        covered.append(float(((lower <= true * true_sd) & (true * true_sd <= upper)).mean()))
    assert covered[0] == pytest.approx(0.9, abs=0.025)
    assert covered[1] < covered[0] - 0.05  # what the draws of the SD are for


def test_new_patients_are_drawn_to_the_panel_of_the_fit():
    panel, _ = drawn(100, 0.3, 7)
    effect = Pooled(within_sd(panel, 0.0))
    whole = within_sds(effect, panel, "own")
    assert within_sds(effect, panel.subset(["p0009"]), "own", panel).tolist() == pytest.approx([whole[9]])


def test_hinge_takes_the_own_sd_where_asked():
    panel, _, effect = fitted()
    own = within_sds(effect, panel, "own")
    usual, found = explain.hinge(effect, panel), explain.hinge(effect, panel, sd="own")
    assert found["shift"].tolist() == pytest.approx(own.tolist())
    assert usual["shift"].nunique() == 1 and found["shift"].nunique() > 50
    share = (own / effect.state_sd_).tolist()
    for name in ("benefit", "benefit_long_run", "effect_per_sd"):
        assert (found[name] / usual[name]).tolist() == pytest.approx(share), name
    width, plain = ((t["benefit_upper"] - t["benefit_lower"]).to_numpy() for t in (found, usual))
    # wider by what is not known of the SD: Var(sβ) = s²·Var(β) + (β² + Var(β))·Var(s); else the ratio is exactly 1
    unsure = sd_draws(effect, panel, "own", panel, n_draws=4000, random_state=1)
    beta, spread = effect.effects_["estimate"].to_numpy(), effect.effects_["sd"].to_numpy()
    wider = np.sqrt(1 + (unsure.std(axis=0) / unsure.mean(axis=0)) ** 2 * (1 + (beta / spread) ** 2))
    told = (wider * unsure.mean(axis=0) / own).mean()  # SDs are drawn a little larger than they are estimated
    seen = width / plain / share
    assert 1 + (told - 1) / 2 < seen.mean() < told + 4 * seen.std() / np.sqrt(len(seen))
    assert seen.min() > 0.9  # but for the noise of draws, in everybody
    assert found["effect"].tolist() == usual["effect"].tolist()
    assert found["rank"].tolist() == found["benefit"].rank(ascending=False).tolist()
    assert found.attrs["sd"] == "own"
    same = explain.hinge(effect, panel, sd="own", shift=0.3)
    assert set(same["shift"]) == {0.3} and same["effect_per_sd"].tolist() == found["effect_per_sd"].tolist()


def test_scenarios_take_the_own_sd_where_asked():
    panel, forecaster, effect = fitted()
    own = within_sds(effect, panel, "own")
    table = explain.scenarios(forecaster, effect, panel, shift=2.0, sd="own", sessions=2)
    second = table[table["step"] == 2]
    assert second["shift_points"].tolist() == pytest.approx((2 * own).tolist())
    rho, beta = np.array(effect.persistence_["estimate"]), effect.effects_["estimate"].to_numpy()
    assert second["moved"].tolist() == pytest.approx((2 * own * beta * carried(rho, 2)).tolist())


def test_page_says_whose_sd_and_moves_each_patient_by_it(tmp_path):
    panel, forecaster, effect = fitted()
    inputs = report_inputs()
    own = replace(
        inputs,
        hinge=explain.hinge(effect, panel, sd="own"),
        scenarios=explain.scenarios(
            forecaster, effect, panel, shift=(-1, 0, 1), sd="own", sessions=4, forecasts=inputs.forecasts
        ),
    )
    text = write_report(tmp_path, own).read_text(encoding="utf-8")
    assert "held one SD of the patient&#39;s own (middle 80 % of patients [" in text
    people = json.loads(re.search(r'id="report-data">(.*?)</script>', text, re.S).group(1))["patients"]
    assert [p["sd"] for p in people] == pytest.approx(within_sds(effect, panel, "own").tolist(), rel=1e-4)


def test_another_word_is_refused():
    panel, forecaster, effect = fitted()
    with pytest.raises(OptionError, match="sd='mine' is not allowed"):
        explain.hinge(effect, panel, sd="mine")
    with pytest.raises(OptionError, match="sd='mine' is not allowed"):
        explain.scenarios(forecaster, effect, panel, sd="mine")
