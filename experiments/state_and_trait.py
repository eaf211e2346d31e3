# ruff: noqa: E501, D400
"""How much of alliance and of outcome lies between therapists, between patients, and within patients?

Run ``python -m experiments.state_and_trait``; ``--help`` lists the options.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t as student

from experiments.carry_over import CarryOver, variogram, without_course
from experiments.command import main
from experiments.figures import INK, SOFT, canvas
from experiments.levels import resampling_groups
from experiments.question import Question, experiment
from experiments.result import ExperimentResult, check_row, with_truth
from features import Columns, Panel
from features.errors import NotEnoughData
from features.variance import variance_shares
from personalize.effects.transitions import Floats, lay_grid
from personalize.simulate import ClinicOptions, SimulatedClinic, simulate_clinic
from personalize.simulation.intake import OUTCOME_PATHS, THERAPIST_SCALES, TRAIT_PATHS
from personalize.study.panel_store import own_therapists

LEVEL = 0.95
CLAIM = "Alliance is in part a trait of patient and therapist, and in part a state that changes within treatment."
MEANS = (1, 4, 8)
TARGETS = (0.7, 0.8, 0.9)
POPULATION = 8000
SCENARIOS: dict[str, dict[str, Any]] = {
    "true": {"preset": "nonlinear"},
    "therapists alike": {
        "preset": "nonlinear",
        "options": {
            "therapist_alliance_sd": 0.0,
            "therapist_outcome_sd": 0.0,
            "baseline_to_trait": 0.0,
            "baseline_to_outcome": 0.0,
        },
    },
}


@experiment()
def run(asked: Question, *, level: float = LEVEL) -> ExperimentResult:
    """How much of alliance and of outcome is trait (of patient and therapist), how much state, and how reliable is a mean?

    Claim: alliance has a trait-like part, between patients and therapists, and a state-like part, within treatment
    (Zilcha-Mano 2017, American Psychologist 72, 311-325). Estimands: the therapists' share of the variance of one rating
    (restricted maximum likelihood, profile interval: `features.variance`); the shares of trait, of state that lasts beyond
    its session and of the rest (`experiments.carry_over`; bootstrap of therapists, t quantile of their number); the
    reliability of the mean of k neighbouring ratings as a measure of the trait, and the sessions it takes to reach a given
    one (percentiles of the bootstrap). Everybody's course over sessions is taken out. Assumptions: what does not fade over
    half a treatment is trait; states fade geometrically; who stays longer differs in trait only.

    Falsification: patients dealt out to therapists anew must leave no therapist share.
    """
    panel = asked.panel
    names = [asked.process, asked.outcome] if panel.has_alliance else [asked.outcome]
    parts = {name: _of_rating(asked, name, level) for name in names}
    table = pd.concat([rows for rows, _ in parts.values()], ignore_index=True)
    if asked.truth is not None:
        table = with_truth(table, true_values(asked.truth.options, panel, table))
    checks = [_dealt_anew(asked, name) for name in names] if panel.n_therapists > 1 else []
    notes = (
        [] if panel.has_alliance else ["No column plays the role of the alliance: only the outcome was taken apart."]
    )
    if not checks:
        notes.append(
            "The study has fewer than two therapists: how much lies between therapists, and the check by dealing patients "
            "out anew, need a therapist column and at least 10 therapists with 2 patients."
        )
        empty = check_row("no therapists to shuffle", "0", np.nan, np.nan, np.nan, passed=True, n=0)
        checks = [empty]
    sentence = _sentence(table, names, level)
    figure = _figure({name: point for name, (_, point) in parts.items()})
    return ExperimentResult("state-and-trait", CLAIM, table, sentence, pd.DataFrame(checks), figure, tuple(notes))


def _of_rating(asked: Question, name: str, level: float) -> tuple[pd.DataFrame, CarryOver]:
    """All rows of one rating."""
    rows = [_row(name, f"share: {part['level']}", part) for part in _profile_rows(asked.panel, name, level)]
    draws, point = components(asked.panel, name, asked.repeats(200, 2000), asked.random_state)
    tail = (1 - level) / 2

    groups = int(resampling_groups(asked.panel.clusters, asked.random_state).max()) + 1

    def add(quantity: str, of: Any, *, count: bool = False) -> None:
        drawn, value = np.array([of(one) for one in draws]), of(point)
        if count:  # whole numbers, or infinity
            lower, upper = np.quantile(drawn, [tail, 1 - tail], method="inverted_cdf")
        else:
            half = float(student.ppf(1 - tail, groups - 1) * drawn.std(ddof=1))
            lower, upper = max(value - half, 0.0), min(value + half, 1.0)
        rows.append(_row(name, quantity, {"estimate": value, "lower": lower, "upper": upper}))

    add("trait share", lambda one: one.trait_share)
    add("lasting state share", lambda one: one.state / one.total)
    for k in MEANS:
        add(f"reliability of the mean of {k}", lambda one, k=k: one.reliability(k))
    for target in TARGETS:
        add(f"sessions for reliability {target}", lambda one, target=target: one.sessions_for(target), count=True)
    return pd.DataFrame(rows), point


def components(panel: Panel, name: str, n_bootstrap: int, seed: int) -> tuple[list[CarryOver], CarryOver]:
    """Bootstrap draws over therapists, and the estimate."""
    groups = resampling_groups(panel.clusters, seed)
    seen = variogram(_laid(panel, name), groups, name)
    n = int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    draws = [seen.fit(rng.multinomial(n, np.full(n, 1 / n)).astype(float)) for _ in range(n_bootstrap)]
    return draws, seen.fit(np.ones(n))


def _laid(panel: Panel, name: str) -> Floats:
    grid = lay_grid(panel)
    return grid.outcome if name == panel.columns.outcome else grid.alliance


def _profile_rows(panel: Panel, name: str, level: float) -> list[dict[str, Any]]:
    away, use = without_course(_laid(panel, name))
    who, step = np.nonzero(use)
    columns = Columns(outcome="rating", therapist="therapist_id" if panel.n_therapists else None)
    patients = pd.DataFrame({"patient_id": np.arange(panel.n_patients)})
    if panel.n_therapists:
        patients["therapist_id"] = own_therapists(panel)
    bare = Panel(
        pd.DataFrame({"patient_id": who, "session": step + 1, "rating": away[use]}),
        patients,
        columns=columns,
        better="low",
    )
    table = variance_shares(bare, column="rating", level=level).table
    return [{**row, "estimate": row["share"]} for row in table.to_dict("records")]


def _row(name: str, quantity: str, values: Any) -> dict[str, Any]:
    return {"rating": name, "quantity": quantity, **{k: float(values[k]) for k in ("estimate", "lower", "upper")}}


@lru_cache(maxsize=16)
def population(options: ClinicOptions, n_sessions: int) -> dict[tuple[str, str], float]:
    """True shares: trait and therapist share of each rating.

    A patient's trait is the mean of the expected course over the sessions attended, everybody's course taken out.
    Variances of trait and rating are those of a clinic so large that it stands for the population; that of the
    therapists is worked out (`staff_variances`), because even a large clinic has few of them.
    """
    panel, truth = simulate_clinic(n_patients=POPULATION, n_sessions=n_sessions, random_state=987_654, options=options)
    out = {}
    sessions, staff = truth.sessions, staff_variances(options)
    sems = {"alliance": options.alliance_sem, "symptoms": options.outcome_sem}
    courses = {"alliance": sessions["trait"] + sessions["rise"], "symptoms": sessions["expected_outcome"]}
    for name, values in (("alliance", sessions["alliance"]), ("symptoms", sessions["outcome"])):
        course = courses[name] - courses[name].groupby(sessions["session"]).transform("mean")
        level = course.groupby(sessions["patient_id"]).mean().reindex(panel.patient_ids).to_numpy()
        away = values - values.groupby(sessions["session"]).transform("mean") - level[panel.patient_index]
        # patients of one therapist differ as all patients do, so what the few therapists add by chance is exchanged
        mean = np.bincount(panel.clusters, level) / np.bincount(panel.clusters)
        trait = float(((level - mean[panel.clusters]) ** 2).sum() / (len(level) - len(mean))) + staff[name]
        total = trait + float((away**2).mean()) + sems[name] ** 2
        out[name, "trait share"] = trait / total
        out[name, "share: therapist"] = staff[name] / total
    return out


def staff_variances(o: ClinicOptions) -> dict[str, float]:
    """Variance between therapists of the level of each rating: their random parts and what their characteristics do."""
    warm = [o.baseline_to_trait * TRAIT_PATHS.get(name, 0.0) for name in THERAPIST_SCALES]
    direct = [o.baseline_to_outcome * OUTCOME_PATHS.get(name, 0.0) for name in THERAPIST_SCALES]
    reached = [d + o.trait_to_outcome * w for d, w in zip(direct, warm, strict=True)]
    alliance = o.therapist_alliance_sd**2
    return {
        "alliance": alliance + float(np.square(warm).sum()),
        "symptoms": o.therapist_outcome_sd**2 + o.trait_to_outcome**2 * alliance + float(np.square(reached).sum()),
    }


def true_values(options: ClinicOptions, panel: Panel, table: pd.DataFrame) -> list[float]:
    """Truth of each row where the population says it."""
    usual = int(np.median(panel.sessions_per_patient))
    known = population(options, max(usual, 4))
    names = {panel.columns.alliance: "alliance", panel.columns.outcome: "symptoms"}
    return [known.get((names[r], q), np.nan) for r, q in zip(table["rating"], table["quantity"], strict=True)]


def _dealt_anew(asked: Question, name: str) -> dict[str, object]:
    """Likeness of patients of one therapist, against 500 random deals of patients to therapists."""
    panel = asked.panel
    values = panel.sessions[name].to_numpy(dtype=float)
    known = np.isfinite(values)
    who = panel.patient_index[known]
    n = np.bincount(who, minlength=panel.n_patients)
    mean = np.bincount(who, values[known], panel.n_patients) / np.maximum(n, 1)
    use = (n > 0) & (panel.therapist_index >= 0)
    if use.sum() < 10:
        raise NotEnoughData(f"{name!r}: fewer than 10 patients have a therapist and a rating.")
    away, staff = mean[use] - mean[use].mean(), panel.therapist_index[use]
    rng = np.random.default_rng(asked.random_state)
    drawn = np.array([_likeness(away, rng.permutation(staff)) for _ in range(asked.repeats(500, 2000))])
    observed = _likeness(away, staff)
    p = (1 + (drawn >= observed).sum()) / (1 + len(drawn))
    mean_drawn, half = float(drawn.mean()), 3 * float(drawn.std(ddof=1)) / np.sqrt(len(drawn))
    expected = -1 / (len(away) - 1)  # patients left over resemble a random patient a little less than nobody
    return check_row(
        f"{name}: likeness of two patients of a therapist when dealt out anew (observed {observed:.3f}, p = {p:.3f})",
        f"{expected:.4f}",
        mean_drawn,
        mean_drawn - half,
        mean_drawn + half,
        passed=abs(mean_drawn - expected) <= half,
        n=len(away),
    )


def _likeness(away: Floats, staff: Any) -> float:
    """Correlation of two patients of the same therapist, over all pairs."""
    total, square = np.bincount(staff, away), np.bincount(staff, away**2)
    n = np.bincount(staff)
    return float((total**2 - square).sum() / (n * (n - 1)).sum() / away.var()) if (n > 1).any() else 0.0


def _sentence(table: pd.DataFrame, names: list[str], level: float) -> str:
    def said(rating: str, quantity: str) -> str:
        row = table[(table["rating"] == rating) & (table["quantity"] == quantity)]
        if row.empty:
            return "an unknown share"
        own = row.iloc[0]
        return f"{own['estimate']:.0%} ({own['lower']:.0%} to {own['upper']:.0%})"

    first, *others = names
    need = table[(table["rating"] == first) & (table["quantity"] == f"sessions for reliability {TARGETS[1]}")].iloc[0]
    beside = "".join(f"of {o}: {said(o, 'trait share')} and {said(o, 'share: therapist')}; " for o in others)
    return (
        f"Of the variance of one rating of {first}, {said(first, 'trait share')} was trait and {said(first, 'share: therapist')} "
        f"lay between therapists ({beside}{level:.0%} CIs); "
        f"{_count(need['estimate'])} neighbouring sessions ({_count(need['lower'])} to {_count(need['upper'])}) make a mean with a "
        f"reliability of {TARGETS[1]} as a measure of the trait."
    )


def _count(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "more than 200"


def _figure(ratings: dict[str, CarryOver]) -> Figure:
    figure, (left, right) = canvas(2)
    upwards = list(ratings)[::-1]
    for y, name in enumerate(upwards):
        one = ratings[name]
        start = 0.0
        for share, colour, words in (
            (one.trait, INK, "trait"),
            (one.state, "#e09f3e", "lasting state"),
            (one.rest, SOFT, "passing state and error"),
        ):
            left.barh(y, share / one.total, left=start, color=colour, label=words if y == 0 else None, height=0.6)
            start += share / one.total
    left.set_yticks(range(len(upwards)), upwards)
    left.set_xlabel("share of the variance of one rating")
    left.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    k = np.arange(1, 17)
    for (name, one), colour in zip(ratings.items(), (INK, "#e09f3e"), strict=False):
        right.plot(k, [one.reliability(int(s)) for s in k], marker="o", ms=3, color=colour, label=name)
    right.axhline(TARGETS[1], color="#bbbbbb", lw=0.8)
    right.set_ylim(0, 1)
    right.set_xlabel("sessions in the mean")
    right.set_ylabel("reliability as a measure of the trait")
    right.legend(frameon=False, fontsize=8)
    return figure


def trial(clinic: SimulatedClinic, seed: int) -> list[dict[str, Any]]:
    """One simulated clinic of the calibration."""
    asked = Question(clinic.panel, clinic.truth, "quick", seed)
    table = pd.concat([_of_rating(asked, name, LEVEL)[0] for name in (asked.process, asked.outcome)], ignore_index=True)
    table = with_truth(table, true_values(clinic.truth.options, clinic.panel, table)).dropna(subset=["truth"])
    table["quantity"] = table["rating"] + ": " + table["quantity"]
    return table[["quantity", "estimate", "lower", "upper", "truth"]].to_dict("records")


if __name__ == "__main__":
    raise SystemExit(main(run))
