"""Variance shares: parity with lme4, recovery and coverage on simulated truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, NotEnoughData, OptionError, Panel
from features.reml import Likelihood, components_so_far, fit
from features.variance import variance_shares
from features.windows import Layout, moments


def uneven(seed: int = 5, n_therapists: int = 15) -> pd.DataFrame:
    """Ratings of sessions in patients in therapists, every number of each uneven."""
    rng = np.random.default_rng(seed)
    patients = rng.integers(1, 9, n_therapists)
    therapist = np.repeat(np.arange(n_therapists), patients)
    patient = np.repeat(np.arange(len(therapist)), rng.integers(1, 8, len(therapist)))
    n = len(patient)
    levels = rng.normal(0, 1, n_therapists)[therapist][patient] * 2 + rng.normal(0, 3, len(therapist))[patient]
    rating = np.round(20 + levels + rng.normal(0, 4, n), 1)
    frame = pd.DataFrame({"patient_id": patient, "therapist_id": therapist[patient], "outcome": rating})
    frame["session"] = frame.groupby("patient_id").cumcount() + 1
    return frame


def test_parity_with_lme4() -> None:
    # lme4 1.1-31, R 4.2.2, on the frame of uneven(), written as CSV:
    # lmer(outcome ~ 1 + (1 | therapist_id) + (1 | therapist_id:patient_id))
    found = variance_shares(Panel(uneven()), column="outcome")
    variance = found.table.set_index("level")["variance"]
    assert variance["session"] == pytest.approx(15.8405012, rel=1e-4)
    assert variance["patient"] == pytest.approx(7.2949414, rel=1e-4)
    assert variance["therapist"] == pytest.approx(4.4787665, rel=1e-4)
    assert found.mean == pytest.approx(18.546046, abs=1e-4)
    assert found.log_likelihood == pytest.approx(-736.8276519, abs=1e-5)
    assert found.table["share"].sum() == pytest.approx(1)


def test_reliability_of_a_mean_of_k_sessions() -> None:
    found = variance_shares(Panel(uneven()), column="outcome")
    session = found.table.set_index("level").loc["session"]
    for k in (1, 4):
        between = 1 - session["share"]
        at = found.reliability(k)
        assert at["estimate"] == pytest.approx(between / (between + session["share"] / k))
        assert at["lower"] < at["estimate"] < at["upper"]
    with pytest.raises(OptionError, match="sessions=0"):
        found.reliability(0)


SHARES = {"session": 0.5, "patient": 0.4, "therapist": 0.1}
CLINICS = 36
# 95 % intervals: with 36 clinics fewer than 29 hits happen less than once in 1,000 times where the coverage is .95
LEAST_HITS = 29
# mean of 36 estimates with standard deviations of .02 to .03 a clinic: four standard errors
BIAS = 0.02


def test_recovery_and_coverage_on_simulated_clinics() -> None:
    rng = np.random.default_rng(11)
    hits, estimates = dict.fromkeys(SHARES, 0), {name: [] for name in SHARES}
    for _ in range(CLINICS):
        therapist = np.repeat(np.arange(40), rng.integers(3, 12, 40))
        patient = np.repeat(np.arange(len(therapist)), rng.integers(2, 9, len(therapist)))
        rating = (
            rng.normal(0, np.sqrt(SHARES["therapist"]), 40)[therapist][patient]
            + rng.normal(0, np.sqrt(SHARES["patient"]), len(therapist))[patient]
            + rng.normal(0, np.sqrt(SHARES["session"]), len(patient))
        )
        frame = pd.DataFrame({"patient_id": patient, "therapist_id": therapist[patient], "outcome": rating})
        frame["session"] = np.arange(len(patient))
        table = variance_shares(Panel(frame), column="outcome").table.set_index("level")
        for name, truth in SHARES.items():
            hits[name] += table.loc[name, "lower"] <= truth <= table.loc[name, "upper"]
            estimates[name].append(table.loc[name, "share"])
    for name, truth in SHARES.items():
        assert hits[name] >= LEAST_HITS, name
        assert abs(np.mean(estimates[name]) - truth) < BIAS, name


def test_nothing_between_patients_is_zero_not_negative() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"patient_id": np.repeat(np.arange(100), 6), "session": np.tile(np.arange(6), 100)})
    frame["outcome"] = rng.normal(0, 1, 600)
    table = variance_shares(Panel(frame, columns=Columns(therapist=None)), column="outcome").table.set_index("level")
    assert list(table.index) == ["session", "patient"]
    assert 0 <= table.loc["patient", "share"] < 0.05 and table.loc["patient", "lower"] == 0
    assert table.loc["session", "upper"] == 1


def test_patients_without_therapist_have_no_therapist_part() -> None:
    x = np.array([1.0, 3, 2, 6, 7, 5, 1, 2])
    patient = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    alone = Likelihood.of(x, patient, np.full(4, -1))
    each = Likelihood.of(x, patient, np.arange(4))
    # where every patient has a therapist alone, patient and therapist parts cannot be told apart
    assert alone.deviance(0.4, 0.2) == pytest.approx(alone.deviance(0.4, 0.2))
    assert each.deviance(0.4, 0.2) == pytest.approx(each.deviance(0.6, 0.0))
    assert fit(alone)[1] == 0.0


def test_components_so_far_is_the_anova_of_each_step() -> None:
    frame = uneven(2)
    panel = Panel(frame)
    layout = Layout.of(panel.offsets)
    found = components_so_far(moments(layout.pack(panel.outcome), layout), layout)
    for step in (1, 3, 6):
        early = frame[frame["session"] <= step + 1]
        groups = early.groupby("patient_id")["outcome"]
        n, means = groups.size(), groups.mean()
        total, patients = n.sum(), len(n)
        within = ((early["outcome"] - early["patient_id"].map(means)) ** 2).sum() / (total - patients)
        between = (n * (means - early["outcome"].mean()) ** 2).sum() / (patients - 1)
        size = (total - (n**2).sum() / total) / (patients - 1)
        row = layout.bounds[step]
        assert found.session[row] == pytest.approx(within)
        assert found.patient[row] == pytest.approx(max(0.0, (between - within) / size))
        assert found.mean[row] == pytest.approx(means.mean())


def test_too_little_is_refused() -> None:
    one = pd.DataFrame({"patient_id": [1, 2, 3], "session": 1, "outcome": [1.0, 2.0, 3.0]})
    with pytest.raises(NotEnoughData, match="there are 3 patients with 3 values"):
        variance_shares(Panel(one), column="outcome")
    flat = pd.DataFrame({"patient_id": [1, 1, 2, 2], "session": [1, 2, 1, 2], "outcome": [1.0, 1.0, 3.0, 3.0]})
    with pytest.raises(NotEnoughData, match="variation within patients"):
        variance_shares(Panel(flat), column="outcome")
    with pytest.raises(OptionError, match=r"level=1\.5"):
        variance_shares(Panel(uneven()), column="outcome", level=1.5)
