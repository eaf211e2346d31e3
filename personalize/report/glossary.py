"""Short definitions that appear when a reader points at a word."""

from __future__ import annotations

import re
from html import unescape

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
    "P(benefit > 0)": "Probability that the signed benefit is above zero: that a stronger process helps this patient "
    "at all.",
    "P(> reliable change)": "Probability that the benefit exceeds the measure's reliable change.",
    "background": "The average forecast of the patients the model was trained on; attributions start from it.",
    "baseline": "What is known at intake, of the patient and of the therapist.",
    "mixed model": "A growth curve with differences between patients and therapists as random effects.",
    "landmarks": "Observed sessions (the third, the fifth, ...) after which a forecast is made and judged.",
    "horizon": "How far ahead a forecast reaches.",
    "AUTOC": "Area under the TOC: how much larger the effect is among those ranked first, over the whole ranking. 0: "
    "the ranking is no better than chance.",
    "Qini": "As AUTOC, but weighted by how many patients are ranked that high.",
    "standard error": "Typical size of the chance error of an estimate.",
    "profile-likelihood intervals": "Intervals that need not lie evenly around the estimate.",
    "honest subgroups": "Some patients choose the groups and others say what the effect in them is, so that a group is "
    "not chosen for its luck.",
    "usable steps": "Pairs of neighbouring sessions with all that the effect needs.",
    "verdict": "What is known of one patient, in words, from the probabilities of a benefit and of being among those "
    "with the largest.",
    "on track": "Not worse than nearly all patients who started with the same score.",
    "scenario": "The forecast plus what the estimated effect adds if the process were held above or below its expected "
    "course.",
    "confidence interval": "Range of values that the data do not contradict at the stated level.",
}

_PATTERN = re.compile(
    "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(GLOSSARY, key=len, reverse=True)), re.IGNORECASE
)
_NAMES = {word.lower(): word for word in GLOSSARY}


def with_terms(text: object) -> Markup:
    """Escape a text and give the first mention of each defined word its definition.

    Words are looked for before the text is escaped, since some of them hold a character that escaping changes.
    """
    seen: set[str] = set()
    out, end, said = [], 0, str(text)
    for found in _PATTERN.finditer(said):
        name = _NAMES[found.group(0).lower()]
        if name in seen:
            continue
        seen.add(name)
        out += [escape(said[end : found.start()]), defined(found.group(0), GLOSSARY[name])]
        end = found.end()
    return Markup("").join([*out, escape(said[end:])])


def defined(word: str, meaning: str) -> Markup:
    """Return a word that shows its meaning when it is pointed at or reached by Tab."""
    return Markup('<dfn tabindex="0" aria-description="{}">{}</dfn>').format(meaning, word)


def words_used(page: str) -> list[tuple[str, str]]:
    """Words with a definition that a page marks, in alphabetical order, with their meaning."""
    seen = {_NAMES[unescape(word).lower()] for word in re.findall(r"<dfn [^>]*>(.*?)</dfn>", page)}
    return [(word, GLOSSARY[word]) for word in sorted(seen, key=str.lower)]
