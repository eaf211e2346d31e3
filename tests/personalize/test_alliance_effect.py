"""AllianceEffect through its public door: recovery, coverage, honesty, bad input, files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from features import Columns, Panel
from features.errors import FileError, NotEnoughData, NotFitted, OptionError
from features.measures import Measure
from personalize import AllianceEffect, simulate_clinic
from personalize.simulate import SimulatedClinic

N = 400


@pytest.fixture(scope="module")
def clinic() -> SimulatedClinic:
    return simulate_clinic("linear", n_patients=N, random_state=21)


@pytest.fixture(scope="module")
def effect(clinic: SimulatedClinic) -> AllianceEffect:
    return AllianceEffect().fit(clinic.panel)


def test_effects_beat_the_same_constant_for_everybody(clinic: SimulatedClinic, effect: AllianceEffect) -> None:
    truth = clinic.truth.patients["effect"]
    ours = np.sqrt(((effect.effects_["estimate"] - truth) ** 2).mean())
    constant = np.sqrt(((effect.average_["estimate"] - truth) ** 2).mean())
    assert ours < 0.85 * constant
    assert effect.effects_["estimate"].corr(truth, method="spearman") > 0.45


def test_intervals_hold_most_true_effects() -> None:
    """Four clinics of two kinds: average coverage of 90 % intervals within what so few clinics allow."""
    inside = []
    for preset, seed in (("linear", 31), ("nonlinear", 32), ("linear", 33), ("harsh", 34)):
        sem = {"alliance_sem": 0.2, "outcome_sem": 2.0} if preset == "harsh" else {}
        one = simulate_clinic(preset, n_patients=N, random_state=seed)
        table = AllianceEffect(**sem).fit(one.panel).effects_
        truth = one.truth.patients["effect"]
        inside.append(((table["lower"] <= truth) & (truth <= table["upper"])).mean())
    assert 0.80 < np.mean(inside) < 0.99, inside


@pytest.mark.parametrize("preset", ["null", "constant"])
def test_where_nothing_varies_nobody_is_ranked(preset: str) -> None:
    one = simulate_clinic(preset, n_patients=N, random_state=4)
    found = AllianceEffect().fit(one.panel)
    assert not found.heterogeneity_["detected"]
    assert found.effects_["p_top_fifth"].isna().all()
    truth = one.truth.patients["effect"]
    assert ((found.effects_["lower"] <= truth) & (truth <= found.effects_["upper"])).mean() > 0.95
    assert (found.effects_["upper"] > found.effects_["lower"]).all()


def test_where_patients_differ_it_is_seen(effect: AllianceEffect) -> None:
    assert effect.heterogeneity_["detected"]
    assert effect.effects_["p_top_fifth"].between(0, 1).all()
    assert effect.effects_["p_top_fifth"].sum() == pytest.approx(np.ceil(0.2 * N), rel=1e-9)


def test_parts_add_up(effect: AllianceEffect) -> None:
    table = effect.effects_
    assert np.allclose(table["baseline_estimate"] + table["own_shift"] + table["similar_shift"], table["estimate"])
    assert table["estimate"].mean() == pytest.approx(effect.average_["estimate"], abs=0.15)
    assert (table["own_reliability"] < 1).all()


def test_draws_are_of_the_reported_posterior(effect: AllianceEffect) -> None:
    effects, persistence = effect.draws(600, random_state=1)
    assert effects.shape == (600, N)
    assert np.allclose(effects.mean(axis=0), effect.effects_["estimate"], atol=0.45)
    assert np.allclose(effects.std(axis=0), effect.effects_["sd"], rtol=0.2)
    assert persistence.mean() == pytest.approx(effect.persistence_["estimate"], abs=0.05)


def test_same_seed_same_bytes_and_row_order_does_not_matter(clinic: SimulatedClinic, effect: AllianceEffect) -> None:
    p = clinic.panel
    shuffled = Panel(
        p.sessions.sample(frac=1, random_state=0),
        p.patients.assign(therapist_id=p.therapist_ids[p.therapist_index]).reset_index().sample(frac=1, random_state=1),
        p.therapists.reset_index(),
        columns=p.columns,
    )
    again = AllianceEffect().fit(shuffled)
    pd.testing.assert_frame_equal(again.effects_, effect.effects_, check_exact=True)


def test_clone_and_refit_forget_the_past(clinic: SimulatedClinic, effect: AllianceEffect) -> None:
    other = simulate_clinic("linear", n_patients=120, random_state=5)
    used = clone(effect).fit(other.panel).fit(clinic.panel)
    pd.testing.assert_frame_equal(used.effects_, effect.effects_)


def test_new_patients_are_covered_from_baseline_alone(effect: AllianceEffect) -> None:
    """Coverage differs by .035 (SD) between clinics learned from, because how much patients differ is unsure there."""
    later = simulate_clinic("linear", n_patients=800, random_state=77)
    truth = later.truth.patients["effect"]
    others = [simulate_clinic("linear", n_patients=N, random_state=seed).panel for seed in (22, 23, 24)]
    found = [fitted.predict(later.panel.patients) for fitted in (effect, *(AllianceEffect().fit(p) for p in others))]
    covered = [((f["lower"] <= truth) & (truth <= f["upper"])).mean() for f in found]
    assert 0.85 < np.mean(covered) < 0.97
    assert min(f["estimate"].corr(truth) for f in found) > 0.4


def test_a_known_therapist_moves_a_new_patient(clinic: SimulatedClinic, effect: AllianceEffect) -> None:
    best = int(np.argmin(effect.posterior_.therapist))
    intake = clinic.panel.patients.iloc[[0]].copy()
    with_therapist = intake.assign(therapist_id=effect.therapist_ids_[best])
    without = effect.predict(intake.assign(therapist_id="somebody else"))
    assert effect.predict(with_therapist)["estimate"].iloc[0] != without["estimate"].iloc[0]


def test_contributions_add_up_to_the_baseline_part(effect: AllianceEffect) -> None:
    parts = effect.moderator_contributions().sum(axis=1)
    assert effect.moderators_ is not None
    whole = effect.posterior_.gamma[1] * effect.moderators_.predict(effect._x)
    assert np.ptp(parts.to_numpy() - whole) < 1e-6


def test_validation_sees_the_ranking_hold(effect: AllianceEffect) -> None:
    table = effect.validate().set_index("statistic")
    slope = table.loc["blp_slope"]
    assert slope["lower"] < 1 < slope["upper"] + 0.5
    assert slope["lower"] > 0
    assert table.loc["autoc", "lower"] > 0
    assert (table["lower"] <= table["upper"]).all()


def test_sensitivity_is_one_tidy_table(effect: AllianceEffect) -> None:
    table = effect.sensitivity()
    assert set(table["centring"]) == {"person mean", "first session", "mean so far"}
    assert set(table["correction"]) == {"none", "half-panel jackknife", "adjusted score"}
    ours = table[table["default"] & (table["detrend"] == "none")].iloc[0]
    assert ours["estimate"] == pytest.approx(effect.average_["trends_kept"])


def test_measurement_error_is_divided_out() -> None:
    one = simulate_clinic("constant", n_patients=600, random_state=3, options={"alliance_sem": 0.25})
    plain, corrected = AllianceEffect().fit(one.panel), AllianceEffect(alliance_sem=0.25).fit(one.panel)
    assert abs(corrected.average_["estimate"] + 2.5) < abs(plain.average_["estimate"] + 2.5)
    assert corrected.average_["alliance_reliability_within"] < 0.85
    assert corrected.effects_["sd"].mean() > plain.effects_["sd"].mean()


def test_a_saved_effect_says_the_same_in_a_new_process(
    effect: AllianceEffect, clinic: SimulatedClinic, tmp_path: Path
) -> None:
    effect.save(tmp_path / "effect")
    intake = clinic.panel.patients.head(7)
    intake.reset_index().to_parquet(tmp_path / "intake.parquet")
    code = (
        "import sys, pandas as pd; from personalize import AllianceEffect\n"
        "e = AllianceEffect.load(sys.argv[1]); p = e.predict(pd.read_parquet(sys.argv[2]))\n"
        "p.to_parquet(sys.argv[3])"
    )
    target = tmp_path / "out.parquet"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "effect"), str(tmp_path / "intake.parquet"), str(target)],
        check=True,
    )
    pd.testing.assert_frame_equal(pd.read_parquet(target), effect.predict(intake), check_exact=True)
    back = AllianceEffect.load(tmp_path / "effect")
    pd.testing.assert_frame_equal(back.effects_, effect.effects_)
    assert np.array_equal(back.draws(20)[0], effect.draws(20)[0])


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"effect\.json"):
        AllianceEffect.load(tmp_path)
    (tmp_path / "effect.json").write_text("{not json")
    with pytest.raises(FileError, match="not readable"):
        AllianceEffect.load(tmp_path)


def study(n: int = 60, sessions: int = 8, seed: int = 0, **columns: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {"patient_id": np.repeat(np.arange(n), sessions), "session": np.tile(np.arange(1, sessions + 1), n)}
    )
    rows["alliance"] = 5 + rng.normal(0, 0.5, len(rows))
    rows["outcome"] = 60 - 2 * rows["alliance"] + rng.normal(0, 4, len(rows))
    patients = pd.DataFrame({"patient_id": np.arange(n), "age": rng.integers(18, 70, n)})
    return rows, patients.assign(**columns)


def test_not_fitted_says_so() -> None:
    with pytest.raises(NotFitted, match="call fit"):
        AllianceEffect().predict(pd.DataFrame())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 1.2}, "level=1.2 is not allowed"),
        ({"alliance_sem": -1.0}, "alliance_sem=-1.0"),
        ({"alliance_reliability": 0.0}, "alliance_reliability=0.0"),
        ({"alliance_sem": 0.1, "alliance_reliability": 0.9}, "not both"),
        ({"random_state": -3}, "random_state=-3"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    rows, patients = study()
    panel = Panel(rows, patients, columns=Columns(alliance="alliance"), better="low")
    with pytest.raises(OptionError, match=message):
        AllianceEffect(**options).fit(panel)


def test_a_sem_larger_than_the_movement_is_refused() -> None:
    rows, patients = study()
    panel = Panel(rows, patients, columns=Columns(alliance="alliance"), better="low")
    with pytest.raises(NotEnoughData, match="item means or sums"):
        AllianceEffect(alliance_sem=0.48).fit(panel)


def test_no_alliance_column() -> None:
    rows, patients = study()
    with pytest.raises(NotEnoughData, match=r"Columns\(alliance="):
        AllianceEffect().fit(Panel(rows, patients, better="low"))


def test_outcome_equal_to_alliance() -> None:
    rows, patients = study()
    rows["alliance"] = rows["outcome"]
    with pytest.raises(NotEnoughData, match="the same up to scale"):
        AllianceEffect().fit(Panel(rows, patients, columns=Columns(alliance="alliance"), better="low"))


def test_alliance_constant_within_every_patient() -> None:
    rows, patients = study()
    rows["alliance"] = rows["patient_id"] % 5 + 1.0
    with pytest.raises(NotEnoughData, match="constant within every patient"):
        AllianceEffect().fit(Panel(rows, patients, columns=Columns(alliance="alliance"), better="low"))


def test_some_constant_and_some_short_patients_are_counted_and_kept() -> None:
    rows, patients = study()
    rows.loc[rows["patient_id"] == 3, "alliance"] = 4.0
    rows = rows[~((rows["patient_id"] == 5) & (rows["session"] > 2))]
    found = AllianceEffect().fit(Panel(rows, patients, columns=Columns(alliance="alliance"), better="low"))
    assert len(found.effects_) == 60
    assert found.effects_.loc[3, "reason"] == "constant alliance: baseline only"
    assert found.effects_.loc[5, "reason"].startswith("fewer than 3 usable")
    assert found.effects_[["estimate", "lower", "upper"]].notna().all().all()
    assert (found.effects_["upper"] - found.effects_["lower"] > 1e-6).all()
    assert any("1 patients have a constant alliance" in note for note in found.notes_)


@pytest.mark.parametrize(
    "intake",
    [
        {"age": 40},
        {"level": [f"c{i % 30}" for i in range(60)]},
        {"mostly_missing": [1.0 if i < 6 else np.nan for i in range(60)]},
        {"therapist_id": [f"t{i}" for i in range(60)]},
        {"therapist_id": ["only one"] * 60},
        {"flag": [bool(i % 2) for i in range(60)]},
    ],
    ids=["constant", "many levels", "90 % missing", "one patient a therapist", "one therapist", "boolean"],
)
def test_awkward_intake_is_treated_without_a_silent_gap(intake: dict[str, object]) -> None:
    rows, patients = study(**intake)
    found = AllianceEffect().fit(Panel(rows, patients, columns=Columns(alliance="alliance"), better="low"))
    assert np.isfinite(found.effects_[["estimate", "lower", "upper", "sd"]].to_numpy()).all()
    assert (found.effects_["upper"] > found.effects_["lower"]).all()


def test_a_short_series_says_what_it_cannot_do() -> None:
    rows, patients = study(sessions=4)
    found = AllianceEffect().fit(Panel(rows, patients, columns=Columns(alliance="alliance"), better="low"))
    assert not found.average_["corrected"]
    assert any("too short for the short-panel bias correction" in note for note in found.notes_)


def test_timing_before_is_followed() -> None:
    one = simulate_clinic("constant", n_patients=300, random_state=6, options={"timing": "before"})
    found = AllianceEffect().fit(one.panel)
    assert found.average_["lower"] < -2.5 < found.average_["upper"] + 0.2


def test_the_registry_s_reliability_is_used_on_request() -> None:
    rows, patients = study()
    with_measure = Panel(
        rows,
        patients,
        columns=Columns(alliance="alliance"),
        measures={"alliance": Measure("rated", minimum=1, maximum=9, better="high", reliability=0.9)},
        better="low",
    )
    found = AllianceEffect(alliance_sem="measure").fit(with_measure)
    assert found.average_["alliance_reliability_within"] < 1
    with pytest.raises(OptionError, match="needs a measure of the alliance"):
        AllianceEffect(alliance_sem="measure").fit(
            Panel(rows, patients, columns=Columns(alliance="alliance"), better="low")
        )


@pytest.mark.parametrize("timing", ["after", "before"])
@pytest.mark.parametrize("sessions", [3, 4, 5])
def test_very_short_series_get_an_answer_and_a_full_table(timing: str, sessions: int) -> None:
    rows, patients = study(sessions=sessions)
    panel = Panel(rows, patients, columns=Columns(alliance="alliance"), timing=timing, better="low")
    found = AllianceEffect().fit(panel)
    assert np.isfinite(found.effects_[["estimate", "lower", "upper"]].to_numpy()).all()
    assert len(found.sensitivity()) > 10


def test_tree_contributions_are_those_of_shap(effect: AllianceEffect) -> None:
    shap = pytest.importorskip("shap")
    assert effect.moderators_ is not None
    booster = effect.moderators_.boosters[0]
    theirs = shap.TreeExplainer(booster).shap_values(effect._x[:20])
    ours = np.asarray(booster.predict(effect._x[:20], pred_contrib=True))[:, :-1]
    assert np.allclose(ours, theirs, atol=1e-6)
