"""Hinge: the definition by hand, signs, probabilities, and nothing ranked where patients are not shown to differ."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from features import Columns, Panel
from features.errors import NotFitted, OptionError, PanelError
from personalize import explain
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.shrinkage import Patients, draw, shrink, unevenness
from personalize.explain.hinge import top_probability
from personalize.explain.verdicts import verdicts
from personalize.simulate import simulate_clinic
from tests.personalize.report_clinic import fitted


class Known:
    """An effect whose posterior is written down: three patients, normal, ρ known for certain."""

    state_sd_ = 0.5
    persistence_ = pd.Series({"estimate": 0.5, "se": 0.0})
    average_ = pd.Series({"estimate": -1.0, "level": 0.90})

    def __init__(self, means: list[float], sd: float, *, detected: bool = True) -> None:
        index = pd.Index(["p1", "p2", "p3"], name="patient_id")
        self.heterogeneity_ = pd.Series({"detected": detected})
        mean = np.array(means)
        z = norm.ppf(0.95)
        self.effects_ = pd.DataFrame(
            {
                "estimate": mean,
                "lower": mean - z * sd,
                "upper": mean + z * sd,
                "sd": sd,
                "own_reliability": 0.3,
                "n_sessions": 6,
                "n_transitions": [5, 5, 1],
                "baseline_estimate": -1.0,
                "own_shift": mean + 1.0,
                "reason": "",
            },
            index=index,
        )
        self.contributions = pd.DataFrame({"age": [-0.2, 0.0, 0.1], "cold": [0.5, 0.0, -0.3]}, index=index)

    def draws(self, n: int, random_state: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(random_state)
        table = self.effects_
        return (
            table["estimate"].to_numpy() + table["sd"].to_numpy() * rng.standard_normal((n, 3)),
            np.full(n, self.persistence_["estimate"]),
        )

    def probability_above_zero(self) -> np.ndarray:
        return norm.cdf(self.effects_["estimate"] / self.effects_["sd"])

    def moderator_contributions(self, patients: pd.DataFrame | None = None) -> pd.DataFrame:
        return self.contributions


def three(measure: str | None = None, better: str | None = None, top: float = 7.0) -> Panel:
    frame = pd.DataFrame({"patient_id": np.repeat(["p1", "p2", "p3"], 4), "session": np.tile(range(1, 5), 3)})
    frame["y"] = [20, 18, 15, 12, 10, 12, 9, 9, 14, 15, 16, 11]
    frame["a"] = [1, 2, 3, 2, 5, 6, 6, 5, 6, 7, 6, top]
    measures = {"y": measure} if measure else None
    return Panel(
        frame, columns=Columns(outcome="y", alliance="a"), measures=measures, better=None if measure else better
    )


def test_benefit_is_the_definition_worked_by_hand():
    found = explain.hinge(Known([-2.0, 1.0, -0.5], 1e-9), three(better="low"))
    # 1 + .5 + .25 + .125 = 1.875 sessions' worth of a shift of 0.5 points
    assert found["benefit"].tolist() == pytest.approx([2.0 * 0.5 * 1.875, -1.0 * 0.5 * 1.875, 0.5 * 0.5 * 1.875])
    assert found["benefit_long_run"].iloc[0] == pytest.approx(2.0 * 0.5 / (1 - 0.5))
    assert found["effect_per_sd"].tolist() == pytest.approx([-1.0, 0.5, -0.25])
    assert found["benefit_lower"].tolist() == pytest.approx(found["benefit"].tolist(), abs=1e-6)
    assert found["rank"].tolist() == [1, 3, 2]
    assert found.index.tolist() == ["p1", "p2", "p3"]


def test_benefit_changes_sign_with_the_direction_of_the_outcome():
    low, high = (explain.hinge(Known([-2.0, 1.0, -0.5], 0.2), three(better=b)) for b in ("low", "high"))
    assert high["benefit"].tolist() == pytest.approx((-low["benefit"]).tolist())
    assert high["rank"].tolist() == [3, 1, 2]
    assert low["moderator_1_direction"].tolist() == ["less benefit", "", "more benefit"]
    assert high["moderator_1_direction"].tolist() == ["more benefit", "", "less benefit"]


def test_rank_is_by_signed_benefit_never_by_size():
    found = explain.hinge(Known([-0.5, 9.0, -0.1], 0.1), three(better="low"))
    assert found["rank"].tolist() == [1, 3, 2]
    assert found.loc["p2", "verdict"] == "may be harmed"


def test_sessions_and_shift_are_what_was_asked_for():
    found = explain.hinge(Known([-2.0, 1.0, -0.5], 0.1), three(better="low"), shift=2.0, sessions=1)
    assert found["benefit"].tolist() == pytest.approx([4.0, -2.0, 1.0])
    assert set(found["shift"]) == {2.0}


def test_interval_and_probabilities_agree_with_the_normal_they_were_drawn_from():
    found = explain.hinge(Known([-1.0, -1.0, -1.0], 1.0), three("phq9"), sessions=1)
    exact = 0.5 * (1.0 + norm.ppf([0.05, 0.95]))
    monte_carlo = 5 * 0.5 / np.sqrt(1000)  # five standard errors of a tail quantile, roughly
    assert found[["benefit_lower", "benefit_upper"]].to_numpy() == pytest.approx(
        np.tile(exact, (3, 1)), abs=monte_carlo
    )
    assert found["p_benefit"].tolist() == pytest.approx([norm.cdf(1.0)] * 3, abs=0.06)
    assert found["p_top"].sum() == pytest.approx(1.0)  # one of three is in the largest fifth, in every draw


def test_reliable_change_comes_from_the_measure_or_is_missing_with_the_reason():
    effect = Known([-20.0, 0.0, -12.8], 0.4)
    found = explain.hinge(effect, three("phq9"), sessions=1)  # benefit 10, 0, 6.4; the PHQ-9's reliable change is 6
    assert found.loc["p1", "p_reliable"] == 1.0
    assert found.loc["p2", "p_reliable"] == 0.0
    assert 0.9 < found.loc["p3", "p_reliable"] < 1.0  # 2 SDs of 0.2 above
    unknown = explain.hinge(effect, three(better="low"))
    assert unknown["p_reliable"].isna().all()
    assert "no measure was named for 'y'" in unknown["p_reliable_reason"].iloc[0]


def test_nobody_is_ranked_where_patients_are_not_shown_to_differ():
    found = explain.hinge(Known([-3.0, -1.0, 0.0], 0.1, detected=False), three(better="low"))
    assert found["rank"].isna().all()
    assert found["p_top"].isna().all()
    assert (found["ranking_reason"] != "").all()
    assert set(found["verdict"]) <= {"not shown to differ from the average", "too little data"}


def test_reason_is_another_where_the_test_was_not_possible():
    effect = Known([-3.0, -1.0, 0.0], 0.1, detected=False)
    effect.heterogeneity_ = pd.Series({"detected": False, "p_value": np.nan}, dtype=object)
    reason = explain.hinge(effect, three(better="low"))["ranking_reason"]
    assert reason.str.contains("too few data to test").all()


def test_null_clinic_has_no_ranking():
    panel = simulate_clinic("null", n_patients=300, n_sessions=8, random_state=11).panel
    effect = AllianceEffect(random_state=0).fit(panel)
    found = explain.hinge(effect, panel)
    assert bool(effect.heterogeneity_["detected"]) is False
    assert found["rank"].isna().all()
    assert not found["verdict"].str.startswith("hinges").any()


def test_shift_that_leaves_the_alliances_seen_is_flagged():
    found = explain.hinge(Known([-1.0, -1.0, -1.0], 0.1), three(better="low"), shift=6.0)
    assert found["outside"].tolist() == [True, True, True]  # everybody would be above 7
    near = explain.hinge(Known([-1.0, -1.0, -1.0], 0.1), three(better="low"), shift=0.1)
    assert near["outside"].tolist() == [False, False, False]


def test_three_strongest_moderators_and_own_sessions_in_words():
    found = explain.hinge(Known([-2.0, -1.0, -0.5], 0.1), three(better="low"))
    assert found.loc["p1", ["moderator_1", "moderator_2", "moderator_3"]].tolist() == ["cold", "age", ""]
    assert found.loc["p1", "moderator_1_effect"] == 0.5
    assert found.loc["p2", "moderator_1"] == ""
    assert "cold by +0.5 (less benefit)" in found.loc["p1", "why"]
    assert "own sessions move it by −1 (more benefit)" in found.loc["p1", "why"]
    assert "The own sessions add nothing." in found.loc["p2", "why"]


def test_verdicts_follow_the_word_for_the_process():
    p, top, n = (
        np.array([0.99, 0.99, 0.9, 0.9, 0.2, np.nan]),
        np.array([0.9, 0.1, 0.9, 0.1, 0, np.nan]),
        np.full(6, 9.0),
    )
    n[3] = 1
    assert verdicts(p, top, n, alliance="drug level", detected=True) == [
        "hinges on drug level", "helped, not shown to hinge", "uncertain", "too little data", "may be harmed",
        "too little data",
    ]  # fmt: skip


def test_top_probability_matches_a_slow_count():
    benefit = np.random.default_rng(1).normal(size=(200, 11))
    slow = np.zeros(11)
    for one in benefit:
        slow[np.argsort(-one)[:3]] += 1 / 200  # a fifth of 11, rounded up
    assert top_probability(benefit, 0.2) == pytest.approx(slow)


def test_probabilities_of_the_top_fifth_come_true_where_the_model_holds():
    """Clinics drawn from the shrinkage's own model: what is stated comes true in every bin, skewed predictions too.

    So draws, ranks within draws and the integration over variances are right; what `experiments.top_fifth` finds
    beyond that comes from clinics in which the model does not hold.
    """
    stated, true = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        therapist = np.repeat(np.arange(40), 20)
        tau = rng.gamma(2.0, 0.6, 800) if seed % 2 else 0.9 * rng.standard_normal(800)
        tau -= tau.mean()
        free = 1.35 * np.sqrt(unevenness(tau, np.full(800, True))) * rng.standard_normal(800)
        effect = -2.4 + tau + 0.6 * rng.standard_normal(40)[therapist] + free
        v = 14.0 * rng.gamma(3.0, 1 / 3, 800)
        slope = effect + np.sqrt(v) * rng.standard_normal(800)
        patients = Patients(slope, v, tau, therapist, np.zeros(800))
        posterior = shrink(patients)
        drawn = draw(patients, posterior, np.zeros(800), 800, rng)
        stated.append(top_probability(-drawn, 0.2))
        true.append(np.argsort(np.argsort(effect)) < 160)
    p, top = np.concatenate(stated), np.concatenate(true)
    assert p.mean() == pytest.approx(0.2)
    for low, high in pairwise((0.0, 0.2, 0.4, 0.6, 1.0)):
        own = (p >= low) & (p < high)
        # patients of a clinic share its variances: twice the binomial error, and two points for those
        assert p[own].mean() == pytest.approx(top[own].mean(), abs=0.02 + 1.0 / np.sqrt(own.sum()))


def test_one_probability_of_the_top_fifth_not_two():
    panel, _, effect = fitted()
    found = explain.hinge(effect, panel, random_state=11)
    assert effect.heterogeneity_["detected"]
    np.testing.assert_array_equal(found["p_top"], effect.effects_["p_top_fifth"])
    third = explain.hinge(effect, panel, top=0.3)
    assert third["p_top"].sum() == pytest.approx(0.3 * panel.n_patients, abs=1)
    own = explain.hinge(effect, panel, sd="own")
    assert not np.array_equal(own["p_top"], found["p_top"])  # there the alliance's own movement counts too


def test_the_probability_of_a_benefit_does_not_hang_on_draws():
    panel, _, effect = fitted()
    one, other = (explain.hinge(effect, panel, random_state=seed)["p_benefit"] for seed in (0, 1))
    np.testing.assert_array_equal(one, other)
    own = explain.hinge(effect, panel, sd="own")
    assert not np.array_equal(own["p_benefit"], one)  # an SD of its own may be drawn as none
    drawn, _ = effect.draws(4000, 5)
    np.testing.assert_allclose(one, (drawn < 0).mean(axis=0), atol=4 * 0.5 / np.sqrt(4000))


def test_new_patients_get_what_intake_says():
    panel, _, effect = fitted()
    other = simulate_clinic("linear", n_patients=20, n_sessions=6, random_state=99).panel
    ids = {old: f"new {old}" for old in other.patient_ids}
    new = Panel(
        other.sessions.assign(patient_id=other.sessions["patient_id"].map(ids)),
        other.patients.rename(index=ids).reset_index(),
        columns=Columns(outcome="symptoms", alliance="alliance", therapist=None),
        better="low",
    )
    found = explain.hinge(effect, new)
    said = effect.predict(new.patients)
    assert found["effect"].tolist() == pytest.approx(said["estimate"].tolist())
    assert (found["own_shift"] == 0).all()
    assert found["reason"].eq("not in the fit: from intake alone").all()
    assert found["benefit_lower"].lt(found["benefit"]).all()
    assert panel.n_patients == 120  # the fit is untouched


def test_same_seed_same_table():
    panel, _, effect = fitted()
    pd.testing.assert_frame_equal(
        explain.hinge(effect, panel, random_state=3), explain.hinge(effect, panel, random_state=3)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0.0}, "top=0.0 is not allowed"),
        ({"top": 1.2}, "top=1.2 is not allowed"),
        ({"shift": -1.0}, "shift=-1.0 is not allowed"),
        ({"sessions": 0}, "sessions=0 is not allowed"),
        ({"sessions": 1.5}, "sessions=1.5 is not allowed"),
    ],
)
def test_bad_options_say_what_is_allowed(options, message):
    with pytest.raises(OptionError, match=message):
        explain.hinge(Known([-1.0, 0.0, 1.0], 0.1), three(better="low"), **options)


def test_unfitted_effect_and_panel_without_process_are_refused():
    with pytest.raises(NotFitted, match="call fit"):
        explain.hinge(AllianceEffect(), three(better="low"))
    bare = three(better="low").renamed(Columns(outcome="y"))
    with pytest.raises(PanelError, match="no alliance column"):
        explain.hinge(Known([-1.0, 0.0, 1.0], 0.1), bare)
