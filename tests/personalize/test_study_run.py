"""One run from files to results folder, and what can be done with the folder afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zlib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features import Columns, NotEnoughData, Panel
from features.errors import FileError, OptionError
from personalize.cli import app
from personalize.files import read_table
from personalize.study import RunSummary, load_results, run_panel, run_study, study_from, study_from_toml
from personalize.study.demo import run_demo, write_clinic
from personalize.study.panel_store import load_panel, save_panel
from personalize.study.predict import new_panel, predict
from personalize.study.pseudonyms import pseudonymised

TABLES = (
    "features.csv",
    "effects.csv",
    "forecasts.csv",
    "attributions.csv",
    "tree-attributions.csv",
    "hinge.csv",
    "panel.parquet",
)
N_PATIENTS = 80


@dataclass(frozen=True)
class Done:
    clinic: Path
    folder: Path
    run: RunSummary


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    place = tmp_path_factory.mktemp("study")
    write_clinic(place / "clinic", n_patients=N_PATIENTS, n_sessions=7, caseload=5, seed=2)
    study = study_from_toml(place / "clinic" / "study.toml", {"output.folder": str(place / "results")})
    return Done(place / "clinic", place / "results", run_study(study))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the cross-validation, for tests that do not look at it."""
    monkeypatch.setattr("personalize.study.analysis.landmarks_of", lambda panel: ())
    monkeypatch.setattr("personalize.explain.on_track", lambda *args, **options: None)


def readable(file: Path) -> bytes:
    """What a file holds, unpacked where it is packed."""
    raw = file.read_bytes()
    if file.suffix == ".pdf":
        streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", raw, re.S)
        raw += b"".join(zlib.decompress(s) for s in streams if s[:1] == b"x")
    if file.suffix == ".parquet":
        raw += pd.read_parquet(file).to_csv().encode()
    if file.suffix in (".npz", ".npy"):
        loaded = np.load(file, allow_pickle=False)
        raw += b"".join(str(loaded[k].tolist()).encode() for k in loaded) if file.suffix == ".npz" else b""
    return raw


def digests(folder: Path) -> dict[str, str]:
    skip = ("run.json", "report.html")  # they say how long each stage took
    return {
        file.relative_to(folder).as_posix(): sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in skip and "patients" not in file.parts
    }


def test_the_folder_holds_what_it_promises(done: Done) -> None:
    there = {file.relative_to(done.folder).as_posix() for file in done.folder.rglob("*") if file.is_file()}
    promised = {*TABLES, "data-dictionary.csv", "summary.json", "report.html", "run.json"}
    assert promised <= there
    assert {"model/forecaster/forecaster.json", "model/panel/panel.json"} <= there
    assert any(name.startswith("model/effect/") for name in there)
    forbidden = (".pkl", ".pickle", ".joblib")
    assert not [name for name in there if name.endswith(forbidden)]


def test_every_table_has_one_row_per_patient_or_says_more(done: Done) -> None:
    rows = {name: len(read_table(done.folder / name).frame) for name in TABLES}
    n_sessions = done.run.analysis.panel.n_sessions
    assert rows["effects.csv"] == rows["hinge.csv"] == N_PATIENTS
    assert rows["forecasts.csv"] == rows["attributions.csv"] == 3 * N_PATIENTS
    assert rows["features.csv"] == rows["panel.parquet"] == n_sessions


def test_the_dictionary_describes_every_column_of_every_table(done: Done) -> None:
    described = pd.read_csv(done.folder / "data-dictionary.csv", keep_default_na=False)
    for name in TABLES:
        own = described[described["table"] == name]
        assert own["column"].tolist() == list(map(str, read_table(done.folder / name).frame.columns))
    silent = described[described["description"].str.len() < 5]
    assert silent.empty, silent.to_string()
    whole = described["column"].str.endswith("__whole") & (described["table"] == "features.csv")
    assert whole.any() and set(described.loc[whole, "seen"]) == {"whole"}


def test_the_run_says_what_went_in(done: Done) -> None:
    run = json.loads((done.folder / "run.json").read_text(encoding="utf-8"))
    for role in ("sessions", "patients", "therapists"):
        file = done.clinic / f"{role}.csv"
        assert run["inputs"][role]["sha256"] == sha256(file.read_bytes()).hexdigest()
        assert run["inputs"][role]["file"] == file.name
    assert run["seed"] == 0 and run["software"]["lightgbm"]
    assert run["options"]["outcome"]["column"] == "symptoms"
    assert set(run["seconds"]) >= {"Reading the data", "Forecasts: learning", "Report"}
    assert str(done.folder.parent) not in json.dumps(run), "no path of this machine"


def test_the_summary_holds_effect_heterogeneity_validation_and_accuracy(done: Done) -> None:
    summary = json.loads((done.folder / "summary.json").read_text(encoding="utf-8"))
    average = summary["average_effect"]
    assert average["lower"] < average["estimate"] < average["upper"]
    assert summary["heterogeneity"]["detected"] in (True, False)
    accuracy = pd.DataFrame(summary["accuracy"])
    assert {"forecaster", "last observation", "expected response", "mixed model"} <= set(accuracy["forecaster"])
    assert {"mae", "rmse", "crps", "coverage"} <= set(accuracy["metric"])
    assert summary["data"]["patients"] == N_PATIENTS
    assert summary["left_out"] == {}


def test_the_same_inputs_and_seed_give_the_same_bytes(done: Done, tmp_path: Path) -> None:
    before = digests(done.folder)
    study = study_from_toml(done.clinic / "study.toml", {"output.folder": str(tmp_path / "again")})
    run_study(study)
    after = digests(tmp_path / "again")
    marker = ".personalize"
    assert {k: v for k, v in before.items() if k != marker} == {k: v for k, v in after.items() if k != marker}


def new_patients(done: Done, folder: Path) -> Path:
    """Files of five patients nobody has seen: other names, an unknown therapist, three sessions; one has none."""
    sessions = pd.read_csv(done.clinic / "sessions.csv")
    patients = pd.read_csv(done.clinic / "patients.csv").iloc[:5]
    chosen = sessions[sessions["patient_id"].isin(patients["patient_id"].iloc[:4]) & (sessions["session"] <= 3)]
    rename = {old: f"new{i}" for i, old in enumerate(patients["patient_id"])}
    folder.mkdir(exist_ok=True)
    chosen.assign(patient_id=chosen["patient_id"].map(rename)).to_csv(folder / "sessions.csv", index=False)
    own = patients.assign(patient_id=patients["patient_id"].map(rename), therapist_id="t99")
    own.to_csv(folder / "patients.csv", index=False)
    return folder


def test_a_saved_run_in_a_new_process_gives_the_same_forecasts(done: Done, tmp_path: Path) -> None:
    new = new_patients(done, tmp_path / "new")
    given = {"data.sessions": str(new / "sessions.csv"), "data.patients": str(new / "patients.csv")}
    panel = new_panel(load_results(done.folder), given)
    assert panel.n_patients == 5
    fitted = done.run.analysis
    here = fitted.forecaster.predict(panel)
    assert fitted.effect is not None
    intake = panel.patients.assign(therapist_id="t99")
    effects = fitted.effect.predict(intake)
    out = tmp_path / "predictions"
    flags = ["--sessions", new / "sessions.csv", "--patients", new / "patients.csv", "--out", out]
    command = [sys.executable, "-m", "personalize", "predict", done.folder, *flags]
    told = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    there = pd.read_csv(out / "forecasts.csv")
    for column in ("mean", "lower", "upper", "band_lower", "band_upper", "q0.05", "q0.95"):
        np.testing.assert_array_equal(there[column].to_numpy(), here[column].to_numpy())
    assert there["target"].tolist() == ["next session", "4 sessions ahead", "last session"] * 5
    assert there["sessions_seen"].tolist()[-1] == 0, "the fifth patient is forecast from intake"
    saved = pd.read_csv(out / "effects.csv").set_index("patient_id")
    np.testing.assert_allclose(saved["estimate"], effects["estimate"], rtol=1e-12)
    np.testing.assert_allclose(saved["lower"], effects["lower"], rtol=1e-12)
    assert (out / "report.html").stat().st_size > 10_000
    described = pd.read_csv(out / "data-dictionary.csv", keep_default_na=False)
    assert set(described["table"]) <= {
        "forecasts.csv", "attributions.csv", "tree-attributions.csv", "effects.csv",
    }  # fmt: skip
    assert (described["description"].str.len() > 5).all()


def test_patients_without_sessions_need_no_sessions_table(done: Done, tmp_path: Path) -> None:
    new = new_patients(done, tmp_path / "new")
    results = load_results(done.folder)
    made = predict(results, new_panel(results, {"data.patients": str(new / "patients.csv")}))
    assert len(made.forecasts) == 15 and made.forecasts["mean"].notna().all()
    assert made.effects is not None and len(made.effects) == 5
    with pytest.raises(OptionError, match="name the new patients' files"):
        new_panel(results, {})


def test_new_patients_need_neither_the_therapist_nor_columns_with_missing_codes(tmp_path: Path, quick: None) -> None:
    write_clinic(tmp_path / "clinic", n_patients=40, n_sessions=6, caseload=8, seed=3)
    for name in ("sessions", "patients", "therapists"):
        file = tmp_path / "clinic" / f"{name}.csv"
        file.write_text(file.read_text(encoding="utf-8").replace("therapist_id", "clinician_no"), encoding="utf-8")
    patients = pd.read_csv(tmp_path / "clinic" / "patients.csv")
    patients.assign(remark=[f"note {i}" for i in range(40)]).to_csv(tmp_path / "clinic" / "patients.csv", index=False)
    given = {
        "output.folder": str(tmp_path / "r"),
        "data.missing_codes": {"*": [-99], "age": [999]},
        "data.leave_out": ["remark"],
        "columns.therapist": "clinician_no",
    }
    run_study(study_from_toml(tmp_path / "clinic" / "study.toml", given))
    assert "remark" not in pd.read_csv(tmp_path / "r" / "features.csv").columns
    results = load_results(tmp_path / "r")
    bare = patients.drop(columns=["clinician_no", "age"], errors="ignore")
    bare.assign(patient_id=[f"new {i}" for i in range(40)]).to_csv(tmp_path / "new.csv", index=False)
    panel = new_panel(results, {"data.patients": str(tmp_path / "new.csv")})
    made = predict(results, panel)
    assert len(made.forecasts) and made.forecasts["mean"].notna().all()
    assert any("who treats whom ('clinician_no')" in note for note in panel.notes)
    assert any("Missing codes of 'age' were not needed" in note for note in panel.notes)


def test_patients_without_sessions_get_their_pages(done: Done, tmp_path: Path) -> None:
    """Nobody has a rating yet, so the page has no alliance axis to draw."""
    new = new_patients(done, tmp_path / "new")
    out = tmp_path / "out"
    told = CliRunner().invoke(
        app, ["predict", str(done.folder), "--patients", str(new / "patients.csv"), "--out", str(out)]
    )
    assert told.exit_code == 0, told.stderr
    assert (out / "report.html").stat().st_size > 10_000
    assert len(pd.read_csv(out / "effects.csv")) == 5


def test_predictions_do_not_replace_the_run(done: Done) -> None:
    runner = CliRunner()
    sessions = str(done.clinic / "sessions.csv")
    result = runner.invoke(app, ["predict", str(done.folder), "--sessions", sessions, "--out", str(done.folder)])
    assert result.exit_code == 2 and "the folder of the run itself" in result.stderr


def test_one_patients_page(done: Done, tmp_path: Path) -> None:
    runner = CliRunner()
    who = str(done.run.analysis.panel.patient_ids[3])
    result = runner.invoke(app, ["patient", str(done.folder), who, "--out", str(tmp_path / "one.html")])
    assert result.exit_code == 0, result.stderr
    assert "next session:" in result.stdout and who in result.stdout
    assert who in (tmp_path / "one.html").read_text(encoding="utf-8")
    other = str(done.run.analysis.panel.patient_ids[4])
    assert other not in (tmp_path / "one.html").read_text(encoding="utf-8")
    wrong = runner.invoke(app, ["patient", str(done.folder), "nobody"])
    assert wrong.exit_code == 2 and "there is no patient 'nobody'" in wrong.stderr


def test_the_saved_panel_is_the_panel(done: Done) -> None:
    before, after = done.run.analysis.panel, load_results(done.folder).panel
    assert_same(before, after)


def assert_same(before: Panel, after: Panel) -> None:
    pd.testing.assert_frame_equal(before.sessions, after.sessions)
    pd.testing.assert_frame_equal(before.patients, after.patients)
    pd.testing.assert_frame_equal(before.therapists, after.therapists)
    for name in ("outcome", "alliance", "session", "time", "patient_index", "offsets", "therapist_index", "clusters"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert before.columns == after.columns and before.timing == after.timing and before.better == after.better
    assert before.measures == after.measures and before.notes == after.notes and before.labels == after.labels


def test_a_panel_with_dates_categories_and_measures_is_kept(tmp_path: Path) -> None:
    days = pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-03", "2024-01-20"])
    sessions = pd.DataFrame({"patient_id": ["a", "a", "b", "b"], "date": days, "phq9": [10.0, np.nan, 8.0, 9.0]})
    patients = pd.DataFrame({"patient_id": ["a", "b", "c"], "site": ["x", "y", None], "age": [30, 41, 52]})
    columns = Columns(outcome="phq9", time="date")
    panel = Panel(sessions, patients, columns=columns, measures={"phq9": "phq9"}, labels={"phq9": "Depression"})
    save_panel(panel, tmp_path / "p")
    again = load_panel(tmp_path / "p")
    np.testing.assert_array_equal(again.time, panel.time)
    np.testing.assert_array_equal(again.calendar, panel.calendar)
    assert again.measures == panel.measures and again.labels == panel.labels and again.notes == panel.notes
    pd.testing.assert_frame_equal(again.patients, panel.patients)
    (tmp_path / "p" / "sessions.parquet").unlink()
    with pytest.raises(FileError, match="no such file"):
        load_panel(tmp_path / "p")


def test_without_an_alliance_forecasts_are_made_and_the_rest_is_said(done: Done, tmp_path: Path, quick: None) -> None:
    out = tmp_path / "results"
    flags = ["--sessions", done.clinic / "sessions.csv", "--patients", done.clinic / "patients.csv", "--out", out]
    result = CliRunner().invoke(app, list(map(str, ["run", *flags, "--outcome", "symptoms"])))
    assert result.exit_code == 0, result.stderr
    assert "Left out: effects.csv, hinge.csv. No column plays the role of the alliance" in result.stdout
    assert not (out / "effects.csv").exists() and not (out / "hinge.csv").exists()
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert {"effects.csv", "hinge.csv"} <= set(summary["left_out"]) and summary["average_effect"] is None
    assert len(pd.read_csv(out / "forecasts.csv")) == 3 * N_PATIENTS
    assert "No column plays the role of the alliance" in (out / "report.html").read_text(encoding="utf-8")
    assert load_results(out).effect is None


def test_moderators_can_be_named_beforehand(done: Done, tmp_path: Path, quick: None) -> None:
    study = study_from_toml(
        done.clinic / "study.toml",
        {"output.folder": str(tmp_path / "r"), "analysis.moderators": ["attachment_anxiety", "age"]},
    )
    run = run_study(study)
    assert any("named beforehand: 'attachment_anxiety', 'age'" in note for note in run.summary["notes"])
    hinge = pd.read_csv(tmp_path / "r" / "hinge.csv")
    assert set(hinge["moderator_1"].dropna()) <= {"attachment_anxiety", "age"}


def test_too_little_data_for_the_effect_leaves_it_out_with_the_reason(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    def too_little(self: object, panel: Panel) -> None:
        raise NotEnoughData("The effect needs more sessions: two are not enough.")

    monkeypatch.setattr("personalize.effects.alliance_effect.AllianceEffect.fit", too_little)
    study = study_from_toml(done.clinic / "study.toml", {"output.folder": str(tmp_path / "r")})
    run = run_study(study)
    assert run.summary["left_out"]["effects.csv"] == "The effect needs more sessions: two are not enough."
    assert any("two are not enough" in note for note in run.summary["notes"])
    assert run.summary["accuracy"] is None and "accuracy of the forecasts" in run.summary["left_out"]
    assert not (tmp_path / "r" / "hinge.csv").exists()
    assert "two are not enough" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")


def test_pseudonyms_leave_no_identifier_in_anything_written(tmp_path: Path, quick: None) -> None:
    write_clinic(tmp_path / "clinic", n_patients=20, n_sessions=5, caseload=5, seed=1)
    for name in ("sessions", "patients", "therapists"):
        path = tmp_path / "clinic" / f"{name}.csv"
        table = pd.read_csv(path)
        for column in table.columns.intersection(["patient_id", "therapist_id"]):
            table[column] = "secret-" + table[column]
            table[column] = table[column].replace("secret-p0001", "=secret-p0001")
        table.to_csv(path, index=False)
    given = {"output.folder": str(tmp_path / "r"), "output.pseudonyms": True}
    path = tmp_path / "clinic" / "patients.csv"
    table = pd.read_csv(path)
    table.assign(remark=[f"secret-{i} moved here from abroad" for i in range(20)]).to_csv(path, index=False)
    run = run_study(study_from_toml(tmp_path / "clinic" / "study.toml", given))
    assert any("Left out under pseudonyms, as names or free text: 'remark'" in n for n in run.summary["notes"])
    for file in (tmp_path / "r").rglob("*"):
        assert "secret" not in file.name
        if file.is_file():
            assert b"secret-" not in readable(file), file.name
    assert run.key == tmp_path / "r.key.csv"
    key = pd.read_csv(tmp_path / "r.key.csv")
    assert (key["role"] == "patient").sum() == 20 and key["identifier"].str.contains("secret-").all()
    assert "'=secret-p0001" in set(key["identifier"])  # no formula for a spreadsheet
    forecasts = pd.read_csv(tmp_path / "r" / "forecasts.csv")
    assert set(forecasts["patient_id"]) == set(key.loc[key["role"] == "patient", "pseudonym"])


def test_few_therapists_names_are_left_out_and_refused_as_moderators(tmp_path: Path, quick: None) -> None:
    write_clinic(tmp_path / "clinic", n_patients=24, n_sessions=5, caseload=8, seed=1)
    for name, who in (("therapists", "surname"), ("patients", "town")):
        path = tmp_path / "clinic" / f"{name}.csv"
        table = pd.read_csv(path)
        table.assign(**{who: [f"secret-{i}" for i in range(len(table))]}).to_csv(path, index=False)
    given = {"output.folder": str(tmp_path / "r"), "output.pseudonyms": True}
    toml = tmp_path / "clinic" / "study.toml"
    named = study_from_toml(toml, {**given, "analysis.moderators": ["town"]})
    assert any("left out under pseudonyms" in problem for problem in named.check().problems)
    with pytest.raises(OptionError, match="'town' is left out under pseudonyms"):
        run_study(named)
    run_study(study_from_toml(toml, given))
    for file in (tmp_path / "r").rglob("*"):
        assert not file.is_file() or b"secret-" not in readable(file), file.name


def test_pseudonyms_carry_each_patients_own_data(done: Done) -> None:
    panel = done.run.analysis.panel
    renamed, key = pseudonymised(panel, 5)
    of = key[key["role"] == "patient"].set_index("identifier")["pseudonym"]
    for old in panel.patient_ids[:10]:
        before, after = panel.subset([old]), renamed.subset([of[str(old)]])
        np.testing.assert_array_equal(before.outcome, after.outcome)
        np.testing.assert_array_equal(before.alliance, after.alliance)
        pd.testing.assert_series_equal(before.patients.iloc[0], after.patients.iloc[0], check_names=False)
    order = of.loc[[str(i) for i in panel.patient_ids]].tolist()
    assert order != sorted(order), "the order of the names says nothing"
    assert pseudonymised(panel, 5)[1].equals(key)


def test_a_failed_run_leaves_the_earlier_results_alone(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r"
    study = study_from_toml(done.clinic / "study.toml", {"output.folder": str(out)})
    out.mkdir()
    (out / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileError, match="exists and is not a results folder"):
        run_study(study)
    (out / "mine.txt").unlink()

    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("personalize.study.run.write_report", broken)
    monkeypatch.setattr("personalize.study.run.gather", lambda *a, **k: None)
    monkeypatch.setattr("personalize.study.run.analyse", lambda *a: done.run.analysis)
    with pytest.raises(RuntimeError, match="in the middle"):
        run_study(study)
    assert list(out.iterdir()) == [] and [p.name for p in tmp_path.iterdir()] == ["r"]


def test_inputs_inside_the_results_folder_are_refused(done: Done, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    study = study_from({"data.sessions": str(folder / "s.csv"), "output.folder": str(folder)})
    with pytest.raises(OptionError, match="lies in the results folder"):
        run_study(study)


def test_a_panel_of_other_roles_is_refused(done: Done, tmp_path: Path) -> None:
    study = study_from({"outcome.column": "other", "output.folder": str(tmp_path / "r")})
    with pytest.raises(OptionError, match="the panel's scores are"):
        run_panel(done.run.analysis.panel, study)


def test_the_demo_knows_the_truth(tmp_path: Path, quick: None) -> None:
    run, truth = run_demo(tmp_path / "r", preset="harsh", n_patients=40, n_sessions=6, seed=3)
    saved = pd.read_csv(tmp_path / "r" / "truth.csv").set_index("patient_id")
    np.testing.assert_allclose(saved["effect"], truth.patients["effect"])
    described = pd.read_csv(tmp_path / "r" / "data-dictionary.csv", keep_default_na=False)
    assert set(saved.columns) <= set(described.loc[described["table"] == "truth.csv", "column"])
    facts = json.loads((tmp_path / "r" / "run.json").read_text(encoding="utf-8"))
    assert facts["simulated"] is True and facts["inputs"]["simulated"]["preset"] == "harsh"
    assert facts["options"]["alliance"]["sem"] == truth.options.alliance_sem
    assert run.summary["title"].startswith("Simulated clinic (harsh")
