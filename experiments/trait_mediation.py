# ruff: noqa: E501, D400
"""Does trait-like alliance mediate what patient and therapist baseline characteristics do to the outcome?

Run ``python -m experiments.trait_mediation``; ``--help`` lists the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t as student

from experiments.command import main
from experiments.dynamics import PanelDynamics, panel_dynamics
from experiments.figures import canvas, curves, intervals
from experiments.left_out import LeftOut, left_out
from experiments.levels import Levels
from experiments.mediation import Mediation, Paths, mediate
from experiments.question import Question, experiment
from experiments.result import ExperimentResult, check_row, with_truth
from features.errors import NotEnoughData
from personalize.effects.adjusted import Errors
from personalize.effects.transitions import Floats, Ints
from personalize.simulate import SimulatedClinic, Truth

LEVEL = 0.95
CLAIM = "Trait-like alliance mediates what baseline characteristics of patient and therapist do to the outcome."
SCENARIOS: dict[str, dict[str, Any]] = {
    "true": {"preset": "nonlinear"},
    "trait does not reach the outcome": {"preset": "nonlinear", "options": {"trait_to_outcome": 0.0}},
    "baseline does not reach the trait": {"preset": "nonlinear", "options": {"baseline_to_trait": 0.0}},
}
THERAPIST = "therapist_"


@experiment()
def run(asked: Question, *, level: float = LEVEL, learned: bool = True) -> ExperimentResult:
    """Does trait-like alliance mediate what patient and therapist baseline characteristics do to the outcome?

    Claim: stable differences between patients in alliance carry part of what their and their therapists' characteristics
    do to the outcome (Zilcha-Mano & Fisher 2022, Nature Reviews Psychology 1, 194-210). Estimand: for each intake column,
    a·b, outcome points at every session per SD of the column (or yes against no), through the patient's alliance
    level; all other intake columns held. Trait and level are latent: what few sessions leave of the states in a patient's
    means, in both and together, is taken out (`experiments.mean_errors`); time × intake is taken out within patients, so
    that trends and treatment length do not enter. The learned version (cross-fitted ridge and trees, partially linear)
    is the interventional indirect effect of a shift of the column where neither effect bends.
    Assumptions: intake comes first; nothing beside it moves both trait alliance and the outcome's level (``sensitivity``
    says how strongly it would have to: Imai, Keele & Yamamoto 2010, Statistical Science 25, 51-71); trait alliance
    does not interact with intake. Intervals: bootstrap of therapists with the t quantile of their number.

    Falsification: the part of the trait that intake does not explain, given to other patients, must have no path to the
    outcome; and a random number given to each patient, and to each therapist, must have no indirect effect.
    """
    panel, process, outcome = asked.panel, asked.process, asked.outcome
    found = panel_dynamics(panel, asked.errors)
    if not found.x.shape[1]:
        raise NotEnoughData(
            f"{panel.names['patients']}: there is no intake column that varies, so there is nothing to be mediated; "
            "give a patients table with characteristics at intake, and a therapists table."
        )
    chosen = _predictors(found)
    fit = mediate(
        found,
        asked.errors,
        n_bootstrap=asked.repeats(200, 2000),
        seed=asked.random_state,
        targets=chosen if learned else chosen[:0],
    )
    table = path_table(found, fit, chosen, level, learned=learned)
    if asked.truth is not None:
        table = with_truth(table, true_paths(asked.truth, found, table))
    check = _placebos(found, fit, asked, level)
    vanish = table.loc[table["effect"] == "sensitivity"].iloc[0]
    sentence = _sentence(table, vanish, process, outcome, level)
    notes = [
        f"Of the differences between patients' mean {process} that intake does not explain, {fit.linear.reliability:.0%} are "
        "trait; the rest, what few sessions leave of the states, was taken out.",
        f"{len(fit.levels.who)} of {panel.n_patients} patients have three ratings of both and were used, all with the same weight.",
        "Nothing here rules out a cause of both trait alliance and outcome that intake does not hold; see sensitivity.",
    ]
    figure = _figure(table, fit, vanish, process)
    return ExperimentResult("trait-mediation", CLAIM, table, sentence, check, figure, tuple(notes))


def _predictors(found: PanelDynamics) -> Ints:
    """Columns of x that stand for characteristics (not for their being missing)."""
    return np.array([k for k, name in enumerate(found.encoding.names) if not name.endswith(" missing")], dtype=np.intp)


def path_table(
    found: PanelDynamics, fit: Mediation, chosen: Ints, level: float = LEVEL, *, learned: bool = True
) -> pd.DataFrame:
    """Every path with its interval: predictor, level, unit, effect, method, estimate, lower, upper, p_value."""
    unit, scale = _units(found)
    groups = int(fit.levels.group.max()) + 1
    rows: list[dict[str, Any]] = []
    methods = [("linear", fit.linear, fit.linear_draws)]
    if learned:
        methods.append(("machine learning", fit.learned, fit.learned_draws))
    for method, paths, draws in methods:
        parts = [("indirect", _indirect), ("trait path", _trait)]
        parts += [("direct", _direct)] if method == "linear" else []
        for effect, of in parts:
            value, drawn = of(paths), np.array([of(d) for d in draws])
            for k in chosen:
                rows.append(
                    {
                        "predictor": found.encoding.names[k],
                        "level": "therapist" if found.encoding.names[k].startswith(THERAPIST) else "patient",
                        "unit": unit[k],
                        "effect": effect,
                        "method": method,
                        **_bounds(value[k] / scale[k], drawn[:, k] / scale[k], level, groups),
                    }
                )
        overall = [("outcome path", "outcome"), ("sensitivity", "residual_correlation")]
        overall += [("outcome path within therapists", "within_therapists")] if method == "linear" else []
        for effect, name in overall:
            drawn = np.array([getattr(d, name) for d in draws])
            head = {"predictor": "", "level": "", "unit": "", "effect": effect, "method": method}
            rows.append({**head, **_bounds(getattr(paths, name), drawn, level, groups)})
    return pd.DataFrame(rows)


def _indirect(paths: Paths) -> Floats:
    return paths.indirect


def _trait(paths: Paths) -> Floats:
    return paths.trait


def _direct(paths: Paths) -> Floats:
    return paths.direct


def _bounds(value: float, drawn: Floats, level: float, groups: int) -> dict[str, float]:
    """Percentiles of the bootstrap, spread by the t quantile: few therapists leave percentiles too narrow."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or not np.isfinite(value):
        return {"estimate": value, "lower": np.nan, "upper": np.nan, "p_value": np.nan}
    tail = student.sf(student.ppf(0.5 + level / 2, groups - 1) * np.sqrt(groups / (groups - 1)), 10**6)
    lower, upper = np.quantile(drawn, [tail, 1 - tail])
    share = min((drawn <= 0).mean(), (drawn >= 0).mean())
    return {"estimate": value, "lower": lower, "upper": upper, "p_value": min(1.0, 2 * max(share, 1 / len(drawn)))}


def _units(found: PanelDynamics) -> tuple[list[str], Floats]:
    """What one unit of each column of x is, and what to divide its path by."""
    unit, scale = [], []
    table = found.panel.patients
    staff = found.panel.therapists
    for column in found.encoding.columns:
        raw = table[column.name] if column.name in table else staff.get(column.name.removeprefix(THERAPIST))
        if column.levels:
            unit += ["against the most frequent"] * len(column.levels)
            scale += [1.0] * len(column.levels)
        elif raw is not None and set(raw.dropna().unique().tolist()) <= {0, 1}:
            unit.append("yes against no")
            scale.append(column.scale)
        else:
            unit.append(f"SD ({column.scale:.3g})")
            scale.append(1.0)
        if column.flag:
            unit.append("missing")
            scale.append(1.0)
    return unit, np.array(scale)


def true_paths(truth: Truth, found: PanelDynamics, table: pd.DataFrame) -> list[float]:
    """The simulator's paths in the units of the table; NaN where it does not state one."""
    size = {c.name: c.scale for c in found.encoding.columns if not c.levels}
    column = {"indirect": "indirect", "trait path": "trait_path", "direct": "direct"}
    out = []
    for _, row in table.iterrows():
        name = str(row["predictor"])
        plain = name.removeprefix(THERAPIST)
        if row["effect"] in ("outcome path", "outcome path within therapists"):
            out.append(truth.options.trait_to_outcome)
        elif row["effect"] not in column:
            out.append(np.nan)
        elif plain not in truth.mediation.index:
            out.append(0.0)
        else:
            own = truth.mediation.loc[plain]
            per = 1.0 if row["unit"] == "yes against no" else size[name] / own["unit"]
            out.append(float(own[column[row["effect"]]]) * per)
    return out


def _placebos(found: PanelDynamics, fit: Mediation, asked: Question, level: float) -> pd.DataFrame:
    rng = np.random.default_rng(asked.random_state)
    n = asked.repeats(200, 1000)
    path = np.array([permuted_path(fit, rng) for _ in range(n)])
    rows = [_placebo_row("trait left by intake given to other patients: outcome path", path, level, fit)]
    known = trait_left_out(fit)
    for name in ("patient", "therapist"):
        drawn = np.array([random_predictor(fit.levels, known, rng, name) for _ in range(n)])
        rows.append(_placebo_row(f"a random number of each {name}: trait path", drawn, level, fit))
    return pd.DataFrame(rows)


def _placebo_row(words: str, drawn: Floats, level: float, fit: Mediation) -> dict[str, object]:
    rejected = np.abs(drawn[:, 0]) > student.ppf(0.5 + level / 2, _freedom(fit.levels)) * drawn[:, 1]
    mean, half = float(drawn[:, 0].mean()), 3 * float(drawn[:, 0].std(ddof=1)) / np.sqrt(len(drawn))
    share, nominal = float(rejected.mean()), 1 - level
    words = f"{words}; {share:.1%} of {len(drawn)} at nominal {nominal:.0%}"
    most = nominal + 3 * np.sqrt(nominal * level / len(drawn))
    return check_row(
        words,
        "0",
        mean,
        mean - half,
        mean + half,
        passed=abs(mean) <= half and share <= most,
        n=len(fit.levels.who),
    )


def permuted_path(fit: Mediation, rng: np.random.Generator) -> tuple[float, float]:
    """Outcome path and its standard error when û is dealt out anew: the errors of the two means no longer go together."""
    u = rng.permutation(fit.residuals[1])
    score = u * fit.residuals[0]
    return float(score.sum() / fit.scale), _grouped(score, fit.levels.group) / fit.scale


def trait_left_out(fit: Mediation) -> LeftOut:
    """Mean alliance on intake, with everybody and without each therapist."""
    levels = fit.levels
    return left_out(levels.x, levels.adjusted(np.ones(int(levels.group.max()) + 1))[1], levels.group)


def random_predictor(levels: Levels, known: LeftOut, rng: np.random.Generator, level: str) -> tuple[float, float]:
    """Trait path, and its standard error, of a random number of each patient or each therapist."""
    names, of = np.unique(levels.clusters, return_inverse=True)
    return known.slope(rng.standard_normal(len(names))[of] if level == "therapist" else rng.standard_normal(len(of)))


def _grouped(score: Floats, group: Ints) -> float:
    total = np.bincount(group, score)
    return float(np.sqrt((total**2).sum() * len(total) / max(len(total) - 1, 1)))


def _freedom(levels: Levels) -> int:
    """Resampling units, less one, less the columns that are the same for all patients of each of them."""
    groups = int(levels.group.max()) + 1
    count = np.bincount(levels.group)
    shared = 0
    for column in levels.x.T:
        mean = np.bincount(levels.group, column) / count
        shared += bool(np.allclose(column, mean[levels.group]))
    return max(groups - 1 - shared, 1)


def _sentence(table: pd.DataFrame, vanish: pd.Series, process: str, outcome: str, level: float) -> str:
    rows = table[(table["effect"] == "indirect") & (table["method"] == "linear")]
    clear = rows[(rows["lower"] > 0) | (rows["upper"] < 0)].copy()
    clear["size"] = clear["estimate"].abs()
    clear = clear.sort_values("size", ascending=False)
    if clear.empty:
        return (
            f"No indirect effect of {len(rows)} intake characteristics on {outcome} through trait {process} could be told "
            f"from zero ({level:.0%} intervals)."
        )
    first = clear.iloc[0]
    agree = table[(table["effect"] == "indirect") & (table["method"] == "machine learning")].set_index("predictor")
    same = ""
    if first["predictor"] in agree.index:
        other = agree.loc[first["predictor"]]
        same = f"; with machine learning {other['estimate']:.2f}, {other['lower']:.2f} to {other['upper']:.2f}"
    return (
        f"Trait {process} carried an effect on {outcome} from {len(clear)} of {len(rows)} intake characteristics, most from "
        f"{first['predictor']} ({first['estimate']:.2f} points per {first['unit']}, {level:.0%} CI {first['lower']:.2f} to "
        f"{first['upper']:.2f}{same}); a confounder of trait {process} and {outcome} that correlates their residuals by "
        f"{vanish['estimate']:.2f} would make every indirect effect vanish."
    )


def sensitivity_curve(paths: Paths, scale_ratio: float, column: int, rho: Sequence[float]) -> Floats:
    """Indirect effect of a column if the errors of the two equations correlated by rho (Imai, Keele & Yamamoto 2010)."""
    r, at = paths.residual_correlation, np.asarray(rho)
    return np.asarray(paths.trait[column] * scale_ratio * (r - at * np.sqrt((1 - r**2) / (1 - at**2))))


def _figure(table: pd.DataFrame, fit: Mediation, vanish: pd.Series, process: str) -> Figure:
    rows = table[(table["effect"] == "indirect") & (table["method"] == "linear")].copy()
    rows["size"] = rows["estimate"].abs()
    rows = rows.sort_values("size", ascending=False).head(12)
    figure, (left, right) = canvas(2, height=4.2)
    truth = rows["truth"].tolist() if "truth" in rows else None
    labels = [f"{p} ({u.split(' (')[0]})" for p, u in zip(rows["predictor"], rows["unit"], strict=True)]
    intervals(left, labels, rows["estimate"].tolist(), rows["lower"].tolist(), rows["upper"].tolist(), truth=truth)
    left.set_title(f"Indirect effect through trait {process}", fontsize=9)
    column = int(np.argmax(np.abs(fit.linear.indirect)))
    r = fit.linear.residual_correlation
    ratio = fit.linear.outcome / r if r else np.nan
    grid = np.linspace(-0.9, 0.9, 61)
    curves(
        right,
        grid.tolist(),
        {"indirect effect": [sensitivity_curve(fit.linear, ratio, column, grid.tolist()).tolist()]},
    )
    right.axvline(float(vanish["estimate"]), color="#bbbbbb", lw=0.8)
    right.set_title("Largest one, if residuals correlated by ρ", fontsize=9)
    right.set_xlabel("ρ")
    return figure


QUANTITIES = ("expectation", "attachment_avoidance", "interpersonal_cold", "social_support", "therapist_warmth")
NOTHING = ("age", "severity", "therapist_experience_years")


def trial(clinic: SimulatedClinic, seed: int) -> list[dict[str, Any]]:
    """One simulated clinic of the calibration: indirect effects, both methods, and placebos."""
    found = panel_dynamics(clinic.panel)
    names = found.encoding.names
    chosen = np.array([names.index(name) for name in (*QUANTITIES, *NOTHING)], dtype=np.intp)
    fit = mediate(found, Errors(), n_bootstrap=200, seed=seed, targets=chosen)
    table = path_table(found, fit, chosen)
    table = with_truth(table, true_paths(clinic.truth, found, table))
    wanted = table["effect"].isin(["indirect", "outcome path"])
    table["quantity"] = table["method"] + ": " + table["effect"] + " " + table["predictor"]
    out = table.loc[wanted, ["quantity", "estimate", "lower", "upper", "truth"]].to_dict("records")
    rng = np.random.default_rng(seed)
    for words, (value, se) in (
        ("placebo: outcome path", permuted_path(fit, rng)),
        ("placebo: random therapist number", random_predictor(fit.levels, trait_left_out(fit), rng, "therapist")),
    ):
        half = student.ppf(0.975, _freedom(fit.levels)) * se
        out.append({"quantity": words, "estimate": value, "lower": value - half, "upper": value + half, "truth": 0.0})
    return out


if __name__ == "__main__":
    raise SystemExit(main(run))
