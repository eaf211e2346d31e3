"""Bring the files of a study into the three tables a panel takes: sessions, patients, therapists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from features import Columns
from features.checks import Codes, codes_of, duplicated_columns, ids, missing_columns, nested, stripped
from features.door import spelling
from features.errors import FileError, OptionError, PanelError, check_option, counted, listed
from personalize.files.identifiers import align_identifiers
from personalize.files.options import ReadOptions
from personalize.files.readers import read_with
from personalize.files.reshape import wide_to_long
from personalize.files.sheets import sheet_names
from personalize.files.table import Table
from personalize.files.wide import WideColumns, find_wide, guess_wide

Source = str | Path | pd.DataFrame
Sheets = str | int | Mapping[str, str | int] | None
ROLES = ("sessions", "patients", "therapists")
Absent = Literal["error", "unknown"]


@dataclass(frozen=True)
class Gathered:
    """Three tables, not checked yet.

    Attributes
    ----------
    sessions : DataFrame, one row a session
    patients, therapists : DataFrame or None
    names : mapping of role to str
        File (and sheet) of each table.
    labels : mapping of column to str
        Variable labels.
    value_labels : mapping of column to mapping of code to str
        Value labels of the session scores.
    notes : list of str
        What was done on the way, with counts.
    """

    sessions: pd.DataFrame
    patients: pd.DataFrame | None
    therapists: pd.DataFrame | None
    names: dict[str, str]
    labels: dict[str, str]
    value_labels: dict[str, Mapping[float | str, str]]
    notes: list[str]


def gather(
    sessions: Source,
    patients: Source | None,
    therapists: Source | None,
    *,
    columns: Columns,
    options: ReadOptions,
    layout: Literal["long", "wide"],
    wide: Mapping[str, str] | None,
    trailing: Literal["ended", "missing"],
    intake: Sequence[str] | None,
    sheet: Sheets,
    date_format: str | None,
    missing_codes: Codes | Mapping[str, Codes],
    leave_out: Sequence[str] = (),
    absent: Absent = "error",
) -> Gathered:
    """Read, reshape and align the files; `personalize.files.read_panel` documents the options."""
    check_option("layout", layout, ("long", "wide"))
    if wide is not None and layout != "wide":
        raise OptionError("wide=... names the columns of a wide table; pass layout='wide' with it.")
    tables = _read({"sessions": sessions, "patients": patients, "therapists": therapists}, sheet, options)
    notes = [note for table in tables.values() for note in table.notes]
    main = tables["sessions"]
    if layout == "wide":
        main, intake_table = _from_wide(main, columns, wide or {}, trailing, intake, missing_codes, notes)
        own: Table | None = intake_table
    else:
        _refuse_wide(main, columns)
        main, own = _from_long(main, columns, intake, notes)
    tables["sessions"] = main
    if own is not None:
        tables["patients"] = _joined(own, tables.get("patients"), columns, notes)
    tables |= _lighter(tables, columns, leave_out, absent, notes)
    frames = {key: table.categories((columns.patient, str(columns.therapist))) for key, table in tables.items()}
    frames["sessions"] = _dated(main.frame, main.name, columns.time, date_format)
    for column in (columns.patient, columns.therapist, columns.episode):
        frames = align_identifiers(frames, column)
    return Gathered(
        frames["sessions"],
        frames.get("patients"),
        frames.get("therapists"),
        {key: table.name for key, table in tables.items()},
        {name: text for table in reversed(list(tables.values())) for name, text in table.labels.items()},
        {name: codes for name, codes in main.value_labels.items() if name in columns.scores},
        notes,
    )


def _lighter(
    tables: Mapping[str, Table], columns: Columns, leave_out: Sequence[str], absent: Absent, notes: list[str]
) -> dict[str, Table]:
    """The patients and therapists tables without the columns that are not to be used."""
    described = {key: table for key, table in tables.items() if key != "sessions"}
    there = {str(name) for table in described.values() for name in table.frame.columns}
    if isinstance(leave_out, str):
        raise OptionError(f"leave_out={leave_out!r} is not allowed; give a list of columns: [{leave_out!r}].")
    playing = (columns.patient, columns.therapist, columns.episode, *columns.scores)
    roles = [name for name in leave_out if name in playing]
    if roles:
        raise OptionError(
            f"leave_out: {listed(roles)} plays a role; to have no therapists pass Columns(therapist=None)."
        )
    used_by_name = {str(name) for name in tables["sessions"].frame.columns}  # further columns there are never used
    unknown = [name for name in leave_out if name not in there and name not in used_by_name]
    if unknown and absent == "error":
        raise OptionError(
            f"leave_out: no patients or therapists table has a column {listed(unknown)}; there is "
            f"{listed(sorted(there), 30) or 'no such table'}."
        )
    if unknown:
        notes.append(f"Nothing to leave out: no patients or therapists table has a column {listed(unknown, 30)}.")
    gone = [name for name in leave_out if name in there]
    if gone:
        notes.append(f"Left out as asked: {listed(gone, 30)}.")
    return {
        key: table.with_frame(table.frame[[name for name in table.frame.columns if str(name) not in gone]])
        for key, table in described.items()
    }


def _read(sources: Mapping[str, Source | None], sheet: Sheets, options: ReadOptions) -> dict[str, Table]:
    paths = {key: Path(s).expanduser() for key, s in sources.items() if isinstance(s, str | Path)}
    given = {key: source for key, source in sources.items() if source is not None}
    sheets: dict[str, str | int | None] = dict.fromkeys(ROLES)
    if isinstance(sheet, Mapping):
        unknown = [key for key in sheet if key not in ROLES]
        if unknown:
            raise OptionError(
                f"sheet: {listed(unknown)} is no table; name sheets for 'sessions', 'patients', 'therapists'."
            )
        sheets.update(sheet)
        for key in sheet:
            if key not in given and "sessions" in paths:
                given[key] = paths[key] = paths["sessions"]
    elif sheet is not None:
        sheets["sessions"] = sheet
    else:
        _sheets_by_role(paths, given, sheets)
    out = {}
    for key in ROLES:
        source = given.get(key)
        if source is None:
            continue
        if isinstance(source, pd.DataFrame):
            out[key] = Table(source, key)
        elif key in paths:
            out[key] = read_with(paths[key], replace(options, sheet=sheets[key]))
        else:
            raise FileError(f"{key}: the path of a file (or a DataFrame) is needed, {type(source).__name__} came.")
    return out


def _sheets_by_role(paths: dict[str, Path], given: dict[str, Source], sheets: dict[str, str | int | None]) -> None:
    """Take sheets that are called sessions, patients and therapists for what they say they are."""
    book = paths.get("sessions")
    if book is None or book.suffix.lower() not in (".xlsx", ".xlsm") or not book.is_file():
        return
    try:
        titles = {title.strip().casefold(): title for title in sheet_names(book)}
    except FileError:
        return  # reading it will say what is wrong
    if "sessions" not in titles:
        return
    sheets["sessions"] = titles["sessions"]
    for key in ("patients", "therapists"):
        if key in titles and paths.get(key, book) == book and not isinstance(given.get(key), pd.DataFrame):
            given[key], paths[key], sheets[key] = book, book, titles[key]


def _refuse_wide(table: Table, columns: Columns) -> None:
    """Say so where a table that is read as long is plainly wide."""
    if columns.outcome in table.frame.columns:
        return
    try:
        group = find_wide(table.name, map(str, table.frame.columns), columns.outcome)
    except PanelError:
        return
    raise PanelError(
        f"{table.name}: there is no column {columns.outcome!r}, but the table looks wide, one row a patient: {group}. "
        "Pass layout='wide' to read it so."
    )


def _from_long(
    table: Table, columns: Columns, intake: Sequence[str] | None, notes: list[str]
) -> tuple[Table, Table | None]:
    """Take the columns that describe the patient out of a long table; they must not change within a patient."""
    if not intake:
        return table, None
    frame = table.frame
    patient = _patient(table, columns.patient, required=False)
    absent = [name for name in intake if name not in frame.columns]
    if absent:
        raise PanelError(
            f"{table.name}: column {listed(absent)} is not there; the table has {listed(frame.columns, 30)}."
        )
    lists = [name for name in intake if nested(frame[name])]
    if lists:
        raise PanelError(
            f"{table.name}: column {listed(lists)} holds lists or tables in its cells; keep one value a cell."
        )
    known = patient.notna().to_numpy()
    own = frame.loc[known, list(intake)].groupby(patient[known].to_numpy(), sort=False)
    changing = own.nunique() > 1
    for name in intake:
        if changing[name].any():
            raise PanelError(
                f"{table.name}: column {name!r} changes within patient {listed(changing.index[changing[name]])}, so it "
                "does not describe the patient at intake; leave it out of intake, or make it a covariate."
            )
    notes.append(f"{table.name}: {listed(intake, 30)} taken as what is known of the patient at intake.")
    first = own.first().rename_axis(columns.patient).reset_index()
    return table, replace(table, frame=first, coded={}, notes=())


def _patient(table: Table, column: str, *, required: bool = True) -> pd.Series:
    """The patient column as clean identifiers, where reshaping needs them before the panel checks everything."""
    problems: list[str] = []
    duplicated_columns(table.name, table.frame, problems)
    if not problems:
        missing_columns(table.name, table.frame, {"patient": column}, problems)
    if problems:
        raise PanelError(problems)
    clean = ids(table.name, table.frame, column, problems, required=required)
    if problems:
        raise PanelError(problems)
    return clean


def _from_wide(
    table: Table,
    columns: Columns,
    wide: Mapping[str, str],
    trailing: Literal["ended", "missing"],
    intake: Sequence[str] | None,
    missing_codes: Codes | Mapping[str, Codes],
    notes: list[str],
) -> tuple[Table, Table]:
    """Split a wide table in sessions (long) and patients; what was taken for what goes to ``notes``."""
    patient = _patient(table, columns.patient)
    frame = table.frame.assign(**{columns.patient: patient})
    names = [str(name) for name in frame.columns]
    measured = [*columns.scores, *([columns.time] if columns.time is not None else [])]
    unknown = [name for name in wide if name not in measured]
    if unknown:
        raise OptionError(f"wide: {listed(unknown)} plays no role in Columns; patterns are named for roles.")
    groups = [find_wide(table.name, names, name, wide.get(name)) for name in measured]
    used = {column for group in groups for column in group.columns.values()}
    blanked, coded = _without_codes(frame, groups, missing_codes, table)
    long = wide_to_long(
        blanked, groups, patient=columns.patient, session=columns.session, scores=columns.scores, trailing=trailing
    )
    notes.append(f"{table.name}: read as wide, one row a patient; {'; '.join(map(str, groups))}.")
    if coded:
        notes.append(f"{table.name}: {counted(coded, 'value')} set to missing by missing_codes.")
    if long.ended:
        notes.append(
            f"{table.name}: {counted(long.ended, 'session')} after a patient's last score taken as not held (treatment "
            f"ended{_also_coded(table, used)}); pass trailing='missing' if they were held but not rated."
        )
    if long.inner:
        notes.append(
            f"{table.name}: {counted(long.inner, 'session')} without a score before a later one kept as missing."
        )
    repeated = {c for group in guess_wide(n for n in names if n not in used) for c in group.columns.values()}
    rest = [name for name in names if name not in used and name not in repeated and name != columns.session]
    if intake is not None:
        keys = [c for c in (columns.patient, columns.therapist, columns.episode) if c in names]
        absent = [name for name in intake if name not in names]
        if absent:
            raise PanelError(
                f"{table.name}: column {listed(absent)} (intake) is not there; it has {listed(names, 30)}."
            )
        rest = [*keys, *(name for name in intake if name not in keys)]
    described = [name for name in rest if name not in (columns.patient, columns.therapist, columns.episode)]
    if described:
        notes.append(
            f"{table.name}: {listed(described, 30)} taken as what is known of the patient at intake; name the right "
            "ones with intake=[...] if any was measured later."
        )
    if repeated and intake is None:
        notes.append(
            f"{table.name}: {counted(len(repeated), 'further numbered column')} left out: "
            f"{listed(sorted(repeated), 6)}."
        )
    labels = {**table.labels, **{group.name: text for group in groups if (text := _common_label(table, group))}}
    values = {
        **table.value_labels,
        **{g.name: table.value_labels[c] for g in groups for c in g.columns.values() if c in table.value_labels},
    }
    sessions = replace(table, frame=long.sessions, labels=labels, value_labels=values, coded={}, notes=())
    return sessions, replace(table, frame=frame[rest], coded={}, notes=())


def _also_coded(table: Table, used: set[str]) -> str:
    """A warning for sessions whose cells carry a code: somebody may have noted there that a session was held."""
    n = sum(len(codes) for column, codes in table.coded.items() if column in used)
    return f"; {counted(n, 'cell')} with a user-missing code count as empty" if n else ""


def _without_codes(
    frame: pd.DataFrame, groups: Sequence[WideColumns], codes: Codes | Mapping[str, Codes], table: Table
) -> tuple[pd.DataFrame, int]:
    """Blank missing codes before it is decided which sessions were held; return the count too."""
    out, count = frame.copy(deep=False), 0
    for group in groups:
        mine = codes_of(codes, group.name)
        for column in group.columns.values() if len(mine) else ():
            values = stripped(frame[column]) if not pd.api.types.is_numeric_dtype(frame[column]) else frame[column]
            hit = values.isin(list(mine)).to_numpy()
            if hit.any():
                count += int(hit.sum())
                out[column] = frame[column].astype(float if pd.api.types.is_numeric_dtype(frame[column]) else object)
                out[column] = out[column].mask(hit, np.nan if pd.api.types.is_numeric_dtype(out[column]) else None)
    return out, count


def _common_label(table: Table, group: WideColumns) -> str:
    texts = [table.labels[column] for column in group.columns.values() if column in table.labels]
    if not texts:
        return ""
    shared = texts[0]
    for text in texts[1:]:
        shared = shared[: next((i for i, (a, b) in enumerate(zip(shared, text, strict=False)) if a != b), len(shared))]
    return shared.rstrip(" -_,:;.(0") if len(texts) > 1 else shared


def _joined(own: Table, listed_table: Table | None, columns: Columns, notes: list[str]) -> Table:
    """The patients table, with the columns of the sessions file that describe the patient added to it."""
    if listed_table is None:
        return own
    new = [c for c in own.frame.columns if c not in listed_table.frame.columns and c != columns.patient]
    if not new or columns.patient not in listed_table.frame.columns:
        return listed_table
    frames = align_identifiers({"own": own.frame, "listed": listed_table.frame}, columns.patient)
    keys = _patient(listed_table.with_frame(frames["listed"]), columns.patient)
    theirs = _patient(own.with_frame(frames["own"]), columns.patient)
    known = set(keys)
    absent = [key for key in theirs if key not in known]
    if absent:
        raise PanelError(
            f"{listed_table.name}: patient {listed(absent)} is in {own.name} but has no row here"
            f"{spelling(absent, known)}; add the rows, or leave the patients table out."
        )
    place = pd.Index(theirs.tolist(), dtype=object).get_indexer(pd.Index(keys.tolist(), dtype=object))
    added = frames["own"][new].reset_index(drop=True).reindex(np.where(place < 0, len(theirs), place))
    merged = frames["listed"].assign(**{name: added[name].to_numpy() for name in new})
    notes.append(f"{listed_table.name}: {listed(new, 30)} added from {own.name}.")
    return replace(
        listed_table,
        frame=merged,
        labels={**own.labels, **listed_table.labels},
        value_labels={**own.value_labels, **listed_table.value_labels},
    )


def _dated(frame: pd.DataFrame, name: str, time: str | None, date_format: str | None) -> pd.DataFrame:
    if date_format is None:
        return frame
    if time is None:
        raise OptionError("date_format is for the column named with Columns(time=...), and none is named.")
    if time not in frame.columns or pd.api.types.is_datetime64_any_dtype(frame[time]):
        return frame
    raw = frame[time]
    text = (
        raw.astype("Int64").astype(str).where(raw.notna(), None)
        if pd.api.types.is_numeric_dtype(raw)
        else stripped(raw)
    )
    try:
        stamps = pd.to_datetime(text, format=date_format, errors="coerce")
    except ValueError as error:
        raise OptionError(f"date_format={date_format!r} cannot be used ({error}); '%d.%m.%Y' is 31.03.2024.") from error
    bad = (text.notna() & stamps.isna()).to_numpy()
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise PanelError(
            f"{name}: column {time!r} has {counted(bad.sum(), 'value')} not written as {date_format!r}, first "
            f"{raw.iloc[first]!r} (data row {first + 1}); correct them, or pass the date_format that fits."
        )
    return frame.assign(**{time: stamps})
