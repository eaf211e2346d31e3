"""Two information sets that cannot mix: what comes later never changes a past feature, nor do row order and names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import Panel, build_features
from features.alliance import SPLITS, split
from features.ruptures import CRITERIA, rupture_states, ruptures
from features.sudden import sudden_changes
from tests.features.clinics import panel_of, tables

FEW = settings(max_examples=12, deadline=None)
OPTIMUM = 1e-6  # the variances of the shrunken mean come from an optimiser: rounding moves them in the seventh digit


def past_of(panel: Panel, k: int) -> pd.DataFrame:
    return build_features(panel, k, partner="wai_t")


@FEW
@given(seed=st.integers(0, 10_000), k=st.integers(0, 6), dates=st.booleans())
def test_sessions_after_the_landmark_change_nothing(seed: int, k: int, dates: bool) -> None:
    sessions, patients, staff = tables(25, seed=seed, dates=dates)
    full = panel_of(sessions, patients, staff)
    table = past_of(full, k)
    rng = np.random.default_rng(seed)
    altered = sessions.copy()
    order = sessions.groupby("patient_id").cumcount()
    later = (order >= k).to_numpy()
    if dates:
        # other patients' earlier sessions are known: what is altered must come after everybody's landmark
        landmark = sessions.loc[order == k - 1, "date"].max()
        later = later & (sessions["date"] > landmark).to_numpy() if k else later
    for column in ("phq9", "wai", "wai_t"):
        altered.loc[later, column] = rng.integers(0, 28, int(later.sum())).astype(float)
    pd.testing.assert_frame_equal(past_of(panel_of(altered, patients, staff), k), table)
    if not dates:
        cut = panel_of(sessions[~later], patients, staff)
        pd.testing.assert_frame_equal(past_of(cut, k), table)


@FEW
@given(seed=st.integers(0, 10_000))
def test_dated_histories_do_not_change_when_sessions_are_appended(seed: int) -> None:
    sessions, patients, staff = tables(25, seed=seed, dates=True)
    until = sessions["date"].sort_values().iloc[len(sessions) // 2]
    early = sessions[sessions["date"] <= until]
    before = build_features(panel_of(early, patients, staff))
    after = build_features(panel_of(sessions, patients, staff))
    pd.testing.assert_frame_equal(after.loc[before.index], before)


@FEW
@given(seed=st.integers(0, 10_000), dates=st.booleans())
def test_row_order_and_names_do_not_matter(seed: int, dates: bool) -> None:
    sessions, patients, staff = tables(25, seed=seed, dates=dates)
    table = build_features(panel_of(sessions, patients, staff), seen="whole", partner="wai_t")
    rng = np.random.default_rng(seed)
    mixed = panel_of(sessions.sample(frac=1, random_state=seed), patients.sample(frac=1, random_state=seed), staff)
    again = build_features(mixed, seen="whole", partner="wai_t")
    pd.testing.assert_frame_equal(again, table, check_exact=True)

    new = dict(zip(patients["patient_id"], rng.permutation(len(patients)) + 100, strict=True))
    who = dict(zip(staff["therapist_id"], rng.permutation(len(staff)), strict=True))
    for frame in (sessions, patients):
        frame["patient_id"] = frame["patient_id"].map(new)
    for frame in (patients, staff):
        frame["therapist_id"] = frame["therapist_id"].map(who)
    renamed = build_features(panel_of(sessions, patients, staff), seen="whole", partner="wai_t")
    names = pd.MultiIndex.from_tuples([(new[p], s) for p, s in table.index], names=table.index.names)
    pd.testing.assert_frame_equal(renamed.loc[names].reset_index(drop=True), table.reset_index(drop=True), atol=OPTIMUM)


@FEW
@given(seed=st.integers(0, 10_000), k=st.integers(1, 7))
def test_past_splits_and_events_do_not_look_ahead(seed: int, k: int) -> None:
    sessions, patients, staff = tables(30, seed=seed, missing=0.05)
    full, cut = panel_of(sessions, patients, staff), panel_of(sessions, patients, staff).first(k)
    rows = full.occasion < k
    for name, way in SPLITS.items():
        if way.past is not None:
            ahead, known = split(full, name)[rows].reset_index(drop=True), split(cut, name)
            pd.testing.assert_frame_equal(ahead, known, obj=name)
    for criterion in CRITERIA:
        ahead = rupture_states(full, criterion)[rows].reset_index(drop=True)
        pd.testing.assert_frame_equal(ahead, rupture_states(cut, criterion), obj=criterion)
        begun = ruptures(cut, criterion, seen="past")[["patient", "session", "high", "rating", "depth"]]
        found = ruptures(full, criterion, seen="past")[list(begun.columns)]
        assert set(map(tuple, begun.to_numpy())) <= set(map(tuple, found.to_numpy()))
    gains = sudden_changes(cut, cutoff=5, seen="past")
    every = sudden_changes(full, cutoff=5, seen="past").merge(gains[["patient", "session"]])
    pd.testing.assert_frame_equal(every, gains)


def test_a_whole_treatment_mean_does_look_ahead() -> None:
    """The properties above can fail: they do for whole-treatment columns."""
    sessions, patients, staff = tables(25, seed=3)
    full, cut = panel_of(sessions, patients, staff), panel_of(sessions, patients, staff).first(3)
    with pytest.raises(AssertionError):
        pd.testing.assert_frame_equal(build_features(full, 2, seen="whole"), build_features(cut, 2, seen="whole"))
