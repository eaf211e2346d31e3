"""The command line as a user meets it: help, exit codes, errors on stderr without a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features import Panel
from personalize.cli import app
from personalize.cli.flags import in_flags
from personalize.study import experiments, study_from_toml
from personalize.study.schema import KEYS, MEASURE_FLAG

COMMANDS = ("check", "demo", "run", "predict", "features", "measures", "patient", "simulate", "experiment")


def invoke(*args: str | Path) -> SimpleNamespace:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)


def good_table() -> pd.DataFrame:
    rows = [(f"p{i}", t, 20 - t + i % 5, 3 + (i * t) % 3) for i in range(12) for t in range(1, 5)]
    return pd.DataFrame(rows, columns=["patient_id", "session", "phq9", "wai"])


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "clinic"
    made = invoke(
        "simulate", "--out", folder, "--patients", "30", "--sessions", "6", "--preset", "harsh", "--seed", "4"
    )
    assert made.code == 0, made.err
    return folder


def test_help_names_every_command() -> None:
    result = invoke("--help")
    assert result.code == 0
    assert all(name in result.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    result = invoke(name, "--help")
    assert result.code == 0 and "--debug" in result.out and len(result.out) > 300


def test_every_flag_of_the_study_belongs_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = invoke("run", "--help").out
    for flag in [key.flag for key in KEYS if key.flag] + [MEASURE_FLAG]:
        assert flag in text, flag


@pytest.mark.parametrize(
    "args", [["nonsense"], ["run", "--nonsense"], ["check", "--level"], ["demo", "--patients", "many"], ["patient"]]
)
def test_bad_usage_exits_with_two(args: list[str]) -> None:
    assert invoke(*args).code == 2


Maker = Callable[[Path], list[str]]


def saved(folder: Path, text: str | bytes, name: str = "s.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def table(folder: Path, **changes: object) -> str:
    return saved(folder, good_table().assign(**changes).to_csv(index=False))


ROLES = ["--outcome", "phq9", "--alliance", "wai"]
BAD_INPUT: dict[str, tuple[Maker, str]] = {
    "no file named": (lambda f: [*ROLES], "no sessions table is named"),
    "file is not there": (lambda f: [str(f / "s.csv"), *ROLES], "there is no such file"),
    "folder": (lambda f: [str(f), *ROLES], "is a folder"),
    "empty file": (lambda f: [saved(f, ""), *ROLES], "the file is empty"),
    "header only": (lambda f: [saved(f, "patient_id,session,phq9,wai\n"), *ROLES], "no rows"),
    "two tables named": (lambda f: [table(f), "--sessions", table(f), *ROLES], "named twice"),
    "wrong outcome column": (lambda f: [table(f), "--outcome", "oq45"], "--outcome (outcome.column in study.toml)"),
    "wrong alliance column": (lambda f: [table(f), "--outcome", "phq9", "--alliance", "sri"], "--alliance (alliance."),
    "wrong patient column": (lambda f: [table(f), *ROLES, "--patient-id", "id"], "--patient-id"),
    "text among scores": (lambda f: [table(f, phq9="12,5"), *ROLES], "12,5"),
    "unknown measure": (lambda f: [table(f), *ROLES, "--measure", "phq9=phq10"], "is not in the registry"),
    "measure of no role": (lambda f: [table(f), *ROLES, "--measure", "x=phq9"], "plays no role"),
    "out of range": (lambda f: [table(f, phq9=99), *ROLES, "--measure", "phq9"], "--missing-code 99"),
    "bad choice": (lambda f: [table(f), *ROLES, "--timing", "during"], "choose one of 'after', 'before'"),
    "bad level": (lambda f: [table(f), *ROLES, "--level", "90"], "analysis.level"),
    "unknown moderator": (lambda f: [table(f), *ROLES, "--moderator", "shoe"], "no intake column is called 'shoe'"),
    "negative error": (lambda f: [table(f), *ROLES, "--alliance-sem", "-1"], "alliance.sem"),
    "code of a column that is not there": (
        lambda f: [table(f), *ROLES, "--missing-code", "-9", "--missing-code", "wia=9"],
        "no table has a column 'wia'",
    ),
    "column to leave out that is not there": (
        lambda f: [table(f), *ROLES, "--leave-out", "remarks"],
        "no patients or therapists table has a column 'remarks'",
    ),
    "decimal comma in a flag": (lambda f: [table(f), *ROLES, "--level", "0,9"], "is no number"),
    "code of no column": (lambda f: [table(f), *ROLES, "--missing-code", "oq=9"], "no table has a column"),
    "half a pattern": (lambda f: [table(f), *ROLES, "--layout", "wide", "--wide", "phq9"], "SCORE=PATTERN"),
    "one role twice": (lambda f: [table(f), "--outcome", "phq9", "--alliance", "phq9"], "two roles"),
    "image for a table": (lambda f: [saved(f, b"\x89PNG\r\n\x1a\n", "s.png"), *ROLES], "not read here"),
    "binary in a text file": (lambda f: [saved(f, b"PAR1abcd"), *ROLES], "Parquet"),
    "no patients table": (lambda f: [table(f), *ROLES, "--patients", str(f / "p.csv")], "there is no such file"),
    "toml broken": (lambda f: [saved(f, "[data", "study.toml")], "not a valid TOML"),
    "toml unknown key": (lambda f: [saved(f, "[data]\nfile='x'", "study.toml")], "allowed are sessions"),
    "constant alliance": (lambda f: [table(f, wai=4), *ROLES], "a constant cannot be analysed"),
    "duplicate sessions": (lambda f: [table(f, session=1), *ROLES], "session"),
    "too few patients": (
        lambda f: [saved(f, good_table()[lambda t: t["patient_id"] < "p11"].to_csv(index=False)), *ROLES],
        "10 are needed",
    ),
}


@pytest.mark.parametrize("kind", BAD_INPUT)
def test_bad_input_gets_a_message_and_exit_code_two(kind: str, tmp_path: Path) -> None:
    make, message = BAD_INPUT[kind]
    out = tmp_path / "out" / "results"
    result = invoke("run", *make(tmp_path), "--out", out)
    assert result.code == 2, result.err
    assert message in result.err
    assert "Traceback" not in result.err and "Columns(" not in result.err
    assert not out.exists() and not list(out.parent.glob(".*")), "nothing of a failed run stays"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = invoke("run", tmp_path / "s.csv", "--outcome", "phq9", "--debug")
    assert result.code == 2 and "Traceback" in result.err


def test_a_fault_of_the_program_exits_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("features.measures.measure", broken)
    result = invoke("measures", "phq9")
    assert result.code == 1
    assert "ZeroDivisionError: oh" in result.err and "--debug" in result.err and "Traceback" not in result.err


def test_an_interrupted_command_exits_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("features.measures.measure", stopped)
    result = invoke("measures", "phq9")
    assert result.code == 1 and "stopped" in result.err


def test_measures_lists_and_shows() -> None:
    assert "phq9" in invoke("measures").out
    one = invoke("measures", "phq9").out
    assert "0 to 27" in one and "reliable change" in one and "sources" in one
    unknown = invoke("measures", "phq10")
    assert unknown.code == 2 and "is not in the registry" in unknown.err


def test_missing_codes_for_all_scores_and_by_column_together(tmp_path: Path) -> None:
    values = good_table()
    values.loc[0, ["phq9", "wai"]] = -9
    values.loc[1, "wai"] = 99
    file = saved(tmp_path, values.to_csv(index=False))
    told = invoke("check", file, *ROLES, "--missing-code", "-9", "--missing-code", "wai=99", "--json")
    assert told.code == 0, told.err
    notes = json.loads(told.out)["notes"]
    assert any("1 value of 'phq9' set to missing (code -9)" in note for note in notes)
    assert any("2 values of 'wai' set to missing (code -9, 99)" in note for note in notes)


def test_codes_for_all_scores_hold_for_items_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = good_table().assign(age=30)
    for item in ("i1", "i2"):
        values[item] = np.where(rng.random(len(values)) < 0.2, -9, values["phq9"] + rng.integers(-2, 3, len(values)))
    file = saved(tmp_path, values.to_csv(index=False))
    text = (
        f"[data]\nsessions = '{Path(file).name}'\nmissing_codes = {{ '*' = [-9], age = [999] }}\n"
        "[outcome]\ncolumn = 'phq9'\n[alliance]\ncolumn = 'wai'\n[items]\nphq9 = ['i1', 'i2']\n"
    )
    toml = saved(tmp_path, text, "study.toml")
    mixed = json.loads(invoke("check", toml, "--json").out)["reliability"]
    plain = json.loads(invoke("check", toml, "--missing-code", "-9", "--json").out)["reliability"]
    assert mixed == plain and mixed[0]["alpha"] > 0.3


def test_remedies_quote_names_with_blanks() -> None:
    assert in_flags("pass leave_out=['first name'].") == "pass --leave-out 'first name'."


def test_a_column_that_looks_like_the_therapists_is_named(tmp_path: Path) -> None:
    file = saved(tmp_path, good_table().assign(Therapeut="T1").to_csv(index=False))
    told = invoke("check", file, *ROLES)
    assert "looks as if it named the therapist" in " ".join(told.out.split())
    assert "--therapist-id 'Therapeut'" in " ".join(told.out.split())
    assert "looks as if" not in invoke("check", file, *ROLES, "--therapist-id", "Therapeut").out


def test_check_counts_and_judges(clinic: Path, tmp_path: Path) -> None:
    fine = invoke("check", clinic / "study.toml")
    assert fine.code == 0 and "The data can be analysed as they are." in fine.out
    told = json.loads(invoke("check", clinic / "study.toml", "--json").out)
    assert told["ok"] is True
    bad = invoke("check", table(tmp_path, phq9=99), "--outcome", "phq9", "--measure", "phq9")
    assert bad.code == 2 and "cannot be analysed" in bad.out and "--out-of-range" in bad.out
    study = saved(tmp_path, f"[data]\nsessions='{table(tmp_path)}'\n[outcome]\ncolumn='phq9'\n"
                  "[analysis]\nmoderators=['shoe']\n", "study.toml")  # fmt: skip
    slip = invoke("check", study)
    assert slip.code == 2 and "analysis.moderators: no intake column is called 'shoe'" in slip.out, "as run would say"


def test_check_reports_reliability_of_items(tmp_path: Path) -> None:
    frame = good_table()
    frame = frame.assign(wai_1=frame["wai"], wai_2=frame["wai"] + frame["session"] % 2, wai_3=frame["wai"])
    (tmp_path / "s.csv").write_text(frame.to_csv(index=False), encoding="utf-8")
    text = "[data]\nsessions='s.csv'\n[outcome]\ncolumn='phq9'\n[alliance]\ncolumn='wai'"
    text += "\n[items]\nwai=['wai_1','wai_2','wai_3']"
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    assert "Reliability (Cronbach's alpha)" in invoke("check", tmp_path / "study.toml").out


def test_simulate_writes_what_its_study_reads(clinic: Path) -> None:
    panel = study_from_toml(clinic / "study.toml").read()
    assert panel.n_patients == 30 and panel.has_alliance
    truth = pd.read_csv(clinic / "truth" / "sessions.csv")
    assert len(truth) == panel.n_sessions
    assert (truth["patient_id"].to_numpy() == panel.patient_ids[panel.patient_index].to_numpy()).all()
    again = invoke("simulate", "--out", clinic / "nested" / ".." / "x" / "study.toml", "--preset", "no such")
    assert again.code == 2 and "nonlinear" in again.err


@pytest.mark.parametrize(("extra", "rows"), [([], None), (["--landmark", "2"], None), (["--landmark", "0"], 30)])
def test_features_are_written_with_their_dictionary(
    clinic: Path, tmp_path: Path, extra: list[str], rows: int | None
) -> None:
    out = tmp_path / "f.csv"
    result = invoke("features", clinic / "study.toml", "--out", out, *extra)
    assert result.code == 0, result.err
    made, described = pd.read_csv(out), pd.read_csv(tmp_path / "f-dictionary.csv")
    assert set(described["name"]) <= set(made.columns)
    assert set(described["seen"]) == {"past"}
    assert rows is None or len(made) == rows


def test_features_refuse_bad_landmarks(clinic: Path, tmp_path: Path) -> None:
    for text in ("soon", "-1"):
        result = invoke("features", clinic / "study.toml", "--out", tmp_path / "f.csv", "--landmark", text)
        assert result.code == 2 and "number of sessions" in result.err
    result = invoke("features", clinic / "study.toml", "--out", tmp_path / "no" / "f.csv")
    assert result.code == 2 and "cannot be written" in result.err


def test_features_do_not_write_over_what_they_are_made_of(clinic: Path) -> None:
    for name in ("sessions.csv", "patients.csv"):
        before = (clinic / name).read_bytes()
        result = invoke("features", clinic / "study.toml", "--out", clinic / name)
        assert result.code == 2 and "would write over the" in result.err
        assert (clinic / name).read_bytes() == before


def test_experiments_are_found_by_their_entry_points(
    clinic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counting(panel: Panel | None = None, *, random_state: int = 0, **options: object) -> SimpleNamespace:
        """How many patients are there?"""
        n = 0 if panel is None else panel.n_patients
        text = f"There are {n}; seed {random_state}, {sorted(options.items(), key=str)}."

        def save(folder: Path, *, overwrite: bool) -> None:
            folder.mkdir()
            (folder / "result.txt").write_text(text, encoding="utf-8")

        return SimpleNamespace(text=text, save=save)

    point = SimpleNamespace(name="count_them", load=lambda: counting)
    monkeypatch.setattr(experiments, "entry_points", lambda group: [point] if group == experiments.GROUP else [])
    assert "count-them" in invoke("experiment").out
    alone = invoke("experiment", "count-them", "--seed", "5", "--alliance-sem", "0.2")
    assert alone.code == 0 and "There are 0; seed 5" in alone.out
    assert "('alliance_sem', 0.2)" in alone.out and "('quick', True)" in alone.out
    asked = invoke("experiment", "count_them", clinic / "study.toml", "--out", tmp_path / "found", "--full")
    assert asked.code == 0 and "There are 30; seed 0" in asked.out and "('quick', False)" in asked.out
    assert (tmp_path / "found" / "result.txt").is_file()
    wrong = invoke("experiment", "for-whom")
    assert wrong.code == 2 and "there is count-them" in wrong.err


def test_options_of_long_runs_reach_the_experiments_that_take_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(panel: Panel | None = None, *, random_state: int = 0, **options: object) -> SimpleNamespace:
        """Short?"""
        return SimpleNamespace(text=f"short {sorted(options)}")

    def long(
        panel: Panel | None = None,
        *,
        n_jobs: int = 1,
        checkpoint: Path | None = None,
        progress: bool = False,
        **options: object,
    ) -> SimpleNamespace:
        """Long?"""

        def save(folder: Path, *, overwrite: bool) -> None:
            folder.mkdir()

        return SimpleNamespace(text=f"jobs {n_jobs}, progress {progress}, kept in {checkpoint}.", save=save)

    def every(panel: Panel | None = None, *, folder: Path | None = None, **options: object) -> SimpleNamespace:
        """All?"""
        return SimpleNamespace(text=f"into {folder}.")

    points = [
        SimpleNamespace(name=name, load=lambda ask=ask: ask)
        for name, ask in (("short", short), ("long", long), ("all", every))
    ]
    monkeypatch.setattr(experiments, "entry_points", lambda group: points)
    out = tmp_path / "out"
    done = invoke("experiment", "long", "--jobs", "2", "--out", out)
    assert done.code == 0 and f"jobs 2, progress True, kept in {out}.cells.jsonl." in done.out.replace("\n", "")
    named = invoke("experiment", "long", "--checkpoint", tmp_path / "x")
    assert f"kept in {tmp_path / 'x'}." in named.out.replace("\n", "")
    assert f"into {out}." in invoke("experiment", "all", "--out", out).out.replace("\n", "")
    refused = invoke("experiment", "short", "--jobs", "2")
    assert refused.code == 2 and "--jobs: not an option of this experiment, but of long." in refused.err


@pytest.mark.parametrize("args", [("predict",), ("patient", "P1")])
def test_a_folder_that_holds_no_run_is_refused(args: tuple[str, ...], tmp_path: Path) -> None:
    name, *rest = args
    for folder, message in ((tmp_path / "none", "there is no such folder"), (tmp_path, "there is no run.json")):
        result = invoke(name, folder, *rest)
        assert result.code == 2 and message in result.err
    (tmp_path / "run.json").write_text("[]", encoding="utf-8")
    result = invoke(name, tmp_path, *rest)
    assert result.code == 2 and "run.json: cannot be read" in result.err


def test_remedies_speak_in_flags() -> None:
    pairs = {
        "pass overwrite=True": "pass --overwrite",
        "pass out_of_range='missing'": "pass --out-of-range 'missing'",
        "missing_codes=[9, 99]": "--missing-code 9 --missing-code 99",
        "Columns(therapist=None)": '--therapist-id ""',
        "Columns(covariates[0]=...)": "--covariate (columns.covariates in study.toml)",
        "name it: measures={'phq9': ...}": "name it: --measure phq9=NAME",
        "pass measures={'phq9': 'phq9'} to": "pass --measure phq9=phq9 to",
        "alliance_sem=0.2 stays": "alliance_sem=0.2 stays",
    }
    for given, told in pairs.items():
        assert in_flags(given) == told


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "personalize", "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout.strip()[0].isdigit()
