# ruff: noqa: E501, D400
"""Would working on the alliance with the patients who hinge most pay?

Run ``python -m experiments.targeting``; ``--help`` lists the options.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t as student

from experiments.command import main
from experiments.figures import canvas, curves, intervals
from experiments.levels import resampling_groups
from experiments.question import Question, experiment
from experiments.result import ExperimentResult, check_row, with_truth
from features.errors import NotEnoughData, OptionError
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.transitions import Floats, Ints
from personalize.effects.validation import comparable, fifths, orthogonal_scores, unseen
from personalize.simulate import SimulatedClinic, Truth

LEVEL = 0.90
SHARE = 0.2
SESSIONS = 4
CURVE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RULES = ("predicted benefit", "low alliance", "severity")
CLAIM = "Working on the alliance pays more with the patients whose outcomes are predicted to hinge on it."
SCENARIOS: dict[str, dict[str, Any]] = {
    "true": {"preset": "nonlinear"},
    "all alike": {"preset": "constant"},
}


@dataclass(frozen=True)
class Ranking:
    """What the rules are judged on.

    Attributes
    ----------
    benefit : array of shape (n,)
        Orthogonal score of each patient's signed benefit, outcome points per alliance point; noisy and unbiased.
    priority : dict of str to array of shape (n,)
        Who comes first under each rule: higher first.
    group : int array of shape (n,)
        Resampling unit.
    known : bool array of shape (n_patients,)
        Patients of the panel in the arrays.
    points : float
        Outcome points after `SESSIONS` sessions per point of benefit, for alliance held one within-patient SD higher.
    unseen : float
        Variance of the first rule's statistics that the bootstrap does not see, in parts of what it sees
        (`personalize.effects.validation.unseen`); the other rules were not learned from the scores.
    """

    benefit: Floats
    priority: dict[str, Floats]
    group: Ints
    known: Any
    points: float
    unseen: float


@experiment()
def run(asked: Question, *, level: float = LEVEL, share: float = SHARE) -> ExperimentResult:
    """Would working on the alliance with the patients who hinge most pay, against other rules and against chance?

    Claim: an effort that raises the alliance gains more when it goes to the patients whom intake predicts to benefit
    most. Estimands: TOC(q), mean benefit of the first q of patients under a rule minus that of all; its mean over q
    (AUTOC) and the area under q·TOC(q) (Qini) (Yadlowsky et al. 2025, Journal of the American Statistical Association
    120, 38-51); for targeting by predicted benefit (from therapists who did not make the prediction), by low first alliance, by severity,
    and at random (zero by definition); differences between rules, paired; and the gain per 100 patients in outcome
    points when the alliance of a share of them is held one within-patient SD higher for four sessions. Intervals:
    bootstrap of therapists, for the learned rule widened as in `personalize.effects.validation`; size of the step and
    persistence are taken as known. Assumptions: those of `for_whom`; that
    the alliance can be raised, by as much in one patient as in another, is not tested here.

    Falsification: patients ranked by random numbers must gain nothing, at the nominal rate.
    """
    if not 0 < share < 1:
        raise OptionError(f"share={share!r} is not allowed; give the part of patients to work with, between 0 and 1.")
    effect = AllianceEffect(
        alliance_sem=asked.alliance_sem, outcome_sem=asked.outcome_sem, random_state=asked.random_state, level=level
    ).fit(asked.panel)
    ranking = rank(effect, asked)
    table = rule_table(ranking, asked.repeats(500, 5000), share, level, asked.random_state)
    if asked.truth is not None:
        table = with_truth(table, true_values(ranking, asked.truth, effect, table, share))
    check = _random_rankings(ranking, asked.repeats(200, 2000), share, level, asked.random_state)
    notes = [
        f"{int(ranking.known.sum())} of {asked.panel.n_patients} patients have an own slope and are counted.",
        f"One step: alliance held {effect.state_sd_:.2f} points (one within-patient SD) higher for {SESSIONS} sessions, persistence "
        f"{effect.persistence_['estimate']:.2f}.",
    ]
    if not effect.heterogeneity_["detected"]:
        notes.append(
            "That patients differ was not shown; a rule that targets differences has nothing sure to work with."
        )
    sentence = _sentence(table, asked, share, level)
    return ExperimentResult(
        "targeting", CLAIM, table, sentence, pd.DataFrame([check]), _figure(ranking, table, share), tuple(notes)
    )


def rank(effect: AllianceEffect, asked: Question) -> Ranking:
    """Scores and rules.

    Raises
    ------
    NotEnoughData
        Without moderators there is no prediction to target by.
    """
    panel = asked.panel
    if effect.moderators_ is None:
        raise NotEnoughData(
            f"{panel.names['patients']}: targeting needs a prediction of benefit from intake, so at least 40 patients with three "
            "usable consecutive sessions and one intake column that varies."
        )
    known = np.isfinite(effect.own_variance_)
    first = {name: _first(panel.sessions[name].to_numpy(dtype=float), panel) for name in (asked.process, asked.outcome)}
    sign = -1.0 if panel.better == "low" else 1.0
    low, severe = -first[asked.process][known], -sign * first[asked.outcome][known]
    b, v = effect.own_slope_[known], effect.own_variance_[known]
    tau = effect.moderators_.held_out + effect.average_["estimate"]
    # how much the alliance moves may go with the first ratings too: they enter what its movement is expected to be
    x = np.column_stack([effect._x[known], _standard(low), _standard(severe)])
    score = orthogonal_scores(b, 1.0 / v, tau, x, effect.moderators_.fold)
    rho = float(effect.persistence_["estimate"])
    points = effect.state_sd_ * float((rho ** np.arange(SESSIONS)).sum())
    first_rule = sign * comparable(tau, effect.moderators_.fold)
    priority = dict(zip(RULES, (first_rule, low, severe), strict=True))
    group = resampling_groups(panel.clusters[known], asked.random_state)
    return Ranking(sign * score, priority, group, known, points, unseen(score, fifths(first_rule), group))


def _first(values: Floats, panel: Any) -> Floats:
    """First observed value of each patient; the mean of the others where there is none."""
    rows = np.flatnonzero(np.isfinite(values))
    who, at = np.unique(panel.patient_index[rows], return_index=True)
    out = np.full(panel.n_patients, np.nan)
    out[who] = values[rows[at]]
    return np.where(np.isfinite(out), out, np.nanmean(out))


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-12))


def curve(benefit: Floats, priority: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Share of patients reached, and q·TOC(q) there; both of shape (n,)."""
    order = np.argsort(-priority, kind="stable")
    total = weight.sum()
    mean = weight @ benefit / total
    return np.cumsum(weight[order]) / total, np.cumsum(weight[order] * (benefit[order] - mean)) / total


def statistics(benefit: Floats, priority: Floats, weight: Floats, share: float) -> Floats:
    """TOC at ``share``, AUTOC, Qini, then TOC at `CURVE`."""
    at, gain = curve(benefit, priority, weight)
    own = np.diff(at, prepend=0.0)
    toc = gain / np.maximum(at, 1e-12)
    return np.array([np.interp(share, at, gain) / share, own @ toc, own @ gain, *(np.interp(CURVE, at, gain) / CURVE)])


def rule_table(ranking: Ranking, n_bootstrap: int, share: float, level: float, seed: int) -> pd.DataFrame:
    """TOC, AUTOC, Qini and gain of each rule, and the advantage of predicted benefit over the others.

    Intervals: estimate ± t quantile of the number of therapists × standard error.
    """
    n_groups = int(ranking.group.max()) + 1
    rng = np.random.default_rng(seed)
    ones = np.ones(len(ranking.benefit))
    point = {rule: statistics(ranking.benefit, p, ones, share) for rule, p in ranking.priority.items()}
    drawn = {rule: np.empty((n_bootstrap, 3 + len(CURVE))) for rule in ranking.priority}
    for k in range(n_bootstrap):
        weight = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups)).astype(float)[ranking.group]
        for rule, p in ranking.priority.items():
            drawn[rule][k] = statistics(ranking.benefit, p, weight, share)
    quantile = float(student.ppf(0.5 + level / 2, n_groups - 1))
    variance = {rule: own.var(axis=0, ddof=1) for rule, own in drawn.items()}
    more = ranking.unseen * variance[RULES[0]]
    per_100 = 100 * share * ranking.points
    rows = []
    for rule in ranking.priority:
        half = quantile * np.sqrt(variance[rule] + (more if rule == RULES[0] else 0.0))
        names = [f"TOC at {share:.0%}", "AUTOC", "Qini", *(f"curve: TOC at {q:.0%}" for q in CURVE)]
        rows += [_row(rule, name, point[rule][k], half[k]) for k, name in enumerate(names)]
        rows.append(_row(rule, "gain per 100 patients", per_100 * point[rule][0], per_100 * half[0]))
    for other in RULES[1:]:
        gap = point[RULES[0]][0] - point[other][0]
        # what is not seen comes from the patients who taught the first rule and does not go with the other rule
        half_gap = quantile * np.sqrt((drawn[RULES[0]] - drawn[other])[:, 0].var(ddof=1) + more[0])
        words = f"{RULES[0]} minus {other}"
        rows.append(_row(words, f"TOC at {share:.0%}", gap, half_gap))
        rows.append(_row(words, "gain per 100 patients", per_100 * gap, per_100 * half_gap))
    return pd.DataFrame(rows)


def _row(rule: str, quantity: str, value: float, half: float) -> dict[str, Any]:
    return {"rule": rule, "quantity": quantity, "estimate": float(value), "lower": value - half, "upper": value + half}


def true_values(
    ranking: Ranking, truth: Truth, effect: AllianceEffect, table: pd.DataFrame, share: float
) -> list[float]:
    """What each row would be with the patients' true effects in the place of the scores."""
    sign = -1.0 if effect.better_ == "low" else 1.0
    real = sign * truth.patients["effect"].to_numpy()[ranking.known]
    found = {rule: statistics(real, p, np.ones(len(real)), share) for rule, p in ranking.priority.items()}
    for other in RULES[1:]:
        found[f"{RULES[0]} minus {other}"] = found[RULES[0]] - found[other]
    names = [f"TOC at {share:.0%}", "AUTOC", "Qini", *(f"curve: TOC at {q:.0%}" for q in CURVE)]
    per_100 = 100 * share * ranking.points
    return [
        per_100 * found[rule][0] if name.startswith("gain") else float(found[rule][names.index(name)])
        for rule, name in zip(table["rule"], table["quantity"], strict=True)
    ]


def random_ranking(ranking: Ranking, rng: np.random.Generator, share: float) -> tuple[float, float]:
    """TOC of a random order, and its standard error from therapists."""
    n = len(ranking.benefit)
    top = (rng.permutation(n) < share * n).astype(float)
    q = top.mean()
    away = ranking.benefit - ranking.benefit.mean()
    value = float((top * away).mean() / q)
    part = (top / q - 1.0) * away - (top / q) * value
    total = np.bincount(ranking.group, part)
    return value, float(np.sqrt((total**2).sum() * len(total) / (len(total) - 1))) / n


def _random_rankings(ranking: Ranking, n: int, share: float, level: float, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    drawn = np.array([random_ranking(ranking, rng, share) for _ in range(n)])
    groups = int(ranking.group.max()) + 1
    wrong = float((np.abs(drawn[:, 0]) > student.ppf(0.5 + level / 2, groups - 1) * drawn[:, 1]).mean())
    mean, half = float(drawn[:, 0].mean()), 3 * float(drawn[:, 0].std(ddof=1)) / np.sqrt(n)
    limit = 1 - level + 3 * np.sqrt(level * (1 - level) / n)
    return check_row(
        f"{n} random rankings: TOC at {share:.0%} ({wrong:.1%} found a gain or loss at nominal {1 - level:.0%})",
        "0",
        mean,
        mean - half,
        mean + half,
        passed=abs(mean) <= half and wrong <= limit,
        n=len(ranking.benefit),
    )


def _sentence(table: pd.DataFrame, asked: Question, share: float, level: float) -> str:
    rows = table.set_index(["rule", "quantity"])
    gain = rows.loc[(RULES[0], "gain per 100 patients")]
    low = rows.loc[(f"{RULES[0]} minus {RULES[1]}", "gain per 100 patients")]
    clear = gain["lower"] > 0
    verdict = "would gain" if clear else "was not shown to gain more than chance:"
    return (
        f"Working on {asked.process} with the {share:.0%} of patients predicted to benefit most {verdict} {gain['estimate']:.0f} points of "
        f"{asked.outcome} per 100 patients over working with as many at random ({level:.0%} CI {gain['lower']:.0f} to "
        f"{gain['upper']:.0f}), and {low['estimate']:.0f} ({low['lower']:.0f} to {low['upper']:.0f}) over working with those of the "
        f"lowest first {asked.process}."
    )


def _figure(ranking: Ranking, table: pd.DataFrame, share: float) -> Figure:
    figure, (left, right) = canvas(2)
    series = {}
    for rule in ranking.priority:
        part = table[(table["rule"] == rule) & table["quantity"].str.startswith("curve")]
        columns = ("estimate", "lower", "upper") if rule == RULES[0] else ("estimate",)
        series[f"by {rule}"] = [part[c].tolist() for c in columns]
    curves(left, [100 * q for q in CURVE], series)
    left.set_xlabel("% of patients worked with")
    left.set_title("Mean benefit above that of all patients (TOC)", fontsize=9)
    rows = table[table["quantity"] == "gain per 100 patients"]
    truth = rows["truth"].tolist() if "truth" in rows else None
    labels = [rule.replace(" minus ", "\nminus ") for rule in rows["rule"]]
    intervals(right, labels, rows["estimate"].tolist(), rows["lower"].tolist(), rows["upper"].tolist(), truth=truth)
    right.set_title(f"Outcome points per 100 patients, {share:.0%} worked with", fontsize=9)
    return figure


def trial(clinic: SimulatedClinic, seed: int) -> list[dict[str, Any]]:
    """One simulated clinic of the calibration."""
    asked = Question(clinic.panel, clinic.truth, "quick", seed)
    effect = AllianceEffect(random_state=seed).fit(clinic.panel)
    ranking = rank(effect, asked)
    table = rule_table(ranking, 200, SHARE, LEVEL, seed)
    table = with_truth(table, true_values(ranking, clinic.truth, effect, table, SHARE))
    table = table[~table["quantity"].str.startswith("curve")]
    rows = table.assign(quantity=table["rule"] + ": " + table["quantity"])
    out = rows[["quantity", "estimate", "lower", "upper", "truth"]].to_dict("records")
    value, se = random_ranking(ranking, np.random.default_rng(seed), SHARE)
    half = float(student.ppf(0.5 + LEVEL / 2, int(ranking.group.max()))) * se
    placebo = {
        "quantity": "placebo: random ranking",
        "estimate": value,
        "lower": value - half,
        "upper": value + half,
        "truth": 0.0,
    }
    return [*out, placebo]


if __name__ == "__main__":
    raise SystemExit(main(run))
