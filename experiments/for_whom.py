# ruff: noqa: E501, D400
"""For whom does change in alliance matter? Heterogeneity, moderators, groups, and how far single patients can be told.

Run ``python -m experiments.for_whom``; ``--help`` lists the options.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import norm, spearmanr

from experiments.command import main
from experiments.figures import INK, TRUE, canvas, intervals
from experiments.question import Question, experiment
from experiments.result import ExperimentResult, check_row, with_truth
from features.errors import NotEnoughData
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.heterogeneity import test_baseline
from personalize.effects.transitions import Floats, Ints
from personalize.effects.validation import GROUPS, comparable, fifths, orthogonal_scores
from personalize.explain.honest_tree import honest_tree
from personalize.simulate import SimulatedClinic, Truth

LEVEL = 0.90
CLAIM = "The outcomes of some patients hinge on state-like alliance more than those of others, and intake says whose."
SHOWN_MODERATORS = 8
SCENARIOS: dict[str, dict[str, Any]] = {
    "true, thresholds": {"preset": "nonlinear"},
    "true, linear": {"preset": "linear"},
    "all alike": {"preset": "constant"},
}


@experiment()
def run(asked: Question, *, level: float = LEVEL) -> ExperimentResult:
    """For whom does change in alliance matter: do patients differ, who are they, and how far can single ones be told?

    Claim: the effect of state-like alliance differs between patients, and characteristics at intake say for whom it is
    large (Zilcha-Mano & Fisher 2022; Rubel et al. 2020 found none, Gomez Penedo et al. 2023 did for other processes).
    Estimands: SD of the effect between patients and its parts; mean effect of fifths of patients sorted by what intake
    predicts, from therapists who did not make the prediction (GATES); slope of the true on the predicted effect (1: calibrated);
    mean effect in the leaves of an honest tree. Two tests come first: that nothing varies, and that nothing that intake
    predicts varies. Where neither finds anything no patient is singled out. Assumptions: those of `AllianceEffect`; how
    much a patient's alliance moves does not go with the patient's effect, given intake.

    Falsification: own slopes dealt out to other patients: intake must then predict nothing, at the nominal rate.
    """
    panel = asked.panel
    effect = AllianceEffect(
        alliance_sem=asked.alliance_sem,
        outcome_sem=asked.outcome_sem,
        level=level,
        random_state=asked.random_state,
    ).fit(panel)
    if effect.moderators_ is None:
        raise NotEnoughData(
            f"{panel.names['patients']}: for whom cannot be asked without moderators ({effect.notes_[-1]}) At least 40 "
            "patients with three usable consecutive sessions and one intake column that varies are needed."
        )
    valid = validated(effect)
    known = np.isfinite(effect.own_variance_)
    score, weight = scores(effect, known)
    tree = honest_tree(
        score,
        effect._x[known],
        effect.encoding_,
        effect.clusters_[known],
        weight=weight,
        level=level,
        seed=asked.random_state,
    )
    table = _table(effect, valid, tree.leaves, level)
    if asked.truth is not None:
        table = with_truth(table, _truths(table, effect, asked.truth, known, tree.leaf_of, tree.held))
        extra = recovery(effect, asked.truth)
        table = pd.concat([table, extra], ignore_index=True)
    check = dealt_out(effect, known, asked.repeats(40, 400), asked.random_state)
    sentence = _sentence(effect, valid, asked.process, asked.outcome, level)
    figure = _figure(effect, table, asked)
    return ExperimentResult("for-whom", CLAIM, table, sentence, pd.DataFrame([check]), figure, tuple(effect.notes_))


def validated(effect: AllianceEffect) -> pd.DataFrame:
    """`AllianceEffect.validate`; the calibration slope of a prediction that is the same for all is unknown, not a warning."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return effect.validate()


def scores(effect: AllianceEffect, known: Any) -> tuple[Floats, Floats]:
    """Orthogonal score of each patient with an own slope, and its precision."""
    moderators = effect.moderators_
    assert moderators is not None  # callers have checked
    b, v = effect.own_slope_[known], effect.own_variance_[known]
    tau = moderators.held_out + effect.average_["estimate"]
    score = orthogonal_scores(b, 1.0 / v, tau, effect._x[known], moderators.fold)
    return score, precision(effect, known)


def precision(effect: AllianceEffect, known: Any) -> Floats:
    """1 / (v_i + variance of effects) of patients with an own slope."""
    return np.asarray(1.0 / (effect.own_variance_[known] + float(effect.heterogeneity_["sd_total"]) ** 2))


def _table(effect: AllianceEffect, valid: pd.DataFrame, leaves: pd.DataFrame, level: float) -> pd.DataFrame:
    h = effect.heterogeneity_
    rows: list[dict[str, Any]] = [
        {"quantity": "average effect", **_three(effect.average_), "p_value": effect.average_["p_value"]},
        {"quantity": "SD of effects", "estimate": h["sd_total"], "p_value": h["p_value"]},
        {"quantity": "SD of what intake predicts", "estimate": h["sd_baseline"], "p_value": h["baseline_p_value"]},
        {"quantity": "SD between therapists", "estimate": h["sd_therapist"]},
        {"quantity": "SD between patients of a therapist, intake equal", "estimate": h["sd_patient"]},
    ]
    for _, row in valid[valid["statistic"].isin(["blp_slope", "gates", "gates_difference"])].iterrows():
        words = {"blp_slope": "calibration slope", "gates": f"effect, {row['group']}"}
        words["gates_difference"] = "effect, first minus last fifth"
        rows.append({"quantity": words[str(row["statistic"])], **_three(row), "n": row["n"]})
    rows += [{"quantity": f"leaf: {leaf['subgroup']}", **_three(leaf), "n": leaf["n"]} for _, leaf in leaves.iterrows()]
    rows += moderator_rows(effect, level)
    return pd.DataFrame(rows).reindex(columns=["quantity", "estimate", "lower", "upper", "p_value", "n"])


def _three(row: Any) -> dict[str, float]:
    return {k: float(row[k]) for k in ("estimate", "lower", "upper")}


def moderator_rows(effect: AllianceEffect, level: float) -> list[dict[str, Any]]:
    """Change of the effect per SD of each intake column alone, weighted by precision; robust to therapists.

    One column at a time, so that correlated moderators are each shown; p-values hold for one test, not for the search.
    """
    known = np.isfinite(effect.own_variance_)
    b = effect.own_slope_[known]
    w = precision(effect, known)
    cluster = effect.clusters_[known]
    rows = []
    for k, name in enumerate(effect.encoding_.names):
        x = effect._x[known, k]
        away = x - np.average(x, weights=w)
        spread = float(w @ away**2)
        if spread < 1e-9 * w.sum() or name.endswith(" missing"):
            continue
        slope = float((w * away) @ b / spread)
        residual = w * away * (b - np.average(b, weights=w) - slope * away)
        total = np.bincount(np.unique(cluster, return_inverse=True)[1], residual)
        se = float(np.sqrt((total**2).sum() * len(total) / max(len(total) - 1, 1))) / spread
        half = norm.ppf(0.5 + level / 2) * se
        p = float(2 * norm.sf(abs(slope) / se)) if se > 0 else np.nan
        bounds = {"estimate": slope, "lower": slope - half, "upper": slope + half, "p_value": p}
        rows.append({"quantity": f"moderator: {name}", **bounds, "n": int(known.sum())})
    rows.sort(key=lambda row: row["p_value"])
    return rows[:SHOWN_MODERATORS]


def _truths(
    table: pd.DataFrame, effect: AllianceEffect, truth: Truth, known: Any, leaf_of: Ints, held: Any
) -> list[float]:
    """What each row should be; NaN where the simulator states no such number."""
    real = truth.patients["effect"].to_numpy()
    fifths = true_fifths(effect, truth, known)
    o = truth.options
    own = real[known]
    leaf = iter([own[held & (leaf_of == k)].mean() for k in range(int(leaf_of.max()) + 1)])
    named = {
        "average effect": truth.average_effect,
        "SD of effects": float(real.std()),
        "SD of what intake predicts": float(truth.patients["tau"].std()),
        "SD between therapists": o.therapist_effect_sd,
        "SD between patients of a therapist, intake equal": o.patient_effect_sd,
        "effect, first minus last fifth": fifths[0] - fifths[-1],
    }
    out = []
    for quantity in table["quantity"]:
        if quantity.startswith("effect, fifth"):
            out.append(fifths[int(quantity.split()[2]) - 1])
        elif quantity.startswith("leaf: "):
            out.append(float(next(leaf)))
        else:
            out.append(named.get(quantity, np.nan))
    return out


def true_fifths(effect: AllianceEffect, truth: Truth, known: Any) -> list[float]:
    """Mean true effect of the same fifths that `AllianceEffect.validate` forms."""
    assert effect.moderators_ is not None  # callers have checked
    real, m = truth.patients["effect"].to_numpy()[known], effect.moderators_
    sign = -1.0 if effect.better_ == "low" else 1.0
    fifth = fifths(sign * comparable(m.held_out, m.fold))
    return [float(real[fifth == k].mean()) for k in range(GROUPS)]


def recovery(effect: AllianceEffect, truth: Truth) -> pd.DataFrame:
    """How well single patients were told: rank correlation, error, coverage, share of the true top fifth found."""
    real = truth.patients["effect"].to_numpy()
    e = effect.effects_
    sign = -1.0 if effect.better_ == "low" else 1.0
    k = max(int(np.ceil(0.2 * len(real))), 1)
    chosen = np.argsort(-sign * e["estimate"].to_numpy(), kind="stable")[:k]
    best = np.argsort(-sign * real, kind="stable")[:k]
    varied = real.std() > 0 and e["estimate"].std() > 0
    rows = {
        "recovered: rank correlation with the truth": spearmanr(e["estimate"], real)[0] if varied else np.nan,
        "recovered: root mean squared error": float(np.sqrt(((e["estimate"] - real) ** 2).mean())),
        "recovered: coverage of the patients' intervals": float(((e["lower"] <= real) & (real <= e["upper"])).mean()),
        "recovered: share of the true top fifth found": len(set(chosen) & set(best)) / k if varied else np.nan,
    }
    return pd.DataFrame([{"quantity": name, "estimate": value, "n": len(real)} for name, value in rows.items()])


def dealt_out(effect: AllianceEffect, known: Any, n: int, seed: int) -> dict[str, object]:
    """Test of moderators with own slopes dealt out to other patients, n times."""
    rng = np.random.default_rng(seed)
    x, cluster = effect._x[known], effect.clusters_[known]
    b = effect.own_slope_[known]
    w = precision(effect, known)
    p = np.empty(n)
    for k in range(n):
        order = rng.permutation(len(b))
        p[k] = test_baseline(x, b[order], w[order], cluster, seed=seed + k).p_value
    share = float((p < 0.05).mean())
    half = 3 * np.sqrt(0.05 * 0.95 / n)
    return check_row(
        f"own slopes dealt out to other patients {n} times: share in which intake predicts them",
        "0.05",
        share,
        max(share - half, 0.0),
        share + half,
        passed=share <= 0.05 + half,
        n=int(known.sum()),
    )


def _sentence(effect: AllianceEffect, valid: pd.DataFrame, process: str, outcome: str, level: float) -> str:
    h = effect.heterogeneity_
    if not np.isfinite(h["p_value"]):
        return (
            f"Whether patients differ in how much {outcome} follows change of {process} could not be tested: treatments are too "
            f"short (three or more steps from session to session are needed in ten patients). The average effect was "
            f"{effect.average_['estimate']:.2f} points per point of {process}."
        )
    if not h["detected"]:
        return (
            f"That patients differ in how much {outcome} follows change of {process} was not shown (p = {h['p_value']:.3f} for any "
            f"difference, {h['baseline_p_value']:.3f} for differences that intake predicts, {h['n_patients']} patients); nobody "
            f"is singled out. The average effect was {effect.average_['estimate']:.2f} points per point of {process}."
        )
    rows = valid.set_index("statistic")
    gap, slope = rows.loc["gates_difference"], rows.loc["blp_slope"]
    first, last = rows.loc["gates"].iloc[0], rows.loc["gates"].iloc[-1]
    hinging = effect.effects_["p_top_fifth"]
    return (
        f"Patients differed in how much {outcome} followed change of {process} (p = {h['p_value']:.3f}; SD of effects "
        f"{h['sd_total']:.2f}, average {effect.average_['estimate']:.2f}). In the fifth whom intake predicts to benefit most the effect was "
        f"{first['estimate']:.2f}, in the last fifth {last['estimate']:.2f} (difference {gap['estimate']:.2f}, {level:.0%} CI "
        f"{gap['lower']:.2f} to {gap['upper']:.2f}; calibration slope {slope['estimate']:.2f}, {slope['lower']:.2f} to "
        f"{slope['upper']:.2f}); {(hinging > 0.5).sum()} of {len(hinging)} patients are more likely than not among the fifth "
        f"whose outcomes hinge on {process} most."
    )


def _figure(effect: AllianceEffect, table: pd.DataFrame, asked: Question) -> Figure:
    figure, (left, right) = canvas(2, height=4.4)
    rows = table[table["quantity"].str.match("effect, fifth|leaf: ")]
    truth = rows["truth"].tolist() if "truth" in rows else None
    labels = [q.removeprefix("effect, ").replace(" and ", "\nand ") for q in rows["quantity"]]
    intervals(left, labels, rows["estimate"].tolist(), rows["lower"].tolist(), rows["upper"].tolist(), truth=truth)
    left.set_title(f"{asked.outcome} points per point of {asked.process}", fontsize=9)
    ordered = effect.effects_.sort_values("estimate").reset_index()
    at = np.arange(len(ordered))
    right.fill_between(at, ordered["lower"], ordered["upper"], color=INK, alpha=0.2, lw=0)
    right.plot(at, ordered["estimate"], color=INK, lw=1.5, label="estimate")
    if asked.truth is not None:
        real = asked.truth.patients["effect"].reindex(ordered[ordered.columns[0]])
        right.plot(at, real, ".", color=TRUE, ms=2, alpha=0.6, label="truth")
    right.axhline(float(effect.average_["estimate"]), color="#bbbbbb", lw=0.8)
    right.set_xlabel("patients, by estimated effect")
    right.set_title("Single patients with their intervals", fontsize=9)
    right.legend(frameon=False, fontsize=8)
    return figure


def trial(clinic: SimulatedClinic, seed: int) -> list[dict[str, Any]]:
    """One simulated clinic of the calibration: tests, groups and single patients."""
    effect = AllianceEffect(random_state=seed, level=LEVEL).fit(clinic.panel)
    known = np.isfinite(effect.own_variance_)
    h = effect.heterogeneity_
    real = clinic.truth.patients["effect"]
    valid = validated(effect).set_index("statistic")
    fifths = true_fifths(effect, clinic.truth, known)
    out: list[dict[str, Any]] = [
        {"quantity": "average effect", **_three(effect.average_), "truth": clinic.truth.average_effect},
        {
            "quantity": "SD of effects",
            "estimate": h["sd_total"],
            "truth": float(real.std()),
            "found": float(h["p_value"] < 0.05),
        },
        {
            "quantity": "SD of what intake predicts",
            "estimate": h["sd_baseline"],
            "truth": float(clinic.truth.patients["tau"].std()),
            "found": float(h["baseline_p_value"] < 0.05),
        },
        {"quantity": "either test, corrected for two", "estimate": float(h["detected"]), "found": float(h["detected"])},
        {
            "quantity": "first minus last fifth",
            **_three(valid.loc["gates_difference"]),
            "truth": fifths[0] - fifths[-1],
        },
        {"quantity": "first fifth", **_three(valid.loc["gates"].iloc[0]), "truth": fifths[0]},
    ]
    out += [
        {"quantity": row["quantity"], "estimate": row["estimate"]}
        for _, row in recovery(effect, clinic.truth).iterrows()
    ]
    placebo = dealt_out(effect, known, 1, seed)
    return [
        *out,
        {"quantity": "placebo: slopes dealt out", "estimate": placebo["estimate"], "found": placebo["estimate"]},
    ]


if __name__ == "__main__":
    raise SystemExit(main(run))
