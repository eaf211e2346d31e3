"""Read a panel from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from features import Columns, Panel
from features.checks import ALL_SCORES
from features.columns import DEFAULT_THERAPIST
from features.errors import check_option, listed
from features.measures import Better, Measure
from features.panel import Timing
from personalize.files.gather import Absent, Gathered, Sheets, Source, gather
from personalize.files.options import ReadOptions

MissingCodes = Sequence[float | str] | Mapping[str, Sequence[float | str]]


def read_panel(
    sessions: Source,
    patients: Source | None = None,
    therapists: Source | None = None,
    *,
    columns: Columns | None = None,
    timing: Timing = "after",
    missing_codes: MissingCodes = (),
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
    absent: Absent = "error",
) -> Panel:
    """Read session data, patients and therapists from files into a `Panel`.

    Parameters
    ----------
    sessions : path or DataFrame
        One row a session, or with ``layout="wide"`` one row a patient. Readable: CSV, TSV and other delimited text,
        Parquet, SPSS (``.sav``, ``.zsav``), Stata (``.dta``), Excel (``.xlsx``; sheets called sessions, patients and
        therapists are found by themselves).
    patients, therapists : path or DataFrame, optional
        One row a patient; one row a therapist.
    columns : Columns
        Which column plays which role. In a wide table a role names a measure: ``outcome="phq9"`` for ``phq9_s1``, ...
    timing, measures, out_of_range, better, episodes
        As in `features.Panel`.
    missing_codes : sequence, or mapping of column to sequence
        As in `features.Panel`. User-missing codes that SPSS and Stata files declare are respected without it.
    layout : {"long", "wide"}
        How the sessions are laid out.
    wide : mapping of role column to pattern, optional
        How the columns of a wide table are named, where guessing fails: ``{"phq9": "phq9_s{session}"}``. What was
        guessed stands in ``panel.notes``; `guess_wide` shows it before.
    trailing : {"ended", "missing"}
        What a wide table's sessions after a patient's last score are: never held, since treatment had ended, or held
        and not rated. Sessions without a score before the last one are always missing.
    intake : sequence of str, optional
        Columns of the sessions file that describe the patient at intake; they must not change within a patient. In a
        wide table all columns without a number do, unless this names some.
    sheet : str or int, or mapping of {"sessions", "patients", "therapists"} to str or int, optional
        Sheets of a workbook.
    date_format : str, optional
        How the dates of ``columns.time`` are written where not as year-month-day, such as ``"%d.%m.%Y"``.
    delimiter, decimal, encoding
        Of text files, as in `read_table`.
    leave_out : sequence of str
        Columns of the patients and therapists tables that are neither used nor kept, such as names and remarks.
    absent : {"error", "unknown"}
        What to do where no table has the therapist column, or a column that ``missing_codes`` or ``leave_out`` names:
        refuse, or go on without and say so in ``panel.notes`` (new patients need not have all that the analysed ones
        had).

    Returns
    -------
    Panel
        ``panel.names`` holds the file names, ``panel.labels`` the variable labels, ``panel.notes`` what was done.

    Raises
    ------
    FileError
        When a file cannot be read as what it claims to be.
    PanelError
        When the tables break the panel's contract.
    OptionError
        When an option has a value that is not allowed.

    Notes
    -----
    Identifiers keep their leading zeros. Value labels of the patients and therapists tables become categories, session
    scores stay numbers. Blank cells and the words in `personalize.files.text.MISSING_TEXT` are missing.
    """
    check_option("absent", absent, ("error", "unknown"))
    columns = columns or Columns()
    tables = gather(
        sessions,
        patients,
        therapists,
        columns=columns,
        options=ReadOptions(delimiter=delimiter, decimal=decimal, encoding=encoding),
        layout=layout,
        wide=wide,
        trailing=trailing,
        intake=intake,
        sheet=sheet,
        date_format=date_format,
        missing_codes=missing_codes,
        leave_out=leave_out,
        absent=absent,
    )
    if isinstance(missing_codes, Mapping):
        missing_codes = {name: codes for name, codes in missing_codes.items() if name not in leave_out}
    if absent == "unknown":
        tables, columns, missing_codes = _there(tables, columns, missing_codes)
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
        labels=tables.labels,
    )
    panel.notes[:0] = tables.notes
    return panel


def _there(tables: Gathered, columns: Columns, codes: MissingCodes) -> tuple[Gathered, Columns, MissingCodes]:
    """Tables, roles and missing codes without those of columns that no table has, each with a note."""
    frames = [frame for frame in (tables.sessions, tables.patients) if frame is not None]
    there = {str(name) for frame in frames for name in (*frame.columns, *frame.index.names)}
    notes = list(tables.notes)
    if columns.therapist not in (None, DEFAULT_THERAPIST) and columns.therapist not in there:
        notes.append(f"No table says who treats whom ({columns.therapist!r}): therapists count as unknown.")
        columns, tables = replace(columns, therapist=None), replace(tables, therapists=None)
    if tables.therapists is not None:
        there |= set(map(str, tables.therapists.columns))
    if isinstance(codes, Mapping):
        gone = [name for name in codes if name not in there and name != ALL_SCORES]
        if gone:
            notes.append(f"Missing codes of {listed(gone)} were not needed: no table has the column.")
        codes = {name: own for name, own in codes.items() if name not in gone}
    return replace(tables, notes=notes), columns, codes
