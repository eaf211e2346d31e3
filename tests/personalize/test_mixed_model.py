"""The mixed model against plain dense algebra, its invariances, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from features.errors import NotEnoughData, OptionError, PanelError
from personalize.mixed import fit_mixed
from personalize.mixed.design import build_design
from personalize.mixed.deviance import solve
from personalize.mixed.optimise import Shape, optimise
from personalize.mixed.residual import Residual, whiten
from personalize.mixed.sums import patient_sums


def clinic(n: int = 40, *, seed: int = 1, untreated: bool = True, slope_sd: float = 0.8) -> pd.DataFrame:
    """Small unbalanced clinic with irregular times; some patients have no therapist."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, n)
    who = np.repeat(np.arange(n), lengths)
    time = np.concatenate([np.cumsum(rng.uniform(0.5, 2, k)) for k in lengths])
    staff = np.arange(n) % 6
    own = rng.normal(size=(n, 2)) * [2.0, slope_sd]
    trait = rng.normal(size=n)
    level = np.append(rng.normal(size=5), 0.0)[staff]  # the sixth "therapist" is none
    y = 10 + trait[who] - 0.5 * time + own[who, 0] + own[who, 1] * time + 1.5 * level[who]
    therapist = pd.Series([f"t{k}" for k in staff[who]], dtype=object)
    if untreated:
        therapist[staff[who] == 5] = None
    return pd.DataFrame(
        {
            "patient": who,
            "therapist": therapist,
            "time": time,
            "trait": trait[who],
            "one": 1.0,
            "y": y + rng.normal(size=len(who)),
        }
    )


def fitted(data: pd.DataFrame, **options: Any) -> Any:
    X, Z = data[["one", "time", "trait"]], data[["one", "time"]]
    return fit_mixed(data["y"], X, Z, data["patient"], data["therapist"], **options)


def dense(data: pd.DataFrame, fit: Any) -> dict[str, np.ndarray]:
    """Covariance of all rows, and the design of every random effect, written out."""
    X, Z = data[["one", "time", "trait"]].to_numpy(), data[["one", "time"]].to_numpy()
    n, patients, staff = len(data), list(fit.patient_effects.index), list(fit.therapist_effects.index)
    W = np.zeros((n, 2 * len(patients) + len(staff)))
    for row, (patient, therapist) in enumerate(zip(data["patient"], data["therapist"], strict=True)):
        at = 2 * patients.index(patient)
        W[row, at : at + 2] = Z[row]
        if therapist is not None and therapist == therapist:
            W[row, 2 * len(patients) + staff.index(therapist)] = 1
    G = np.zeros((W.shape[1],) * 2)
    for k in range(len(patients)):
        G[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = fit.patient_covariance
    tail = np.arange(2 * len(patients), len(G))
    G[tail, tail] = fit.therapist_covariance.to_numpy()[0, 0]
    return {"X": X, "W": W, "G": G, "V": W @ G @ W.T + fit.residual_variance * np.eye(n)}


@pytest.mark.parametrize("correlated", [True, False])
def test_likelihood_and_fixed_effects_equal_the_dense_ones(correlated: bool) -> None:
    data = clinic()
    fit = fitted(data, method="ML", correlated=correlated)
    d, y = dense(data, fit), data["y"].to_numpy()
    beta = fit.fixed["estimate"].to_numpy()
    assert fit.converged and not fit.boundary
    assert fit.log_likelihood == pytest.approx(multivariate_normal(d["X"] @ beta, d["V"]).logpdf(y), abs=1e-7)
    inverse = np.linalg.inv(d["V"])
    information = d["X"].T @ inverse @ d["X"]
    np.testing.assert_allclose(beta, np.linalg.solve(information, d["X"].T @ inverse @ y), rtol=1e-9)
    np.testing.assert_allclose(fit.fixed_covariance, np.linalg.inv(information), rtol=1e-7)
    reml = fitted(data, method="REML", correlated=correlated)
    d = dense(data, reml)
    inverse = np.linalg.inv(d["V"])
    information = d["X"].T @ inverse @ d["X"]
    rest = y - d["X"] @ reml.fixed["estimate"].to_numpy()
    deviance = np.linalg.slogdet(d["V"])[1] + np.linalg.slogdet(information)[1] + rest @ inverse @ rest
    deviance += (len(y) - 3) * np.log(2 * np.pi)
    assert reml.deviance == pytest.approx(deviance, abs=1e-7)


def test_random_effects_and_their_joint_uncertainty_equal_the_dense_ones() -> None:
    data = clinic()
    fit = fitted(data)
    d = dense(data, fit)
    inverse = np.linalg.inv(d["V"])
    gain = d["G"] @ d["W"].T @ inverse
    rest = data["y"].to_numpy() - d["X"] @ fit.fixed["estimate"].to_numpy()
    n = fit.n_patients
    np.testing.assert_allclose(fit.patient_effects, (gain @ rest)[: 2 * n].reshape(n, 2), atol=1e-8)
    np.testing.assert_allclose(fit.therapist_effects.to_numpy()[:, 0], (gain @ rest)[2 * n :], atol=1e-8)
    conditional = d["G"] - gain @ d["W"] @ d["G"]
    for k in range(n):
        block = conditional[2 * k : 2 * k + 2, 2 * k : 2 * k + 2]
        np.testing.assert_allclose(fit.patient_effects_covariance[k], block, atol=1e-8)
    # Henderson's equations, inverted whole, for a weighted sum of fixed, patient's and therapist's effects
    both = np.hstack([d["X"], d["W"]])
    penalty = np.zeros((both.shape[1],) * 2)
    penalty[3:, 3:] = np.linalg.inv(d["G"])
    whole = np.linalg.inv(both.T @ both / fit.residual_variance + penalty)
    weights = np.array([1.0, 2.0, -0.5]), np.array([1.0, 2.0]), np.array([1.0])
    got = fit.combine(*weights)
    staff = data.groupby("patient")["therapist"].first().reindex(fit.patient_effects.index)
    for k, therapist in enumerate(staff):
        pick = np.zeros(len(whole))
        pick[:3] = weights[0]
        pick[3 + 2 * k : 5 + 2 * k] = weights[1]
        if therapist is not None and therapist == therapist:
            pick[3 + 2 * n + list(fit.therapist_effects.index).index(therapist)] = 1
        assert got["sd"].iloc[k] == pytest.approx(np.sqrt(pick @ whole @ pick), rel=1e-7)


@pytest.mark.parametrize("reml", [True, False])
def test_gradient_equals_differences_of_the_deviance(reml: bool) -> None:
    data = clinic()
    design = data[["one", "time"]].to_numpy()
    names = {"outcome": ["y"], "fixed": ["one", "time"], "patient": ["one", "time"], "therapist": ["one", "time"]}
    sums = build_design(
        data["y"].to_numpy(), design, design, data["patient"], data["therapist"], therapist_design=design, names=names
    ).sums()
    factors = [np.array([[0.7, 0.0], [-0.2, 0.4]]), np.array([[0.3, 0.0], [0.1, 0.2]])]
    at = solve(sums, factors[0], factors[1], reml=reml, detail=1)
    size = 1e-5
    for level, score in enumerate((at.patient_score, at.therapist_score)):
        assert score is not None
        exact = 2 * score @ factors[level]
        for a, b in ((0, 0), (1, 0), (1, 1)):
            values = []
            for sign in (1, -1):
                moved = [f.copy() for f in factors]
                moved[level][a, b] += sign * size
                values.append(solve(sums, moved[0], moved[1], reml=reml).deviance)
            assert exact[a, b] == pytest.approx((values[0] - values[1]) / (2 * size), rel=1e-6, abs=1e-6)


def test_order_of_rows_and_names_do_not_matter() -> None:
    data = clinic()
    fit = fitted(data)
    shuffled = data.sample(frac=1, random_state=3)
    shuffled["patient"] = "p" + (1000 - shuffled["patient"]).astype(str)
    again = fitted(shuffled)
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-8)
    place = ["p" + str(1000 - k) for k in fit.patient_effects.index]
    np.testing.assert_allclose(again.patient_effects.loc[place], fit.patient_effects, atol=1e-5)


@pytest.mark.parametrize(("shift", "unit", "factor"), [(2020.0, 1.0, 1.0), (0.0, 365.25, 1e4), (-3.0, 0.01, 1e-6)])
def test_origin_and_units_do_not_matter(shift: float, unit: float, factor: float) -> None:
    data = clinic()
    fit = fitted(data)
    moved = data.assign(time=data["time"] * unit + shift, y=data["y"] * factor)
    again = fitted(moved)
    assert again.converged
    assert again.residual_variance == pytest.approx(fit.residual_variance * factor**2, rel=1e-5)
    ours, theirs = fit.fixed.loc["time"] * factor / unit, again.fixed.loc["time"]
    np.testing.assert_allclose(theirs, ours, rtol=1e-5)
    slope = again.patient_covariance.loc["time", "time"] * unit**2 / factor**2
    assert slope == pytest.approx(fit.patient_covariance.loc["time", "time"], rel=1e-4)


def test_rows_with_something_missing_are_left_out_and_counted() -> None:
    data = clinic()
    holed = data.copy()
    holed.loc[[3, 10], "y"] = np.nan
    holed.loc[[20], "time"] = np.nan
    fit, want = fitted(holed), fitted(data.drop(index=[3, 10, 20]))
    assert fit.n_dropped == 3 and "3 rows" in fit.notes[0]
    assert fit.log_likelihood == pytest.approx(want.log_likelihood, abs=1e-9)


def test_recovers_the_truth_it_was_simulated_from() -> None:
    rng = np.random.default_rng(5)
    n, k = 2000, 8
    who, time = np.repeat(np.arange(n), k), np.tile(np.arange(k) - 3.5, n)
    own = rng.normal(size=(n, 2)) @ np.linalg.cholesky(np.array([[4.0, 0.5], [0.5, 0.25]])).T
    staff = rng.normal(size=100) * 0.8
    y = 5 + 0.3 * time + own[who, 0] + own[who, 1] * time + staff[who // 20] + 1.5 * rng.normal(size=n * k)
    X = np.column_stack([np.ones(n * k), time])
    fit = fit_mixed(y, X, X, who, who // 20)
    # five standard errors of each estimate at this size
    np.testing.assert_allclose(fit.patient_covariance, [[4, 0.5], [0.5, 0.25]], atol=0.75)
    assert fit.patient_covariance.to_numpy()[1, 1] == pytest.approx(0.25, abs=0.06)
    assert fit.therapist_covariance.to_numpy()[0, 0] == pytest.approx(0.64, abs=0.55)
    assert fit.residual_variance == pytest.approx(2.25, abs=0.15)
    slope = fit.combine([0, 1], [0, 1])
    truth = 0.3 + own[:, 1]
    covered = (np.abs(slope["estimate"] - truth) < 1.645 * slope["sd"]).mean()
    assert covered == pytest.approx(0.90, abs=0.03)


def test_nothing_in_nothing_reported() -> None:
    data = clinic(200, slope_sd=0.0, untreated=False)
    rng = np.random.default_rng(0)
    fit = fit_mixed(
        rng.normal(size=len(data)), data[["one"]], data[["one", "time"]], data["patient"], data["therapist"]
    )
    assert fit.converged
    assert fit.variances().set_index(["level", "term"])["variance"]["patient"]["time"] < 0.01
    assert fit.boundary and "boundary" in " ".join(fit.notes)
    assert np.isfinite(fit.patient_effects.to_numpy()).all()


@pytest.mark.parametrize("correlated", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_no_other_start_finds_a_lower_deviance(seed: int, correlated: bool) -> None:
    rng = np.random.default_rng(seed)
    n, q = int(rng.integers(8, 40)), int(rng.integers(1, 4))
    who = np.repeat(np.arange(n), rng.integers(1, 9, n))
    Z = np.column_stack([np.ones(len(who)), rng.normal(size=(len(who), 2))])[:, :q]
    own = rng.normal(size=(n, q)) * rng.choice([0.0, 0.0, 0.5, 2.0], q)  # most optima lie on the boundary
    staff = rng.integers(0, max(2, n // 6), n)
    y = (Z * own[who]).sum(axis=1) + rng.normal(size=staff.max() + 1)[staff[who]] + rng.normal(size=len(who))
    if len(who) <= q * n:
        who, Z, y, staff = np.tile(who, 2), np.tile(Z, (2, 1)), np.concatenate([y, y[::-1]]), staff
    names = {"outcome": ["y"], "fixed": ["one"], "patient": list("abc")[:q], "therapist": ["one"]}
    design = build_design(y, Z[:, :1], Z, who, staff[who], correlated=correlated, names=names)
    sums, shape = design.sums(), Shape(q, 1, correlated)
    found = optimise(sums, shape, reml=bool(seed % 2))
    assert found.converged
    for _ in range(4):
        factor = np.tril(0.7 * rng.normal(size=(q, q)))
        start = shape.theta(factor, 0.7 * rng.normal(size=(1, 1)))
        other = optimise(sums, shape, reml=bool(seed % 2), start=start)
        assert found.solved.deviance <= other.solved.deviance + 1e-5


def test_whitening_equals_the_dense_cholesky_factor() -> None:
    rng = np.random.default_rng(2)
    lengths = np.array([1, 5, 3, 7])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    time = np.concatenate([np.cumsum(rng.uniform(0.2, 3, k)) for k in lengths])
    columns, residual = rng.normal(size=(3, lengths.sum())), Residual(0.3, 1.7)
    white, log_det = whiten(columns, time, starts, residual), 0.0
    for start, k in zip(starts, lengths, strict=True):
        t = time[start : start + k]
        R = 0.7 * np.exp(-np.abs(t[:, None] - t) / 1.7) + 0.3 * np.eye(k)
        want = np.linalg.solve(np.linalg.cholesky(R), columns[:, start : start + k].T).T
        np.testing.assert_allclose(white.columns[:, start : start + k], want, atol=1e-12)
        log_det += np.linalg.slogdet(R)[1]
    assert white.log_determinant == pytest.approx(log_det, abs=1e-10)


def test_cross_products_of_a_hand_worked_case() -> None:
    # two patients of one therapist, rows (time, y): (0, 1), (1, 3) and (2, 5)
    z, y = np.array([[1.0, 1, 1], [0, 1, 2]]), np.array([1.0, 3, 5])
    sums = patient_sums(y, z[:1], z, z[:1], np.array([0, 2]), np.array([0, 0]))
    assert sums.zz[:, :, 0].tolist() == [[2, 1], [1, 1]] and sums.zz[:, :, 1].tolist() == [[1, 2], [2, 4]]
    assert sums.za[:, 2].T.tolist() == [[4, 3], [5, 10]]  # Z'y
    assert sums.ta[0].T.tolist() == [[2, 2, 4], [1, 1, 5]]  # T'[T X y]
    assert sums.xx.tolist() == [[3, 9], [9, 35]]


def _error_cases() -> list[tuple[str, dict[str, Any], type[Exception], str]]:
    data = clinic()
    base = {"y": data["y"], "X": data[["one", "time"]], "Z": data[["one"]], "patient": data["patient"]}
    changing = pd.Series(np.arange(len(data)) % 3)
    return [
        ("constant outcome", base | {"y": np.full(len(data), 3.0)}, NotEnoughData, "'outcome' is 3 in all"),
        (
            "twice the same column",
            base | {"X": data[["one", "time"]].assign(again=data["time"])},
            NotEnoughData,
            "'again'.*combination of 'one', 'time'",
        ),
        ("empty column", base | {"X": data[["one"]].assign(arm=0.0)}, NotEnoughData, "'arm'.*zero in every"),
        (
            "dependent random effects",
            base | {"Z": data[["one"]].assign(flat=2.0)},
            NotEnoughData,
            "'flat' .random effect of the patient.",
        ),
        ("outcome among predictors", base | {"X": data[["one", "y"]]}, NotEnoughData, "reproduced exactly"),
        ("one patient", base | {"patient": np.zeros(len(data))}, NotEnoughData, "at least 2 patients"),
        ("rows as patients", base | {"patient": np.arange(len(data))}, NotEnoughData, "cannot carry 1 random effects"),
        ("everything missing", base | {"y": np.full(len(data), np.nan)}, NotEnoughData, "No row has 'outcome'"),
        ("one therapist", base | {"therapist": np.ones(len(data))}, NotEnoughData, "One therapist treats every"),
        ("therapist a patient", base | {"therapist": data["patient"]}, NotEnoughData, "cannot be told from patients"),
        ("therapist changes", base | {"therapist": changing}, PanelError, "therapist changes within patient"),
        ("no patient id", base | {"patient": data["patient"].where(data.index > 2)}, PanelError, "missing in 3 of"),
        ("text", base | {"X": [["a"]] * len(data)}, OptionError, "X must hold numbers"),
        ("wrong method", base | {"method": "MLE"}, OptionError, "'REML', 'ML'"),
        ("wrong length", base | {"patient": [1, 2]}, OptionError, "one identifier for each"),
        ("wrong names", base | {"names": {"fixed": ["a"]}}, OptionError, "must hold 2 names"),
        ("orphan design", base | {"therapist_Z": data[["one"]]}, OptionError, "therapist_Z needs therapist"),
    ]


@pytest.mark.parametrize(
    ("case", "given", "error", "message"), _error_cases(), ids=lambda v: v if isinstance(v, str) else ""
)
def test_refuses_with_a_reason(case: str, given: dict[str, Any], error: type[Exception], message: str) -> None:
    options = dict(given)
    with pytest.raises(error, match=message):
        fit_mixed(options.pop("y"), options.pop("X"), options.pop("Z"), options.pop("patient"), **options)
