"""Reliable and clinically significant change: published examples, and by hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features import Columns, NotEnoughData, OptionError, Panel
from features.clinical import clinical_change, reliable_change_so_far
from features.significance import INDICES, Scale, cutoff_score, reliable_points


def panel_of(before: list[float], after: list[float], **options: object) -> Panel:
    n = len(before)
    sessions = pd.DataFrame({"patient_id": [*range(n), *range(n)], "session": [1] * n + [9] * n})
    sessions["score"] = [*before, *after]
    return Panel(sessions, columns=Columns(outcome="score", therapist=None), **options)


def test_jacobson_and_truax_own_example() -> None:
    # Jacobson & Truax 1991, p. 14: SD 7.5, reliability .80, a couple from 32.5 to 47.5: RC 3.16; cutoff c 50
    scale = Scale(mean=40, sd=7.5, mean_after=50, sd_after=7.5, correlation=0, reliability=0.80)
    index = INDICES["jacobson-truax"](np.array([32.5]), np.array([47.5]), scale)
    assert index[0] == pytest.approx(3.16, abs=0.005)
    assert cutoff_score((40, 7.5), (60, 7.5), "c") == 50
    assert cutoff_score((40, 7.5), (60, 7.5), "a") == 55 and cutoff_score((40, 7.5), (60, 7.5), "b") == 45


def test_reliable_points_of_the_suddengains_package() -> None:
    # define_crit1_cutoff(), tests/testthat/test-define_crit1_cutoff.R
    assert reliable_points(10.5, 0.961) == pytest.approx(5.747681, abs=1e-6)
    assert reliable_points(6.396073, 0.931) == pytest.approx(4.65703, abs=1e-5)


# scores and settings of tests/testthat/test-calc_rci.R of clinicalsignificance 2.1.0; values by
# reference/clinical_indices.R with R 4.2.2
BEFORE = np.array([30.0, 20, 10, 8, 6, 4, 2])
AFTER = np.array([3.0, 2, 2, 2, 2, 2, 1])
R_VALUES = {
    "jacobson-truax": [-8.538150, -5.692100, -2.529822, -1.897367, -1.264911, -0.632456, -0.316228],
    "edwards-nunnally": [-10.285913, -7.155418, -3.577709, -2.862167, -2.146625, -1.431084, -1.162755],
    "hageman-arrindell": [-5.563602, -4.245263, -2.780442, -2.487478, -2.194514, -1.901550, -1.755067],
}


@pytest.mark.parametrize("method", R_VALUES)
def test_indices_of_the_clinicalsignificance_package(method: str) -> None:
    together = float(np.corrcoef(BEFORE, AFTER)[0, 1])
    scale = Scale(mean=10, sd=5, mean_after=7, sd_after=6, correlation=together, reliability=0.8)
    np.testing.assert_allclose(INDICES[method](BEFORE, AFTER, scale), R_VALUES[method], atol=1e-6)


# cs_combined() on claus_2020 (HAMD, first to fourth assessment, reliability .80, functional 8 +/- 8), as printed in
# tests/testthat/_snaps/cs_combined.md of clinicalsignificance 2.1.0
PUBLISHED = {
    "jacobson-truax": {"recovered": 26, "improved": 3, "unchanged": 10, "deteriorated": 1},
    "edwards-nunnally": {"recovered": 26, "improved": 6, "unchanged": 5, "deteriorated": 3},
    "hageman-arrindell": {"recovered": 23, "improved": 9, "unchanged": 7, "deteriorated": 1},
}


@pytest.mark.parametrize("method", PUBLISHED)
def test_the_packages_published_data_set(method: str) -> None:
    folder = os.environ.get("PERSONALIZE_REFERENCE")
    if folder is None:
        pytest.skip("set PERSONALIZE_REFERENCE to a folder with claus_2020.csv; see reference/clinicalsignificance.R")
    table = pd.read_csv(Path(folder) / "claus_2020.csv")
    table = table[table["time"].isin([1, 4])].rename(columns={"id": "patient_id", "time": "session"})
    panel = Panel(table[["patient_id", "session", "hamd"]], columns=Columns(outcome="hamd", therapist=None))
    status = clinical_change(panel, method, reliability=0.8, functional=(8, 8))["status"]
    assert status.value_counts().to_dict() == PUBLISHED[method]


def test_every_status_by_hand() -> None:
    # SEM 1, so 1.96 · sqrt(2) = 2.77 points are reliable; low is better, cutoff 10: 10 itself is clinical
    before, after = [15.0, 15, 15, 8, 8, 10, 15], [9.0, 11, 14, 11, 3, 7, np.nan]
    panel = panel_of(before, after)
    table = clinical_change(panel, reliability=0.75, clinical=(12, 2), cutoff=10)
    assert table["status"].tolist()[:6] == ["recovered", "improved", "unchanged", "harmed", "improved", "recovered"]
    assert table["status"].isna().tolist()[6] and table["reason"].tolist()[6] == "one score only"
    assert table["clinical_before"].tolist()[:6] == [1, 1, 1, 0, 0, 1]
    worse = clinical_change(panel_of([15.0, 16], [18.0, 16]), reliability=0.75, clinical=(12, 2), cutoff=10)
    assert worse["status"].tolist() == ["deteriorated", "unchanged"]
    bare = clinical_change(panel, reliability=0.75, clinical=(12, 2))
    assert bare["status"].tolist()[:4] == ["improved", "improved", "unchanged", "deteriorated"]
    assert bare["cutoff"].isna().all() and bare["functional_after"].isna().all()


def test_high_is_better_mirrors() -> None:
    before, after = [15.0, 15, 15, 8, 8, 10], [9.0, 11, 14, 11, 3, 7]
    low = clinical_change(panel_of(before, after), reliability=0.8, functional=(5, 3))
    turned = panel_of([-b for b in before], [-a for a in after], better="high")
    high = clinical_change(turned, reliability=0.8, functional=(-5, 3))
    assert high["status"].tolist() == low["status"].tolist()
    np.testing.assert_allclose(high["index"], -low["index"])


def test_first_and_last_observed_scores_count() -> None:
    rows = [(1, np.nan), (2, 20.0), (3, 5.0), (4, 12.0), (5, np.nan)]
    sessions = pd.DataFrame([("a", n, x) for n, x in rows] + [("b", n, 11.0) for n, _ in rows])
    sessions.columns = ["patient_id", "session", "score"]
    panel = Panel(sessions, columns=Columns(outcome="score", therapist=None))
    table = clinical_change(panel, reliability=0.9)
    assert table.loc["a", ["before", "after", "change"]].tolist() == [20, 12, -8]


def test_reliable_change_so_far_by_hand() -> None:
    sessions = pd.DataFrame({"patient_id": 1, "session": range(1, 6), "phq9": [np.nan, 20.0, 15, 14, 26]})
    columns = Columns(outcome="phq9", therapist=None)
    table = reliable_change_so_far(Panel(sessions, columns=columns, measures={"phq9": "phq9"}))
    np.testing.assert_array_equal(table["improvement"], [np.nan, 0, 5, 6, -6])
    np.testing.assert_array_equal(table["improved"], [np.nan, 0, 0, 1, 0])
    np.testing.assert_array_equal(table["deteriorated"], [np.nan, 0, 0, 0, 1])
    with pytest.raises(OptionError, match="smallest reliable change of 'phq9'"):
        reliable_change_so_far(Panel(sessions, columns=columns))


def test_what_is_missing_is_said() -> None:
    panel = panel_of([15.0, 12], [9.0, 11])
    with pytest.raises(OptionError, match="no measure of 'score' tells it; give reliability="):
        clinical_change(panel)
    with pytest.raises(OptionError, match=r"reliability=1\.2 is not allowed"):
        clinical_change(panel, reliability=1.2)
    with pytest.raises(NotEnoughData, match="first scores that differ"):
        clinical_change(panel_of([15.0, 15], [9.0, 11]), reliability=0.8)
    with pytest.raises(NotEnoughData, match="use 'jacobson-truax'"):
        clinical_change(panel_of([15.0, 12, 9], [14.0, 11, 8]), "hageman-arrindell", reliability=0.8)
