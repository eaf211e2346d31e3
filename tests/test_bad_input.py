"""Every kind of bad input and the message it gets: what was found where, and what to do about it."""

from __future__ import annotations

import copy
import datetime as dt
import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest

from features import Columns, OptionError, Panel, PanelError, PersonalizeError
from features.errors import FileError
from personalize.files import read_panel, read_table

N_PATIENTS, N_SESSIONS = 12, 3
ROLES = Columns(alliance="wai", covariates=["mood"])

Tables = dict[str, pd.DataFrame | None]


def tables() -> Tables:
    """Twelve patients with three sessions each, four therapists: nothing wrong with them."""
    rng = np.random.default_rng(0)
    ids = [f"p{i:02d}" for i in range(N_PATIENTS)]
    sessions = pd.DataFrame(
        {
            "patient_id": np.repeat(ids, N_SESSIONS),
            "session": np.tile(np.arange(1, N_SESSIONS + 1), N_PATIENTS),
            "date": np.tile(["2024-01-01", "2024-01-08", "2024-01-15"], N_PATIENTS),
            "outcome": rng.integers(0, 28, N_PATIENTS * N_SESSIONS),
            "wai": rng.normal(5, 1, N_PATIENTS * N_SESSIONS).round(2),
            "mood": rng.normal(0, 1, N_PATIENTS * N_SESSIONS).round(2),
        }
    )
    staff = [f"t{i % 4}" for i in range(N_PATIENTS)]
    patients = pd.DataFrame({"patient_id": ids, "therapist_id": staff, "age": np.arange(30, 30 + N_PATIENTS)})
    therapists = pd.DataFrame({"therapist_id": [f"t{i}" for i in range(4)], "years": [1, 5, 9, 20]})
    return {"sessions": sessions, "patients": patients, "therapists": therapists}


def put(table: str, column: str, value: Any, row: int = 4) -> Callable[[Tables], None]:
    """A change: one cell of one table (the whole column where ``row`` is None)."""

    def change(data: Tables) -> None:
        frame = data[table]
        assert frame is not None
        if row < 0:
            frame[column] = value
            return
        cells = frame[column].tolist()
        cells[row] = value
        frame[column] = pd.Series(cells, dtype=object)

    return change


def column(table: str, name: str, values: Callable[[pd.DataFrame], Any]) -> Callable[[Tables], None]:
    """A change: a whole column, made from the table."""

    def change(data: Tables) -> None:
        frame = data[table]
        assert frame is not None
        frame[name] = values(frame)

    return change


def table(name: str, change_frame: Callable[[pd.DataFrame], Any]) -> Callable[[Tables], None]:
    """A change: a whole table."""

    def change(data: Tables) -> None:
        data[name] = change_frame(data[name])  # type: ignore[arg-type]

    return change


def drop_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[:0]


PANEL_CASES: dict[str, tuple[Callable[[Tables], None], dict[str, Any], str]] = {
    "column missing": (
        table("sessions", lambda f: f.drop(columns="outcome")),
        {},
        r"sessions: column 'outcome' \(the outcome\) is not there; the table has 'patient_id', .*Columns\(outcome=",
    ),
    "columns missing, all told": (
        table("sessions", lambda f: f.drop(columns=["outcome", "wai"])),
        {},
        r"(?s)2 problems in the data:.*\(the outcome\).*\(the alliance\)",
    ),
    "covariate missing": (
        table("sessions", lambda f: f.drop(columns="mood")),
        {},
        r"column 'mood' \(the covariates\[0\]\) is not there",
    ),
    "patient column missing in patients": (
        table("patients", lambda f: f.drop(columns="patient_id")),
        {},
        r"patients: column 'patient_id' \(the patient\) is not there; the table has 'therapist_id', 'age'",
    ),
    "column twice": (
        table("sessions", lambda f: pd.concat([f, f[["wai"]]], axis=1)),
        {},
        r"sessions: column 'wai' stands more than once; rename or drop the copy",
    ),
    "two header rows": (
        table("sessions", lambda f: f.set_axis(pd.MultiIndex.from_product([["a"], f.columns]), axis=1)),
        {},
        r"sessions: the columns have 2 header rows .*flatten them",
    ),
    "no frame": (
        table("sessions", lambda f: "sessions.csv"),
        {},
        r"sessions: a pandas DataFrame is needed, str came; read files with personalize.read_panel",
    ),
    "no rows and no patients": (
        lambda data: data.update(sessions=drop_rows(data["sessions"]), patients=None, therapists=None),  # type: ignore[arg-type]
        {},
        r"sessions: the table has no rows; without a patients table there is nothing to do",
    ),
    "same session twice": (
        put("sessions", "session", 1),
        {},
        r"1 row with a patient and session that stand there already, first patient 'p01', session 1 .*keep one row",
    ),
    "exact copies": (
        table("sessions", lambda f: pd.concat([f, f.iloc[[5]]])),
        {},
        r"they are exact copies: drop the copies",
    ),
    "decimal comma": (
        put("sessions", "wai", "4,5"),
        {},
        r"column 'wai' must be numeric but has 1 other value, first '4,5' for patient 'p01' \(data row 5\): a decimal "
        r"comma among numbers with points: correct them",
    ),
    "word for missing": (
        put("sessions", "wai", "refused"),
        {},
        r"first 'refused' for patient 'p01' .*missing_codes=\['refused'\]",
    ),
    "list in a cell": (
        put("sessions", "wai", [5]),
        {},
        r"column 'wai' must be numeric but has 1 other value, first \[5\]",
    ),
    "infinite": (
        put("sessions", "outcome", np.inf),
        {},
        r"column 'outcome' has 1 infinite value \(patient 'p01'\); mark them as missing or correct them",
    ),
    "infinite at intake": (
        put("patients", "age", np.inf),
        {},
        r"patients: column 'age' has 1 infinite value \(patient_id 'p04'\)",
    ),
    "dates as scores": (
        column("sessions", "outcome", lambda f: pd.to_datetime(f["date"])),
        {},
        r"column 'outcome' holds dates where numbers are needed; name another column",
    ),
    "complex numbers": (
        column("sessions", "wai", lambda f: f["wai"].astype(complex)),
        {},
        r"column 'wai' holds complex128 values where numbers are needed",
    ),
    "patient blank": (
        put("sessions", "patient_id", "  "),
        {},
        r"sessions: column 'patient_id' is empty in 1 row \(data row 5\); every row needs an identifier: fill it in",
    ),
    "patients text and numbers in one column": (
        put("sessions", "patient_id", 4),
        {},
        r"column 'patient_id' mixes text and numbers as identifiers, e.g. 'p00', 4; read it as text",
    ),
    "patients text here and numbers there": (
        lambda data: (
            column("sessions", "patient_id", lambda f: f["patient_id"].str[1:].astype(int))(data),
            column("patients", "patient_id", lambda f: f["patient_id"].str[1:].astype(int).astype(str))(data),
        )[0],
        {},
        r"patients: patient 0, 1, 2, 3, 4 and 7 more has sessions but no row here \(the identifiers differ only in "
        r"being text or numbers: read both tables alike\)",
    ),
    "leading zeros lost": (
        column("patients", "patient_id", lambda f: f["patient_id"].str.replace("p0", "p").str.replace("p", "00p")),
        {},
        r"has sessions but no row here",
    ),
    "identifiers of lists": (
        column("sessions", "patient_id", lambda f: [[1]] * len(f)),
        {},
        r"column 'patient_id' holds 'list' values where identifiers are needed",
    ),
    "identifiers true and false": (
        column("patients", "therapist_id", lambda f: np.arange(len(f)) % 2 == 0),
        {},
        r"column 'therapist_id' holds True, False where identifiers are needed; an identifier is text or a whole",
    ),
    "patient not in patients": (
        table("patients", lambda f: f.iloc[1:]),
        {},
        r"patients: patient 'p00' has sessions but no row here; add the rows, or leave the patients table out",
    ),
    "patient twice in patients": (
        table("patients", lambda f: pd.concat([f, f.iloc[[3]]])),
        {},
        r"patients: patient 'p03' stands in more than one row; keep one row a patient",
    ),
    "therapist not in therapists": (
        table("therapists", lambda f: f.iloc[1:]),
        {},
        r"therapists: therapist 't0' treats patients but has no row here; add the rows",
    ),
    "therapist twice in therapists": (
        table("therapists", lambda f: pd.concat([f, f.iloc[[3]]])),
        {},
        r"therapists: therapist 't3' stands in more than one row; keep one row a therapist",
    ),
    "therapists without a therapist column": (
        table("patients", lambda f: f.drop(columns="therapist_id")),
        {},
        r"the therapist column 'therapist_id' is in neither the sessions nor the patients table; name it",
    ),
    "therapists but no role": (
        lambda data: None,
        {"columns": Columns(therapist=None)},
        r"a therapists table came, but Columns\(therapist=None\) names no therapist",
    ),
    "therapist changes": (
        column("sessions", "therapist_id", lambda f: np.where(f["session"] < 3, "t1", "t2")),
        {},
        r"the therapist changes within patient 'p00', .* and 7 more; correct it, or pass episodes='patient-therapist'",
    ),
    "therapist differs between tables": (
        column("sessions", "therapist_id", lambda f: "t1"),
        {},
        r"the therapist of patient 'p00', .* differs from the sessions table \(e.g. 't0' here, 't1' there\)",
    ),
    "therapist blank in a patient with several": (
        column("sessions", "therapist_id", lambda f: f["session"].map({1: "t1", 2: None, 3: "t2"})),
        {"episodes": "patient-therapist"},
        r"12 sessions without a therapist for patient 'p00', .* who has several; fill the therapist in",
    ),
    "session number not whole": (
        put("sessions", "session", 1.5),
        {},
        r"column 'session' must hold whole numbers from 0 to 100000 but has 1 other value \(patient 'p01', e.g. 1.5\)",
    ),
    "session number negative": (
        put("sessions", "session", -1),
        {},
        r"whole numbers from 0 .* \(patient 'p01', e.g. -1\)",
    ),
    "session number missing": (
        put("sessions", "session", None),
        {},
        r"whole numbers from 0 .* \(patient 'p01', e.g. None",
    ),
    "session numbers against dates": (
        put("sessions", "date", "2023-01-01"),
        {"columns": Columns(time="date")},
        r"session numbers and 'date' run in different orders for patient 'p01'; correct one of the two",
    ),
    "date not ISO": (
        put("sessions", "date", "31.03.2024"),
        {"columns": Columns(time="date")},
        r"column 'date' should hold numbers or ISO dates .* first '31.03.2024' for patient 'p01' .*date_format='%d",
    ),
    "date without dashes": (
        column("sessions", "date", lambda f: f["date"].str.replace("-", "").astype(int)),
        {"columns": Columns(time="date")},
        r"numbers such as 20240101, which look like dates without dashes",
    ),
    "date missing": (
        put("sessions", "date", None),
        {"columns": Columns(time="date")},
        r"column 'date' is empty in 1 row \(patient 'p01'\); every session needs its time",
    ),
    "order unknown": (
        table("sessions", lambda f: f.drop(columns="session").assign(date="2024-01-01")),
        {"columns": Columns(time="date")},
        r"24 rows with the same 'date' as another row of the patient .*add a column of session numbers",
    ),
    "out of range": (
        put("sessions", "outcome", 99),
        {"measures": {"outcome": "phq9"}},
        r"column 'outcome' has 99 for patient 'p01', session 2; phq9 runs from 0 to 27 .*missing_codes=\[99\].*"
        r"out_of_range='missing'",
    ),
    "outcome empty": (
        put("sessions", "outcome", None, row=-1),
        {},
        r"column 'outcome' \(the outcome\) is empty in all 36 rows",
    ),
    "alliance constant": (
        put("sessions", "wai", 5, row=-1),
        {},
        r"'wai' \(the alliance\) is 5 in every row; a constant cannot be analysed.*leave the alliance out of Columns",
    ),
    "lists at intake": (
        column("patients", "age", lambda f: [[1]] * len(f)),
        {},
        r"patients: column 'age' holds lists or tables in its cells; keep one value a cell",
    ),
    "episode blank": (
        column("sessions", "course", lambda f: None),
        {"columns": Columns(episode="course")},
        r"sessions: column 'course' is empty in 36 rows",
    ),
    "two ways of episodes": (
        column("sessions", "course", lambda f: 1),
        {"columns": Columns(episode="course"), "episodes": "patient-therapist"},
        r"episodes='patient-therapist' and Columns\(episode=\.\.\.\) exclude each other",
    ),
}

OPTION_CASES: dict[str, tuple[dict[str, Any], str]] = {
    "timing": ({"timing": "during"}, r"timing='during' is not allowed; choose one of 'after', 'before'"),
    "direction": ({"better": "up"}, r"better='up' is not allowed; choose one of None, 'low', 'high'"),
    "direction against measure": (
        {"better": "high", "measures": {"outcome": "phq9"}},
        r"better='high' contradicts measure 'phq9', where low is better",
    ),
    "measure unknown": (
        {"measures": {"outcome": "phq10"}},
        r"measure 'phq10' is not in the registry \(did you mean 'phq9'\?\); it holds .*phq9",
    ),
    "measure of nothing": ({"measures": {"age": "phq9"}}, r"measures: 'age' plays no role"),
    "missing code for no column": ({"missing_codes": {"wia": [9]}}, r"missing_codes: no table has a column 'wia'"),
    "missing code no value": ({"missing_codes": [[9]]}, r"missing_codes: \[9\] is neither a number nor text"),
}

COLUMN_CASES: dict[str, tuple[dict[str, Any], str]] = {
    "one column, two roles": ({"outcome": "wai", "alliance": "wai"}, r"'wai' is given two roles"),
    "outcome is the session": ({"outcome": "session"}, r"'session' is given two roles"),
    "session is time": ({"session": "week", "time": "week"}, r"session and time name the same column"),
    "no name": ({"outcome": None}, r"outcome=None is not a column name"),
    "covariate no name": ({"covariates": [3]}, r"covariates holds 3, which is not a column name"),
}


def workbook(path: Path, **sheets: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    book.remove(book.active)  # type: ignore[arg-type]
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)


FILE_CASES: dict[str, tuple[str, bytes | Callable[[Path], None] | None, dict[str, Any], str]] = {
    "no such file": ("missing.csv", None, {}, r"missing.csv: there is no such file; check the path"),
    "no such folder": ("nowhere/x.csv", None, {}, r"there is no folder '.*nowhere'; check the path"),
    "a folder": ("folder.csv", lambda p: p.mkdir(), {}, r"folder.csv: is a folder, not a file"),
    "empty": ("a.csv", b"", {}, r"a.csv: the file is empty; export the table again"),
    "blank": ("a.csv", b"\n \n", {}, r"a.csv: the file is empty"),
    "wrong delimiter": (
        "a.csv",
        b"id;score\n1;2\n",
        {"delimiter": ","},
        r"a.csv: with delimiter=',' the first line is one single column, 'id;score'; .*pass delimiter=';'",
    ),
    "wrong encoding": (
        "a.csv",
        "id,site\n1,Köln\n".encode("cp1252"),
        {},
        r"a.csv: line 2 is not UTF-8 text \(byte 0xf6\).*pass encoding='cp1252' \(the place would read '1,Köln'\)",
    ),
    "encoding stated wrongly": (
        "a.csv",
        "id,site\n1,Köln\n".encode(),
        {"encoding": "cp1252"},
        r"encoding='cp1252' was asked for, but the file is UTF-8",
    ),
    "encoding cannot be": ("a.csv", "id\nKöln\n".encode("cp1252"), {"encoding": "ascii"}, r"is not ascii text"),
    "binary zeros": ("a.csv", b"id,score\n1,\x00\n", {}, r"holds binary zeros, so it is no plain text"),
    "lines of different lengths": (
        "a.csv",
        b"id,score\n1,2\n2,3,4\n3\n",
        {},
        r"a.csv: 2 lines with more or fewer values than the 2 columns .*\(data row 2, 3; the first has 3\)",
    ),
    "quotation mark left open": ("a.csv", b'id,score\n1,"2\n2,3\n', {}, r"a quotation mark is opened and never closed"),
    "no header": ("a.csv", b"1,2,3\n4,5,6\n", {}, r"the first line holds values \('1', '2', '3'\), not column names"),
    "gzip cut short": ("a.csv.gz", gzip.compress(b"id,score\n1,2\n")[:-9], {}, r"a.csv.gz: cannot be unpacked"),
    "workbook called CSV": (
        "a.csv",
        b"PK\x03\x04rest",
        {},
        r"by its content this is an Excel workbook .*not a .csv file",
    ),
    "old Excel": ("a.xls", b"\xd0\xcf\x11\xe0", {}, r"a.xls: .xls files are not read here .*save it as .xlsx"),
    "R data": ("a.rds", b"x", {}, r"a.rds: .rds files are not read here .*write.csv\(readRDS\('a.rds'\)"),
    "pickle": ("a.pkl", b"x", {}, r"pickle files can run code when opened"),
    "no suffix": ("table", b"x", {}, r"a file without a suffix is not read here \(readable: .csv, .*\.xlsx\)"),
    "damaged SPSS": ("a.sav", b"$FL2 and then nothing", {}, r"a.sav: cannot be read as an SPSS file .*save it again"),
    "damaged Stata": ("a.dta", b"junk", {}, r"a.dta: cannot be read as a Stata file .*save it again"),
    "damaged Parquet": ("a.parquet", b"PAR1 junk", {}, r"a.parquet: cannot be read as Parquet"),
    "damaged workbook": ("a.xlsx", b"PK\x03\x04junk", {}, r"a.xlsx: cannot be opened as an Excel workbook"),
    "several sheets": (
        "a.xlsx",
        lambda p: workbook(p, one=[["id"], ["1"]], two=[["id"], ["1"]]),
        {},
        r"a.xlsx: the workbook has several sheets \('one', 'two'\); name one with sheet=",
    ),
    "no such sheet": ("a.xlsx", lambda p: workbook(p, one=[["id"], [1]]), {"sheet": "two"}, r"there is no sheet 'two'"),
    "no such sheet number": ("a.xlsx", lambda p: workbook(p, one=[["id"]]), {"sheet": 3}, r"the 1 sheets count from 0"),
    "empty sheet": ("a.xlsx", lambda p: workbook(p, one=[]), {}, r"a.xlsx: the sheet is empty"),
    "title above the table": (
        "a.xlsx",
        lambda p: workbook(p, one=[["Study A", None, None], [None, None, None], ["id", "b", "c"], [1, 2, 3]]),
        {},
        r"holds no column names \('Study A', None, None\); remove titles above the table",
    ),
    "formula never calculated": (
        "a.xlsx",
        lambda p: workbook(p, one=[["id", "score"], [1, "=1+1"]]),
        {},
        r"cell 'B2' holds a formula whose result was not stored; open the workbook in Excel",
    ),
    "delimiter too long": ("a.csv", b"x", {"delimiter": ";;"}, r"delimiter=';;' is not allowed; give one character"),
    "encoding unknown": ("a.csv", b"x", {"encoding": "utf-9"}, r"encoding='utf-9' is not known; common ones are"),
    "decimal unknown": ("a.csv", b"x", {"decimal": "'"}, r"decimal=\"'\" is not allowed; choose one of '.', ','"),
    "delimiter is the decimal mark": (
        "a.csv",
        b"x",
        {"decimal": ",", "delimiter": ","},
        r"both ','; values could not be told",
    ),
}

READ_CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "long asked, wide came": (
        "patient_id,outcome_s1,outcome_s2\na,1,2\n",
        {},
        r"there is no column 'outcome', but the table looks wide.*outcome_s\{session\}.*layout='wide'",
    ),
    "wide asked, nothing fits": (
        "patient_id,phq_s1,phq_s2\na,1,2\n",
        {"layout": "wide"},
        r"no column looks like a session of 'outcome'.*found phq: phq_s\{session\}",
    ),
    "wide, several patterns fit": (
        "patient_id,outcome_1,outcome_2,outcome_s1,outcome_s2\na,1,2,3,4\n",
        {"layout": "wide"},
        r"several patterns fit 'outcome': .*wide=\{'outcome': 'outcome_\{session\}'\}",
    ),
    "wide, two columns for one session": (
        "patient_id,outcome_1,outcome_01\na,1,2\n",
        {"layout": "wide"},
        r"columns 'outcome_1' and 'outcome_01' both are session 1",
    ),
    "wide, patient twice": (
        "patient_id,outcome_1,outcome_2\na,1,2\na,3,4\n",
        {"layout": "wide"},
        r"patient 'a' stands in more than one row; a wide table has one each",
    ),
    "pattern without a place": (
        "patient_id,outcome_1\na,1\n",
        {"layout": "wide", "wide": {"outcome": "outcome_s"}},
        r"pattern 'outcome_s' of 'outcome' must hold \{session\} once",
    ),
    "pattern that fits nothing": (
        "patient_id,outcome_1\na,1\n",
        {"layout": "wide", "wide": {"outcome": "y{session}"}},
        r"no column fits the pattern 'y\{session\}'",
    ),
    "pattern for a long table": (
        "patient_id,session,outcome\na,1,1\n",
        {"wide": {"outcome": "y{session}"}},
        r"wide=\.\.\. names the columns of a wide table; pass layout='wide'",
    ),
    "layout unknown": (
        "patient_id,session,outcome\na,1,1\n",
        {"layout": "tall"},
        r"layout='tall' is not allowed; choose one of 'long', 'wide'",
    ),
    "intake changes within a patient": (
        "patient_id,session,outcome,age\na,1,1,30\na,2,1,31\n",
        {"intake": ["age"]},
        r"column 'age' changes within patient 'a', so it does not describe the patient at intake",
    ),
    "intake column missing": (
        "patient_id,session,outcome\na,1,1\n",
        {"intake": ["age"]},
        r"column 'age' is not there",
    ),
    "date format does not fit": (
        "patient_id,session,outcome,when\na,1,1,2024/01/31\n",
        {"columns": Columns(time="when"), "date_format": "%d.%m.%Y"},
        r"column 'when' has 1 value not written as '%d.%m.%Y', first '2024/01/31' \(data row 1\)",
    ),
    "decimal commas in a file, most numbers whole": (
        "patient_id;session;outcome\na;1;2,5\na;2;3\na;3;4\n",
        {},
        r"has 1 other value, first '2,5' .*decimal=','",
    ),
    "decimal commas in a file": (
        "patient_id;session;outcome\na;1;2,5\na;2;3,5\n",
        {},
        r"sessions.csv: column 'outcome' must be numeric but has 2 other values, first '2,5' .*decimal=','",
    ),
}


@pytest.mark.parametrize("case", PANEL_CASES)
def test_panel_says_what_is_wrong(case: str) -> None:
    change, options, message = PANEL_CASES[case]
    data = tables()
    change(data)
    with pytest.raises(PanelError, match=message):
        Panel(data["sessions"], data["patients"], data["therapists"], **{"columns": ROLES, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("case", PANEL_CASES)
def test_nothing_passed_in_is_altered(case: str) -> None:
    change, options, _ = PANEL_CASES[case]
    data = tables()
    change(data)
    before = copy.deepcopy(data)
    with pytest.raises(PanelError):
        Panel(data["sessions"], data["patients"], data["therapists"], **{"columns": ROLES, **options})  # type: ignore[arg-type]
    for key, frame in data.items():
        if isinstance(frame, pd.DataFrame):
            pd.testing.assert_frame_equal(frame, before[key])


@pytest.mark.parametrize("case", OPTION_CASES)
def test_options_list_what_is_allowed(case: str) -> None:
    options, message = OPTION_CASES[case]
    data = tables()
    with pytest.raises(OptionError, match=message):
        Panel(data["sessions"], data["patients"], columns=ROLES, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", COLUMN_CASES)
def test_roles_are_checked(case: str) -> None:
    roles, message = COLUMN_CASES[case]
    with pytest.raises(OptionError, match=message):
        Columns(**roles)


@pytest.mark.parametrize("case", FILE_CASES)
def test_files_say_what_is_wrong(case: str, tmp_path: Path) -> None:
    name, content, options, message = FILE_CASES[case]
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        content(path)
    with pytest.raises((FileError, OptionError), match=message):
        read_table(path, **options)


@pytest.mark.parametrize("case", READ_CASES)
def test_reading_a_panel_says_what_is_wrong(case: str, tmp_path: Path) -> None:
    content, options, message = READ_CASES[case]
    path = tmp_path / "sessions.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PersonalizeError, match=message):
        read_panel(path, **options)


def test_the_good_tables_are_good() -> None:
    data = tables()
    panel = Panel(data["sessions"], data["patients"], data["therapists"], columns=ROLES)  # type: ignore[arg-type]
    assert (panel.n_patients, panel.n_sessions, panel.n_therapists) == (N_PATIENTS, N_PATIENTS * N_SESSIONS, 4)


def test_there_are_at_least_forty_kinds() -> None:
    assert len(PANEL_CASES) + len(OPTION_CASES) + len(COLUMN_CASES) + len(FILE_CASES) + len(READ_CASES) >= 40


def test_messages_use_file_names_and_one_sentence_a_kind(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("patient_id,session,outcome\na,1.5,x\nb,2,3\n,3,3\n", encoding="utf-8")
    with pytest.raises(PanelError) as caught:
        read_panel(tmp_path / "log.csv")
    assert len(caught.value.problems) == 3
    assert all(problem.startswith("log.csv: ") and problem.endswith(".") for problem in caught.value.problems)
    assert re.match(r"3 problems in the data:\n- log.csv", str(caught.value))


def test_a_path_that_is_no_path_is_refused() -> None:
    with pytest.raises(FileError, match="the path of a file"):
        read_panel(dt.date(2024, 1, 1))  # type: ignore[arg-type]
