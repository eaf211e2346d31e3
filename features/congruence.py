"""How two series of a patient go together: patient's and therapist's ratings, alliance and the outcome it can move."""

from __future__ import annotations

import numpy as np

from features import windows
from features.errors import OptionError, listed
from features.feature import Feature
from features.panel import Panel, Timing
from features.windows import Floats, Layout

SESSIONS = 6  # sessions in the rolling correlation of the two raters

# statistic: (unit, description); {a} and {b} are the columns of the two raters
CONGRUENCE: dict[str, tuple[str, str]] = {
    "difference": ("points", "{a} minus {b} at this session"),
    "absolute_difference": ("points", "size of the difference between {a} and {b} at this session"),
    "mean_absolute_difference": ("points", "mean size of the difference between {a} and {b} so far"),
    "correlation": ("correlation", f"correlation of {{a}} and {{b}} over the last {SESSIONS} sessions"),
    "squared": ("points squared", "response surface: {a} squared, {a} taken from the middle of the scale"),
    "product": ("points squared", "response surface: {a} times {b}, both taken from the middle of the scale"),
    "partner_squared": ("points squared", "response surface: {b} squared, {b} taken from the middle of the scale"),
}


def declared(panel: Panel, partner: str) -> list[Feature]:
    """Declare the congruence features of the alliance and its partner's rating.

    Raises
    ------
    OptionError
        Where the partner is not a covariate, or there is no alliance.
    """
    if panel.columns.alliance is None:
        raise OptionError(
            f"partner={partner!r}: there is no alliance to compare with; name it in Columns(alliance=...)."
        )
    if partner not in panel.columns.covariates:
        raise OptionError(
            f"partner={partner!r} is not one of the covariates ({listed(panel.columns.covariates) or 'none'}); "
            "name it in Columns(covariates=[...])."
        )
    a = panel.columns.alliance
    return [
        Feature(f"{a}_{partner}_{name}", "state alliance", "past", unit, text.format(a=a, b=partner))
        for name, (unit, text) in CONGRUENCE.items()
    ]


def centre(panel: Panel) -> float:
    """Middle of the alliance scale, from which response surfaces are taken; 0 where the range is not known."""
    scale = panel.alliance_measure
    if scale is None or scale.minimum is None or scale.maximum is None:
        return 0.0
    return (scale.minimum + scale.maximum) / 2


def congruence(a: Floats, layout: Layout, b: Floats, middle: float) -> dict[str, Floats]:
    """Compute `CONGRUENCE` from two raters' values in step order; NaN where either is missing.

    The response-surface terms are those of the quadratic ``b1·a + b2·b + b3·a² + b4·a·b + b5·b²``
    (Edwards & Parry 1993, Academy of Management Journal 36, 1577-1613), whose linear terms are the ratings themselves.
    """
    apart = a - b
    size = np.abs(apart)
    both = np.isnan(apart)
    of_a, of_b = np.where(both, np.nan, a - middle), np.where(both, np.nan, b - middle)
    return {
        "difference": apart,
        "absolute_difference": size,
        "mean_absolute_difference": windows.moments(size, layout).mean,
        "correlation": windows.rolling_correlation(a, layout, b, sessions=SESSIONS),
        "squared": of_a * of_a,
        "product": of_a * of_b,
        "partner_squared": of_b * of_b,
    }


def coupling_declared(panel: Panel) -> list[Feature]:
    """Declare the coupling of alliance and outcome."""
    a, y = panel.columns.alliance, panel.columns.outcome
    when = "the next session's" if panel.timing == "after" else "the same session's"
    return [
        Feature(
            f"{a}_{y}_coupling",
            "state alliance",
            "past",
            "correlation",
            f"correlation so far of {a} with {when} {y}, the first it can have moved (at least 4 pairs)",
        )
    ]


def coupling(alliance: Floats, layout: Layout, outcome: Floats, timing: Timing) -> dict[str, Floats]:
    """Correlate the alliance with the first outcome it can have moved, over the sessions so far; NaN below 4 pairs.

    With ``timing="after"`` the pairs are (alliance of t − 1, outcome of t), with "before" both are of t.
    A description of the past, not an effect: trends of both enter it.
    """
    cause = windows.lag(alliance, layout) if timing == "after" else alliance
    return {"coupling": windows.correlation(cause, layout, outcome, least=4)}
