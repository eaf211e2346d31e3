"""Check the data of a study before anything is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from features import Columns, Panel, PersonalizeError
from features.errors import FileError, PanelError
from features.measures import Better, Measure
from features.panel import Timing
from personalize.check import counts
from personalize.check.loose import Floats, Loose, from_panel, loosely
from personalize.check.reliability import item_reliability
from personalize.check.report import CheckReport
from personalize.check.suspicious import suspicious_codes
from personalize.check.verdicts import analyses
from personalize.check.warn import reliability_warnings, usable_steps, warnings
from personalize.files.gather import Gathered, Sheets, Source, gather
from personalize.files.options import ReadOptions

TOLERANCE = 1e-6  # a total differs from its items beyond rounding


def check_files(
    sessions: Source,
    patients: Source | None = None,
    therapists: Source | None = None,
    *,
    columns: Columns | None = None,
    timing: Timing = "after",
    missing_codes: Sequence[float | str] | Mapping[str, Sequence[float | str]] = (),
    measures: Mapping[str, str | Measure] | None = None,
    out_of_range: Literal["error", "missing"] = "error",
    better: Better | None = None,
    episodes: Literal["patient", "patient-therapist"] = "patient",
    layout: Literal["long", "wide"] = "long",
    wide: Mapping[str, str] | None = None,
    trailing: Literal["ended", "missing"] = "ended",
    intake: Sequence[str] | None = None,
    sheet: Sheets = None,
    date_format: str | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    encoding: str | None = None,
    leave_out: Sequence[str] = (),
    items: Mapping[str, Sequence[str]] | None = None,
) -> CheckReport:
    """Check files (or data frames) as a data manager would; takes the arguments of `read_panel`.

    Data that a panel refuses are checked as far as they can be read: the report then lists every problem and still
    counts what is there.

    Parameters
    ----------
    items : mapping of scale to sequence of str, optional
        Item columns of the sessions table, by the score they make up: ``{"wai": ["wai_1", "wai_2", ...]}``. With them
        the report holds the scale's reliability.
    sessions, patients, therapists, columns, timing, missing_codes, measures, out_of_range, better, episodes, layout, \
wide, trailing, intake, sheet, date_format, delimiter, decimal, encoding, leave_out
        As in `read_panel`.

    Returns
    -------
    CheckReport
        ``report.ok`` says whether the data can be analysed as they are, ``report.text()`` is a page to read.

    Raises
    ------
    OptionError
        When an option has a value that is not allowed. Nothing that is wrong with the data raises.
    """
    columns = columns or Columns()
    options = ReadOptions(delimiter=delimiter, decimal=decimal, encoding=encoding)
    try:
        tables = gather(
            sessions,
            patients,
            therapists,
            columns=columns,
            options=options,
            layout=layout,
            wide=wide,
            trailing=trailing,
            intake=intake,
            sheet=sheet,
            date_format=date_format,
            missing_codes=missing_codes,
            leave_out=leave_out,
        )
    except (FileError, PanelError) as error:
        return _unreadable(error)
    problems: tuple[str, ...] = ()
    notes = list(tables.notes)
    try:
        panel = Panel(
            tables.sessions,
            tables.patients,
            tables.therapists,
            columns=columns,
            timing=timing,
            missing_codes=missing_codes,
            measures=measures,
            out_of_range=out_of_range,
            better=better,
            episodes=episodes,
            names=tables.names,
        )
        notes += panel.notes
    except PanelError as error:
        problems = error.problems
    data = loosely(
        tables.sessions,
        tables.patients,
        columns,
        timing=timing,
        missing_codes=missing_codes,
        measures=measures or {},
        items=items or {},
    )
    return _report(data, problems, notes, _described(tables, data, columns), tables, items or {})


def check_panel(panel: Panel) -> CheckReport:
    """Check a panel that is already built. It has no problems, but it may have things to look at."""
    data = from_panel(panel)
    return _report(data, (), panel.notes, _counted(data), None, {})


def _unreadable(error: PersonalizeError) -> CheckReport:
    """The report on files that could not be read at all: the problem, and nothing counted."""
    problems = error.problems if isinstance(error, PanelError) else (str(error),)
    empty = pd.DataFrame
    return CheckReport(
        problems=problems,
        warnings=(),
        notes=(),
        overview=empty(columns=["what", "value"]),
        sessions=empty(columns=["sessions", "patients"]),
        missing=empty(columns=["session", "patients"]),
        scores=empty(),
        codes=empty(columns=["column", "code", "n", "why"]),
        therapists=empty(columns=["therapist", "patients"]),
        intake=empty(columns=["column", "kind", "missing", "values"]),
        reliability=empty(),
        analyses=empty(columns=["analysis", "possible", "why"]),
    )


@np.errstate(over="ignore", invalid="ignore")  # sums and squares of values near the largest float
def _report(
    data: Loose,
    problems: tuple[str, ...],
    notes: Sequence[str],
    overview: list[tuple[str, str]],
    tables: Gathered | None,
    items: Mapping[str, Sequence[str]],
) -> CheckReport:
    scores = counts.score_summary(data)
    reliability = item_reliability(data.items, data.who)
    reliability["sem"] *= [_unit(data, scale) for scale in reliability["scale"]]
    verdicts = analyses(data, data.intake.shape[0] > 0)
    codes = suspicious_codes(data, tables.value_labels if tables is not None else None)
    staff = counts.therapists(data)
    intake = counts.intake_summary(data)
    found = warnings(data, scores, codes, staff, intake)
    found += reliability_warnings(reliability, _totals(data, items))
    return CheckReport(
        problems=problems,
        warnings=tuple(found),
        notes=tuple(notes),
        overview=pd.DataFrame(overview, columns=["what", "value"]),
        sessions=counts.sessions_per_patient(data),
        missing=counts.missing_by_session(data),
        scores=scores,
        codes=codes,
        therapists=staff,
        intake=intake,
        reliability=reliability,
        analyses=verdicts,
    )


def _described(tables: Gathered, data: Loose, columns: Columns) -> list[tuple[str, str]]:
    frames = {"sessions": tables.sessions, "patients": tables.patients, "therapists": tables.therapists}
    out = [
        (key, f"{tables.names.get(key, key)}: {len(frame)} rows, {frame.shape[1]} columns")
        for key, frame in frames.items()
        if frame is not None
    ]
    spare = [str(c) for c in tables.sessions.columns if c not in _roles(columns)]
    if spare:
        out.append(("not used", ", ".join(spare[:12]) + (f" and {len(spare) - 12} more" if len(spare) > 12 else "")))
    return out + _counted(data)


def _roles(columns: Columns) -> set[str | None]:
    return {columns.patient, columns.therapist, columns.session, columns.time, columns.episode, *columns.scores}


def _counted(data: Loose) -> list[tuple[str, str]]:
    rows = data.rows_each
    held = rows[rows > 0]
    out = [("patients", f"{data.n_patients}, {len(held)} with sessions")]
    if len(held):
        low, middle, high = np.quantile(held, [0.25, 0.5, 0.75])
        out.append(
            (
                "sessions held",
                f"{data.n_rows}; each patient {held.min()} to {held.max()}, median {middle:g}, "
                f"middle half {low:g} to {high:g}",
            )
        )
    staff = counts.therapists(data)
    if len(staff):
        out.append(("therapists", f"{len(staff)}, {int((staff['patients'] == 1).sum())} of them with one patient"))
    gap = counts.gaps(data)
    if len(gap):
        unit = "days" if data.is_date else f"units of {data.columns.time!r}"
        out.append(("between sessions", f"median {np.median(gap):.3g} {unit}, longest {gap.max():.4g}"))
    if data.columns.alliance is not None:
        order = "after the outcome of its row" if data.timing == "after" else "before the outcome of its row"
        out.append((data.columns.alliance, f"rated {order}; {usable_steps(data)} steps usable for its effect"))
    return out


def _totals(data: Loose, items: Mapping[str, Sequence[str]]) -> list[str]:
    """Scores that are neither the sum nor the mean of the items given for them."""
    out = []
    for scale in items:
        if scale not in data.items:
            out.append(f"Items of {scale!r}: fewer than two of their columns are in the sessions table.")
            continue
        if scale not in data.scores:
            continue
        grid, total = data.items[scale], data.scores[scale]
        whole = np.isfinite(grid).all(axis=1) & np.isfinite(total)
        wrong = _differs(grid[whole], total[whole])
        if wrong:
            out.append(
                f"{wrong} of {int(whole.sum())} values of {scale!r} are neither the sum nor the mean of its items: "
                "reversed items, another scoring, or typing errors."
            )
    return out


def _unit(data: Loose, scale: str) -> float:
    """What turns an error of the sum of the items into the units of the score: 1 / items where it is their mean."""
    grid, total = data.items[scale], data.scores.get(scale)
    if total is None:
        return 1.0
    whole = np.isfinite(grid).all(axis=1) & np.isfinite(total)
    of_sum, of_mean = _misses(grid[whole], total[whole])
    return 1.0 / grid.shape[1] if of_mean < of_sum else 1.0


def _differs(grid: Floats, total: Floats) -> int:
    return min(_misses(grid, total))


def _misses(grid: Floats, total: Floats) -> tuple[int, int]:
    """How many totals are not the sum of their items, and how many not the mean."""
    if len(total) == 0:
        return 0, 0
    off = [np.abs(total - value) > TOLERANCE for value in (grid.sum(axis=1), grid.mean(axis=1))]
    return int(off[0].sum()), int(off[1].sum())
