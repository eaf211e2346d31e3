"""Appendix for reviewers: methods paragraph, model card, TRIPOD+AI checklist, facts of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from personalize.effects.similar import NONE
from personalize.report.blocks import Table
from personalize.report.inputs import ReportInputs
from personalize.report.numbers import interval, num, p_value
from personalize.report.words import Words

AUTHOR = "for the author"
REFERENCES = (
    "Zilcha-Mano & Fisher 2022, Nat Rev Psychol 1, 194 (trait-like and state-like alliance). Nickell 1981, "
    "Econometrica "
    "49, 1417 (short-panel bias). Cinelli & Hazlett 2020, J R Stat Soc B 82, 39 (robustness value). Chernozhukov et "
    "al. "
    "2018, arXiv:1712.04802 (BLP, GATES). Yadlowsky et al. 2025, J Am Stat Assoc 120, 38 (TOC). Ke et al. 2017, "
    "NeurIPS 30 "
    "(LightGBM). Lundberg & Lee 2017, NeurIPS 30 (Shapley values). Collins et al. 2024, BMJ 385, e078378 (TRIPOD+AI)."
)


@dataclass(frozen=True)
class Appendix:
    """Texts and tables for reviewers."""

    methods: str
    references: str
    card: Table
    tripod: Table
    run: Table


def appendix(inputs: ReportInputs, words: Words) -> Appendix:
    """Fill the appendix with what the run knows; the rest is marked as for the author."""
    return Appendix(
        methods(inputs, words), REFERENCES, card(inputs, words), tripod(inputs, words), run_table(inputs.run)
    )


def methods(inputs: ReportInputs, words: Words) -> str:
    """Paragraph for a paper, with the run's own numbers."""
    panel = inputs.panel
    version = inputs.run.get("version")
    staff = f" treated by {num(panel.n_therapists)} therapists" if panel.n_therapists else ""
    out = [
        f"We analysed {num(panel.n_sessions)} sessions of {num(panel.n_patients)} patients{staff} with personalize"
        + (f" {version}" if version else "")
        + (f" (seed {inputs.run['seed']})" if inputs.run.get("seed") is not None else "")
        + f". The outcome was {words.outcome} ({words.better} is better)."
    ]
    if inputs.forecasts is not None:
        out.append(
            "The course was forecast by a weighted combination of landmark regressions, a growth model with "
            "autocorrelated "
            "residuals and gradient-boosted trees on features known at the time of the forecast, with intervals "
            "calibrated "
            "on patients that the members had not seen."
        )
    average, test = inputs.average, inputs.heterogeneity
    if average is not None:
        level = f"{100 * float(average.get('level', 0.90)):.0f}"
        out.append(
            f"The within-patient effect of {words.alliance} on {words.outcome} at the {words.when} session was "
            "estimated with patient effects and the lagged outcome, corrected for short-panel bias, standard errors "
            "clustered by "
            f"{'therapist' if panel.n_therapists else 'patient'}: {num(average['estimate'])} points per point "
            f"({level} % CI {interval(average['lower'], average['upper'])}; {num(average.get('n_patients'))} patients, "
            f"{num(average.get('n_transitions'))} session-to-session steps)."
        )
    if test is not None:
        verdict = "Patients differed" if bool(test["detected"]) else "Patients were not shown to differ"
        out.append(
            f"{verdict} in this effect (heterogeneity test {p_value(test['p_value'])}; by intake "
            f"{p_value(test.get('baseline_p_value', float('nan')))}). Patients' effects were shrunken in a three-level "
            f"normal model, the variances integrated over{_similar(inputs)}."
        )
    return " ".join(out)


def _similar(inputs: ReportInputs) -> str:
    shift = None if inputs.hinge is None else inputs.hinge.get("similar_shift")
    if shift is None or not shift.fillna(0.0).any():
        return ""
    return (
        f"; as patients are fewer than {NONE}, each was then moved by what a random forest on the slopes of patients "
        "alike in intake says, and kept the width of its interval"
    )


def card(inputs: ReportInputs, words: Words) -> Table:
    """Model card: what it is for, what it was fitted on, how good it is, what it must not be used for."""
    panel = inputs.panel
    hinging = "" if inputs.average is None else f", and estimates of how much it hinges on {words.alliance}"
    rows = [
        ("What it is", "Forecasts of a treatment's outcome" + hinging),
        ("Intended use", "Research, and prototypes of decision support used offline"),
        ("Not for", "Decisions about single patients without clinical judgement; claims of cause without a design "
            "for them"),
        ("Fitted on", f"{num(panel.n_patients)} patients, {num(panel.n_sessions)} sessions, "
            + (f"{num(panel.n_therapists)} therapists" if panel.n_therapists else "therapists not named")),
        ("Inputs", ", ".join(str(c) for c in [*panel.columns.scores, *panel.patients.columns])),
        ("Judged on", "Patients of other folds (by therapist where there are at least "
            "ten)" if inputs.evaluation is not None else "Not judged in this run"),
        ("Known limits", "Observational; drop-out; never tested on public session-level alliance data"),
        ("Fairness", AUTHOR),
    ]  # fmt: skip
    return Table(("item", "what is known"), tuple(rows), 2)


def tripod(inputs: ReportInputs, words: Words) -> Table:
    """Items of TRIPOD+AI in our own words, filled in where the run knows the answer."""
    panel, found = inputs.panel, inputs.evaluation
    measure = panel.outcome_measure
    missing = int((panel.outcome != panel.outcome).sum())
    performance = "see the section on forecasts" if found is not None else "not evaluated in this run"
    rows = [
        ("1", "Title names development or evaluation of a model, population, outcome", AUTHOR),
        ("2", "Abstract", AUTHOR),
        ("3", "Background, context, intended users, health inequalities", AUTHOR),
        ("4", "Objectives", AUTHOR),
        ("5", "Data: sources and dates", _files(inputs.run) or AUTHOR),
        ("6", "Participants: setting, eligibility, treatments", AUTHOR),
        ("7", "Data preparation", "; ".join(str(n) for n in panel.notes) or "no value was changed or set aside"),
        ("8", "Outcome", f"{words.outcome}, {'measure ' + measure.name if measure else 'no measure named'}, "
            f"{words.better} is better"),
        ("9", "Predictors", ", ".join(str(c) for c in [*panel.columns.scores, *panel.patients.columns])),
        ("10", "Sample size", f"{num(panel.n_patients)} patients, {num(panel.n_sessions)} sessions; how it was "
            f"arrived at: {AUTHOR}"),
        ("11", "Missing data", f"{num(missing)} sessions without outcome; trees take missing inputs as they are"),
        ("12", "Analytical methods", "see the methods paragraph"),
        ("13", "Class imbalance", "does not apply: the outcome is a score"),
        ("14", "Fairness", AUTHOR),
        ("15", "Model output", "a distribution of the outcome for each future session"),
        ("16", "Training versus evaluation", "evaluated on patients of other folds" if found is not None else AUTHOR),
        ("17", "Ethical approval", AUTHOR),
        ("18", "Open science: funding, conflicts, protocol, registration, data, code", f"code: personalize "
            f"{inputs.run.get('version', '')}; the rest {AUTHOR}"),
        ("19", "Patient and public involvement", AUTHOR),
        ("20", "Participants: flow and characteristics", "see the section on data"),
        ("21", "Model development: numbers in each analysis", "n stands in every table"),
        ("22", "Model specification", "saved with the run"),
        ("23", "Model performance with intervals", performance),
        ("24", "Model updating", "does not apply"),
        ("25", "Interpretation", AUTHOR),
        ("26", "Limitations", "see how to read this; study-specific ones " + AUTHOR),
        ("27", "Usability in current care", AUTHOR),
    ]  # fmt: skip
    return Table(("item", "topic", "answer"), tuple(rows), 3)


def _files(run: Mapping[str, Any]) -> str:
    given = run.get("inputs")
    if not isinstance(given, Mapping):
        return ""
    return ", ".join(str(v.get("file", k)) if isinstance(v, Mapping) else str(k) for k, v in given.items())


def run_table(run: Mapping[str, Any]) -> Table:
    """Everything the run says of itself, one value a row."""
    rows: list[tuple[str, str]] = []

    def walk(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(", ".join(part for part in (name, str(key)) if part), inner)
        else:
            rows.append((name, _said(value)))

    walk("", run)
    return Table(("what", "value"), tuple(rows), 2)


def _said(value: Any) -> str:
    """A setting in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return "none"
    return num(value) if isinstance(value, float) else str(value)
