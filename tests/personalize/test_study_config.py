"""Reading study.toml and flags: every key is known, every value of the right kind, and flags win."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import FileError, OptionError
from features.measures import Measure
from personalize.study import Study, study_from, study_from_toml
from personalize.study.reading import study_from_values
from personalize.study.schema import KEYS, MEASURE_FLAG, SECTIONS

FULL = """
title = "A study"
[data]
sessions = "sessions.csv"
patients = "intake/patients.sav"
missing_codes = { wai = [9, 99], oq45 = [-9] }
out_of_range = "missing"
[columns]
patient = "id"
therapist = ""
time = "date"
covariates = ["homework"]
[outcome]
column = "oq45"
measure = "oq45"
sem = 4.5
[alliance]
column = "wai"
measure = { minimum = 1, maximum = 7, better = "high" }
timing = "before"
[measures]
homework = { minimum = 0, maximum = 10 }
[analysis]
level = 0.95
seed = 3
[output]
folder = "out"
pseudonyms = true
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_full_study_is_read(tmp_path: Path) -> None:
    study = study_from_toml(write(tmp_path, FULL))
    assert study.columns.outcome == "oq45" and study.columns.alliance == "wai"
    assert study.columns.patient == "id" and study.columns.therapist is None and study.columns.time == "date"
    assert study.columns.covariates == ("homework",)
    assert study.measures["oq45"] == "oq45"
    wai = study.measures["wai"]
    assert isinstance(wai, Measure) and (wai.minimum, wai.maximum, wai.better) == (1, 7, "high")
    assert study.files == {"sessions": tmp_path / "sessions.csv", "patients": tmp_path / "intake" / "patients.sav"}
    assert study.folder == tmp_path / "out"
    assert study.get("data.missing_codes") == {"wai": (9, 99), "oq45": (-9,)}
    assert (study.get("analysis.level"), study.get("analysis.seed"), study.get("outcome.sem")) == (0.95, 3, 4.5)


def test_flags_take_the_place_of_the_file_and_their_paths_count_from_here(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    study = study_from_toml(path, {"data.sessions": "here.csv", "analysis.seed": 9, "measures.oq45": "phq9"})
    assert study.files["sessions"] == Path("here.csv")
    assert study.get("analysis.seed") == 9
    assert study.measures["oq45"] == "phq9"
    assert study.files["patients"] == tmp_path / "intake" / "patients.sav"


def test_what_is_not_given_has_its_default() -> None:
    study = study_from({"outcome.column": "phq9"})
    for key in KEYS:
        if key.dotted != "outcome.column":
            assert study.get(key.dotted) == key.default


def test_plain_values_come_back_the_same(tmp_path: Path) -> None:
    study = study_from_toml(write(tmp_path, FULL))
    again = study_from_values(study.plain(), source="again")
    assert again.values == study.values


BAD = [
    ("[outcom]\ncolumn='x'", "unknown section or key 'outcom' (did you mean 'outcome'?)"),
    ("sesions = 'x'", "unknown section or key 'sesions'"),
    ("[data]\nsesions = 'a.csv'", "unknown key 'sesions' in [data] (did you mean 'sessions'?); allowed are sessions,"),
    ("[data]\noutcome = 'phq9'", "unknown key 'outcome' in [data]"),
    ("[data]\nseed = 1", "'seed' belongs to analysis.seed"),
    ("[data]\nsessions = 3", "data.sessions must be the path of a file"),
    ("[alliance]\ntiming = 'during'", "choose one of 'after', 'before'"),
    ("[data]\nout_of_range = 'mising'", "did you mean 'missing'?"),
    ("[outcome]\nsem = 'high'", "outcome.sem must be a number"),
    ("[outcome]\nsem = -1", "outcome.sem=-1.0 is not allowed"),
    ("[analysis]\nseed = 1.5", "analysis.seed must be a whole number"),
    ("[analysis]\nseed = -1", "analysis.seed=-1 is not allowed; give a whole number from 0"),
    ("[analysis]\nlevel = 90", "analysis.level=90.0 is not allowed; give a number from 0.5"),
    ("[output]\noverwrite = 'yes'", "output.overwrite must be true or false"),
    ("[columns]\ncovariates = 'homework'", "columns.covariates must be a list of column names"),
    ("[columns]\npatient = ''", "columns.patient must be text"),
    ("[outcome]\nmeasure = 'phq10'", "'phq10'"),
    ("[outcome]\nmeasure = { maximun = 3 }", "unknown key 'maximun'"),
    ("[measures]\nother = 'phq9'", "'other', which plays no role"),
    ("[alliance]\nmeasure = 'wai'", "alliance.measure is given, but alliance.column is not"),
    ("[items]\nwai = 'wai_1'", "items.wai must be a list of two or more item columns"),
    ("data = 'x'", "[data] is a section"),
    ("[outcome]\ncolumn = 'x'\n[alliance]\ncolumn = 'x'", "given two roles"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_studies_say_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError) as error:
        study_from_toml(write(tmp_path, text))
    assert message in str(error.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="not a valid TOML file"):
        study_from_toml(write(tmp_path, "[data\nsessions = C:\\x"))
    with pytest.raises(FileError, match=r"there is no such file; there is study.toml"):
        study_from_toml(tmp_path / "studie.toml")
    with pytest.raises(FileError, match="is a folder"):
        study_from_toml(tmp_path)


def test_a_study_without_sessions_says_so() -> None:
    with pytest.raises(OptionError, match="no sessions table is named; give --sessions FILE"):
        study_from({}).read()


def test_the_reference_documents_every_key_and_flag() -> None:
    text = (Path(__file__).parents[2] / "docs" / "study-toml.md").read_text(encoding="utf-8")
    sections = {part.split("]")[0]: part for part in text.split("\n## [")[1:]}
    for key in KEYS:
        if key.section:
            assert f"`{key.name}`" in sections[key.section], key.dotted
        if key.flag:
            assert f"`{key.flag}`" in text, key.flag
    assert f"`{MEASURE_FLAG}`" in text
    assert set(SECTIONS) - {""} == set(sections)


def test_a_study_is_immutable() -> None:
    with pytest.raises(AttributeError):
        study_from({}).source = "other"  # type: ignore[misc]
    assert isinstance(study_from({}), Study)
