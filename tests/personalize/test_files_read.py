"""Reading tables and panels from every format, with what researchers' files are like."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest

from features import Columns, OptionError, PanelError
from personalize.files import Table, read_panel, read_table, write_table
from personalize.files.identifiers import align_identifiers


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


# -- text files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id,x\n007,1\n010,2\n", ["007", "010"]),
        ("id,x\n7,1\n10,2\n", [7, 10]),
        ("id,x\n7,1\n010,2\n", ["7", "010"]),
        ("id,x\n12345678901234567890,1\n2,2\n", ["12345678901234567890", "2"]),
        ('id,x\n"a, b",1\nc,2\n', ["a, b", "c"]),
        ("id,x\n'=a,1\n'-b,2\n", ["=a", "-b"]),
        ("id;x\na;1\nb;2\n", ["a", "b"]),
        ("id\tx\na\t1\nb\t2\n", ["a", "b"]),
        ("\n\nid|x\na|1\n\nb|2\n", ["a", "b"]),
        ("\ufeffid,x\r\na,1\r\nb,2\r\n", ["a", "b"]),
        ("id,x\na,1\nb,2", ["a", "b"]),
    ],
)
def test_identifiers_of_text_files(tmp_path: Path, content: str, expected: list[Any]) -> None:
    frame = read_table(text(tmp_path / "a.csv", content)).frame
    assert list(frame.columns) == ["id", "x"]
    assert frame["id"].tolist() == expected
    assert frame["x"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("cells", "decimal", "kind", "expected"),
    [
        (["1", "2"], ".", "int64", [1, 2]),
        (["1", ""], ".", "float64", [1, np.nan]),
        (["1.5", "NA"], ".", "float64", [1.5, np.nan]),
        (["-.5", "1e3"], ".", "float64", [-0.5, 1000]),
        (["1,5", "2"], ",", "float64", [1.5, 2]),
        (["-9", "#NULL!"], ".", "float64", [-9, np.nan]),
        (["TRUE", "false"], ".", "bool", [True, False]),
        ([".", "NaN"], ".", "float64", [np.nan, np.nan]),
    ],
)
def test_types_of_text_columns(tmp_path: Path, cells: list[str], decimal: str, kind: str, expected: list[Any]) -> None:
    path = text(tmp_path / "a.csv", "id;x\n" + "".join(f"p;{cell}\n" for cell in cells))
    column = read_table(path, decimal=decimal).frame["x"]
    assert str(column.dtype) == kind
    np.testing.assert_array_equal(column, expected)


@pytest.mark.parametrize("cells", [["1,5", "2"], ["1", "x"], ["-", "1"], ["1.2.3", "4"], ["05", "1"], ["TRUE", ""]])
def test_columns_with_any_other_value_stay_text(tmp_path: Path, cells: list[str]) -> None:
    path = text(tmp_path / "a.csv", "id;x\n" + "".join(f"p;{cell}\n" for cell in cells))
    column = read_table(path).frame["x"]
    assert not pd.api.types.is_numeric_dtype(column)
    assert column.dropna().tolist() == [cell for cell in cells if cell]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = text(tmp_path / "a.csv", "id,site\n1,Köln\n", encoding)
    table = read_table(path, encoding="cp1252" if encoding == "cp1252" else None)
    assert table.frame["site"].tolist() == ["Köln"]


def test_zipped_text_and_columns_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b",id,x,\n0,a,1,\n1,b,2,\n"))
    assert list(read_table(path).frame.columns) == ["Unnamed: 0", "id", "x"]


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    assert read_table(text(tmp_path / "a.csv", "id,x\n")).frame.shape == (0, 2)


# -- SPSS and Stata ------------------------------------------------------------------------------------------


def described() -> Table:
    """A small intake table with labels, user-missing codes and dates."""
    frame = pd.DataFrame(
        {
            "patient_id": ["007", "008", "009", "010"],
            "age": [30.0, np.nan, 41.0, np.nan],
            "sex": [1, 2, 2, 1],
            "mood": [1.0, 2.0, 3.0, 2.0],
            "severity": [1.0, 7.0, 4.0, 2.0],
            "born": pd.to_datetime(["1990-02-03", None, "1982-12-31", "1975-01-01"]),
        }
    )
    return Table(
        frame,
        "intake",
        labels={"age": "Age in years", "sex": "Sex (self-report)"},
        value_labels={
            "age": {-9.0: "refused"},
            "sex": {1: "female", 2: "male"},
            "mood": {1: "low", 2: "middle", 3: "high"},
            "severity": {1: "not at all", 7: "very much"},
        },
        coded={"age": pd.Series([-9.0, -8.0], index=[1, 3])},
        missing={"age": ((-9.0, -9.0), (-8.0, -8.0))},
        levels={"mood": "ordinal", "sex": "nominal"},
    )


@pytest.mark.parametrize("suffix", [".sav", ".dta"])
def test_labels_codes_and_dates_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"intake{suffix}"
    write_table(described(), path)
    table = read_table(path)
    assert table.frame["patient_id"].tolist() == ["007", "008", "009", "010"]
    np.testing.assert_array_equal(table.frame["age"], [30, np.nan, 41, np.nan])
    assert table.frame["sex"].dtype == np.int64
    assert table.labels["sex"] == "Sex (self-report)"
    assert table.frame["born"].dt.strftime("%Y-%m-%d").tolist()[0] == "1990-02-03"
    assert table.frame["born"].isna().tolist() == [False, True, False, False]
    assert sorted(table.coded["age"]) == (["a", "b"] if suffix == ".dta" else [-9, -8])
    assert any("2 values of 'age' with a user-missing code" in note for note in table.notes)


def test_labelled_values_become_categories_where_all_have_a_label() -> None:
    frame = described().categories()
    assert frame["sex"].tolist() == ["female", "male", "male", "female"]
    assert frame["mood"].cat.ordered
    assert frame["mood"].cat.categories.tolist() == ["low", "middle", "high"]
    assert frame["severity"].tolist() == [1, 7, 4, 2]
    assert frame["age"].dtype == float
    assert described().categories(keep=("sex",))["sex"].tolist() == [1, 2, 2, 1]


def test_a_panel_from_spss(tmp_path: Path) -> None:
    sessions = pd.DataFrame(
        {
            "patient_id": ["007", "007", "008", "008"],
            "session": [1, 2, 1, 2],
            "outcome": [10.0, np.nan, 12.0, 11.0],
            "wai": [4.0, 5.0, np.nan, 6.0],
        }
    )
    table = Table(
        sessions,
        labels={"wai": "Working Alliance Inventory"},
        value_labels={"wai": {1: "never", 7: "always", 9: "not rated"}},
        coded={"wai": pd.Series([9.0], index=[2]), "outcome": pd.Series([99.0], index=[1])},
        missing={"wai": ((9, 9),), "outcome": ((90, 99),)},
    )
    write_table(table, tmp_path / "s.sav")
    write_table(described(), tmp_path / "p.sav")
    panel = read_panel(tmp_path / "s.sav", tmp_path / "p.sav", columns=Columns(alliance="wai"))
    np.testing.assert_array_equal(panel.outcome, [10, np.nan, 12, 11])
    np.testing.assert_array_equal(panel.alliance, [4, 5, np.nan, 6])
    assert panel.patients["sex"].tolist() == ["female", "male", "male", "female"]
    assert panel.labels["wai"] == "Working Alliance Inventory"
    assert panel.names["sessions"] == "s.sav"
    assert sum("user-missing code" in note for note in panel.notes) == 3
    assert panel.subset(["007"]).labels == panel.labels


# -- workbooks and Parquet ------------------------------------------------------------------------------------------


def workbook(path: Path) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Sessions"
    sheet.append(["patient_id", "session", "outcome", "note"])
    for row in ([7, 1, 10.5, "x"], [7, 2, 9, None], [12, 1, "11", None], [None] * 4, [12, 2, None, None]):
        sheet.append(row)
    for cell in sheet["A"][1:]:
        cell.number_format = "000"
    people = book.create_sheet("Patients")
    people.append(["patient_id", "age", "seen"])
    people.append(["007", 30, pd.Timestamp("2024-01-31").to_pydatetime()])
    people.append(["012", 41, None])
    book.create_sheet("Codebook").append(["nothing of use", "here"])
    book.save(path)
    return path


def test_a_panel_from_the_sheets_of_a_workbook(tmp_path: Path) -> None:
    panel = read_panel(workbook(tmp_path / "study.xlsx"))
    assert panel.patient_ids.tolist() == ["007", "012"]
    np.testing.assert_array_equal(panel.outcome, [10.5, 9, 11, np.nan])
    assert panel.patients["age"].tolist() == [30, 41]
    assert panel.names == {
        "sessions": "study.xlsx [Sessions]",
        "patients": "study.xlsx [Patients]",
        "therapists": "therapists",
    }


def test_sheets_may_be_named(tmp_path: Path) -> None:
    path = workbook(tmp_path / "study.xlsx")
    panel = read_panel(path, sheet={"sessions": "Sessions", "patients": 1})
    assert panel.patients["age"].tolist() == [30, 41]
    assert read_panel(path, sheet="Sessions").patients.shape == (2, 0)


def test_parquet_keeps_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"patient_id": ["a", "b"], "site": pd.Categorical(["x", "y"]), "seen": pd.to_datetime(["2024", "2025"])}
    )
    write_table(frame, tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "p.parquet").frame, frame, check_dtype=False)


# -- identifiers across files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["7", "8"], [7, 8], [7, 8]),
        (["7", "A8"], [7, 8], ["7", "8"]),
        (["007", "8"], [7.0, 8.0], ["7", "8"]),
        (["a"], ["b"], ["b"]),
    ],
)
def test_identifiers_get_one_spelling(one: list[Any], other: list[Any], expected: list[Any]) -> None:
    tables = {"sessions": pd.DataFrame({"id": one}), "patients": pd.DataFrame({"id": other})}
    assert align_identifiers(tables, "id")["patients"]["id"].tolist() == expected
    assert tables["patients"]["id"].tolist() == other


def test_text_and_spss_identifiers_meet(tmp_path: Path) -> None:
    sessions = text(tmp_path / "s.csv", "patient_id,session,outcome\n17,1,3\n17,2,4\n18,1,5\n")
    write_table(pd.DataFrame({"patient_id": ["17", "18"], "age": [30, 40]}), tmp_path / "p.sav")
    assert read_panel(sessions, tmp_path / "p.sav").patient_ids.tolist() == [17, 18]
    write_table(pd.DataFrame({"patient_id": ["17", "018"], "age": [30, 40]}), tmp_path / "p.sav")
    with pytest.raises(PanelError, match="differ only in leading zeros or capitals"):
        read_panel(sessions, tmp_path / "p.sav")


# -- options of read_panel ------------------------------------------------------------------------------------------


def test_a_word_for_missing_among_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    lines = [f"p{i};{t};{10 + i},{t};{3 + t},5" for i in range(4) for t in range(1, 4)]
    path.write_text(
        "patient_id;session;outcome;alliance\n" + "\n".join(lines).replace("10,2", "k.A."), encoding="utf-8"
    )
    with pytest.raises(PanelError, match=r"missing_codes=\['k.A.'\]"):
        read_panel(path, decimal=",", better="low")
    panel = read_panel(path, decimal=",", better="low", missing_codes=["k.A."])
    assert np.isnan(panel.outcome).sum() == 1 and panel.outcome[0] == 10.1


def test_a_point_among_decimal_commas_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("patient_id;session;outcome;alliance\na;1;12,5;3\na;2;13,5;4\nb;1;1.200;3\nb;2;9,5;4\n")
    with pytest.raises(PanelError, match="a decimal comma among numbers with points"):
        read_panel(path, decimal=",", better="low")


def test_missing_codes_of_a_column_that_is_left_out() -> None:
    sessions = pd.DataFrame({"patient_id": ["a", "a", "b", "b"], "session": [1, 2, 1, 2], "outcome": [4, -9, 6.0, 1]})
    sessions["therapist_id"] = ["t", "t", "u", "u"]
    patients = pd.DataFrame({"patient_id": ["a", "b"], "age": [30, 999], 5: ["Ann", "Bob"]})
    panel = read_panel(
        sessions,
        patients,
        leave_out=["age", "5"],
        missing_codes={"*": [-9], "age": [999]},
        better="low",
        columns=Columns(alliance=None),
    )
    assert panel.patients.columns.tolist() == [] and np.isnan(panel.outcome).sum() == 1
    with pytest.raises(OptionError, match="give a list of columns"):
        read_panel(sessions, patients, leave_out="age", better="low", columns=Columns(alliance=None))


def test_therapists_whom_no_table_assigns_are_left_aside_for_new_patients() -> None:
    sessions = pd.DataFrame({"patient_id": ["a", "a"], "session": [1, 2], "outcome": [4, 3.0]})
    staff = pd.DataFrame({"who": ["t"], "years": [3]})
    roles = Columns(alliance=None, therapist="who")
    panel = read_panel(sessions, therapists=staff, columns=roles, better="low", absent="unknown")
    assert panel.n_therapists == 0 and any("No table says who treats whom ('who')" in note for note in panel.notes)
    indexed = sessions.assign(who="t").set_index("who")
    assert read_panel(indexed, therapists=staff, columns=roles, better="low", absent="unknown").n_therapists == 1


def test_columns_that_are_left_out_are_nowhere(tmp_path: Path) -> None:
    sessions = pd.DataFrame({"patient_id": ["a", "a", "b", "b"], "session": [1, 2, 1, 2], "outcome": [4, 3, 6.0, 1]})
    patients = pd.DataFrame({"patient_id": ["a", "b"], "age": [30, 40], "name": ["Ann", "Bob"]})
    panel = read_panel(sessions, patients, leave_out=["name"], better="low", columns=Columns(alliance=None))
    assert panel.patients.columns.tolist() == ["age"]
    assert "Left out as asked: 'name'." in panel.notes
    for wrong, message in ((["nmae"], "no patients or therapists table has a column 'nmae'"), (["patient_id"], "role")):
        with pytest.raises(OptionError, match=message):
            read_panel(sessions, patients, leave_out=wrong, better="low", columns=Columns(alliance=None))
    new = read_panel(
        sessions, patients[["patient_id"]], leave_out=["name"], absent="unknown", columns=Columns(alliance=None)
    )
    assert new.patients.columns.tolist() == []


def test_decimal_commas_and_dates_as_they_are_written(tmp_path: Path) -> None:
    path = text(
        tmp_path / "s.csv",
        "patient_id;when;outcome\n01;31.03.2024;12,5\n01;07.04.2024;11\n02;01.02.2024;9,25\n02;;\n".replace(
            "02;;\n", ""
        ),
    )
    panel = read_panel(path, columns=Columns(time="when"), decimal=",", date_format="%d.%m.%Y")
    assert panel.patient_ids.tolist() == ["01", "02"]
    assert panel.outcome.tolist() == [12.5, 11, 9.25]
    assert panel.time.tolist() == [0, 7, 0]


def test_intake_columns_may_stand_in_the_sessions_file(tmp_path: Path) -> None:
    path = text(tmp_path / "s.csv", "patient_id,session,outcome,sex,x\n1,1,3,f,1\n1,2,4,,2\n2,1,5,m,3\n")
    panel = read_panel(path, intake=["sex"])
    assert panel.patients["sex"].tolist() == ["f", "m"]
    assert list(panel.patients.columns) == ["sex"]


def test_missing_codes_by_column_in_files(tmp_path: Path) -> None:
    sessions = text(tmp_path / "s.csv", "patient_id,session,outcome\n1,1,9\n1,2,99\n2,1,k.A.\n")
    patients = text(tmp_path / "p.csv", "patient_id,age\n1,30\n2,999\n")
    panel = read_panel(sessions, patients, missing_codes={"outcome": [99, "k.A."], "age": [999]})
    np.testing.assert_array_equal(panel.outcome, [9, np.nan, np.nan])
    np.testing.assert_array_equal(panel.patients["age"], [30, np.nan])


def test_data_frames_and_files_may_be_mixed(tmp_path: Path) -> None:
    sessions = text(tmp_path / "s.csv", "patient_id,session,outcome\n1,1,9\n2,1,8\n")
    panel = read_panel(sessions, pd.DataFrame({"patient_id": ["1", "2"], "age": [30, 40]}))
    assert panel.patients["age"].tolist() == [30, 40]


def test_real_data(real_data: Path) -> None:
    folder = real_data / "reframed"
    roles = Columns(outcome="phq9", time="month")
    with pytest.raises(PanelError, match=r"has -0.248546 for patient 'r021'.*phq9 runs from 0 to 27"):
        read_panel(folder / "sessions.csv", folder / "patients.csv", columns=roles, measures={"phq9": "phq9"})
    panel = read_panel(
        folder / "sessions.csv",
        folder / "patients.csv",
        columns=roles,
        measures={"phq9": "phq9"},
        out_of_range="missing",
    )
    assert (panel.n_patients, panel.n_therapists) == (250, 22)
    assert int(np.isfinite(panel.outcome).sum()) == 2433 - 1
    drug = Columns(outcome="hamdelt", alliance="lndmi", session="week", patient="id", covariates=["lnimi"])
    panel = read_panel(real_data / "riesby" / "riesby4.csv", columns=drug, timing="before", intake=["sex", "endog"])
    assert (panel.n_patients, panel.n_sessions) == (66, 250)
    assert panel.patients["endog"].isin([0, 1]).all()
