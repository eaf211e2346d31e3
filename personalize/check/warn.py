"""What a data manager should look at, in sentences."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from features.errors import listed
from features.intake import names_or_remarks
from features.measures import registry
from features.outliers import typing_errors
from personalize.check.counts import gaps, transitions
from personalize.check.loose import Floats, Loose

MANY_AT_END = 0.15  # share at one end that is commonly called a floor or ceiling effect
MANY_MISSING = 0.2
MANY_CONSTANT = 0.1
LONG_GAP_DAYS = 180
MANY_CATEGORIES = 20
FEW_FRACTIONS = 0.1


def warnings(
    data: Loose, scores: pd.DataFrame, codes: pd.DataFrame, therapists: pd.DataFrame, intake: pd.DataFrame
) -> list[str]:
    """Sentences with counts and remedies; none where there is nothing to look at."""
    out = [*_sessions(data), *_scores(data, scores), *_codes(codes), *_therapists(therapists), *_intake(data, intake)]
    return out


def _sessions(data: Loose) -> list[str]:
    out = []
    rows = data.rows_each
    if (rows == 0).any():
        out.append(f"{_n((rows == 0).sum(), 'patient')} without a session: intake only.")
    if (rows == 1).any():
        out.append(f"{_n((rows == 1).sum(), 'patient')} with one session: no change can be seen.")
    number = data.session
    follows = data.who[1:] == data.who[:-1]
    step = np.diff(number)
    if data.columns.session and follows.any():
        usual = np.unique(step[follows & (step > 0)], return_counts=True)
        if len(usual[0]):
            common = usual[0][np.argmax(usual[1])]
            skipped = int((follows & (step > common)).sum())
            if skipped:
                out.append(
                    f"Session numbers are skipped {_n(skipped, 'time')}: there a step is longer than the usual "
                    f"{common:g}, and is not used for the effect of the alliance."
                )
    late = _first_rating(data)
    if late:
        out.append(late)
    gap = gaps(data)
    if data.is_date and len(gap):
        long = int((gap > LONG_GAP_DAYS).sum())
        if long:
            out.append(
                f"{_n(long, 'gap')} of more than {LONG_GAP_DAYS} days between sessions (longest {gap.max():.0f}); "
                "if these are new treatments, number them and name the column with Columns(episode=...)."
            )
        if (gap < 0).any():
            out.append(f"{_n((gap < 0).sum(), 'session')} dated before the session that precedes them in number.")
    return out


def _first_rating(data: Loose) -> str:
    column = data.columns.alliance
    if column is None or column not in data.scores or data.n_rows == 0:
        return ""
    known = np.isfinite(data.scores[column])
    first = np.full(data.n_patients, np.iinfo(np.int64).max)
    np.minimum.at(first, data.who[known], data.occasion[known])
    seen = first[first < np.iinfo(np.int64).max]
    if len(seen) and np.median(seen) >= 1:
        return f"{column!r} is first rated at session {int(np.median(seen)) + 1} typically: early alliance is unknown."
    return ""


def _scores(data: Loose, scores: pd.DataFrame) -> list[str]:
    out = []
    for row in scores.to_dict("records"):
        name, where = row["score"], "of its scale" if row["ranged"] else "seen"
        if row["n"] == 0:
            out.append(f"{name!r} is empty.")
            continue
        if row["outside"]:
            scale = data.measures[name]
            out.append(
                f"{_n(row['outside'], 'value')} of {name!r} outside {scale.name} ({row['lowest']:g} to "
                f"{row['highest']:g}): correct them, or pass out_of_range='missing'."
            )
        for end, value in (("ceiling", row["highest"]), ("floor", row["lowest"])):
            if row[end] >= MANY_AT_END and row["minimum"] < row["maximum"]:
                out.append(
                    f"{row[end]:.0%} of {name!r} stand at {value:g}, the {'highest' if end == 'ceiling' else 'lowest'} "
                    f"value {where} ({end} effect): changes beyond it cannot be seen."
                )
        if row["rated_twice"] and row["constant"] / row["rated_twice"] >= MANY_CONSTANT:
            out.append(
                f"{name!r} never changes in {row['constant']} of {row['rated_twice']} patients rated twice or more; "
                "they say nothing of effects within patients."
            )
        if row["missing"] >= MANY_MISSING:
            out.append(f"{row['missing']:.0%} of the ratings of {name!r} are missing.")
        out += typing_errors(name, data.scores[name], data.who, data.session, data.ids)
        out += _fractions(name, data.scores[name])
        out += _measure_hint(name, data, row)
    return out


def _fractions(name: str, x: Floats) -> list[str]:
    """Scores that are not whole although nearly all are: prorated or imputed."""
    known = x[np.isfinite(x)]
    odd = known % 1 != 0
    if len(known) == 0 or not 0 < odd.mean() <= FEW_FRACTIONS:
        return []
    return [
        f"{_n(odd.sum(), 'value')} of {name!r} not whole, although all others are (e.g. {known[odd][0]:g}): imputed or "
        "prorated?"
    ]


def _measure_hint(name: str, data: Loose, row: Mapping[Hashable, Any]) -> list[str]:
    """Suggest the registry's instrument of the same name, and say what would be outside its range."""
    plain = "".join(letter for letter in name.casefold() if letter.isalnum())
    known = {"".join(letter for letter in key if letter.isalnum()): scale for key, scale in registry().items()}
    if name in data.measures or plain not in known:
        return []
    scale = known[plain]
    if scale.minimum is None or scale.maximum is None:
        return []
    text = f"{name!r} is named like the measure {scale.name!r} ({scale.minimum:g} to {scale.maximum:g})"
    if row["minimum"] < scale.minimum or row["maximum"] > scale.maximum:
        text += f", but runs from {row['minimum']:.4g} to {row['maximum']:.4g}"
        fits = _of_that_range(scale.name, row["minimum"], row["maximum"])
        if fits:
            text += f"; of that range {'is' if len(fits) == 1 else 'are'} {listed(fits)}"
            return [f"{text}: pass measures={{{name!r}: {fits[0]!r}}} if it is that."]
    return [f"{text}; if it is that, pass measures={{{name!r}: {scale.name!r}}} to have its range held."]


def _of_that_range(name: str, lowest: float, highest: float) -> list[str]:
    """Other forms of an instrument whose range holds the scores."""
    return [
        key
        for key, scale in registry().items()
        if key != name and key.startswith(f"{name}_") and scale.minimum is not None and scale.maximum is not None
        if scale.minimum <= lowest and highest <= scale.maximum
    ]


def _codes(codes: pd.DataFrame) -> list[str]:
    return [
        f"{name!r} has the value {', '.join(f'{c:g}' for c in part['code'])} ({', '.join(part['why'])}): if it marks a "
        f"missing value, pass missing_codes={{{name!r}: [{', '.join(f'{c:g}' for c in part['code'])}]}}."
        for name, part in codes.groupby("column", sort=False)
    ]


def _therapists(therapists: pd.DataFrame) -> list[str]:
    single = therapists.loc[therapists["patients"] == 1, "therapist"].tolist()
    if len(single) == 0:
        return []
    return [
        f"{_n(len(single), 'therapist')} with one patient only ({listed(single)}): nothing there tells therapist and "
        "patient apart."
    ]


def _intake(data: Loose, intake: pd.DataFrame) -> list[str]:
    out = []
    for row in intake.to_dict("records"):
        name, patients = row["column"], len(data.intake)
        if row["missing"] == 1:
            out.append(f"Intake column {name!r} is empty; pass leave_out=[{name!r}].")
        elif row["values"] == 1 and patients > 1:
            out.append(f"Intake column {name!r} is the same for everybody; it can explain nothing.")
        elif names_or_remarks(data.intake[name]):
            out.append(
                f"Intake column {name!r} differs for most patients: a name or free text? Leave it out: pass "
                f"leave_out=[{name!r}]."
            )
        elif row["kind"] in ("text", "category") and row["values"] > MANY_CATEGORIES:
            out.append(f"Intake column {name!r} has {row['values']} categories; group them.")
        if row["kind"] in ("text", "category") and _mostly_numbers(data.intake[name]):
            out.append(
                f"Intake column {name!r} is text although most of its values are numbers; say what the rest means with "
                f"missing_codes={{{name!r}: [...]}}, or decimal=','."
            )
        if row["missing"] >= MANY_MISSING and row["missing"] < 1:
            out.append(f"Intake column {name!r} is missing for {row['missing']:.0%} of the patients.")
    return out


def _mostly_numbers(values: pd.Series) -> bool:
    text = values.dropna().astype(str).str.strip().str.replace(",", ".", n=1)
    readable = pd.to_numeric(text, errors="coerce").notna()
    return (
        len(text) > 3
        and readable.mean() >= 0.8
        and not pd.to_numeric(values.dropna().astype(str), errors="coerce").notna().all()
    )


def reliability_warnings(frame: pd.DataFrame, totals: Sequence[str]) -> list[str]:
    """Items that run against the others, alphas that are low, and totals that are not made of the items given."""
    out = list(totals)
    for row in frame.to_dict("records"):
        what = "one rating" if row["level"] == "rating" else "changes within patients"
        if row["weakest"] < 0:
            out.append(
                f"Items of {row['scale']!r}: one runs against the others (r = {row['weakest']:.2f}, {what}); was a "
                "reversed item left unreversed?"
            )
        if np.isfinite(row["alpha"]) and row["alpha"] < 0.6:
            out.append(f"Items of {row['scale']!r}: the reliability of {what} is low (alpha {row['alpha']:.2f}).")
    return out


def _n(count: float, noun: str) -> str:
    number = int(count)
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def usable_steps(data: Loose) -> int:
    """Transitions usable for the alliance's effect, over all patients."""
    return int(transitions(data).sum())
