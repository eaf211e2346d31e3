"""Calibration counts patients, covers, does not cross, and departs from symmetry only where that holds up."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from personalize.trajectories.bands import Errors, fit_bands
from personalize.trajectories.grid import Grid
from personalize.trajectories.held_out import crps
from personalize.trajectories.paths import furthest_asked
from personalize.trajectories.quantiles import node_patients, patient_quantiles, patient_share

GRID = Grid((0.0, 2.0, 6.0), (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0))


def errors(n_patients: int = 1500, *, seed: int = 0, skew: float = 0.0, bias: float = 0.0) -> tuple[Errors, np.ndarray]:
    """Errors of patients with 1 to 12 later sessions; correlated within patients, wider with the horizon."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 13, n_patients)
    patient = np.repeat(np.arange(n_patients), lengths)
    seen = rng.choice([0, 2, 6], n_patients)[patient]
    gap = 1.0 + np.concatenate([np.arange(n) for n in lengths])
    size = 2 * np.sqrt(gap)
    shared = rng.normal(size=n_patients)[patient]
    mean = rng.normal(50, 10, len(patient))
    noise = 0.6 * shared + 0.8 * rng.normal(size=len(patient))
    tilt = np.where(mean > 50, 1.0, -1.0) * skew
    noise = np.where(noise > 0, noise * np.exp(tilt), noise * np.exp(-tilt))
    error = size * noise + bias
    fold = rng.integers(0, 5, n_patients)[patient]
    placed = GRID.place(seen, gap)
    weight = np.ones(len(patient))
    situation = np.column_stack([np.ones(len(patient)), np.log(gap), np.log1p(seen)])
    # one landmark a patient, so that the patient's number is the landmark's
    return Errors(error, mean, gap, patient, patient, fold, weight, placed), situation


def test_quantiles_of_five_patients_by_hand():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    who, mass = np.arange(5), np.ones(5)
    assert patient_quantiles(values, who, mass, np.array([0.0, 0.5]))[0] == 1.0
    # the middle of five, moved outward to rank 0.5 * 6 of 5 = 3.0 of 5, which is half a step beyond the third
    assert patient_quantiles(values, who, mass, np.array([0.5]))[0] == pytest.approx(3.5)
    assert patient_quantiles(values, who, mass, np.array([0.99]))[0] == 5.0


def test_many_rows_of_one_patient_count_as_one_patient():
    values = np.array([1.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    who = np.array([0, 1, 2, 2, 2, 2, 2, 2])
    np.testing.assert_allclose(patient_share(who, np.ones(8)), [1, 1, *[1 / 6] * 6])
    median = patient_quantiles(values, who, np.ones(8), np.array([0.5 * 3 / 4]))[0]
    assert median < 9.0


def test_patients_of_a_node_are_counted_once():
    placed = GRID.place(np.array([2, 2, 2, 0]), np.array([1.0, 1.0, 3.0, 1.0]))
    count = node_patients(placed, GRID, np.array([7, 7, 7, 3]))
    assert count.sum() == 3 and sorted(count[count > 0]) == [1, 1, 1]


def test_intervals_and_paths_cover_other_patients():
    fit, about = errors(seed=1)
    bands = fit_bands(fit, about, GRID, level=0.9)
    new, about_new = errors(4000, seed=2)
    scaled = new.error / bands.scale.at(about_new, new.gap)
    low, high = bands.interval(new.placed, new.mean)
    inside = (scaled >= low) & (scaled <= high)
    share = np.bincount(new.patient, inside) / np.bincount(new.patient)
    assert share.mean() == pytest.approx(0.9, abs=0.02)
    seen = np.rint(np.expm1(about_new[:, 2])).astype(int)
    for k in (0, 2, 6):
        assert inside[seen == k].mean() == pytest.approx(0.9, abs=0.035)
    for gap in (1, 4, 9):
        assert inside[new.gap == gap].mean() == pytest.approx(0.9, abs=0.035)


def test_paths_of_every_length_are_held():
    """A short path costs little more than an interval, a long one much more; both are held for 90 % of patients."""
    fit, about = errors(seed=1)
    bands = fit_bands(fit, about, GRID, level=0.9)
    new, about_new = errors(4000, seed=2)
    scaled = new.error / bands.scale.at(about_new, new.gap)
    low, high = bands.interval(new.placed, new.mean)
    seen, furthest = np.rint(np.expm1(about_new[:, 2])), furthest_asked(new.landmark, new.gap)
    wide = bands.path_factor(GRID.place(seen, furthest))
    left = np.bincount(new.patient, (scaled < low * wide) | (scaled > high * wide))
    length = np.bincount(new.patient)
    assert (left == 0).mean() == pytest.approx(0.9, abs=0.02)
    for one, end in ((1, 2), (3, 5), (6, 8), (9, 12)):
        assert (left == 0)[(length >= one) & (length <= end)].mean() == pytest.approx(0.9, abs=0.035)
    assert wide[length[new.patient] == 1].mean() < 1.08 < 1.25 < wide[length[new.patient] == 12].mean()


def test_row_wise_calibration_would_not_hold_whole_paths():
    fit, about = errors(seed=1)
    bands = fit_bands(fit, about, GRID, level=0.9)
    scaled = fit.error / bands.scale.at(about, fit.gap)
    low, high = bands.interval(fit.placed, fit.mean)
    left = np.bincount(fit.patient, (scaled < low) | (scaled > high))
    assert (left == 0).mean() < 0.8


def test_symmetric_errors_stay_symmetric_and_skewed_ones_do_not():
    even = fit_bands(*errors(seed=3), GRID, level=0.9)
    assert np.abs(even.departure).max() < 0.15
    odd = fit_bands(*errors(seed=3, skew=0.8), GRID, level=0.9)
    low, high = np.searchsorted(odd.levels, [0.05, 0.95])
    assert (odd.departure[0, [low, high]] < -0.4).all(), "forecasts below 50 err downwards"
    assert (odd.departure[-1, [low, high]] > 0.4).all(), "forecasts above 50 err upwards"


def test_a_biased_forecast_is_shifted():
    fit, about = errors(seed=4, bias=3.0)
    bands = fit_bands(fit, about, GRID, level=0.9)
    middle = bands.quantiles(np.array([0.5]), fit.placed, fit.mean)[:, 0] * bands.scale.at(about, fit.gap)
    assert middle.mean() == pytest.approx(3.0, abs=0.7)


def test_quantiles_do_not_decrease_anywhere():
    fit, about = errors(200, seed=5, skew=1.0)
    bands = fit_bands(fit, about, GRID, level=0.8)
    levels = np.concatenate([[1e-4], np.linspace(0.005, 0.995, 199), [1 - 1e-4]])
    rng = np.random.default_rng(0)
    placed = GRID.place(rng.integers(0, 30, 500), rng.uniform(0.3, 40, 500))
    table = bands.quantiles(levels, placed, rng.normal(50, 40, 500))
    assert (np.diff(table, axis=1) >= 0).all()


def test_few_patients_make_a_wider_interval():
    """The rank (n + 1)p of n: with 12 patients the .95 quantile is the largest error."""
    few = patient_quantiles(np.arange(12.0), np.arange(12), np.ones(12), np.array([0.95]))[0]
    many = patient_quantiles(np.linspace(0, 11, 1200), np.arange(1200), np.ones(1200), np.array([0.95]))[0]
    assert few == 11.0 and many < 10.6


def test_crps_of_the_right_distribution_is_the_smallest():
    rng = np.random.default_rng(0)
    outcome = rng.normal(size=20_000)
    levels = np.arange(1, 20) / 20
    right = np.tile(ndtri(levels), (len(outcome), 1))
    best = crps(outcome, right, levels).mean()
    assert best == pytest.approx(0.59, abs=0.01)
    for wrong in (right * 1.4, right * 0.7, right + 0.4):
        assert crps(outcome, wrong, levels).mean() > best
    exact = crps(np.array([2.0]), np.full((1, 19), 2.0), levels)
    assert exact[0] == 0
