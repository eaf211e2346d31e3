"""Numbers as text: few digits, a real minus sign, a dash where there is none."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

NOTHING = "–"


def num(value: Any, digits: int = 3) -> str:
    """Write a number with about ``digits`` significant digits.

    Examples
    --------
    >>> num(-2.4567), num(1234.5), num(float("nan")), num(0.0)
    ('−2.46', '1,234', '–', '0')
    """
    if value is None or value is pd.NA or isinstance(value, str):
        return NOTHING if not isinstance(value, str) else value
    number = float(value)
    if not math.isfinite(number):
        return NOTHING
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}".replace("-", "−")
    places = max(digits - 1 - math.floor(math.log10(abs(number))), 0)
    return f"{number:,.{min(places, 6)}f}".replace("-", "−")


def interval(lower: Any, upper: Any, digits: int = 3) -> str:
    """Write an interval.

    Examples
    --------
    >>> interval(-2.9, -1.9)
    '[−2.90, −1.90]'
    """
    return f"[{num(lower, digits)}, {num(upper, digits)}]"


def percent(value: Any) -> str:
    """Write a share as a whole percentage; the ends only where they are meant.

    Examples
    --------
    >>> percent(0.123), percent(0.999), percent(1.0)
    ('12 %', '> 99 %', '100 %')
    """
    if value is None or value is pd.NA or not math.isfinite(float(value)):
        return NOTHING
    share = float(value)
    if 0.995 <= share < 1:
        return "> 99 %"
    if 0 < share < 0.005:
        return "< 1 %"
    return f"{100 * share:.0f} %".replace("-", "−")


def p_value(value: Any) -> str:
    """Write a p value.

    Examples
    --------
    >>> p_value(0.0004), p_value(0.0312), p_value(float("nan"))
    ('p < .001', 'p = .031', 'not possible')
    """
    if value is None or not math.isfinite(float(value)):
        return "not possible"
    number = float(value)
    return "p < .001" if number < 0.001 else f"p = {number:.3f}".replace("0.", ".", 1)
