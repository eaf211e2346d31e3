"""Results in words, for the terminal."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from personalize.effects.checks import holm
from personalize.simulate import Truth
from personalize.study.results import Results
from personalize.study.run import RunSummary
from personalize.study.summary import by_reason, overall_accuracy


def run_in_words(done: RunSummary) -> str:
    """What a run found, in a dozen lines."""
    facts = done.summary["data"]
    better = "lower is better" if facts["better"] == "low" else "higher is better"
    therapists = f"{facts['therapists']} therapists, " if facts["therapists"] else ""
    process = f"alliance {facts['alliance']}" if facts["alliance"] else "no column for the alliance"
    lines = [
        f"{facts['patients']} patients, {therapists}{facts['sessions']} sessions; outcome {facts['outcome']} "
        f"({better}), {process}.",
        *_accuracy(done),
        *_effect(done),
    ]
    lines += [f"Left out: {what}. {why}" for what, why in by_reason(done.summary["left_out"]).items()]
    lines.append(f"Results in {done.folder}; open {done.folder / 'report.html'} in a browser.")
    if done.key is not None:
        lines.append(f"The key to the pseudonyms is {done.key}; keep it apart from the results.")
    return "\n".join(lines)


def truth_in_words(done: RunSummary, truth: Truth) -> str:
    """How well a simulated clinic was found again."""
    effect = done.analysis.effect
    if effect is None:
        return ""
    true = truth.patients["effect"].to_numpy(dtype=float)
    own = effect.effects_
    known = own["estimate"].notna().to_numpy()
    error = (own["estimate"].to_numpy(dtype=float) - true)[known]
    inside = ((own["lower"] <= true) & (true <= own["upper"])).to_numpy()[known]
    lines = [
        f"The truth, since this clinic is simulated: average effect {truth.average_effect:.2f}; of the patients' true "
        f"effects {inside.mean():.0%} lie in their {effect.level:.0%} intervals, with a root mean squared error of "
        f"{math.sqrt(float((error**2).mean())):.2f} (spread of the true effects: {true.std():.2f})."
    ]
    if true.std() > 0:
        rank = own["estimate"].rank().corr(pd.Series(true, index=own.index).rank())
        lines[0] += f" Rank correlation with the truth: {rank:.2f}."
    return lines[0]


def patient_in_words(results: Results, who: Any) -> str:
    """Course, forecast and effect of one patient."""
    panel = results.panel.subset([who])
    outcome, patient = panel.columns.outcome, panel.columns.patient
    scores = " ".join("-" if math.isnan(y) else f"{y:.4g}" for y in panel.outcome)
    lines = [f"{who}: {panel.n_sessions} sessions; {outcome}: {scores or 'none yet'}"]
    table = results.table("forecasts.csv")
    if table is not None:
        for row in table[table[patient].map(str) == str(who)].to_dict("records"):
            lines.append(f"  {row['target']}: {row['mean']:.1f} ({row['lower']:.1f} to {row['upper']:.1f})")
    hinge = results.table("hinge.csv")
    if hinge is None:
        left = results.run.get("left_out", {})
        lines.append(
            "  No effect was estimated in this run" + (f": {left['hinge.csv']}" if "hinge.csv" in left else ".")
        )
        return "\n".join(lines)
    own = hinge[hinge[patient].map(str) == str(who)].iloc[0]
    lines.append(f"  {own['verdict']}. {_text(own['why'])}")
    if own["benefit"] == own["benefit"]:
        low, high = own["benefit_lower"], own["benefit_upper"]
        lines.append(
            f"  If {panel.columns.alliance} were held {own['shift']:.2g} points higher: {own['benefit']:+.1f} points "
            f"better after four sessions ({low:+.1f} to {high:+.1f}). Observational data."
        )
    else:
        lines.append(f"  {_text(own['reason'])}")
    return "\n".join(lines)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _accuracy(done: RunSummary) -> list[str]:
    rows = overall_accuracy(done.analysis)
    if not rows:
        return []
    own = [row for row in rows if row[0] == "forecaster"]
    others = [row for row in rows if row[0] != "forecaster"]
    text = f"Forecasts of new patients miss by {own[0][1]:.2f} points on average" if own else "Forecasts"
    beside = ", ".join(f"{name} {error:.2f}" for name, error, _, _ in others)
    level = done.analysis.forecaster.level
    return [f"{text} ({beside}); {own[0][3]:.0%} of outcomes lie in their {level:.0%} intervals."]


def _effect(done: RunSummary) -> list[str]:
    average, differ = done.summary["average_effect"], done.summary["heterogeneity"]
    if average is None:
        return []
    facts = done.summary["data"]
    when = "the next session" if facts["timing"] == "after" else "the same session"
    level, low, high = average["level"], average["lower"], average["upper"]
    lines = [
        f"Average effect of {facts['alliance']} on {facts['outcome']} at {when}: {average['estimate']:.2f} points per "
        f"point ({level:.0%} interval {low:.2f} to {high:.2f})."
    ]
    if differ.get("p_value") is None:
        lines.append("Too few data to test whether patients differ in it; nobody is ranked.")
    else:
        verdict = "differ in it" if differ["detected"] else "are not shown to differ in it; nobody is ranked"
        by_intake = differ.get("baseline_p_value")
        told = "" if by_intake is None else f"; by intake p {_p(by_intake)}"
        told += holm(differ["p_value"], 1.0 if by_intake is None else by_intake, detected=differ["detected"])
        lines.append(f"Patients {verdict} (p {_p(differ['p_value'])}{told}).")
    hinge = done.analysis.hinge
    if hinge is not None and differ["detected"]:
        counts = hinge["verdict"].value_counts()
        lines.append("Verdicts: " + "; ".join(f"{n} “{text}”" for text, n in counts.items()) + ".")
    return lines


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
