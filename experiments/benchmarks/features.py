"""Speed and memory of the feature table beside pandas and Polars, on simulated sessions.

Run ``python -m experiments.benchmarks.features`` (Polars is optional: ``pip install polars``). Sizes are numbers of
patients with 4 to 20 sessions each; 92,000 patients make about 1.1 million session rows.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from features import Columns, Panel, past_features, windows
from features.build import _blocks
from features.therapists import therapist_history
from features.windows import Layout

SCORES = ("wai", "outcome")
HALF_LIFE, EARLY, RECENT, TREND = 2.0, 3, 3, 4


def simulated(n_patients: int, random_state: int = 0) -> Panel:
    """Make a panel of ``n_patients`` with 4 to 20 sessions, a tenth of the ratings missing, 20 patients a therapist."""
    rng = np.random.default_rng(random_state)
    lengths = rng.integers(4, 21, n_patients)
    patient = np.repeat(np.arange(n_patients), lengths)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    n = len(patient)
    frame = pd.DataFrame({"patient_id": patient, "session": np.arange(n) - first[patient] + 1})
    frame["therapist_id"] = patient // 20
    frame["outcome"] = rng.normal(20, 5, n).round()
    frame["wai"] = np.where(rng.random(n) < 0.1, np.nan, rng.normal(5, 1, n).round(2))
    return Panel(frame, columns=Columns(alliance="wai"))


def with_pandas(panel: Panel) -> pd.DataFrame:
    """Compute the session columns of `past_features` with groupby, rolling and expanding."""
    frame = panel.sessions
    patient = frame["patient_id"]
    t = pd.Series(panel.time)
    place = frame.groupby("patient_id").cumcount()
    out: dict[str, pd.Series] = {}

    def expanding(x: pd.Series, how: str = "mean") -> pd.Series:
        return getattr(x.groupby(patient).expanding(), how)().droplevel(0)

    def rolling(x: pd.Series, sessions: int) -> pd.Series:
        return x.groupby(patient).rolling(sessions, min_periods=1).mean().droplevel(0)

    def slope(x: pd.Series, mean: Callable[[pd.Series], pd.Series]) -> tuple[pd.Series, pd.Series, pd.Series]:
        at = t.where(x.notna())
        mean_x, mean_t = mean(x), mean(at)
        spread = mean(at * at) - mean_t**2
        return (mean(at * x) - mean_t * mean_x) / spread.where(spread > 1e-9), mean_x, mean_t

    for name in SCORES:
        x = frame[name]
        group = x.groupby(patient)
        last, previous = group.ffill(), group.shift()
        first = group.transform("first").where(last.notna())
        mean = expanding(x)
        own_slope, _, mean_t = slope(x, expanding)
        last_t = t.where(x.notna()).groupby(patient).ffill()
        n = x.notna().groupby(patient).cumsum()
        highest = expanding(x, "max")
        below = (mean - x > 1e-12 * mean.abs()).astype(float)  # a rating equal to its mean is not below it
        stops = (x.notna() & (below == 0)).groupby(patient).cumsum()
        values = {
            "last": last,
            "previous": previous,
            "change": x - previous,
            "first": first,
            "change_since_first": last - first,
            "early_mean": expanding(x.where(place < EARLY)),
            "mean": mean,
            "deviation": last - mean,
            "detrended": (last - mean - own_slope * (last_t - mean_t)).where(n >= 3),
            "recent_mean": rolling(x, RECENT),
            "ewm": group.ewm(halflife=HALF_LIFE).mean().droplevel(0),
            "slope": own_slope,
            "recent_slope": slope(x, lambda y: rolling(y, TREND))[0],
            "spread": expanding(x, "std"),
            "instability": expanding((x - previous) ** 2),
            "lowest": expanding(x, "min"),
            "highest": highest,
            "below_highest": highest - last,
            "share_below_mean": expanding(below.where(x.notna())),
            "run_below_mean": below.groupby([patient, stops]).cumsum().where(last.notna()),
            "n_missing": x.isna().groupby(patient).cumsum(),
            "since_observed": place - place.where(x.notna()).groupby(patient).ffill(),
        }
        out.update({f"{name}_{key}": value for key, value in values.items()})
    cause = frame["wai"].groupby(patient).shift()
    both = cause.notna() & frame["outcome"].notna()
    a, y = cause.where(both), frame["outcome"].where(both)
    cross = expanding(a * y) - expanding(a) * expanding(y)
    size = (expanding(a * a) - expanding(a) ** 2) * (expanding(y * y) - expanding(y) ** 2)
    out["wai_outcome_coupling"] = (cross / np.sqrt(size.where(size > 1e-9))).where(both.groupby(patient).cumsum() >= 4)
    start = t.groupby(patient).transform("first")
    gap = t.groupby(patient).diff()
    number = frame["session"].astype(float)
    out["sessions_held"] = place + 1
    out["session_number"] = number
    out["time"] = t
    out["time_since_first"] = t - start
    out["gap"] = gap
    out["mean_gap"] = (t - start) / place.where(place > 0)
    out["longest_gap"] = expanding(gap, "max")
    out["sessions_skipped"] = number - number.groupby(patient).transform("first") - place
    return pd.DataFrame(out)


def with_polars(frame: Any) -> Any:
    """Compute the columns Polars has window expressions for."""
    import polars as pl

    columns = []
    for name in SCORES:
        x = pl.col(name)
        shown = {
            "last": x.forward_fill(),
            "previous": x.shift(1),
            "change": x.diff(1),
            "mean": x.cum_sum().forward_fill() / x.cum_count(),
            "recent_mean": x.rolling_mean(RECENT, min_samples=1),
            "recent_spread": x.rolling_std(TREND, min_samples=2),
            "ewm": x.ewm_mean(half_life=HALF_LIFE, ignore_nulls=False),
            "lowest": x.cum_min().forward_fill(),
            "highest": x.cum_max().forward_fill(),
            "n_missing": x.is_null().cum_sum(),
        }
        columns += [expression.over("patient_id").alias(f"{name}_{key}") for key, expression in shown.items()]
    return frame.select(columns)


def same_as_polars(panel: Panel) -> pd.DataFrame:
    """Compute the same columns as `with_polars` with `features.windows`."""
    names = (
        "last",
        "previous",
        "change",
        "mean",
        "recent_mean",
        "recent_spread",
        "ewm",
        "lowest",
        "highest",
        "n_missing",
    )
    out = np.empty((len(SCORES) * len(names), panel.n_sessions))
    scores = [panel.sessions[name].to_numpy(dtype=float) for name in SCORES]
    for who in _blocks(panel.offsets):
        rows = slice(int(panel.offsets[who.start]), int(panel.offsets[who.stop]))
        layout = Layout.of(panel.offsets[who.start : who.stop + 1] - rows.start)
        place = 0
        for score in scores:
            x = layout.pack(score[rows])
            n, missing = windows.count(x, layout), np.isnan(x)
            computed = (
                windows.last(x, layout),
                windows.lag(x, layout),
                windows.change(x, layout),
                windows.running_sum(np.where(missing, 0.0, x), layout) / np.where(n > 0, n, np.nan),
                windows.rolling_mean(x, layout, sessions=RECENT),
                windows.rolling_spread(x, layout, sessions=TREND),
                windows.ewm(x, layout, half_life=HALF_LIFE),
                windows.lowest(x, layout),
                windows.highest(x, layout),
                windows.running_sum(missing.astype(float), layout),
            )
            for array in computed:
                layout.unpack(array, out[place, rows])
                place += 1
    return pd.DataFrame(
        {f"{score}_{name}": out[i * len(names) + j] for i, score in enumerate(SCORES) for j, name in enumerate(names)},
        copy=False,
    )


def best(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Shortest of several runs in seconds, and the last result."""
    shortest, result = np.inf, None
    for _ in range(repeats):
        result = None
        start = time.perf_counter()
        result = call()
        shortest = min(shortest, time.perf_counter() - start)
    return float(shortest), result


def agreement(ours: pd.DataFrame, other: pd.DataFrame) -> float:
    """Largest difference over the columns both have, where the other has a value; relative to the column's spread."""
    worst = 0.0
    for name in other.columns:
        a, b = ours[name].to_numpy(dtype=float), other[name].to_numpy(dtype=float, na_value=np.nan)
        told = ~np.isnan(b)
        gap = np.abs(a[told] - b[told]) / (1.0 + np.abs(b[told]))
        worst = max(worst, float(np.max(gap, initial=0.0)) if not np.isnan(gap).any() else np.inf)
    return worst


def main() -> None:
    """Print times, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=92_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="*", default=[9_200, 92_000])
    parser.add_argument("--skip-pandas", action="store_true")
    options = parser.parse_args()

    panel = simulated(options.patients)
    print(f"{panel.n_sessions:,} session rows of {panel.n_patients:,} patients")
    ours, table = best(lambda: past_features(panel), options.repeats)
    staff, _ = best(lambda: therapist_history(panel), 1)
    print(f"features: {table.shape[1]} columns in {ours:.2f} s, of which therapist history {staff:.2f} s")

    tracemalloc.start()
    kept = past_features(panel)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = int(kept.memory_usage(index=False).sum())
    print(f"memory: peak {peak / 1e6:.0f} MB for a table of {size / 1e6:.0f} MB: {peak / size:.2f} times the output")
    del kept

    if not options.skip_pandas:
        plain, theirs = best(lambda: with_pandas(panel), 1)
        print(
            f"pandas: {theirs.shape[1]} of these columns in {plain:.1f} s; "
            f"largest relative difference {agreement(table, theirs):.1e}"
        )
        print(f"pandas / features = {plain / ours:.1f} (all columns of features against those of pandas)")
        del theirs
    try:
        import polars as pl
    except ImportError:
        print("Polars is not installed: pip install polars")
    else:
        frame = pl.from_pandas(panel.sessions).with_columns(pl.col(*SCORES).fill_nan(None))
        rust, theirs = best(lambda: with_polars(frame), options.repeats)
        numpy, mine = best(lambda: same_as_polars(panel), options.repeats)
        apart = agreement(mine, theirs.to_pandas())
        print(
            f"Polars ({pl.thread_pool_size()} threads): {theirs.shape[1]} columns in {rust:.2f} s; "
            f"features (1 thread): {numpy:.2f} s"
        )
        print(f"features / Polars = {numpy / rust:.2f}; largest relative difference {apart:.1e}")
        del theirs, mine
    del table
    for n in options.sizes:
        other = simulated(n)
        seconds, _ = best(lambda other=other: past_features(other), 1)
        print(f"{other.n_sessions:>12,} rows: {seconds:7.2f} s, {1e6 * seconds / other.n_sessions:.2f} s a million")
        del other


if __name__ == "__main__":
    main()
