"""Random tables with gaps, odd types, repeats and disorder: nothing but the project's own errors may come out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features import Columns, Panel, PersonalizeError, build_features, dictionary
from features.alliance import SPLITS, split
from features.clinical import clinical_change, reliable_change_so_far
from features.measures import Measure, from_table
from features.ruptures import CRITERIA, rupture_states, ruptures
from features.scoring import score_items
from features.significance import CRITICAL
from features.sudden import sudden_changes
from features.variance import variance_shares

MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

scores = st.one_of(
    st.none(),
    st.integers(-5, 40),
    st.floats(-1e6, 1e6),
    st.just(np.nan),
    st.just(np.inf),
    st.sampled_from(["", " 3 ", "12,5", "missing", "7.5"]),
    st.just(0.1),
)
keys = st.one_of(st.none(), st.integers(0, 4), st.sampled_from(["a", "b ", " b", "", "c"]), st.just(2.0), st.just(1.5))
times = st.one_of(
    st.integers(0, 9), st.sampled_from(["2024-01-01", "2024-02-30", "2023-12-31", "soon"]), st.none(), st.floats(0, 9)
)
intakes = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.floats(), st.just([1, 2]))


@st.composite
def clinics(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(0, 12))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    odd = draw(st.booleans())  # odd values are refused at the door; tame ones reach the builders
    value = scores if odd else st.one_of(st.just(np.nan), st.integers(0, 27))
    sessions = pd.DataFrame({"patient_id": column(keys if odd else st.integers(0, 3)), "outcome": column(value)})
    sessions["wai"] = column(value)
    sessions["wai_t"] = column(value)
    sessions["session"] = column(st.one_of(st.integers(-1, 9), scores)) if odd else range(n)
    with_time = draw(st.booleans())
    if with_time:
        sessions["when"] = column(times) if odd else np.sort(column(st.integers(0, 50)))
    if draw(st.booleans()):
        sessions["therapist_id"] = sessions["patient_id"].map({0: "t", 1: "t", 2: "u"}) if not odd else column(keys)
    patients = None
    if draw(st.booleans()):
        who = draw(st.lists(keys, max_size=5)) if odd else [0, 1, 2, 3]
        patients = pd.DataFrame({"patient_id": who})
        for name in draw(st.lists(st.sampled_from(["age", 3, "wai_last", "x__whole", "age_missing"]), unique=True)):
            patients[name] = pd.Series(draw(st.lists(intakes, min_size=len(who), max_size=len(who))), dtype=object)
    return {
        "sessions": sessions,
        "patients": patients,
        "columns": Columns(
            alliance=draw(st.sampled_from(["wai", None])),
            covariates=["wai_t"],
            time="when" if with_time else None,
        ),
        "timing": draw(st.sampled_from(["after", "before"])),
        "measures": draw(st.sampled_from([{}, {"outcome": "phq9"}, {"outcome": "ors"}])),
        "out_of_range": draw(st.sampled_from(["error", "missing"])),
    }


def attempt(call: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return call(*arguments, **options)
    except PersonalizeError as error:
        assert str(error)
        return None


@MANY
@given(clinic=clinics())
def test_only_the_projects_own_errors_escape(clinic: dict[str, Any]) -> None:
    given_sessions = clinic["sessions"].copy(deep=True)
    panel = attempt(Panel, **clinic)
    pd.testing.assert_frame_equal(clinic["sessions"], given_sessions)  # nothing read is altered in place
    if panel is None:
        return
    for seen in ("past", "whole"):
        for landmark in (None, 0, 2, "last"):
            table = attempt(build_features, panel, landmark, seen=seen, partner=None)
            assert list(table.columns) == list(dictionary(panel, seen=seen)["name"])
        for criterion in CRITERIA:
            attempt(ruptures, panel, criterion, seen=seen)
            attempt(rupture_states, panel, criterion, seen=seen)
        for name in SPLITS:
            attempt(split, panel, name, seen=seen)
        attempt(sudden_changes, panel, "loss", seen=seen)
    attempt(build_features, panel, 1, partner="wai_t")
    attempt(variance_shares, panel)
    attempt(variance_shares, panel, column="outcome")
    attempt(reliable_change_so_far, panel)
    for method in CRITICAL:
        attempt(clinical_change, panel, method, reliability=0.8, functional=(5.0, 4.0))


@MANY
@given(
    rows=st.lists(st.lists(scores, min_size=4, max_size=4), max_size=5),
    prorate=st.one_of(st.floats(-0.5, 1.5), st.just(np.nan)),
    reverse=st.lists(st.integers(-1, 6), max_size=3),
)
def test_item_scoring_refuses_or_scores(rows: list[list[Any]], prorate: float, reverse: list[int]) -> None:
    frame = pd.DataFrame(rows, columns=["i1", "i2", "i3", "i4"], dtype=object)
    scale = attempt(
        Measure, "own", items=4, item_minimum=0.0, item_maximum=10.0, reversed_items=tuple(reverse), maximum=40.0
    )
    if scale is not None:
        scored = attempt(score_items, frame, scale, prorate)
        if scored is not None:
            assert scored["total"].dropna().between(0, 40).all()


@MANY
@given(
    table=st.dictionaries(
        st.sampled_from(
            ["title", "minimum", "maximum", "better", "items", "subscales", "reversed_items", "sources", "x"]
        ),
        st.one_of(scores, st.lists(st.one_of(st.integers(0, 4), st.text(max_size=2)), max_size=3), st.booleans()),
    )
)
def test_a_measure_of_the_users_own_is_refused_or_built(table: dict[str, Any]) -> None:
    attempt(from_table, "own", table)
