"""What the cells of the recovery study add up to: table, checks, sentence and figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from experiments.recovery_cell import CONSTANT, NAMED, ORACLE, OURS, YARDSTICKS
from experiments.result import check_row

SIZE = ["preset", "patients", "sessions"]
NOMINAL, ALPHA = 0.90, 0.05  # of a patient's interval, and of the tests before a ranking
NOTHING_VARIES = ("constant", "null")
ABOVE = "RMSE above personalize"
QUANTITIES = {
    "rmse": "RMSE",
    "above": ABOVE,
    "rank_correlation": "rank correlation",
    "top_fifth_gain": "gain from the top fifth",
    "coverage": "coverage",
    "coverage_top_fifth": "coverage, top fifth",
    "coverage_few_sessions": "coverage, few sessions",
    "width": "width of intervals",
    "width_not_excluded": "width that is not excluded",
    "ranked": "patients ranked",
    "average_error": "average effect: error",
    "average_error_uncorrected": "average effect: error, uncorrected",
    "average_covered": "average effect: coverage",
    "average_width": "average effect: width",
}
SHARES = ("coverage", "coverage_top_fifth", "coverage_few_sessions", "ranked", "average_covered")  # from 0 to 1
COLOURS = ("#1b4965", "#e09f3e", "#5b8e7d", "#c1121f", "#9a9a9a")


def recovery_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Mean over clinics of every figure, with its 95 % Monte Carlo interval.

    Parameters
    ----------
    cells : DataFrame
        One row a clinic and estimator, as `experiments.recovery_cell.one_cell` gives them.

    Returns
    -------
    DataFrame
        preset, patients, sessions, estimator, quantity, estimate, lower, upper, se, n (clinics). The share by which an
        RMSE is above ours is a mean of clinics' own shares: both estimators see the same clinic.
    """
    key = [*SIZE, "seed"]
    ours = cells[cells["estimator"] == OURS].set_index(key)["rmse"]
    here = pd.MultiIndex.from_frame(cells[key])
    cells = cells.assign(above=cells["rmse"].to_numpy() / ours.reindex(here).to_numpy() - 1.0)
    cells.loc[cells["estimator"] == OURS, "above"] = np.nan
    rows = []
    for (*size, estimator), own in cells.groupby([*SIZE, "estimator"], sort=False):
        for column, quantity in QUANTITIES.items():
            values = own[column].dropna().to_numpy(dtype=float) if column in own else np.empty(0)
            if len(values):
                named = {**dict(zip(SIZE, size, strict=True)), "estimator": estimator, "quantity": quantity}
                rows.append({**named, **mean_of(values, share=column in SHARES)})
    return pd.DataFrame(rows)


def mean_of(values: np.ndarray, *, share: bool = False) -> dict[str, float]:
    """Mean of clinics with its standard error and 95 % interval (t); no interval from one clinic.

    That of a ``share`` stays between 0 and 1.
    """
    n = len(values)
    se = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    half = float(student.ppf(0.975, n - 1)) * se if n > 1 else np.nan
    mean = float(values.mean())
    lower, upper = np.clip([mean - half, mean + half], 0, 1) if share else (mean - half, mean + half)
    return {"estimate": mean, "lower": float(lower), "upper": float(upper), "se": se, "n": n}


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """One line an estimator, to be read: the main quantities side by side."""
    by = [*SIZE, "estimator"]
    wanted = [q for q in list(QUANTITIES.values())[:7] if q in set(table["quantity"])]
    wide = table.pivot_table(index=by, columns="quantity", values="estimate", sort=False)
    wide = wide.reindex(columns=wanted)
    if ABOVE in wide:
        error = table[table["quantity"] == ABOVE].set_index(by)["se"]
        wide.insert(wanted.index(ABOVE) + 1, "(MC error)", error.reindex(wide.index))
    wide.insert(0, "clinics", table[table["quantity"] == "RMSE"].set_index(by)["n"].reindex(wide.index))
    return wide.reset_index()


def checks(cells: pd.DataFrame) -> pd.DataFrame:
    """In clinics in which nothing varies: whether anybody is ranked, and whether intervals hold the truth."""
    rows = []
    own = cells[cells["preset"].isin(NOTHING_VARIES) & (cells["estimator"] == OURS)]
    for preset, part in own.groupby("preset", sort=False):
        ranked, n = float(part["ranked"].sum()), len(part)
        lower, upper = wilson(ranked, n)
        rows.append(
            check_row(
                f"{preset}: clinics in which patients were ranked",
                f"at most {ALPHA:.2f}",
                ranked / n,
                lower,
                upper,
                passed=lower <= ALPHA,
                n=n,
            )
        )
        for column, words in (("coverage", "patients' intervals"), ("average_covered", "the average's interval")):
            held = mean_of(part[column].to_numpy(dtype=float), share=True)
            if column == "average_covered":
                held["lower"], held["upper"] = wilson(float(part[column].sum()), n)
            rows.append(
                check_row(
                    f"{preset}: coverage of {words}",
                    f"at least {NOMINAL:.2f}",
                    held["estimate"],
                    held["lower"],
                    held["upper"],
                    passed=bool(held["estimate"] >= NOMINAL or held["upper"] >= NOMINAL),
                    n=n,
                )
            )
    return pd.DataFrame(rows)


def wilson(k: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share (Wilson 1927)."""
    p = k / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return max(float(middle - half), 0.0), min(float(middle + half), 1.0)


def sentence(table: pd.DataFrame) -> str:
    """The answer for the largest clinics asked for; smaller ones are in the table."""
    table = table[~table["preset"].isin(NOTHING_VARIES)] if _varying(table) else table
    patients = table["patients"].max()
    sessions = table.loc[table["patients"] == patients, "sessions"].max()
    here = table[(table["patients"] == patients) & (table["sessions"] == sessions)]
    clinics = here.loc[(here["estimator"] == OURS) & (here["quantity"] == "RMSE"), "n"]
    words = [_of_preset(str(preset), part) for preset, part in here.groupby("preset", sort=False)]
    return (
        f"In {clinics.sum()} simulated clinics whose every effect is known ({patients} patients, about {sessions} "
        f"sessions), effects of single patients were estimated with a root mean squared error of {'; '.join(words)}."
    )


def _varying(table: pd.DataFrame) -> bool:
    return bool((~table["preset"].isin(NOTHING_VARIES)).any())


def _of_preset(preset: str, part: pd.DataFrame) -> str:
    """One preset: our error, the next best estimator and how far behind, our coverage."""
    own = part[part["estimator"] == OURS].set_index("quantity")["estimate"]
    words = f"{own['RMSE']:.2f} in {preset} ones"
    others = part[(part["quantity"] == ABOVE) & ~part["estimator"].isin((NAMED, ORACLE))].sort_values("estimate")
    peers = others[others["estimator"] != CONSTANT]
    if len(others):
        best = (peers if len(peers) else others).iloc[0]
        side = "more" if best["estimate"] >= 0 else "less"
        known = f", 95% Monte Carlo interval {best['lower']:+.1%} to {best['upper']:+.1%}" if best["n"] > 1 else ""
        name = best["estimator"]
        rank = "the best other estimator" if len(peers) else "the yardstick"
        words += f" ({rank}, {name}: {abs(best['estimate']):.1%} {side}{known})"
    return f"{words}, and their {NOMINAL:.0%} intervals held the truth of {own['coverage']:.0%}"


def figure(table: pd.DataFrame) -> Figure:
    """Error of every estimator as a multiple of ours, and coverage, by kind of clinic; a row of panels a size."""
    if _varying(table):  # where nothing varies the average for everybody is the truth, and a ratio to it says nothing
        table = table[~table["preset"].isin(NOTHING_VARIES)]
    sizes = list(table[["patients", "sessions"]].drop_duplicates().itertuples(index=False, name=None))
    names = list(dict.fromkeys(table["estimator"]))
    names = [n for n in names if n not in YARDSTICKS] + [n for n in reversed(YARDSTICKS) if n in names]
    drawn = Figure(figsize=(11, 1.2 + 0.45 * len(names) * len(sizes)), layout="constrained")
    for k, (patients, sessions) in enumerate(sizes):
        here = table[(table["patients"] == patients) & (table["sessions"] == sessions)]
        left, right = (drawn.add_subplot(len(sizes), 2, 2 * k + j) for j in (1, 2))
        _dots(left, here[here["quantity"] == ABOVE], names, shift=1.0)
        left.axvline(1.0, color="#bbbbbb", lw=0.8, zorder=0)
        left.set_xscale("log")
        low, high = left.get_xlim()
        ticks = [t for t in (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10) if low <= t <= high]
        left.set_xticks(ticks, [f"{t:g}" for t in ticks])
        left.set_xticks([], minor=True)
        left.set_xlabel("RMSE as a multiple of personalize's")
        _dots(right, here[here["quantity"] == "coverage"], names, shift=0.0)
        right.axvline(NOMINAL, color="#bbbbbb", lw=0.8, zorder=0)
        right.set_xlim(0, 1.03)
        right.set_yticklabels([])
        right.set_xlabel(f"coverage of {NOMINAL:.0%} intervals")
        left.set_title(f"{patients} patients, about {sessions} sessions", fontsize=9, loc="left")
        if k == 0:
            right.legend(*right.get_legend_handles_labels(), frameon=False, fontsize=8, title="clinics")
    return drawn


def _dots(ax: Axes, part: pd.DataFrame, names: Sequence[str], *, shift: float) -> None:
    """Means with 95 % Monte Carlo intervals, estimators from top to bottom, kinds of clinic side by side."""
    presets = list(dict.fromkeys(part["preset"]))
    for j, preset in enumerate(presets):
        own = part[part["preset"] == preset]
        y = np.array([-names.index(n) - 0.18 * (j - (len(presets) - 1) / 2) for n in own["estimator"]])
        colour = COLOURS[j % len(COLOURS)]
        ax.hlines(y, own["lower"] + shift, own["upper"] + shift, color=colour, lw=1.4)
        ax.plot(own["estimate"] + shift, y, "o", ms=4, color=colour, label=preset)
    ax.set_yticks(-np.arange(len(names)), list(names), fontsize=8)
    ax.set_ylim(-len(names) + 0.5, 0.5)
    ax.spines[["top", "right"]].set_visible(False)
