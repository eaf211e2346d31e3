"""Sudden gains and losses: large, stable changes of the outcome between two neighbouring sessions."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from features.alliance import rating
from features.errors import OptionError, check_option
from features.feature import Seen
from features.panel import Panel
from features.windows import Floats

AROUND = 3  # sessions on each side of the change


def sudden_changes(
    panel: Panel,
    kind: Literal["gain", "loss"] = "gain",
    *,
    cutoff: float | None = None,
    percent: float | None = 0.25,
    alpha: float | None = 0.05,
    seen: Seen = "whole",
    column: str | None = None,
) -> pd.DataFrame:
    """Judge every pair of neighbouring sessions n, n + 1 by the three criteria of a sudden gain (or loss).

    1. The improvement is at least ``cutoff`` points.
    2. It is at least the share ``percent`` of the score at n.
    3. The mean of the (at most three) scores up to n differs from the mean of those from n + 1 on by more than
       ``t · sqrt(((n_pre − 1) sd_pre² + (n_post − 1) sd_post²) / (n_pre + n_post − 2))``, t the two-sided critical
       value at ``alpha`` with n_pre + n_post − 2 degrees of freedom; at least two scores a side.

    Source: Tang & DeRubeis 1999, J Consult Clin Psychol 67, 894-904; critical value for missing scores as in Lutz et
    al. 2013 and the R package suddengains (Wiedemann et al. 2020, PLOS ONE 15, e0230276). Losses mirror gains in all
    three criteria (in suddengains 0.7.2 the second criterion of a loss holds for every worsening). Neighbours are
    consecutive session numbers; a session without score, or not in the table, leaves its pairs unjudged.

    Parameters
    ----------
    panel : Panel
    kind : {"gain", "loss"}
        Improvement or worsening, in the direction of ``panel.better`` (of the measure, for another column).
    cutoff : float, optional
        Points of criterion 1; the measure's reliable change by default.
    percent, alpha : float or None
        Share of criterion 2 and level of criterion 3; ``None`` drops the criterion.
    seen : {"whole", "past"}
        "past" drops criterion 3, which looks two sessions ahead: such a row is known at session n + 1.
    column : str, optional
        The outcome by default; any session column.

    Returns
    -------
    DataFrame
        One row a judged pair: patient, session (n), next_session, before, after, magnitude (positive: in the sense of
        ``kind``), first, second, third (1, 0, NaN where not applied or not to be told), met (1, 0, NaN), reversed (a
        later score lost half of the magnitude: 1, 0; NaN where not met or ``seen="past"``).

    Raises
    ------
    OptionError
        Without a cutoff from the measure or the caller, or with a bad option.
    """
    check_option("kind", kind, ("gain", "loss"))
    check_option("seen", seen, ("past", "whole"))
    name = panel.columns.outcome if column is None else column
    x = rating(panel, name)
    known = panel.measures.get(name)
    if cutoff is None:
        cutoff = None if known is None else known.reliable_change
        if cutoff is None:
            raise OptionError(
                f"cutoff: no measure of {name!r} tells its reliable change; give the points of the first criterion "
                "(7 on the BDI; features.significance.reliable_points computes it from SD and reliability)."
            )
    for option, value in (("cutoff", cutoff), ("percent", percent), ("alpha", alpha)):
        if value is not None and not value > 0:
            raise OptionError(f"{option}={value!r} is not allowed; give a positive number.")
    if alpha is not None and alpha >= 1:
        raise OptionError(f"alpha={alpha!r} is not allowed; give a level between 0 and 1.")
    better = panel.better if name == panel.columns.outcome else (known.better if known and known.better else "low")
    sign = (1.0 if better == "low" else -1.0) * (1.0 if kind == "gain" else -1.0)

    window = _window(panel, x)
    before, after = window[AROUND - 1], window[AROUND]
    magnitude = sign * (before - after)
    first = _judged(magnitude >= cutoff, magnitude)
    second = np.full_like(first, np.nan) if percent is None else _judged(magnitude >= percent * before, magnitude)
    third = np.full_like(first, np.nan)
    if alpha is not None and seen == "whole":
        third = _stable(sign * window[:AROUND], sign * window[AROUND:], alpha)
    applied = [first] + ([second] if percent is not None else [])
    applied += [third] if alpha is not None and seen == "whole" else []
    met = np.prod(applied, axis=0)
    table = pd.DataFrame(
        {
            "patient": panel.patient_ids[panel.patient_index],
            "session": panel.session,
            "next_session": panel.session + 1,
            "before": before,
            "after": after,
            "magnitude": magnitude,
            "first": first,
            "second": second,
            "third": third,
            "met": met,
            "reversed": np.full_like(met, np.nan),
        }
    )
    if seen == "whole":
        table["reversed"] = _reversed(panel, sign * x, sign * after, magnitude, met)
    judged: pd.DataFrame = table.loc[~np.isnan(magnitude)].reset_index(drop=True)
    return judged


def _window(panel: Panel, x: Floats) -> Floats:
    """Scores at session numbers n − 2 … n + 3 of the row's patient, shape (6, n_sessions); NaN where there is none."""
    n = panel.n_sessions
    out = np.full((2 * AROUND, n), np.nan)
    rows = np.arange(n)
    for shift in range(-AROUND, AROUND + 1):
        other = rows + shift
        inside = (other >= 0) & (other < n)
        here, there = rows[inside], other[inside]
        same = panel.patient_index[here] == panel.patient_index[there]
        here, there = here[same], there[same]
        apart = panel.session[there] - panel.session[here]
        fits = (apart > -AROUND) & (apart <= AROUND)
        out[apart[fits] + AROUND - 1, here[fits]] = x[there[fits]]
    return out


def _judged(holds: np.ndarray, told: Floats) -> Floats:
    return np.where(np.isnan(told), np.nan, holds.astype(float))


def _stable(pre: Floats, post: Floats, alpha: float) -> Floats:
    """Criterion 3, for scores in which a gain is a drop."""
    n_pre, mean_pre, squares_pre = _moments(pre)
    n_post, mean_post, squares_post = _moments(post)
    enough = (n_pre >= 2) & (n_post >= 2)
    df = np.where(enough, n_pre + n_post - 2, 1.0)
    critical = np.asarray(stats.t.ppf(1 - alpha / 2, np.arange(1, 2 * AROUND - 1)))
    limit = critical[df.astype(int) - 1] * np.sqrt((squares_pre + squares_post) / df)
    return np.where(enough, (mean_pre - mean_post > limit).astype(float), np.nan)


def _moments(x: Floats) -> tuple[Floats, Floats, Floats]:
    seen = ~np.isnan(x)
    n = seen.sum(axis=0).astype(float)
    mean = np.where(seen, x, 0.0).sum(axis=0) / np.maximum(n, 1.0)
    squares = np.where(seen, (x - mean) ** 2, 0.0).sum(axis=0)
    return n, mean, squares


def _reversed(panel: Panel, x: Floats, after: Floats, magnitude: Floats, met: Floats) -> Floats:
    """Whether any score after session n + 1 is worse than half-way back, for scores in which a gain is a drop."""
    worst = np.full(len(x), -np.inf)  # highest later score, walking each patient's rows from the end
    running = np.full(panel.n_patients, -np.inf)
    lengths = panel.sessions_per_patient
    for back in range(int(lengths.max(initial=0))):
        who = np.flatnonzero(lengths > back)
        row = panel.offsets[1:][who] - 1 - back
        worst[row] = running[who]
        running[who] = np.fmax(running[who], x[row])
    following = np.append(worst[1:], -np.inf)  # seen from session n + 1, the next row
    return np.where(met == 1, (following > after + magnitude / 2).astype(float), np.nan)
