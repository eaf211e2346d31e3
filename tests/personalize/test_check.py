"""The data manager's report: what it counts, what it warns of, and that it survives data a panel refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features import Columns, Panel, PanelError
from personalize.check import CheckReport, check_files, check_panel
from personalize.check import verdicts as v
from personalize.check.counts import intraclass
from personalize.check.reliability import item_reliability
from personalize.files import Table, read_panel, write_table

ROLES = Columns(outcome="phq9", alliance="wai")


def sessions() -> pd.DataFrame:
    """Three patients with 3, 2 and 1 sessions; two therapists; one rating of each score missing."""
    return pd.DataFrame(
        {
            "patient_id": ["a", "a", "a", "b", "b", "c"],
            "session": [1, 2, 3, 1, 2, 1],
            "phq9": [20, 15, 27, 27, np.nan, 3],
            "wai": [np.nan, 4, 5, 5, 5, 7],
        }
    )


def patients() -> pd.DataFrame:
    return pd.DataFrame(
        {"patient_id": ["a", "b", "c", "d"], "therapist_id": ["t1", "t1", "t2", None], "age": [30, 40, 50, 60]}
    )


def warned(report: CheckReport, words: str) -> bool:
    return any(words in line for line in report.warnings)


def test_counts_by_hand() -> None:
    report = check_files(sessions(), patients(), columns=ROLES, measures={"phq9": "phq9"})
    assert report.ok
    assert report.sessions.to_dict("list") == {"sessions": [0, 1, 2, 3], "patients": [1, 1, 1, 1]}
    assert report.missing["patients"].tolist() == [3, 2, 1]
    np.testing.assert_allclose(report.missing["phq9"], [0, 1 / 2, 0])
    np.testing.assert_allclose(report.missing["wai"], [1 / 3, 0, 0])
    score = report.scores.set_index("score").loc["phq9"]
    assert (score["n"], score["minimum"], score["maximum"], score["outside"]) == (5, 3, 27, 0)
    np.testing.assert_allclose([score["missing"], score["ceiling"], score["floor"]], [1 / 6, 2 / 5, 0])
    wai = report.scores.set_index("score").loc["wai"]
    assert (wai["constant"], wai["rated_twice"], wai["ranged"]) == (1, 2, False)
    assert report.therapists.to_dict("list") == {"therapist": ["t1", "t2"], "patients": [2, 1]}
    assert report.intake["column"].tolist() == ["age"]
    assert warned(report, "1 therapist with one patient only ('t2')")
    assert warned(report, "1 patient with one session")
    assert warned(report, "1 patient without a session")
    assert warned(report, "40% of 'phq9' stand at 27, the highest value of its scale (ceiling effect)")


def test_a_panel_gives_the_same_counts_as_its_tables() -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {"patient_id": rng.integers(0, 40, 300), "phq9": rng.integers(0, 28, 300), "wai": rng.normal(5, 1, 300)}
    )
    frame["session"] = frame.groupby("patient_id").cumcount() + 1
    frame.loc[rng.random(300) < 0.2, "wai"] = np.nan
    from_tables = check_files(frame.sample(frac=1, random_state=1), columns=ROLES)
    from_panel = check_panel(Panel(frame, columns=ROLES))
    for name in ("sessions", "missing", "scores", "therapists", "analyses"):
        pd.testing.assert_frame_equal(getattr(from_tables, name), getattr(from_panel, name))


def test_intraclass_correlation_by_hand() -> None:
    """Two patients with two ratings: MSB = 16, MSW = 1, n0 = 2, so (16 − 1) / (16 + 1)."""
    x = np.asarray([1.0, 2 + np.sqrt(2) - 1, 5.0, 5 + np.sqrt(2)])
    who = np.asarray([0, 0, 1, 1])
    within = ((x[1] - x[0]) ** 2 / 2 + (x[3] - x[2]) ** 2 / 2) / 2
    between = 2 * ((x[:2].mean() - x.mean()) ** 2 + (x[2:].mean() - x.mean()) ** 2)
    np.testing.assert_allclose(within, 1)
    np.testing.assert_allclose(between, 16)
    np.testing.assert_allclose(intraclass(x, who, 2), 15 / 17)
    assert np.isnan(intraclass(x[:2], who[:2], 2))


# -- codes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "measure", "codes"),
    [
        ([0, 5, 12, 27, 99], "phq9", [99]),
        ([0, 5, 12, 27, -9, -9], None, [-9]),
        ([1, 2, 3, 4, 5, 6, 7, 9], None, [9]),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], None, []),
        ([1, 2, 3, 4, 5, 9], None, [9]),
        ([10, 20, 30, 98, 99], None, [98, 99]),
        ([0, 20, 40, 60, 80, 99, 100], None, []),
        ([-30, -20, -9, 0, 10], None, []),
        ([1.2, 3.4, 2.2, 999], None, [999]),
        ([3, 3, 3], None, []),
        ([], None, []),
    ],
)
def test_codes_far_from_the_other_values_are_suspicious(
    values: list[float], measure: str | None, codes: list[int]
) -> None:
    frame = pd.DataFrame({"patient_id": [f"p{i}" for i in range(len(values))], "session": 1, "y": values})
    intake = pd.DataFrame({"patient_id": [f"p{i}" for i in range(max(len(values), 1))]})
    report = check_files(
        frame, intake, columns=Columns(outcome="y"), measures={"y": measure} if measure else {}, out_of_range="missing"
    )
    assert report.codes["code"].tolist() == codes


def test_codes_of_intake_columns_and_of_labels(tmp_path: Path) -> None:
    frame = pd.DataFrame({"patient_id": range(6), "session": 1, "phq9": [1.0, 2, 3, 4, 5, 6]})
    write_table(Table(frame, value_labels={"phq9": {6: "keine Angabe"}}), tmp_path / "s.sav")
    intake = pd.DataFrame({"patient_id": range(6), "age": [30, 35, 41, 28, 39, 999]})
    report = check_files(tmp_path / "s.sav", intake, columns=Columns(outcome="phq9"))
    assert report.codes[["column", "code"]].to_numpy().tolist() == [["phq9", 6], ["age", 999]]
    assert warned(report, "missing_codes={'age': [999]}")


# -- data a panel refuses ------------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[Any, str]] = {
    "range": (lambda f: f.assign(phq9=[20, 15, 99, 27, 3, 3]), "has 99 for patient 'a', session 3"),
    "twice": (lambda f: f.assign(session=1), "with a patient and session that stand there already"),
    "text": (lambda f: f.assign(wai=["x", "4", "5", "5", "5", "7"]), "column 'wai' must be numeric"),
    "no outcome": (lambda f: f.drop(columns="phq9"), "column 'phq9' (the outcome) is not there"),
    "no alliance": (lambda f: f.drop(columns="wai"), "column 'wai' (the alliance) is not there"),
    "no patient": (lambda f: f.drop(columns="patient_id"), "column 'patient_id' (the patient) is not there"),
    "blank patient": (lambda f: f.assign(patient_id=["a", "a", None, "b", "b", "c"]), "is empty in 1 row"),
    "unknown patient": (
        lambda f: f.assign(patient_id=["a", "a", "z", "b", "b", "c"]),
        "patient 'z' has sessions but no row",
    ),
    "column twice": (lambda f: pd.concat([f, f[["wai"]]], axis=1), "column 'wai' stands more than once"),
    "header rows": (lambda f: f.set_axis(pd.MultiIndex.from_product([["x"], f.columns]), axis=1), "2 header rows"),
    "no rows": (lambda f: f.iloc[:0].assign(patient_id=[]), ""),
    "lists": (lambda f: f.assign(patient_id=[[1]] * 6), "holds 'list' values where identifiers are needed"),
    "session text": (lambda f: f.assign(session=list("abcdef")), "column 'session' must be numeric"),
    "infinite": (lambda f: f.assign(wai=np.inf), "has 6 infinite values"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("with_patients", [True, False], ids=["patients", "no patients"])
def test_refused_data_are_counted_as_far_as_they_go(case: str, with_patients: bool) -> None:
    change, message = BROKEN[case]
    report = check_files(
        change(sessions()), patients() if with_patients else None, columns=ROLES, measures={"phq9": "phq9"}
    )
    if message and (with_patients or case != "unknown patient"):
        assert not report.ok
        assert any(message in problem for problem in report.problems)
        assert "The data cannot be analysed as they are." in report.text()
    assert "What can be analysed" in report.text()
    json.dumps(report.to_dict(), allow_nan=False)


ODD = [1, 2, 3.5, None, np.nan, "a", " 7 ", "07", "12,5", "", True, np.inf, -9, 99, pd.Timestamp("2024-01-02"), [1], {}]
ODD += [pd.NA, pd.NaT, 10**400, 1e308, b"x", (1, 2), "2024-01-05", 1 + 2j, pd.Timedelta(1, "D"), 20240331, object()]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_nothing_in_the_tables_makes_a_check_fail(data: st.DataObject) -> None:
    """Whatever the cells hold, the report comes, and it is well exactly where a panel can be made."""

    def frame(names: list[str]) -> pd.DataFrame:
        n = data.draw(st.integers(0, 8))
        tame = {"patient_id": st.integers(0, 3), "session": st.integers(0, 9)}
        cells = {
            name: data.draw(
                st.one_of(
                    st.lists(tame.get(name, st.integers(0, 27)), min_size=n, max_size=n),
                    st.lists(st.sampled_from(ODD), min_size=n, max_size=n),
                )
            )
            for name in names
            if data.draw(st.integers(0, 19))
        }
        return pd.DataFrame({name: pd.Series(values, dtype=object).infer_objects() for name, values in cells.items()})

    first = frame(["patient_id", "session", "phq9", "wai", "when", "therapist_id"])
    second = data.draw(st.none() | st.just(frame(["patient_id", "therapist_id", "age", "sex"])))
    roles = Columns(outcome="phq9", alliance="wai", time=data.draw(st.none() | st.just("when")))
    options: dict[str, Any] = {"columns": roles, "missing_codes": data.draw(st.sampled_from([(), (-9, "a")]))}
    report = check_files(first, second, items={"wai": ["phq9", "when"]}, **options)
    json.dumps(report.to_dict(), allow_nan=False)
    assert report.text()
    try:
        read_panel(first, second, **options)
    except PanelError as error:
        assert report.problems == error.problems
    else:
        assert report.ok


def test_files_that_cannot_be_read_are_a_problem_too(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(b"id,x\n1,2\n3\n")
    for path in (tmp_path / "nothing.csv", tmp_path / "s.csv"):
        report = check_files(path)
        assert not report.ok
        assert path.name in report.text()
        json.dumps(report.to_dict(), allow_nan=False)


def test_a_wide_file_shows_what_was_guessed(tmp_path: Path) -> None:
    pd.DataFrame({"patient_id": ["a", "b"], "phq9_s1": [1, 2], "phq9_s2": [3, None]}).to_csv(
        tmp_path / "w.csv", index=False
    )
    report = check_files(tmp_path / "w.csv", columns=Columns(outcome="phq9"), layout="wide")
    assert report.ok
    assert "phq9: phq9_s{session} (2 columns, phq9_s1 to phq9_s2, sessions 1 to 2)" in report.text().replace(
        "\n  ", " "
    )
    refused = check_files(tmp_path / "w.csv", columns=Columns(outcome="phq9"))
    assert not refused.ok
    assert "layout='wide'" in refused.text()


# -- warnings ------------------------------------------------------------------------------------------


def test_warnings_a_data_manager_would_give() -> None:
    rng = np.random.default_rng(3)
    n, k = 30, 6
    frame = pd.DataFrame(
        {
            "patient_id": np.repeat(np.arange(n), k),
            "session": np.tile([1, 2, 3, 5, 6, 7], n),
            "date": np.tile(
                pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-15", "2024-09-01", "2024-09-08", "2024-09-15"]), n
            ),
            "phq9": rng.integers(3, 20, n * k).astype(float),
            "wai": np.repeat(rng.normal(5, 1, n).round(2), k),
        }
    )
    frame.loc[frame["session"] < 3, "wai"] = np.nan
    frame.loc[0, "phq9"] = 7.25
    intake = pd.DataFrame(
        {
            "patient_id": np.arange(n),
            "name": [f"somebody {i}" for i in range(n)],
            "ward": "A",
            "age": [*map(str, range(20, 49)), "unknown"],
            "bdi": [np.nan] * 20 + list(range(10)),
        }
    )
    report = check_files(frame, intake, columns=Columns(outcome="phq9", alliance="wai", time="date"))
    for words in (
        "Session numbers are skipped 30 times",
        "'wai' is first rated at session 3 typically",
        "30 gaps of more than 180 days between sessions (longest 230)",
        "Columns(episode=...)",
        "'wai' never changes in 30 of 30 patients",
        "1 value of 'phq9' not whole, although all others are (e.g. 7.25)",
        "'phq9' is named like the measure 'phq9' (0 to 27)",
        "33% of the ratings of 'wai' are missing",
        "Intake column 'name' differs for most patients: a name or free text? Leave it out: pass leave_out=['name']",
        "Intake column 'ward' is the same for everybody",
        "Intake column 'age' is text although most of its values are numbers",
        "Intake column 'bdi' is missing for 67% of the patients",
    ):
        assert warned(report, words), words


# -- reliability ------------------------------------------------------------------------------------------


def test_alpha_by_hand() -> None:
    """Items (1, 2), (2, 4), (3, 3): variances 1 and 1, covariance 0.5, so alpha = 2 · (1 − 2 / 3)."""
    grid = np.asarray([[1.0, 2], [2, 4], [3, 3]])
    frame = item_reliability({"s": grid}, np.asarray([0, 1, 2]))
    assert frame["level"].tolist() == ["rating"]
    np.testing.assert_allclose(frame["alpha"], 2 / 3)
    np.testing.assert_allclose(frame["weakest"], 0.5)
    np.testing.assert_allclose(frame["sem"], np.sqrt(3 * (1 - 2 / 3)))


def test_reliability_recovers_the_truth_on_both_levels() -> None:
    """Four items: person part sd 2, state part sd 1, item noise sd 1. Within: 16·1 / (16·1 + 4·1) = .8."""
    rng = np.random.default_rng(8)
    n, k = 1_000, 6
    who = np.repeat(np.arange(n), k)
    true = 2 * rng.normal(size=n)[who] + rng.normal(size=n * k)
    items = true[:, None] + rng.normal(size=(n * k, 4))
    frame = item_reliability({"s": items}, who).set_index("level")
    tolerance = 0.02  # three standard errors of alpha at 6,000 ratings are about .01
    np.testing.assert_allclose(frame.loc["within", "alpha"], 0.8, atol=tolerance)
    np.testing.assert_allclose(frame.loc["rating", "alpha"], 80 / 84, atol=tolerance)
    np.testing.assert_allclose(frame.loc["within", "sem"], 2, rtol=0.05)


def test_items_that_run_backwards_and_totals_that_do_not_add_up_are_named() -> None:
    rng = np.random.default_rng(8)
    true = rng.normal(size=200)
    frame = pd.DataFrame({f"wai_{i}": (true + rng.normal(size=200)).round(1) for i in (1, 2, 3)})
    frame["wai"] = frame.sum(axis=1).round(1)
    frame["wai_3"] = -frame["wai_3"]
    frame["patient_id"], frame["session"] = np.repeat(np.arange(40), 5), np.tile(np.arange(1, 6), 40)
    frame["phq9"] = rng.integers(0, 28, 200)
    items = {"wai": ["wai_1", "wai_2", "wai_3"], "phq9": ["q1", "q2"]}
    report = check_files(frame, columns=ROLES, items=items)
    mean = check_files(frame.assign(wai=frame[["wai_1", "wai_2", "wai_3"]].mean(axis=1)), columns=ROLES, items=items)
    plain = check_files(frame.drop(columns="wai"), columns=Columns(outcome="phq9"), items=items)
    np.testing.assert_allclose(mean.reliability["sem"], plain.reliability["sem"] / 3)
    assert not warned(mean, "neither the sum nor the mean")
    assert warned(report, "Items of 'wai': one runs against the others")
    assert warned(report, "of 200 values of 'wai' are neither the sum nor the mean of its items")
    assert warned(report, "Items of 'phq9': fewer than two of their columns are in the sessions table")
    assert "Reliability (Cronbach's alpha)" in report.text()


# -- verdicts ------------------------------------------------------------------------------------------


def verdicts(report: CheckReport) -> dict[str, str]:
    return dict(zip(report.analyses["analysis"], report.analyses["possible"], strict=True))


def test_what_can_be_analysed_follows_the_data() -> None:
    rng = np.random.default_rng(1)
    n, k = 600, 10
    frame = pd.DataFrame({"patient_id": np.repeat(np.arange(n), k), "session": np.tile(np.arange(1, k + 1), n)})
    frame["date"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["session"] * 7, unit="D")
    frame["phq9"], frame["wai"] = rng.integers(0, 28, n * k), rng.normal(5, 1, n * k)
    intake = pd.DataFrame(
        {"patient_id": np.arange(n), "therapist_id": np.arange(n) % 30, "age": rng.integers(18, 70, n)}
    )
    roles = Columns(outcome="phq9", alliance="wai", time="date")
    rich = verdicts(check_files(frame, intake, columns=roles, measures={"phq9": "phq9"}))
    assert set(rich.values()) == {"yes"}
    assert verdicts(check_files(frame[frame["session"] < 5], intake, columns=roles)) == {
        **rich,
        "average effect of the alliance": "with care",
        "effect for single patients": "with care",
        "reliable change, sudden gains": "no",
    }
    short = verdicts(check_files(frame[frame["session"] < 3], columns=roles))
    assert short["effect for single patients"] == short["average effect of the alliance"] == "no"
    assert short["differences between therapists"] == short["for whom: intake moderators"] == "no"
    assert short["forecast of the outcome"] == "yes"
    few = verdicts(check_files(frame[frame["patient_id"] < 8], columns=roles))
    assert few["forecast of the outcome"] == "no"
    none = check_files(frame, columns=Columns(outcome="phq9"))
    assert verdicts(none)["average effect of the alliance"] == "no"
    assert "name it with Columns(alliance=...)" in none.analyses["why"].str.cat(sep=" ")


def test_verdicts_ask_for_what_the_analyses_ask_for() -> None:
    from personalize.effects import average, checks, moderators
    from personalize.trajectories import crossfit

    asked = (average.FEWEST_STEPS, checks.FEWEST_WITH_STEPS, average.FEWEST_TO_CORRECT, moderators.FEWEST_PATIENTS)
    told = (v.FEW_STEPS, v.FEW_WITH_STEPS, v.FEW_TO_CORRECT, v.FEW_FOR_MODERATORS)
    assert told == asked
    assert (v.FEW_FORECAST, v.FEW_THERAPISTS) == (crossfit.FEWEST_PATIENTS, moderators.FEWEST_CLUSTERS)


def test_real_data(real_data: Path) -> None:
    reframed = check_files(
        real_data / "reframed" / "sessions.csv",
        real_data / "reframed" / "patients.csv",
        columns=Columns(outcome="phq9", time="month"),
        measures={"phq9": "phq9"},
    )
    assert not reframed.ok
    assert "out_of_range='missing'" in reframed.problems[0]
    assert warned(reframed, "55 values of 'phq9' not whole")
    assert warned(reframed, "1 therapist with one patient only")
    assert verdicts(reframed)["forecast of the outcome"] == "yes"
    coded = check_files(
        real_data / "riesby" / "riesby.csv", columns=Columns(outcome="hamd", session="week", patient="id")
    )
    assert coded.codes[["code", "n"]].to_numpy().tolist() == [[-9, 21]]
    drug = Columns(outcome="hamdelt", alliance="lndmi", session="week", patient="id", covariates=["lnimi"])
    change = check_files(real_data / "riesby" / "riesby4.csv", columns=drug, timing="before")
    assert change.ok
    assert change.codes.empty
    assert verdicts(change)["average effect of the alliance"] == "with care"
