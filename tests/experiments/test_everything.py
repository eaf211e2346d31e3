"""All experiments in one command: one folder, failures that stop nothing, continued runs, the same names everywhere."""

import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from experiments import everything
from experiments.everything import EXPERIMENTS, digest, main, run
from experiments.result import ExperimentResult, check_row
from features.errors import FileError, NotEnoughData, OptionError
from personalize.simulate import simulate_clinic

ROOT = Path(__file__).parents[2]


class Stand:
    """Experiments that cost nothing: one answers, one refuses, one has a bug until it is mended."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.mended = False

    def answers(self, panel=None, *, random_state=0, **options):
        self.asked.append("answers")
        table = pd.DataFrame({"quantity": ["seed"], "estimate": [random_state]})
        check = pd.DataFrame([check_row("a <check>", "0", 0.0, -1.0, 1.0, passed=True, n=3)])
        return ExperimentResult("answers", "a claim", table, "It is <so>.", check)

    def refuses(self, panel=None, **options):
        self.asked.append("refuses")
        raise NotEnoughData("needs 40 patients")

    def breaks(self, panel=None, *, n_jobs, checkpoint, progress, **options):
        self.asked.append("breaks")
        if not self.mended:
            raise ZeroDivisionError("a bug")
        return self.answers(panel, **options)


@pytest.fixture
def stand(monkeypatch):
    made = Stand()
    for name in ("answers", "refuses", "breaks"):
        module = ModuleType(f"stand_{name}")
        module.run = getattr(made, name)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(everything, "EXPERIMENTS", {n: f"stand_{n}" for n in ("refuses", "answers", "breaks")})
    monkeypatch.setattr(everything, "SPREAD", ("breaks",))
    return made


def test_one_that_fails_does_not_stop_the_others(stand, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["--out", str(out), "--jobs", "1", "--seed", "4"]) == 1
    said = capsys.readouterr().out
    assert "refuses (cannot answer)\nneeds 40 patients" in said
    assert "answers (answered; 1 of 1 checks hold)\nIt is <so>." in said
    assert "breaks (failed)\nZeroDivisionError: a bug" in said
    table = pd.read_csv(out / "summary.csv")
    assert table["status"].tolist() == ["cannot answer", "answered", "failed"]
    assert table["passed"].tolist()[1] == 1 and table["passed"].isna().tolist() == [True, False, True]
    assert (out / "answers" / "table.csv").read_text().splitlines()[1] == "seed,4"
    assert "ZeroDivisionError" in (out / "errors" / "breaks.txt").read_text()
    page = (out / "index.html").read_text()
    assert "It is &lt;so&gt;." in page and "a &lt;check&gt;" in page and "needs 40 patients" in page
    assert json.loads((out / "run.json").read_text())["random_state"] == 4


def test_the_same_command_continues_and_tries_again_what_failed(stand, tmp_path):
    run(folder=tmp_path / "out", n_jobs=1)
    stand.asked.clear()
    stand.mended = True
    found = run(folder=tmp_path / "out", n_jobs=1)
    assert stand.asked == ["refuses", "breaks", "answers"]  # the last by breaks itself
    assert found.table["status"].tolist() == ["cannot answer", "answered", "answered"]
    assert not (tmp_path / "out" / "errors" / "breaks.txt").exists()
    (tmp_path / "out" / "answers" / "result.txt").unlink()  # an answer that is gone is given again
    stand.asked.clear()
    run(folder=tmp_path / "out", n_jobs=1)
    assert stand.asked == ["refuses", "answers"]
    assert (tmp_path / "out" / "answers" / "result.txt").is_file()


def test_a_folder_of_something_else_is_refused(stand, tmp_path):
    run(folder=tmp_path / "out", n_jobs=1)
    with pytest.raises(FileError, match=r"another folder.*'random_state'"):
        run(folder=tmp_path / "out", random_state=1, n_jobs=1)
    with pytest.raises(FileError, match=r"another folder.*'data'"):
        run(simulate_clinic(n_patients=20).panel, folder=tmp_path / "out", n_jobs=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(FileError, match="holds no run of all experiments"):
        run(folder=tmp_path / "mine", n_jobs=1)


def test_bad_options(tmp_path):
    with pytest.raises(OptionError, match="need a folder"):
        run()
    with pytest.raises(OptionError, match="'for-whom'"):
        run(folder=tmp_path, only=["whom"])


def test_the_hash_tells_panels_apart():
    one, two = (simulate_clinic(n_patients=20, random_state=seed).panel for seed in (0, 1))
    assert digest(one) == digest(simulate_clinic(n_patients=20, random_state=0).panel) != digest(two)


def test_a_study_is_asked_in_processes_and_recovery_says_why_not(tmp_path):
    panel = simulate_clinic(n_patients=120, n_sessions=10, random_state=3).panel
    found = run(panel, folder=tmp_path / "out", only=["state-and-trait", "targeting", "recovery"], n_jobs=2)
    rows = found.table.set_index("experiment")
    assert rows.loc[["state-and-trait", "targeting"], "status"].eq("answered").all()
    assert rows.loc["recovery", "status"] == "cannot answer"
    assert "nobody knows the true effects" in rows.loc["recovery", "sentence"]
    assert (tmp_path / "out" / "targeting" / "figure.svg").is_file()
    assert 'src="state-and-trait/figure.svg"' in (tmp_path / "out" / "index.html").read_text()


def test_every_experiment_has_its_name_on_the_command_line_and_a_page():
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["personalize.experiments"]
    assert points == {
        **{name: f"{module}:run" for name, module in EXPERIMENTS.items()},
        "all": "experiments.everything:run",
    }
    for module in EXPERIMENTS.values():
        page = ROOT / "docs" / "experiments" / f"{module.split('.')[1]}.md"
        assert page.is_file() and page.with_suffix(".svg").is_file()
        assert page.name in (ROOT / "docs" / "index.md").read_text()
