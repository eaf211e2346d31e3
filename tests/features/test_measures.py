"""The registry: every number with its source, and items scored to totals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features import OptionError, PanelError
from features.measures import Measure, from_table, measure, overview, registry
from features.scoring import score_items

DOCS = Path(__file__).resolve().parents[2] / "docs" / "measures.md"


@pytest.mark.parametrize("name", registry())
def test_every_number_has_a_source(name: str) -> None:
    known = measure(name)
    for field in ("cutoff", "reliable_change", "reliability"):
        assert (getattr(known, field) is None) == (field not in known.sources), field
    assert ("range" in known.sources) == (known.minimum is not None)
    assert ("subscales" in known.sources) == bool(known.subscales)
    assert ("reversed_items" in known.sources) == bool(known.reversed_items)
    assert "range" in known.sources or "items" in known.sources
    assert known.title and known.better in ("low", "high")


@pytest.mark.parametrize("name", registry())
def test_ranges_follow_from_the_items(name: str) -> None:
    known = measure(name)
    if known.items is None or known.item_minimum is None or known.item_maximum is None:
        return
    size = known.multiply * (1 if known.scoring == "mean" else known.items)
    assert (known.minimum is None) or known.minimum == known.item_minimum * size
    assert (known.maximum is None) or known.maximum == known.item_maximum * size


@pytest.mark.parametrize("name", registry())
def test_the_docs_show_every_measure_with_its_sources(name: str) -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert f"`{name}`" in text
    for source in measure(name).sources.values():
        assert source in text


def test_the_overview_lists_all() -> None:
    table = overview()
    assert list(table.index) == list(registry())
    assert table.loc["phq9", ["minimum", "maximum", "cutoff", "reliable_change"]].tolist() == [0, 27, 10, 6]


def test_phq9_by_hand_with_missing_items() -> None:
    answers = pd.DataFrame([[1] * 9, [3] * 8 + [np.nan], [3, 3] + [0] * 5 + [np.nan] * 2], index=["a", "b", "c"])
    scored = score_items(answers, "phq9")
    # one of nine missing is below a fifth: 24 / 8 * 9; two of nine are above it
    assert scored["total"].tolist()[:2] == [9, 27] and np.isnan(scored.loc["c", "total"])
    assert scored["items_missing"].tolist() == [0, 1, 2]
    assert score_items(answers, "phq9", 0.25).loc["c", "total"] == pytest.approx(6 / 7 * 9)
    assert np.isnan(score_items(answers, "phq9", 0).loc["b", "total"])


def test_reversed_items_and_subscales_by_hand() -> None:
    answers = pd.DataFrame([[0] * 45])
    assert score_items(answers, "oq45")["total"].tolist() == [36]  # nine reversed items of 4
    alliance = pd.DataFrame([[1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]])
    scored = score_items(alliance, "wai_sr").iloc[0]
    # goal 4, 6, 8, 11: 4 + 1 + 3 + 1; task 1, 2, 10, 12: 1 + 2 + 5 + 2; bond 3, 5, 7, 9: 3 + 5 + 2 + 4
    assert (scored["goal"], scored["task"], scored["bond"], scored["total"]) == (9, 10, 14, 33)
    means = score_items(alliance, "wai_sr_mean").iloc[0]
    assert (means["goal"], means["total"]) == (2.25, 2.75)
    assert score_items(pd.DataFrame([[5, 4, 3, 2, 1]]), "who5")["total"].tolist() == [60]


def test_a_missing_reversed_item_is_prorated_after_turning() -> None:
    own = Measure("own", items=5, item_minimum=1.0, item_maximum=5.0, reversed_items=(1,))
    # turned: 5, 5, 5, 5 answered, the fifth missing -> 25
    assert score_items(pd.DataFrame([[1, 5, 5, 5, np.nan]]), own)["total"].tolist() == [25]


def test_item_columns_may_be_named() -> None:
    frame = pd.DataFrame({"id": [7], **{f"g{n}": [1] for n in range(1, 8)}})
    assert score_items(frame, "gad7", columns=[f"g{n}" for n in range(1, 8)])["total"].tolist() == [7]


@pytest.mark.parametrize(
    ("frame", "instrument", "options", "error", "message"),
    [
        (
            pd.DataFrame([[4] + [0] * 8]),
            "phq9",
            {},
            PanelError,
            r"column 0 has 4 in row 1; items of phq9 run from 0 to 3",
        ),
        (pd.DataFrame([["often"] + [0] * 8]), "phq9", {}, PanelError, r"'often' in row 1"),
        (pd.DataFrame([[0] * 8]), "phq9", {}, OptionError, r"has 9 items, 8 columns came"),
        (pd.DataFrame([[0] * 36]), "wai", {}, OptionError, r"cannot be scored from items.*reversed"),
        (pd.DataFrame([[0] * 9]), "phq9", {"prorate": 1.0}, OptionError, r"prorate=1\.0"),
        (pd.DataFrame([[0] * 9]), "phq9", {"columns": ["x"]}, OptionError, r"'x' is not in the table"),
        (pd.DataFrame([[0] * 9]), "phq", {}, OptionError, r"'phq' is not in the registry"),
    ],
)
def test_what_cannot_be_scored_says_why(
    frame: pd.DataFrame, instrument: str, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        score_items(frame, instrument, **options)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"minimum": "low"}, "minimum must be a number, 'low' came"),
        ({"minimum": 5, "maximum": 5}, "is not below maximum"),
        ({"better": "up"}, "choose 'low' or 'high'"),
        ({"cutof": 3}, "unknown key 'cutof'; allowed are title"),
        ({"reliability": 1.2}, "not between 0 and 1"),
        ({"minimum": 0, "maximum": 10, "cutoff": 12}, "outside the range 0-10"),
        ({"items": 3, "reversed_items": [4]}, "run from 1 to 3"),
        ({"items": 2.5}, "items must hold whole item numbers"),
        ({"subscales": [1, 2]}, "subscales must be a table"),
        ({"subscales": {"a": "12"}}, "subscales.a must hold whole item numbers"),
        ({"scoring": "median"}, "choose 'sum' or 'mean'"),
    ],
)
def test_a_users_own_measure_is_checked(table: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        from_table("own", table)


def test_a_users_own_measure_is_taken() -> None:
    own = from_table("own", {"minimum": 0, "maximum": 8, "items": 2, "item_minimum": 0, "item_maximum": 4})
    assert score_items(pd.DataFrame([[1, 2]]), own)["total"].tolist() == [3]
