"""The study of the top-fifth probabilities: bins counted by hand, one small clinic, a run that continues."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments import top_fifth
from experiments.checkpoint import Checkpoint


def test_bins_are_counted_right():
    p = np.array([0.05, 0.25, 0.25, 1.0, 0.0, 0.62, 0.0, 0.0, 0.0, 0.0])
    benefit = np.arange(10.0)  # the true top two are the last ones
    benefit[[3, 5]] = 99.0
    rows = {row["bin"]: row for row in top_fifth.counted(p, benefit)}
    assert rows[0] == {"bin": 0, "n": 6, "stated": pytest.approx(0.05), "observed": 0}
    assert rows[2]["n"] == 2 and rows[2]["observed"] == 0
    assert rows[6]["observed"] == rows[9]["observed"] == 1


def test_summary_judges_only_large_bins():
    rows = pd.DataFrame(
        {
            "preset": ["a", "a", "b", "b"],
            "bin": [1, 2, 1, -1],
            "n": [200, 10, 100, 50],
            "stated": [30.0, 2.5, 15.0, 0.0],
            "observed": [50, 3, 10, 0],
        }
    )
    table = top_fifth.summary(rows).set_index(["preset", "bin"])
    first = table.loc[("all", 0.1)]
    assert (first["n"], first["stated"], first["observed"]) == (300, 0.15, 0.2)
    assert first["within"] is True  # exactly five points
    assert table.loc[("all", 0.2), "within"] is None
    assert table.loc[("a", 0.1), "difference"] == pytest.approx(0.1)


def test_one_small_clinic_and_a_run_that_continues(tmp_path, capsys):
    file = tmp_path / "run.jsonl"
    flags = ["--presets", "linear", "--patients", "120", "--checkpoint", str(file), "--clinics", "1"]
    assert top_fifth.main(flags) == 0
    said = capsys.readouterr().out
    assert "stated" in said and "nobody was ranked" in said
    before = file.read_bytes()
    table, rows = top_fifth.top_fifth(presets=("linear",), clinics=1, n_patients=120, checkpoint=str(file))
    assert file.read_bytes() == before  # nothing was done twice
    assert rows["n"].sum() == 120
    if (rows["bin"] >= 0).all():
        assert table.loc[table["preset"] == "all", "n"].sum() == 120
        assert rows["stated"].sum() == pytest.approx(24)


def test_all_alike_are_not_ranked():
    rows = top_fifth.one_clinic(100, 8, "null", 9001)
    assert [row["bin"] for row in rows] == [-1]


def test_other_settings_are_refused(tmp_path, capsys):
    file = tmp_path / "run.jsonl"
    Checkpoint(file, {"experiment": "another"})
    assert top_fifth.main(["--clinics", "1", "--checkpoint", str(file)]) == 2
    assert "other settings" in capsys.readouterr().err
