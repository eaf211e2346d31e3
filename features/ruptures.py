"""Ruptures and repairs in session ratings of the alliance, by three criteria, past-only or over the whole treatment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import windows
from features.alliance import rating
from features.errors import OptionError, check_option
from features.feature import Seen
from features.panel import Panel
from features.reml import components_so_far
from features.windows import Floats, Layout

Criterion = Literal["drop_1sd", "drop_2sd", "control_chart"]
CRITERIA: tuple[Criterion, ...] = ("drop_1sd", "drop_2sd", "control_chart")
CHART = 2.66  # moving ranges from the mean to a limit of an individuals (XmR) control chart: 3 / 1.128
LEAST = 3  # ratings needed for a standard deviation or a chart


def ruptures(
    panel: Panel,
    criterion: Criterion = "drop_1sd",
    *,
    seen: Seen = "whole",
    repair_within: float = 0.5,
    column: str | None = None,
) -> pd.DataFrame:
    """Find ruptures and their repairs.

    - "drop_1sd", "drop_2sd": a rating at least 1 (Strauss et al. 2006, J Consult Clin Psychol 74, 337-345) or 2 (Stiles
      et al. 2004, J Consult Clin Psychol 72, 81-92) standard deviations below the highest rating since the start or
      the last repair. Repaired at the first later rating within ``repair_within`` standard deviations of that high. The
      standard deviation is the larger of the patient's own and the one pooled over patients, so that neither a flat nor
      a restless course makes ruptures of noise, as Gumz et al. 2012 (BMC Med Res Methodol 12, 10) propose.
    - "control_chart": a rating below the patient's mean − 2.66 × mean moving range, the lower limit of an individuals
      control chart (used for ruptures by Lipner et al. 2022, Clin Psychol Psychother 29, 339-350). Repaired at the
      first later rating at or above the mean.

    How many are found depends on the criterion: report each. The original papers' rules differ in detail from each
    other and from these; ``repair_within`` is this project's reading of "return".

    Parameters
    ----------
    panel : Panel
    criterion : {"drop_1sd", "drop_2sd", "control_chart"}
    seen : {"whole", "past"}
        "whole": standard deviations, mean and moving range from the whole treatment. "past": from the ratings before
        the session judged (the pooled one from all patients' sessions up to the same number), three at least; a rupture
        found at a session stays one whatever follows; its repair is known when it comes.
    repair_within : float
        Standard deviations from the high that count as return.
    column : str, optional
        The alliance by default. Higher ratings are taken to be better unless the column's measure says otherwise.

    Returns
    -------
    DataFrame
        One row a rupture: patient, criterion, high_session, session (of the rupture), high (for the chart: the mean),
        rating, depth (high − rating at the rupture), lowest (until the repair or the end), repaired (bool),
        repair_session (NaN where not repaired), sessions_to_repair (observed sessions from rupture to repair).
    """
    found = _walk(panel, criterion, seen, repair_within, column)
    start, end = np.flatnonzero(found.starts), found.repair_row
    repaired = end[start] >= 0
    session = panel.session.astype(float)
    flip = found.sign
    return pd.DataFrame(
        {
            "patient": panel.patient_ids[panel.patient_index[start]],
            "criterion": criterion,
            "high_session": np.where(found.high_row[start] >= 0, session[found.high_row[start]], np.nan),
            "session": panel.session[start],
            "high": flip * found.high[start],
            "rating": flip * found.x[start],
            "depth": found.high[start] - found.x[start],
            "lowest": flip * found.lowest[start],
            "repaired": repaired,
            "repair_session": np.where(repaired, session[end[start]], np.nan),
            "sessions_to_repair": np.where(repaired, end[start] - start, np.nan),
        }
    )


def rupture_states(
    panel: Panel,
    criterion: Criterion = "drop_1sd",
    *,
    seen: Seen = "past",
    repair_within: float = 0.5,
    column: str | None = None,
) -> pd.DataFrame:
    """Tell for every session whether it lies in a rupture, and how many there have been; see `ruptures`.

    Returns
    -------
    DataFrame of n_sessions rows
        Aligned with ``panel.sessions``: ruptured (0/1: in an unrepaired rupture), ruptures_so_far, repairs_so_far.
    """
    found = _walk(panel, criterion, seen, repair_within, column)
    layout = Layout.of(panel.offsets)
    mended = np.zeros(panel.n_sessions)
    mended[found.repair_row[found.repair_row >= 0]] = 1.0
    begun = layout.apply(windows.running_sum, found.starts)
    repairs = layout.apply(windows.running_sum, mended)
    return pd.DataFrame(
        {"ruptured": begun - repairs, "ruptures_so_far": begun, "repairs_so_far": repairs},
        index=pd.RangeIndex(panel.n_sessions),
    )


@dataclass(frozen=True)
class _Found:
    """What the walk over sessions found, arrays of shape (n_sessions,); ratings turned so that higher is better.

    At the row a rupture begins: ``starts``, the row and value of the high, the lowest rating until the repair or the
    end, and the row of the repair (-1: none).
    """

    x: Floats
    sign: float
    starts: NDArray[np.bool_]
    high: Floats
    high_row: NDArray[np.intp]
    lowest: Floats
    repair_row: NDArray[np.intp]


def _walk(panel: Panel, criterion: Criterion, seen: Seen, repair_within: float, column: str | None) -> _Found:
    check_option("criterion", criterion, CRITERIA)
    check_option("seen", seen, ("past", "whole"))
    if not repair_within >= 0:
        raise OptionError(
            f"repair_within={repair_within!r} is not allowed; give a number of standard deviations from 0."
        )
    name = panel.columns.alliance if column is None else column
    known = panel.measures.get(name) if name is not None else None
    sign = -1.0 if known is not None and known.better == "low" else 1.0
    x = sign * rating(panel, column)
    layout = Layout.of(panel.offsets)
    packed = layout.pack(x)
    whole = seen == "whole"
    if criterion == "control_chart":
        centre, limit = _chart(packed, layout, whole)
        return _track(panel, x, sign, layout, packed, centre, centre - limit, np.zeros_like(limit))
    spread = _spread(packed, layout, whole)
    size = {"drop_1sd": 1.0, "drop_2sd": 2.0}[criterion]
    nothing = np.full_like(packed, np.nan)
    return _track(panel, x, sign, layout, packed, nothing, size * spread, repair_within * spread)


def _track(
    panel: Panel,
    x: Floats,
    sign: float,
    layout: Layout,
    packed: Floats,
    centre: Floats,
    drop: Floats,
    near: Floats,
) -> _Found:
    """Walk the sessions: a rating ``drop`` below the level ruptures, one back within ``near`` of the level repairs.

    The level is the highest rating since the start or the last repair, or ``centre`` where that is given; all arrays in
    step order.
    """
    n = len(packed)
    charted = bool(np.isfinite(centre).any())
    row_of = layout.order
    starts = np.zeros(n, dtype=bool)
    high, lowest = np.full(n, np.nan), np.full(n, np.nan)
    high_row, repair_row = np.full(n, -1, dtype=np.intp), np.full(n, -1, dtype=np.intp)
    width = layout.bounds[1] if layout.steps else 0
    level, since = np.full(width, np.nan), np.full(width, -1, dtype=np.intp)
    open_row = np.full(width, -1, dtype=np.intp)  # row at which the patient's unrepaired rupture began
    for step in range(layout.steps):
        here = layout.at(step)
        now, rows = packed[here], row_of[here]
        m = len(now)
        rated = ~np.isnan(now)
        ruptured = open_row[:m] >= 0
        if charted:
            level[:m] = centre[here]
        else:
            higher = rated & ~ruptured & ~(now <= level[:m])
            level[:m] = np.where(higher, now, level[:m])
            since[:m] = np.where(higher, rows, since[:m])
        gap = level[:m] - now
        lower = rated & ruptured
        lowest[open_row[:m][lower]] = np.fmin(lowest[open_row[:m][lower]], now[lower])
        back = lower & (gap <= near[here])
        repair_row[open_row[:m][back]] = rows[back]
        deep = gap > drop[here] if charted else (gap >= drop[here]) & (gap > 0)
        breaks = rated & ~ruptured & deep
        starts[rows[breaks]] = True
        high[rows[breaks]], high_row[rows[breaks]] = level[:m][breaks], since[:m][breaks]
        lowest[rows[breaks]] = now[breaks]
        open_row[:m] = np.where(back, -1, np.where(breaks, rows, open_row[:m]))
        if not charted:
            level[:m] = np.where(back, now, level[:m])
            since[:m] = np.where(back, rows, since[:m])
    return _Found(x, sign, starts, high, high_row, lowest, repair_row)


def _spread(x: Floats, layout: Layout, whole: bool) -> Floats:
    """Larger of the own and the pooled within-patient standard deviation, in step order."""
    so_far = windows.moments(x, layout)
    own = np.where(so_far.n >= LEAST, so_far.spread, np.nan)
    pooled = np.sqrt(components_so_far(so_far, layout).session)
    if whole:
        pooled = np.full_like(x, pooled[-1] if len(x) else np.nan)
        return np.fmax(_last_of_patient(own, layout), pooled)
    before = np.full_like(x, np.nan)
    for step in range(1, layout.steps):
        before[layout.at(step)] = pooled[layout.bounds[step - 1]]
    return np.where(windows.lag(so_far.n, layout) >= LEAST, np.fmax(windows.lag(own, layout), before), np.nan)


def _chart(x: Floats, layout: Layout, whole: bool) -> tuple[Floats, Floats]:
    """Centre line and lower limit of each patient's individuals chart, in step order."""
    so_far = windows.moments(x, layout)
    earlier = windows.lag(windows.last(x, layout), layout)
    width = CHART * windows.moments(np.abs(x - earlier), layout).mean
    mean = np.where(so_far.n >= LEAST, so_far.mean, np.nan)
    if whole:
        mean, width = _last_of_patient(mean, layout), _last_of_patient(width, layout)
    else:
        mean, width = windows.lag(mean, layout), windows.lag(width, layout)
    return mean, mean - width


def _last_of_patient(values: Floats, layout: Layout) -> Floats:
    """Give all of a patient's rows the value of the last, in step order."""
    out = values.copy()
    for step in range(layout.steps - 2, -1, -1):
        here = layout.at(step)
        later = layout.at(step + 1)
        width = later.stop - later.start
        out[here.start : here.start + width] = out[later]
    return out
