"""Writing tables and folders: whole or not at all, the same bytes, no formulas, labels and codes kept."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features import Columns, NotEnoughData, Panel
from features.errors import FileError
from personalize.files import Table, read_table, results_folder, whole_file, write_table
from personalize.files.export import export_panel
from personalize.files.labelled_out import variable_names
from personalize.files.rscript import average_model


def labelled() -> Table:
    frame = pd.DataFrame(
        {
            "patient_id": ["007", "008", "=9"],
            "wai": [4.5, np.nan, 3.0],
            "sex": [1, 2, 1],
            "site": pd.Categorical(["north", None, "south"]),
            "seen": pd.to_datetime(["2024-01-31", None, "2024-02-29"]),
            "at": pd.to_datetime(["2024-01-31 10:30:00", None, "2024-02-29 00:00:00"]),
            "flag": [True, False, True],
            "note": ["Köln", None, "a, b"],
        }
    )
    return Table(
        frame,
        "t",
        labels={"wai": "Working Alliance", "note": "Nötiz"},
        value_labels={"sex": {1: "female", 2: "male"}, "wai": {1.0: "never", -9.0: "no answer"}},
        coded={"wai": pd.Series([-9.0], index=[1])},
        missing={"wai": ((-9.0, -9.0), (90.0, 99.0))},
        levels={"sex": "nominal", "wai": "scale"},
    )


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".sav", ".dta"])
def test_the_same_table_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    write_table(labelled(), tmp_path / f"a{suffix}")
    if suffix in (".sav", ".dta"):
        time.sleep(1.01)  # formats that hold the time of writing, in seconds
    write_table(labelled(), tmp_path / f"b{suffix}")
    one, other = (tmp_path / f"a{suffix}").read_bytes(), (tmp_path / f"b{suffix}").read_bytes()
    assert one == other


def test_cells_that_begin_like_a_formula_are_guarded_and_read_back(tmp_path: Path) -> None:
    cells = ["=1+1", "+49", "-x", "@SUM(A1)", "\tx", "plain", "'quoted", None]
    frame = pd.DataFrame({"=name": cells, "n": [-1.5, 2, 3, 4, 5, 6, 7, 8], "c": pd.Categorical(cells)})
    write_table(frame, tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "'=name,n,c"
    assert [line.split(",")[0] for line in lines[1:5]] == ["'=1+1", "'+49", "'-x", "'@SUM(A1)"]
    assert lines[1].split(",")[1] == "-1.5"
    back = read_table(tmp_path / "a.csv").frame
    assert back.iloc[:, 0].tolist()[:4] == cells[:4]
    assert back.iloc[6, 0] == "'quoted"


def test_numbers_read_back_as_the_same_numbers(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=200) * 10.0 ** np.arange(-100, 100)
    write_table(
        pd.DataFrame({"x": values, "i": np.arange(200)}, index=pd.Index(range(200), name="id")),
        tmp_path / "a.csv",
        index=True,
    )
    back = read_table(tmp_path / "a.csv").frame
    np.testing.assert_array_equal(back["x"], values)
    assert list(back.columns) == ["id", "x", "i"]


@pytest.mark.parametrize("path", [("sav", "sav"), ("dta", "dta"), ("sav", "dta", "sav"), ("dta", "sav", "dta")])
def test_round_trips_keep_values_labels_and_codes(tmp_path: Path, path: tuple[str, ...]) -> None:
    table = labelled()
    for step, suffix in enumerate(path):
        write_table(table, tmp_path / f"{step}.{suffix}")
        table = read_table(tmp_path / f"{step}.{suffix}")
    frame = table.frame
    assert frame["patient_id"].tolist() == ["007", "008", "=9"]
    np.testing.assert_array_equal(frame["wai"], [4.5, np.nan, 3.0])
    assert frame["seen"].dropna().tolist() == [pd.Timestamp("2024-01-31"), pd.Timestamp("2024-02-29")]
    assert frame["at"].iloc[0] == pd.Timestamp("2024-01-31 10:30")
    assert frame["note"].fillna("").tolist() == ["Köln", "", "a, b"]
    assert table.labels["wai"] == "Working Alliance"
    assert table.labels["note"] == "Nötiz"
    code = table.coded["wai"].iloc[0]
    assert table.value_labels["wai"][code] == "no answer"
    assert table.value_labels["wai"][1] == "never"
    shown = table.categories()
    assert shown["sex"].tolist() == ["female", "male", "female"]
    assert shown["site"].tolist()[::2] == ["north", "south"]
    assert shown["flag"].tolist() == ["yes", "no", "yes"]
    if path == ("sav", "sav"):
        assert (code, set(table.missing["wai"])) == (-9, {(-9, -9), (90, 99)})
        assert table.levels["wai"] == "scale"


def test_names_a_format_does_not_allow_are_changed_and_kept_as_labels(tmp_path: Path) -> None:
    names = variable_names(["wai total", "WAI_total", "1st", "with", "x" * 70, "ä"], stata=False)
    assert list(names.values())[:4] == ["wai_total", "WAI_total_2", "v_1st", "v_with"]
    assert all(len(name) <= 64 for name in names.values())
    write_table(pd.DataFrame({"wai total": [1.0], "wai_total": [2.0]}), tmp_path / "a.dta")
    table = read_table(tmp_path / "a.dta")
    assert table.frame.iloc[0].tolist() == [1, 2]
    assert table.labels == {"wai_total": "wai total", "wai_total_2": "wai_total"}


@pytest.mark.parametrize(
    ("name", "frame", "message"),
    [
        ("a.xlsx", pd.DataFrame({"x": [1]}), r"cannot write .xlsx; use .csv, .tsv, .parquet, .sav, .dta"),
        ("a", pd.DataFrame({"x": [1]}), r"cannot write a file without suffix"),
        ("nowhere/a.csv", pd.DataFrame({"x": [1]}), r"cannot be written \(No such file or directory\)"),
        ("a.sav", pd.DataFrame({"x": [[1]]}), r"column 'x' holds 'list' values, which the format cannot hold"),
        ("a.parquet", pd.DataFrame({"x": [1, "a"]}), r"a column cannot be written as Parquet, its values mix kinds"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, name: str, frame: pd.DataFrame, message: str
) -> None:
    with pytest.raises(FileError, match=message):
        write_table(frame, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    with whole_file(target) as partial:
        partial.write_text("new")
    assert target.read_text() == "new"
    with pytest.raises(FileError, match="is a folder; name a file in it"), whole_file(tmp_path):
        pass


# -- results folders ------------------------------------------------------------------------------------------


def fill(folder: Path, content: str = "1") -> None:
    (folder / "tables").mkdir()
    (folder / "tables" / "a.csv").write_text(content)
    (folder / "run.json").write_text("{}")


def test_results_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "results"
    with results_folder(target) as partial:
        fill(partial)
        assert not target.exists()
    assert (target / "tables" / "a.csv").read_text() == "1"
    assert os.stat(target).st_mode & 0o700 == 0o700
    with pytest.raises(KeyboardInterrupt), results_folder(target) as partial:
        fill(partial, "half")
        raise KeyboardInterrupt
    assert (target / "tables" / "a.csv").read_text() == "1"
    with results_folder(target) as partial:
        (partial / "run.json").write_text("{}")
    assert not (target / "tables").exists()
    assert [p.name for p in target.parent.iterdir()] == ["results"]


def test_results_refuse_what_is_not_theirs(tmp_path: Path) -> None:
    target = tmp_path / "results"
    target.mkdir()
    (target / "thesis.docx").write_text("years of work")
    with (
        pytest.raises(FileError, match=r"exists and is not a results folder; choose a new name"),
        results_folder(target),
    ):
        pytest.fail("the block must not run")
    with results_folder(target, overwrite=True) as partial:
        fill(partial)
    assert (tmp_path / "results.before" / "thesis.docx").read_text() == "years of work"
    (target / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"files that were added since \('notes.txt'\)"), results_folder(target):
        pytest.fail("the block must not run")
    with results_folder(target, overwrite=True) as partial:
        fill(partial)
    assert not (target / "notes.txt").exists()


def test_results_never_take_the_folder_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    for place in (".", "..", tmp_path):
        with (
            pytest.raises(FileError, match="is the folder you are in, or above it"),
            results_folder(place, overwrite=True),
        ):
            pytest.fail("the block must not run")
    (inner / "file").write_text("x")
    with pytest.raises(FileError, match="is in the way and no folder"), results_folder("file", overwrite=True):
        pytest.fail("the block must not run")
    (inner / "empty").mkdir()
    with results_folder("empty") as partial:
        fill(partial)
    assert (inner / "empty" / "run.json").exists()


# -- export ------------------------------------------------------------------------------------------


def clinic(timing: str = "after", alliance: bool = True) -> Panel:
    rng = np.random.default_rng(2)
    n, k = 20, 5
    sessions = pd.DataFrame(
        {
            "patient_id": np.repeat([f"p{i:02d}" for i in range(n)], k),
            "session": np.tile(np.arange(1, k + 1), n),
            "date": np.tile(pd.date_range("2024-01-01", periods=k, freq="7D"), n),
            "sum score": rng.integers(0, 28, n * k).astype(float),
            "wai": rng.normal(5, 1, n * k).round(2),
            "mood": rng.normal(size=n * k).round(2),
        }
    )
    patients = pd.DataFrame(
        {
            "patient_id": [f"p{i:02d}" for i in range(n)],
            "therapist_id": [f"t{i % 4}" for i in range(n)],
            "sex": pd.Categorical(rng.choice(["f", "m"], n)),
        }
    )
    roles = Columns(outcome="sum score", alliance="wai" if alliance else None, time="date", covariates=["mood"])
    return Panel(sessions, patients, columns=roles, timing=timing, labels={"wai": "Working Alliance"})  # type: ignore[arg-type]


def test_an_export_holds_the_long_table_and_a_script(tmp_path: Path) -> None:
    panel = clinic()
    folder = export_panel(panel, tmp_path / "export")
    names = [".personalize", "average_model.R", "panel.csv", "panel.sav"]
    assert sorted(p.name for p in folder.iterdir()) == names
    table = read_table(folder / "panel.csv").frame
    assert list(table.columns) == [
        "patient_id", "therapist_id", "session", "date", "time_days", "sum score", "wai", "mood", "sex",
    ]  # fmt: skip
    np.testing.assert_array_equal(table["sum score"], panel.outcome)
    np.testing.assert_array_equal(table["time_days"], panel.time)
    spss = read_table(folder / "panel.sav")
    assert spss.labels["wai"] == "Working Alliance"
    assert spss.labels["sum_score"] == "sum score"
    assert spss.frame["date"].tolist()[1] == pd.Timestamp("2024-01-08")
    assert spss.categories()["sex"].tolist() == panel.patients["sex"].take(panel.patient_index).tolist()
    again = export_panel(panel, tmp_path / "again")
    for name in ("panel.csv", "panel.sav", "average_model.R"):
        assert (folder / name).read_bytes() == (again / name).read_bytes()


@pytest.mark.parametrize("timing", ["after", "before"])
def test_the_script_follows_the_order_within_a_session(timing: str) -> None:
    text = average_model(clinic(timing))
    assert ("d$x <- lag_within(d$a)" in text) == (timing == "after")
    assert ("d$x <- d$a" in text) == (timing == "before")
    assert ("lead_within" in text) == (timing == "before")
    assert 'd$c1 <- as.numeric(d[["mood"]])' in text
    assert "(1 + time | id) + (1 | therapist)" in text
    assert f"waves <- {5 if timing == 'after' else 4}" in text
    assert "$alliance" not in text


def test_the_script_says_what_it_leaves_out() -> None:
    text = average_model(clinic(alliance=False))
    assert "No column plays the alliance's role" in text
    assert "lavaan(" not in text
    assert "it needs three" in average_model(clinic().first(2))


def test_an_empty_panel_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="the panel has no sessions to export"):
        export_panel(clinic().first(0), tmp_path / "x")
