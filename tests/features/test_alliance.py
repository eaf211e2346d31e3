"""State and trait by name, on a hand-worked panel of four rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features import Columns, OptionError, Panel
from features.alliance import SPLITS, split
from tests.features.clinics import clinic

NAN = np.nan
RATINGS = [4.0, NAN, 6.0, 2.0]  # sessions 1, 2, 4, 5: person mean 4, line 62/13 - 3/13 · (t - 10/3) ... slope -3/13


def four_rows() -> Panel:
    sessions = pd.DataFrame({"patient_id": "p", "session": [1, 2, 4, 5], "wai": RATINGS, "outcome": 1.0})
    return Panel(sessions, columns=Columns(alliance="wai", therapist=None))


LINE = 4 - 3 / 13 * (np.array([1.0, 2, 4, 5]) - 10 / 3)
BY_HAND = {
    ("person_mean", "whole"): [4, 4, 4, 4],
    ("so_far", "past"): [4, 4, 5, 4],
    ("before", "past"): [NAN, 4, 4, 5],
    ("first", "whole"): [4, 4, 4, 4],
    ("first", "past"): [4, 4, 4, 4],
    ("early", "whole"): [5, 5, 5, 5],
    ("early", "past"): [4, 4, 5, 5],
    ("detrended", "whole"): LINE,
    ("detrended", "past"): [NAN, NAN, NAN, LINE[3]],
}


@pytest.mark.parametrize(("name", "seen"), BY_HAND)
def test_trait_and_state_by_hand(name: str, seen: str) -> None:
    parts = split(four_rows(), name, seen=seen)
    trait = np.asarray(BY_HAND[name, seen], dtype=float)
    state = np.array(RATINGS) - trait
    if (name, seen) == ("detrended", "past"):
        trait = np.where(np.isnan(state), NAN, trait)
    np.testing.assert_allclose(parts["trait"], trait, atol=1e-12)
    np.testing.assert_allclose(parts["state"], state, atol=1e-12)


def test_detrended_over_log_time_is_a_line_in_log_time() -> None:
    since = np.log1p([0.0, 1, 3, 4])
    ok = ~np.isnan(RATINGS)
    line = np.polyval(np.polyfit(since[ok], np.array(RATINGS)[ok], 1), since)
    np.testing.assert_allclose(split(four_rows(), "detrended_log", seen="whole")["trait"], line)


def test_shrunken_mean_by_its_formula() -> None:
    # balanced: REML is ANOVA. a 2, 4; b 6, 8; c 10, 12: within 2 each (MSW 2), means 3, 7, 11 (MSB 32), patient 15
    sessions = pd.DataFrame({"patient_id": list("aabbcc"), "session": [1, 2] * 3, "outcome": [2.0, 4, 6, 8, 10, 12]})
    panel = Panel(sessions, columns=Columns(therapist=None))
    weight = 15 / (15 + 2 / 2)
    trait = 7 + weight * (np.repeat([3.0, 7, 11], 2) - 7)
    parts = split(panel, "shrunken", seen="whole", column="outcome")
    np.testing.assert_allclose(parts["trait"], trait, atol=1e-4)
    past = split(panel, "shrunken", seen="past", column="outcome")
    assert past["trait"].isna().tolist() == [True, False] * 3  # one session each tells no variance within
    np.testing.assert_allclose(past["trait"][1::2], trait[1::2])


def test_three_levels_by_hand() -> None:
    sessions = pd.DataFrame({"patient_id": list("aabbc"), "session": [1, 2, 1, 2, 1], "wai": [2.0, 4, 5, 7, 9]})
    sessions["outcome"] = 1.0
    sessions["therapist_id"] = ["t"] * 4 + ["u"]
    parts = split(Panel(sessions, columns=Columns(alliance="wai")), "three_levels", seen="whole")
    # patients' means 3, 6, 9; therapists' 4.5 and 9; overall 6
    np.testing.assert_allclose(parts["therapist"], [-1.5, -1.5, -1.5, -1.5, 3])
    np.testing.assert_allclose(parts["patient"], [-1.5, -1.5, 1.5, 1.5, 0])
    np.testing.assert_allclose(parts["session"], [-1, 1, -1, 1, 0])


@pytest.mark.parametrize("seen", ["whole", "past"])
@pytest.mark.parametrize("name", [name for name in SPLITS if name != "three_levels"])
def test_trait_and_state_make_the_rating(name: str, seen: str) -> None:
    panel = clinic(30, seed=7)
    if getattr(SPLITS[name], seen) is None:
        with pytest.raises(OptionError, match=f"'{name}' has no {seen} form; those that have one: "):
            split(panel, name, seen=seen)
        return
    parts = split(panel, name, seen=seen)
    both = parts["trait"] + parts["state"]
    told = both.notna().to_numpy()
    assert told.any()
    np.testing.assert_allclose(both[told], panel.alliance[told])
    assert parts["state"][np.isnan(panel.alliance)].isna().all()


def test_every_way_says_formula_source_and_when_it_misleads() -> None:
    for name, way in SPLITS.items():
        assert way.name == name and way.formula and way.source and way.misleads
        assert way.whole is not None or way.past is not None


def test_unknown_names_are_refused() -> None:
    with pytest.raises(OptionError, match="'person_mean', 'so_far'"):
        split(four_rows(), "mean")
    with pytest.raises(OptionError, match="column='phq9'"):
        split(four_rows(), "so_far", column="phq9")
    no_alliance = four_rows().renamed(Columns(therapist=None))
    with pytest.raises(OptionError, match="the panel has no alliance"):
        split(no_alliance, "so_far")
