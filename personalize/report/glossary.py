"""Short definitions that appear when a reader points at a word."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

GLOSSARY = {
    "within-patient SD": "How far a patient's ratings typically lie from the patient's own average (standard "
    "deviation), "
    "pooled over patients and without measurement error.",
    "trait": "The stable part of a rating: differences between patients (and therapists) that last over the treatment.",
    "state": "Change within one patient's treatment: how far a session's rating lies from the patient's own level.",
    "signed benefit": "Improvement of the outcome, in outcome points, some sessions after the process is held above "
    "its "
    "expected course. Negative: the outcome gets worse.",
    "reliable change": "The smallest change that exceeds measurement error.",
    "own-data reliability": "Share (0 to 1) of what separates a patient's own slope from the group's that is "
    "signal, not "
    "noise. Low: the estimate leans on intake and on the average.",
    "heterogeneity test": "Test of whether patients differ in the effect by more than chance produces.",
    "expected response": "The average course of patients who started with the same score.",
    "last observation": "The simplest forecast: the last score stays as it is.",
    "cross-validated": "Judged on patients whose data the model had not seen.",
    "mean absolute error": "Average distance between forecast and outcome, in outcome points. Smaller is better.",
    "coverage": "Share of outcomes that fell into the forecast interval. It should equal the stated probability.",
    "calibration": "Whether stated probabilities come true as often as they say.",
    "Shapley values": "A way to divide a forecast's distance from the background among groups of inputs; they add up "
    "to it. They explain the forecast, not what would happen if an input were changed.",
    "GATES": "Average effect in each fifth of patients, sorted by the effect that intake predicts (held-out patients).",
    "TOC": "How much larger the effect is among the patients ranked first than on average (targeting operator "
    "characteristic).",
    "BLP slope": "How well predicted differences match the differences found in held-out patients; 1 is right, 0 is "
    "worthless.",
    "moderators": "Characteristics at intake that go with a larger or smaller effect.",
    "partial dependence": "The average predicted effect if one characteristic had this value in everybody.",
    "boosted trees": "Many small decision trees, each fitted to what the ones before it left unexplained.",
    "TreeSHAP": "Shapley values of single inputs in a model made of decision trees.",
    "short-panel bias": "Error that comes from centring short series on their own mean; it is corrected for.",
    "robustness value": "How strong a confounder would have to be, as share of variance of both process and "
    "outcome, to "
    "explain the effect away.",
    "sensitivity": "Share of the patients who did not improve that the signal found.",
    "specificity": "Share of the patients who improved that the signal left alone.",
    "observational": "Nobody assigned the sessions' ratings by lot; unmeasured causes of both may remain.",
    "P(top)": "Probability of being among the patients with the largest benefit (a fifth, unless said otherwise).",
    "P(benefit > 0)": "Probability that a stronger process helps this patient at all.",
    "P(> reliable change)": "Probability that the benefit exceeds the measure's reliable change.",
    "background": "The average forecast of the patients the model was trained on.",
    "confidence interval": "Range of values that the data do not contradict at the stated level.",
}

_PATTERN = re.compile(
    "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(GLOSSARY, key=len, reverse=True)), re.IGNORECASE
)
_LOOKUP = {word.lower(): text for word, text in GLOSSARY.items()}


def with_terms(text: object) -> Markup:
    """Escape a text and give the first mention of each defined word its definition."""
    seen: set[str] = set()

    def define(found: re.Match[str]) -> str:
        word = found.group(0)
        key = word.lower()
        if key in seen:
            return word
        seen.add(key)
        return f'<dfn tabindex="0" data-tip="{escape(_LOOKUP[key])}">{word}</dfn>'

    return Markup(_PATTERN.sub(define, str(escape(text))))
