"""Sudden gains and losses against the published examples of the R package suddengains."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, OptionError, Panel
from features.sudden import sudden_changes
from tests.features.reference.suddengains import GAINS, INTERVALS, LOSSES, SCORES


def long(scores: dict[int, list[float]], **options: object) -> Panel:
    rows = [(who, n, score) for who, series in scores.items() for n, score in enumerate(series, start=1)]
    sessions = pd.DataFrame(rows, columns=["patient_id", "session", "bdi"])
    return Panel(sessions, columns=Columns(outcome="bdi", therapist=None), **options)


def test_the_packages_gains_with_magnitude_and_reversal() -> None:
    table = sudden_changes(long(SCORES), cutoff=7)
    found = table[table["met"] == 1]
    assert [tuple(row) for row in found[["patient", "session", "magnitude", "reversed"]].to_numpy()] == GAINS


@pytest.mark.parametrize(("series", "expected"), INTERVALS)
def test_the_packages_intervals(series: list[float], expected: list[float]) -> None:
    table = sudden_changes(long({1: series}), cutoff=7).set_index("session")["met"]
    np.testing.assert_array_equal([table.get(n, np.nan) for n in (2, 3, 4)], expected)


@pytest.mark.parametrize(("series", "expected"), LOSSES)
def test_the_packages_losses(series: list[float], expected: list[float]) -> None:
    table = sudden_changes(long({1: series}), "loss", cutoff=7).set_index("session")["met"]
    np.testing.assert_array_equal([table.get(n, np.nan) for n in (2, 3, 4)], expected)


def test_a_session_that_is_not_in_the_table_is_a_session_without_score() -> None:
    rows = long(SCORES).sessions.dropna()
    gaps = Panel(rows, columns=Columns(outcome="bdi", therapist=None))
    table = sudden_changes(gaps, cutoff=7)
    assert [
        tuple(r) for r in table[table["met"] == 1][["patient", "session", "magnitude", "reversed"]].to_numpy()
    ] == GAINS


def test_criterion_by_criterion_by_hand() -> None:
    # 30 -> 20: 10 points, a third; before 31, 32, 30 (mean 31, squares 2), after 20, 28, 18 (mean 22, squares 56)
    table = sudden_changes(long({1: [31, 32, 30, 20, 28, 18]}), cutoff=7).set_index("session").loc[3]
    assert (table["before"], table["after"], table["magnitude"]) == (30, 20, 10)
    assert (table["first"], table["second"]) == (1, 1)
    # 9 against 2.776 · sqrt(58 / 4) = 10.57: not stable
    assert table["third"] == 0 and table["met"] == 0
    loose = sudden_changes(long({1: [31, 32, 30, 20, 28, 18]}), cutoff=7, alpha=0.10).set_index("session").loc[3]
    assert loose["met"] == 1  # 2.132 · 3.81 = 8.12


def test_a_scale_on_which_high_is_better_mirrors() -> None:
    turned = {who: [60 - score for score in series] for who, series in SCORES.items()}
    gains = sudden_changes(long(turned, better="high"), cutoff=7, percent=None)
    losses = sudden_changes(long(turned, better="low"), "loss", cutoff=7, percent=None)
    pd.testing.assert_frame_equal(gains, losses)
    plain = sudden_changes(long(SCORES), cutoff=7, percent=None)
    pd.testing.assert_frame_equal(gains.drop(columns=["before", "after"]), plain.drop(columns=["before", "after"]))


def test_the_past_form_drops_what_looks_ahead() -> None:
    past = sudden_changes(long(SCORES), cutoff=7, seen="past")
    assert past["third"].isna().all() and past["reversed"].isna().all()
    whole = sudden_changes(long(SCORES), cutoff=7)
    assert ((past["met"] == 1) | (whole["met"] != 1)).all()


def test_the_measure_brings_the_cutoff() -> None:
    sessions = pd.DataFrame({"patient_id": 1, "session": range(1, 7), "phq9": [20.0, 21, 20, 13, 12, 13]})
    columns = Columns(outcome="phq9", therapist=None)
    table = sudden_changes(Panel(sessions, columns=columns, measures={"phq9": "phq9"}))
    assert table.set_index("session")["met"].to_dict()[3] == 1
    with pytest.raises(OptionError, match="no measure of 'phq9' tells its reliable change"):
        sudden_changes(Panel(sessions, columns=columns))
    with pytest.raises(OptionError, match="alpha"):
        sudden_changes(Panel(sessions, columns=columns), cutoff=7, alpha=1.5)
    with pytest.raises(OptionError, match="cutoff=-7"):
        sudden_changes(Panel(sessions, columns=columns), "loss", cutoff=-7)
