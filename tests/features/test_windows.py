"""Past-only primitives: by hand on four rows, and against a plain slow version on random clinics."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from features import windows
from features.windows import Layout
from tests.features.clinics import clinic

NAN = np.nan
X = np.array([4.0, NAN, 6.0, 2.0])  # one patient, second rating missing
Y = np.array([1.0, 2.0, 3.0, 5.0])
TIME = np.array([0.0, 1.0, 3.0, 4.0])

BY_HAND = [
    ("lag", {}, [NAN, 4, NAN, 6]),
    ("lag", {"sessions": 2}, [NAN, NAN, 4, NAN]),
    ("change", {}, [NAN, NAN, NAN, -4]),
    ("count", {}, [1, 1, 2, 3]),
    ("last", {}, [4, 4, 6, 2]),
    ("first", {}, [4, 4, 4, 4]),
    ("early_mean", {"sessions": 3}, [4, 4, 5, 5]),
    ("lowest", {}, [4, 4, 4, 2]),
    ("highest", {}, [4, 4, 6, 6]),
    ("rolling_mean", {"sessions": 2}, [4, 4, 6, 4]),
    ("rolling_spread", {"sessions": 3}, [NAN, NAN, np.sqrt(2), np.sqrt(8)]),
    # decay 1/2 a session: (4/4 + 6) / (1/4 + 1); (4/8 + 6/2 + 2) / (1/8 + 1/2 + 1)
    ("ewm", {"half_life": 1.0}, [4, 4, 7 / 1.25, 5.5 / 1.625]),
    # the only pair of neighbours with both ratings: 6 to 2
    ("instability", {}, [NAN, NAN, NAN, 16]),
    # own means when observed: 4, 5, 4; only the last rating lies below
    ("share_below_mean", {}, [0, 0, 0, 1 / 3]),
    ("run_below_mean", {}, [0, 0, 0, 1]),
    ("sessions_since_observed", {}, [0, 1, 0, 0]),
]


@pytest.mark.parametrize(("name", "options", "expected"), BY_HAND)
def test_four_rows_by_hand(name: str, options: dict[str, float], expected: list[float]) -> None:
    values = Layout.of(np.array([0, 4])).apply(getattr(windows, name), X, **options)
    np.testing.assert_allclose(values, expected, atol=1e-12)


TIMED = [
    # at the end: times 0, 3, 4 around 7/3, ratings 4, 6, 2: (4·-7/3 + 6·2/3 + 2·5/3) / (78/9)
    ("slope", {}, [NAN, NAN, 2 / 3, -3 / 13]),
    ("rolling_slope", {"sessions": 2}, [NAN, NAN, NAN, -4.0]),
    ("time_since_observed", {}, [0, 1, 0, 0]),
    ("mean_since", {"span": 2.0}, [4, 4, 6, 4]),
]


@pytest.mark.parametrize(("name", "options", "expected"), TIMED)
def test_four_timed_rows_by_hand(name: str, options: dict[str, float], expected: list[float]) -> None:
    values = Layout.of(np.array([0, 4])).apply(getattr(windows, name), X, TIME, **options)
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_correlations_by_hand() -> None:
    layout = Layout.of(np.array([0, 4]))
    full = np.array([4.0, 5.0, 6.0, 2.0])
    expected = [np.corrcoef(full[: t + 1], Y[: t + 1])[0, 1] if t >= 2 else NAN for t in range(4)]
    np.testing.assert_allclose(layout.apply(windows.correlation, full, Y), expected)
    lately = [NAN, NAN, expected[2], np.corrcoef(full[1:], Y[1:])[0, 1]]
    np.testing.assert_allclose(layout.apply(windows.rolling_correlation, full, Y, sessions=3), lately)


def slow(function: Callable[[np.ndarray, np.ndarray], float]) -> Callable[..., np.ndarray]:
    def over(values: np.ndarray, time: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        out = np.full(len(values), NAN)
        for start, end in pairwise(offsets):
            for row in range(start, end):
                out[row] = function(values[start : row + 1], time[start : row + 1])
        return out

    return over


def seen(x: np.ndarray) -> np.ndarray:
    return x[~np.isnan(x)]


def fitted(x: np.ndarray, t: np.ndarray) -> float:
    ok = ~np.isnan(x)
    if ok.sum() < 2 or np.ptp(t[ok]) == 0:
        return NAN
    return float(np.polyfit(t[ok], x[ok], 1)[0])


def weighted(x: np.ndarray, _: np.ndarray) -> float:
    weight = 0.5 ** (np.arange(len(x))[::-1] / 2.0)
    ok = ~np.isnan(x)
    return float(np.sum(weight[ok] * x[ok]) / np.sum(weight[ok])) if ok.any() else NAN


def recent(x: np.ndarray, t: np.ndarray) -> float:
    near = seen(x[t > t[-1] - 5.0])
    return float(near.mean()) if len(near) else NAN


PLAIN: dict[str, tuple[Callable[..., np.ndarray], Callable[[np.ndarray, np.ndarray], float]]] = {
    "mean": (lambda x, lay, t: windows.moments(x, lay).mean, lambda x, t: seen(x).mean() if len(seen(x)) else NAN),
    "spread": (
        lambda x, lay, t: windows.moments(x, lay).spread,
        lambda x, t: seen(x).std(ddof=1) if len(seen(x)) > 1 else NAN,
    ),
    "slope": (windows.slope, fitted),
    "recent slope": (
        lambda x, lay, t: windows.rolling_slope(x, lay, t, sessions=4),
        lambda x, t: fitted(x[-4:], t[-4:]),
    ),
    "ewm": (lambda x, lay, t: windows.ewm(x, lay), weighted),
    "mean over days": (lambda x, lay, t: windows.mean_since(x, lay, t, span=5.0), recent),
    "instability": (
        lambda x, lay, t: windows.instability(x, lay),
        lambda x, t: float(np.mean(seen(np.diff(x)) ** 2)) if len(seen(np.diff(x))) else NAN,
    ),
    "rolling mean": (
        lambda x, lay, t: windows.rolling_mean(x, lay, sessions=3),
        lambda x, t: seen(x[-3:]).mean() if len(seen(x[-3:])) else NAN,
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_agrees_with_a_plain_slow_version(name: str) -> None:
    panel = clinic(60, seed=2, longest=14, missing=0.25)
    fast, plain = PLAIN[name]
    values = Layout.of(panel.offsets).apply(fast, panel.alliance, panel.time)
    np.testing.assert_allclose(values, slow(plain)(panel.alliance, panel.time, panel.offsets), atol=1e-9)


def test_constant_series_have_no_spread_and_no_slope_of_rounding() -> None:
    layout = Layout.of(np.array([0, 6]))
    x, t = np.full(6, 0.1), np.full(6, 0.3)
    assert (layout.apply(lambda v, lay: windows.moments(v, lay).spread, x)[1:] == 0).all()
    assert (layout.apply(windows.rolling_spread, x)[1:] == 0).all()
    assert np.isnan(layout.apply(windows.rolling_slope, np.arange(6.0), t)).all()
    assert np.isnan(layout.apply(windows.slope, np.arange(6.0), t)).all()
    assert np.isnan(layout.apply(windows.rolling_correlation, x, np.arange(6.0))).all()


def test_a_value_equal_to_its_mean_is_not_below_it() -> None:
    x = np.array([1.1, 5.5, 3.3, 3.3, 3.3])  # from the third on every value is the mean, but for rounding
    layout = Layout.of(np.array([0, 5]))
    assert layout.apply(windows.share_below_mean, x).tolist() == [0, 0, 0, 0, 0]
    assert layout.apply(windows.run_below_mean, x).tolist() == [0, 0, 0, 0, 0]


def test_nothing_crosses_into_the_next_patient_not_even_rounding() -> None:
    own = np.array([0.1, 0.7, 0.3])
    alone = Layout.of(np.array([0, 3])).apply(windows.ewm, own)
    crowd = np.concatenate([np.full(5, 1e9), own, np.full(4, -1e9)])
    together = Layout.of(np.array([0, 5, 5, 8, 12])).apply(windows.ewm, crowd)
    assert (together[5:8] == alone).all()


def test_an_empty_panel_and_patients_without_sessions() -> None:
    assert len(Layout.of(np.array([0])).apply(windows.ewm, np.zeros(0))) == 0
    assert len(Layout.of(np.array([0, 0, 0])).apply(windows.rolling_mean, np.zeros(0))) == 0
