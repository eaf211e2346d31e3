"""What a therapist's other patients had shown by the time of a session: caseload, alliance, change, early drop-out.

Where the sessions have calendar dates, only sessions held before the landmark's date count. Without dates nobody knows
who came first: then other patients' sessions up to the same number of sessions count, taken out of fold (patients are
dealt into folds within each therapist, and a patient's features come from the other folds), because a mean that leaves
out exactly one patient would tell a flexible model that patient's own future.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import windows
from features.feature import Feature
from features.panel import Panel
from features.windows import Layout

EARLY_SESSIONS = 3  # a treatment that ends at or before this session ended early
AWAY_DAYS = 60.0  # without a session for longer than this, a patient counts as gone
SHRINKAGE = 5.0  # patients: weight of the mean over all therapists
FOLDS = 5
DENSE = 4  # cells an event that a table of groups by times may have before sorting is the cheaper way

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def declared(panel: Panel) -> list[Feature]:
    """Declare the therapist history the panel can have; none without therapists."""
    if not len(panel.therapist_ids):
        return []
    if panel.calendar is not None:
        when = "from sessions of the therapist's other patients held before the date of the landmark"
    else:
        when = "no dates: out of fold, from the therapist's patients in other folds, up to the same number of sessions"
    shrunken = f"{when}; shrunken toward all therapists ({SHRINKAGE:g} patients)"
    rows = [("therapist_caseload", "patients", f"other patients seen ({when})")]
    if panel.has_alliance:
        rows.append(("therapist_alliance", "points", f"mean {panel.columns.alliance} ({shrunken})"))
    rows += [
        ("therapist_change", "points", f"mean change of {panel.columns.outcome} since the first session ({shrunken})"),
        (
            "therapist_early_dropout",
            "share",
            f"share of patients gone after at most {EARLY_SESSIONS} sessions ({shrunken})",
        ),
    ]
    return [Feature(name, "baseline therapist", "past", unit, text) for name, unit, text in rows]


def therapist_history(panel: Panel, reference: Panel | None = None) -> dict[str, Floats]:
    """Compute the features of `declared` for every session row, shape (n_sessions,).

    Every patient counts once: a therapist's mean is the mean of the patients' means so far. The statistic of
    therapist j is shrunken to ``(Σ_i s_i + κ·s̄) / (n_j + κ)``, κ = 5 patients, s̄ the same mean over the patients of
    all therapists. Rows of patients without therapist are NaN.

    Parameters
    ----------
    panel : Panel
    reference : Panel, optional
        Whose patients are looked up; the panel itself by default. A patient never counts for themself.
    """
    wanted = [feature.name for feature in declared(panel)]
    if not wanted:
        return {}
    source = panel if reference is None else reference
    values = _shown(panel, source, source.alliance)
    nobody = (panel.therapist_index < 0)[panel.patient_index]
    return {name: np.where(nobody, np.nan, values[name]) for name in wanted}


def therapist_level(panel: Panel, rating: Floats) -> tuple[Floats, Floats]:
    """Shrunken mean of a rating over the therapist's other patients, and over everybody's, before each session row.

    Parameters
    ----------
    panel : Panel
    rating : array of shape (n_sessions,)
    """
    values = _shown(panel, panel, rating)
    return values["therapist_alliance"], values["overall"]


def _shown(panel: Panel, source: Panel, rating: Floats) -> dict[str, Floats]:
    dated = panel.calendar is not None and source.calendar is not None
    events = _dated_events(source, rating) if dated else _undated_events(source, rating)
    asked = _questions(panel, source, dated, own=source is panel)
    by_therapist, overall = _sums(events, asked, therapist=True), _sums(events, asked, therapist=False)
    values = {"therapist_caseload": by_therapist[0], "overall": windows._ratio(overall[1], overall[2])}
    for place, name in enumerate(("therapist_alliance", "therapist_change", "therapist_early_dropout")):
        total, n = by_therapist[1 + 2 * place], by_therapist[2 + 2 * place]
        everywhere = windows._ratio(overall[1 + 2 * place], overall[2 + 2 * place])
        values[name] = (np.where(n > 0, total, 0.0) + SHRINKAGE * everywhere) / (n + SHRINKAGE)
    return values


@dataclass(frozen=True)
class _Events:
    """Moments at which a patient's contribution to a sum changes.

    Attributes
    ----------
    time, therapist, unit : arrays of shape (n_events,)
        ``unit`` is what is left out together: the patient, or the fold.
    change : array of shape (7, n_events)
        Patients; alliance, n; change, n; gone early, decided.
    """

    time: Floats
    therapist: Ints
    unit: Ints
    change: Floats


@dataclass(frozen=True)
class _Questions:
    """One question a session row: what was known before ``time``, leaving out ``unit`` (-1: nobody)."""

    time: Floats
    therapist: Ints
    unit: Ints


def _dated_events(source: Panel, rating: Floats) -> _Events:
    day = np.asarray(source.calendar, dtype=float)
    who, occasion = source.patient_index, source.occasion
    contributions = _contributions(source, rating)
    ends = np.append(who[1:] != who[:-1], True) if len(who) else np.zeros(0, dtype=bool)
    following = np.append(day[1:], np.inf)
    following[ends] = np.inf
    gone = np.flatnonzero((occasion < EARLY_SESSIONS) & (following > day + AWAY_DAYS))
    back = gone[np.isfinite(following[gone])]
    stayed = np.flatnonzero(occasion == EARLY_SESSIONS)
    rows = np.concatenate([np.arange(len(who)), gone, back, stayed])
    time = np.concatenate([day, day[gone] + AWAY_DAYS, following[back], day[stayed]])
    late = np.zeros((2, len(gone) + len(back) + len(stayed)))
    late[:, : len(gone)] = 1.0
    late[:, len(gone) : len(gone) + len(back)] = -1.0
    late[1, len(gone) + len(back) :] = 1.0
    return _events(source, rows, time, contributions, late, unit=who[rows])


def _undated_events(source: Panel, rating: Floats) -> _Events:
    who, occasion = source.patient_index, source.occasion
    lengths = source.sessions_per_patient[who]
    gone = np.flatnonzero((occasion == 0) & (lengths <= EARLY_SESSIONS))
    stayed = np.flatnonzero(occasion == EARLY_SESSIONS)
    rows = np.concatenate([np.arange(len(who)), gone, stayed])
    time = np.concatenate([occasion, np.full(len(gone) + len(stayed), EARLY_SESSIONS)]).astype(float)
    late = np.ones((2, len(gone) + len(stayed)))
    late[0, len(gone) :] = 0.0
    return _events(source, rows, time, _contributions(source, rating), late, unit=_folds(source)[who[rows]])


def _events(source: Panel, rows: Ints, time: Floats, session: Floats, late: Floats, unit: Ints) -> _Events:
    change = np.zeros((7, len(rows)))
    change[:5, : session.shape[1]] = session
    change[5:, session.shape[1] :] = late
    return _Events(time, source.therapist_index[source.patient_index[rows]], unit, change)


def _contributions(source: Panel, rating: Floats) -> Floats:
    """How much each session changes its patient's caseload, mean alliance, mean change and their counts."""
    layout = Layout.of(source.offsets)
    alliance = windows.moments(layout.pack(rating), layout)
    outcome = layout.pack(source.outcome)
    since_first = windows.last(outcome, layout) - windows.first(outcome, layout)
    twice = windows.count(outcome, layout) > 1
    levels = [
        np.ones(len(outcome)),
        np.nan_to_num(alliance.mean),
        np.minimum(alliance.n, 1.0),
        np.where(twice, since_first, 0.0),
        twice.astype(float),
    ]
    out = np.empty((5, len(outcome)))
    for place, level in enumerate(levels):
        layout.unpack(level - np.nan_to_num(windows.lag(level, layout)), out[place])
    return out


def _folds(source: Panel) -> Ints:
    """Deal each therapist's patients into folds by their first session and intake, so that names play no part."""
    has = source.sessions_per_patient > 0
    first = source.offsets[:-1][has]
    keys = []
    for values in (source.outcome, source.alliance, source.time):
        key = np.full(source.n_patients, np.nan)
        key[has] = values[first]
        keys.append(key)
    numbers = source.patients.select_dtypes("number")
    keys += [numbers[name].to_numpy(dtype=float, na_value=np.nan) for name in numbers.columns]
    order = np.lexsort([*keys[::-1], source.therapist_index])
    therapist = source.therapist_index[order]
    starts = np.flatnonzero(np.append(True, therapist[1:] != therapist[:-1])) if len(order) else np.zeros(0, dtype=int)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    folds = np.empty(len(order), dtype=np.intp)
    folds[order] = rank % FOLDS
    return folds


def _questions(panel: Panel, source: Panel, dated: bool, own: bool) -> _Questions:
    time = np.asarray(panel.calendar if dated else panel.occasion + 0.5, dtype=np.float64)
    if own:
        therapist = panel.therapist_index
        unit = np.arange(panel.n_patients) if dated else _folds(panel)
    else:
        found = source.therapist_ids.get_indexer(panel.therapist_ids)
        therapist = np.append(found, -1)[panel.therapist_index]
        patient = source.patient_ids.get_indexer(panel.patient_ids)
        unit = patient if dated else np.where(patient >= 0, np.append(_folds(source), -1)[patient], -1)
    return _Questions(time, therapist[panel.patient_index], unit[panel.patient_index])


def _sums(events: _Events, asked: _Questions, *, therapist: bool) -> Floats:
    """Sums of the events before each question, without the unit left out; shape (7, n_questions)."""
    moments = np.unique(events.time)
    event_time = np.searchsorted(moments, events.time)
    ask_time = np.searchsorted(moments, asked.time, side="left")
    group, ask_group = (events.therapist, asked.therapist) if therapist else (events.therapist * 0, asked.therapist * 0)
    units = int(max(events.unit.max(initial=-1), asked.unit.max(initial=-1))) + 1
    held = _before(events.change, group, event_time, ask_group, ask_time, len(moments))
    same = np.where(asked.unit < 0, -1, ask_group * units + asked.unit)
    same = np.where(ask_group < 0, -1, same)
    return held - _before(events.change, group * units + events.unit, event_time, same, ask_time, len(moments))


def _before(change: Floats, group: Ints, time: Ints, ask_group: Ints, ask_time: Ints, n_times: int) -> Floats:
    """Sum the events of a group with a time rank below the one asked; 0 for a group of -1."""
    known = ask_group >= 0
    inside = group >= 0
    width = n_times + 1
    n_groups = int(max(group.max(initial=-1), ask_group.max(initial=-1))) + 1
    if n_groups == 0:
        return np.zeros((len(change), len(ask_group)))
    key, ask = group * width + time, np.where(known, ask_group * width + ask_time, 0)
    out = np.empty((len(change), len(ask)))
    if n_groups * width <= DENSE * len(key):
        kept = key[inside]
        for place, values in enumerate(change):
            table = np.bincount(kept, weights=values[inside], minlength=n_groups * width).reshape(n_groups, width)
            earlier = np.zeros_like(table)
            np.cumsum(table[:, :-1], axis=1, out=earlier[:, 1:])
            out[place] = earlier.ravel()[ask]
    else:
        order = np.flatnonzero(inside)
        order = order[np.argsort(key[order], kind="stable")]
        end = np.searchsorted(key[order], ask, side="left")
        start = np.searchsorted(key[order], np.where(known, ask_group * width, 0), side="left")
        running = np.zeros(len(order) + 1)
        for place, values in enumerate(change):
            np.cumsum(values[order], out=running[1:])
            out[place] = running[end] - running[start]
    out[:, ~known] = 0.0
    return out
