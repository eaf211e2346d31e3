"""Numbers as text: few digits, a real minus sign, a dash where there is none."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

NOTHING = "–"
MOST_PLACES = 6


def num(value: Any, digits: int = 3) -> str:
    """Write a number with about ``digits`` significant digits.

    Examples
    --------
    >>> num(-2.4567), num(1234.5), num(float("nan")), num(0.0), num(-1e-9)
    ('−2.46', '1,234', '–', '0', '0')
    """
    if value is None or value is pd.NA or isinstance(value, str):
        return NOTHING if not isinstance(value, str) else value
    number = float(value)
    if not math.isfinite(number):
        return NOTHING
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}".replace("-", "−")
    places = min(max(digits - 1 - math.floor(math.log10(abs(number))), 0), MOST_PLACES)
    if round(number, places) == 0:
        return "0"
    return f"{number:,.{places}f}".replace("-", "−")


def interval(lower: Any, upper: Any, digits: int = 3) -> str:
    """Write an interval.

    Examples
    --------
    >>> interval(-2.9, -1.9)
    '[−2.90, −1.90]'
    """
    return f"[{num(lower, digits)}, {num(upper, digits)}]"


def between(lower: Any, upper: Any, digits: int = 3) -> str:
    """Write the ends of an interval in words.

    Examples
    --------
    >>> between(-2.9, -1.9)
    '−2.90 to −1.90'
    """
    return f"{num(lower, digits)} to {num(upper, digits)}"


def percent(value: Any) -> str:
    """Write a share as a whole percentage; the ends only where they are meant.

    Examples
    --------
    >>> percent(0.123), percent(0.999), percent(1.0), percent(-0.004)
    ('12 %', '> 99 %', '100 %', '0 %')
    """
    if value is None or value is pd.NA or not math.isfinite(float(value)):
        return NOTHING
    share = float(value)
    if 0.995 <= share < 1:
        return "> 99 %"
    if 0 < share < 0.005:
        return "< 1 %"
    return f"{round(100 * share):d} %".replace("-", "−")


def chance(value: Any) -> str:
    """Write a probability estimated from draws: never quite none or all, since there are only so many draws.

    Examples
    --------
    >>> chance(1.0), chance(0.0), chance(0.42)
    ('> 99 %', '< 1 %', '42 %')
    """
    text = percent(value)
    return {"100 %": "> 99 %", "0 %": "< 1 %"}.get(text, text)


def fixed(value: Any, places: int = 2) -> str:
    """Write a number with a fixed number of decimals, for columns that are read from top to bottom.

    Examples
    --------
    >>> fixed(0.0368), fixed(-0.001), fixed(float("nan"))
    ('0.04', '0.00', '–')
    """
    if value is None or value is pd.NA or not math.isfinite(float(value)):
        return NOTHING
    return f"{round(float(value), places) + 0.0:.{places}f}".replace("-", "−")


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
