"""Values that look like codes for "missing": -9, 99, 999 and their kin, far from all other values of their column."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.measures import Measure
from personalize.check.loose import Floats, Loose

CODES: tuple[int, ...] = (-9, -99, -999, -9999, -8, -88, -888, -7, -77, -66, -1, -2, -3)
CODES += (7, 8, 9, 66, 77, 88, 97, 98, 99, 666, 777, 888, 996, 997, 998, 999, 9998, 9999, 99999)
_WORDS = re.compile(
    r"missing|no answer|not answered|refus|declin|not appl|unknown|don.?t know|n/?a\b|fehl|keine angabe|k\. ?a\.|"
    r"weiss nicht|weiß nicht|verweiger",
    re.IGNORECASE,
)


def suspicious_codes(data: Loose, value_labels: Mapping[str, Mapping[float | str, str]] | None = None) -> pd.DataFrame:
    """Values of scores and numeric intake columns that may mark a missing one.

    A usual code (`CODES`) is suspicious when it lies outside the measure's range; where no range is known, when it
    stands at an end of its column and is of another sign than all other values, or further from them than one and a
    half of their usual steps and a quarter of their spread. So is a value the file labels as missing without declaring
    it so. A code among the other values is none: -9 is a fine change score.

    Returns
    -------
    DataFrame
        column, code, n, why.
    """
    rows = []
    for name, values in data.scores.items():
        rows += _of(name, values, data.measures.get(name), (value_labels or {}).get(name, {}))
    for name in data.intake.columns:
        column = data.intake[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            rows += _of(str(name), column.to_numpy(dtype=float), None, (value_labels or {}).get(str(name), {}))
    return pd.DataFrame(rows, columns=["column", "code", "n", "why"])


def _of(name: str, values: Floats, scale: Measure | None, labels: Mapping[float | str, str]) -> list[dict[str, object]]:
    known = values[np.isfinite(values)]
    levels, counts = np.unique(known, return_counts=True)
    found: dict[float, tuple[int, str]] = {}
    for code, text in labels.items():
        if not isinstance(code, str) and _WORDS.search(text) and float(code) in levels:
            found[float(code)] = (int(counts[levels == float(code)][0]), f"the file labels it {text!r}")
    if scale is not None and scale.minimum is not None and scale.maximum is not None:
        low, high = scale.minimum, scale.maximum
        for level, count in zip(levels, counts, strict=True):
            if level in CODES and not low <= level <= high:
                found.setdefault(float(level), (int(count), f"outside {scale.name} ({low:g} to {high:g})"))
    else:
        for cut, why in (_below(levels), _above(levels)):
            for i in cut:
                found.setdefault(float(levels[i]), (int(counts[i]), why))
    return [{"column": name, "code": code, "n": n, "why": why} for code, (n, why) in sorted(found.items())]


def _above(levels: Floats) -> tuple[range, str]:
    """Places of the codes at the upper end that stand apart from all levels below, and why."""
    first = len(levels)
    while first > 1 and levels[first - 1] in CODES:
        first -= 1
    for start in range(first, len(levels)):
        why = _apart(levels[start], levels[:start])
        if why:
            return range(start, len(levels)), why
    return range(0), ""


def _below(levels: Floats) -> tuple[range, str]:
    """Places of the codes at the lower end that stand apart from all levels above, and why."""
    last = 0
    while last < len(levels) - 1 and levels[last] in CODES:
        last += 1
    for stop in range(last, 0, -1):
        why = _apart(levels[stop - 1], levels[stop:])
        if why:
            return range(stop), why
    return range(0), ""


def _apart(code: float, others: Floats) -> str:
    low, high = others[0], others[-1]
    if code < 0 <= low:
        return f"the only negative value (others {low:g} to {high:g})"
    steps = np.diff(others)
    usual = float(np.median(steps)) if len(steps) else 1.0
    distance = max(low - code, code - high)
    if distance > 1.5 * usual and distance > 0.25 * (high - low):
        return f"far from the others ({low:g} to {high:g})"
    return ""
