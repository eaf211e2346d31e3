"""The report as text: complete, escaped, self-contained, honest about what is missing, numbers from its inputs."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features import Columns, Panel
from features.errors import OptionError
from personalize.effects.alliance_effect import AllianceEffect
from personalize.report import ReportInputs, gather, write_patient, write_report
from personalize.report.blocks import table
from personalize.report.glossary import with_terms
from personalize.report.names import Names
from personalize.report.numbers import num
from personalize.report.sections import effect
from personalize.report.svg import Plot, ticks
from personalize.report.words import Words
from personalize.simulate import simulate_clinic
from personalize.trajectories.forecast import TrajectoryForecaster
from tests.personalize.report_clinic import FORMULA, IMAGE, LABEL, SCRIPT, fitted, nonsense, report_inputs, visible

MOST_BYTES = 10_000_000


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    return write_report(tmp_path_factory.mktemp("report"), report_inputs()).read_text(encoding="utf-8")


def payload(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', text, re.S)
    assert found is not None
    return json.loads(found.group(1))


def test_page_is_small_and_fetches_nothing(page):
    assert len(page.encode()) < MOST_BYTES
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|sendBeacon", page)


def test_harmful_names_are_shown_as_text(page):
    body = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert page.count("<script") == 2  # the data and the page's own code
    for name in (SCRIPT, IMAGE, LABEL):
        assert name not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert "&lt;b&gt;distress&lt;/b&gt; &amp; co" in body
    people = {p["name"]: p for p in payload(page)["patients"]}
    assert {SCRIPT, FORMULA} <= people.keys()
    assert "<" not in re.search(r'id="report-data">(.*?)</script>', page, re.S).group(1)


def test_numbers_of_a_patient_come_from_the_tables(page):
    inputs, data = report_inputs(), payload(page)
    panel = inputs.panel
    for i in (0, 7):
        record, patient = data["patients"][i], panel.patient_ids[i]
        rows = slice(panel.offsets[i], panel.offsets[i + 1])
        assert record["y"] == pytest.approx(panel.outcome[rows].tolist(), rel=1e-4)
        assert record["a"] == pytest.approx(panel.alliance[rows].tolist(), rel=1e-4)
        own = inputs.forecasts[inputs.forecasts["patient_id"] == patient]
        assert record["fan"]["m"] == pytest.approx(own["mean"].tolist(), rel=1e-4)
        what = inputs.scenarios[(inputs.scenarios["patient_id"] == patient) & (inputs.scenarios["shift"] == 1.0)]
        shown = next(w for w in record["what"] if w["d"] == 1.0)
        assert shown["m"] == pytest.approx(what["mean"].tolist(), rel=1e-4)
        assert record["hinge"]["benefit"] == pytest.approx(inputs.hinge["benefit"].iloc[i], rel=1e-4)
        assert sum(v for _, v in record["moved"]["groups"]) == pytest.approx(
            record["moved"]["forecast"] - record["moved"]["background"], abs=0.02
        )


def test_average_and_accuracy_stand_in_the_text(page):
    inputs = report_inputs()
    assert num(inputs.average["estimate"]) in page
    own = inputs.evaluation
    row = own[(own["forecaster"] == "forecaster") & (own["landmark"] == 0) & (own["metric"] == "mae")].iloc[0]
    assert num(row["estimate"]) in page
    assert "TRIPOD+AI" in page and "for the author" in page and "Model card" in page


def test_methods_name_the_forest_where_similar_patients_moved_estimates(page, tmp_path):
    inputs = report_inputs()
    assert "moved by what a random forest" in page
    assert "Those of similar patients move it by" in page
    many = replace(inputs, hinge=inputs.hinge.assign(similar_shift=0.0))
    text = write_report(tmp_path, many).read_text(encoding="utf-8")
    assert "moved by what a random forest" not in text


def test_every_picture_has_a_table_and_a_description(page):
    body = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    figures = re.findall(r"<figure>.*?</figure>", body, re.S)
    assert len(figures) >= 8
    for figure in figures:
        assert "aria-label=" in figure and "<figcaption>" in figure and "<table>" in figure


def test_nothing_is_ranked_where_patients_are_not_shown_to_differ(tmp_path):
    inputs = report_inputs()
    test = inputs.heterogeneity.copy()
    test["detected"] = False
    hinge = inputs.hinge.assign(rank=pd.array([pd.NA] * len(inputs.hinge), dtype="Int64"), p_top=np.nan,
                                ranking_reason="patients are not shown to differ")  # fmt: skip
    text = write_report(tmp_path, replace(inputs, heterogeneity=test, hinge=hinge)).read_text(encoding="utf-8")
    section = re.search(r'<section id="hinge".*?</section>', text, re.S).group(0)
    assert "No ranking: patients are not shown to differ." in section
    assert "P(top)" not in section and "<svg" not in section
    assert "nobody is ranked" in text


def test_forecast_only_panel_says_what_is_left_out(tmp_path):
    clinic = fitted()
    panel = clinic.panel.renamed(Columns(outcome="symptoms", therapist="therapist_id"))
    forecaster = TrajectoryForecaster(random_state=0).fit(panel)
    text = write_report(tmp_path, gather(panel, forecaster, notes=["No effect."], evaluate=False)).read_text("utf-8")
    assert "only forecasts are made" in text
    assert "There is no process column" in text
    assert "nobody is ranked" in text
    data = payload(text)
    assert "what" not in data["patients"][0] and data["patients"][0]["fan"]["m"]
    assert re.search(r'<div id="slider" class="slider" hidden>', text)
    groups = [g for g, _ in data["patients"][0]["moved"]["groups"]]
    assert not [g for g in groups if "alliance" in g]


def test_bare_panel_without_models_or_therapists(tmp_path):
    panel = simulate_clinic("null", n_patients=30, random_state=2).panel
    alone = Panel(panel.sessions, columns=Columns(outcome="symptoms", alliance="alliance"), better="low")
    text = write_report(tmp_path, ReportInputs(panel=alone)).read_text(encoding="utf-8")
    assert "No therapists are named" in text
    assert "No forecast could be made or judged" in text


def test_words_follow_the_process_column(tmp_path):
    sessions = fitted().panel.sessions.rename(columns={"alliance": "drug_level"})
    panel = Panel(sessions, columns=Columns(outcome="symptoms", alliance="drug_level"), better="low")
    made = gather(panel, effect=AllianceEffect(random_state=0).fit(panel), evaluate=False)
    text = write_report(tmp_path, replace(made, notes=())).read_text(encoding="utf-8")
    assert "Who hinges on drug_level" in text
    assert "The average effect of drug_level on the next session" in text
    said = re.sub(
        r'<section id="(?:limits|appendix)".*?</section>', "", text, flags=re.S
    )  # they speak of the literature
    assert not re.search(r"\balliance\b", visible(said))


def variants() -> dict[str, ReportInputs]:
    """Reports of which something is missing, not shown, or exactly nothing."""
    inputs = report_inputs()
    untested, none = inputs.heterogeneity.copy(), inputs.average.copy()
    untested["detected"], untested["p_value"], untested["baseline_p_value"] = False, np.nan, np.nan
    none["estimate"], none["lower"], none["upper"] = -1e-9, -0.4, 0.4
    level = inputs.evaluation.copy()
    skill = level["metric"] == "skill"
    level.loc[skill, ["estimate", "lower", "upper"]] = (-0.0004, -0.05, 0.0003)
    alike = inputs.hinge.assign(benefit=-1e-12, benefit_lower=-0.0, p_top=np.nan, rank=pd.array([pd.NA] * 120, "Int64"))
    return {
        "untested": replace(inputs, heterogeneity=untested, validation=None, subgroups=None),
        "no effect": replace(inputs, average=none, hinge=alike),
        "no better than the last observation": replace(inputs, evaluation=level),
        "no effect at all": replace(
            inputs, average=None, heterogeneity=None, hinge=None, scenarios=None, alliance_variance=None
        ),
        "settings that are not there": replace(inputs, run={"title": None, "seed": None, "inputs": {}, "level": None}),
    }


@pytest.mark.parametrize("name", variants())
def test_nothing_visible_is_a_minus_zero_or_the_word_of_a_program(name, tmp_path):
    assert nonsense(visible(write_report(tmp_path, variants()[name]).read_text(encoding="utf-8"))) == []


def test_what_is_not_shown_is_not_called_an_improvement(tmp_path):
    found = variants()
    said = visible(write_report(tmp_path, found["no effect"]).read_text(encoding="utf-8"))
    assert "not shown to differ from 0" in said and ": an improvement" not in said
    assert "Robustness value" not in said
    said = visible(write_report(tmp_path, found["untested"]).read_text(encoding="utf-8"))
    assert "There are too few data to test whether patients differ in this. Nobody is ranked." in said


def test_page_of_new_patients_leaves_findings_to_the_run(tmp_path):
    clinic = fitted()
    new = clinic.panel.subset(list(clinic.panel.patient_ids[:8]))
    made = gather(new, clinic.forecaster, clinic.effect, evaluate=False, hinge=None, effects=None,
                  reference=clinic.panel)  # fmt: skip
    text = write_report(tmp_path, made).read_text(encoding="utf-8")
    said = visible(text)
    assert "8 new patients" in said and "New patients are not ranked among each other" in said
    assert "In the run that the models come from, one alliance point more" in said
    assert not re.findall(r'<section id="(?:track|differ|hinge|whom)"', text)
    assert "could not be computed" not in said and "No effect was estimated" not in said
    assert nonsense(said) == []


def test_words_follow_the_timing():
    panel = fitted().panel
    assert Words.of(panel).when == "next"
    before = Panel(
        panel.sessions, columns=Columns(outcome="symptoms", alliance="alliance"), better="low", timing="before"
    )
    assert Words.of(before).when == "same"
    assert effect.title(Words.of(before)) == "The average effect of alliance on the same session"


def test_many_patients_get_pages_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("personalize.report.page.MOST_EMBEDDED", 100)
    inputs = report_inputs()
    text = write_report(tmp_path, inputs).read_text(encoding="utf-8")
    files = Names.of(inputs.panel).files()
    assert sorted(p.name for p in (tmp_path / "patients").iterdir()) == sorted(files)
    assert payload(text)["patients"] == []
    assert f'href="patients/{files[0]}"' in text
    own = (tmp_path / "patients" / files[0]).read_text(encoding="utf-8")
    assert SCRIPT not in own and payload(own)["patients"][0]["name"] == SCRIPT


def test_one_page_of_one_patient(tmp_path):
    path = write_patient(tmp_path / "p.html", report_inputs(), 1)
    assert payload(path.read_text(encoding="utf-8"))["patients"][0]["name"] == FORMULA


def test_same_inputs_same_bytes(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    first, second = (write_report(folder, report_inputs()).read_bytes() for folder in (one, two))
    assert first == second


def test_file_names_are_safe_and_different():
    names = Names(("a/b", "a?b", "A_B", "..", "", "ü"), ())
    files = names.files()
    assert len({f.lower() for f in files}) == 6
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+\.html", f) for f in files)


def test_small_groups_are_suppressed():
    frame = pd.DataFrame({"group": ["a", "b"], "estimate": [1.0, 2.0], "n": [4, 5]})
    rows = table(frame).rows
    assert rows[0] == ("a", "< 5 patients", "< 5 patients")
    assert rows[1] == ("b", "2", "5")


def test_signal_of_a_handful_of_patients_is_not_judged(tmp_path):
    inputs = report_inputs()
    few = inputs.on_track.accuracy.copy()
    few.loc[few["statistic"] == "sensitivity", "n"] = 4
    text = visible(write_report(tmp_path, replace(inputs, on_track=replace(inputs.on_track, accuracy=few))).read_text())
    assert "fewer than 5 patients improve, or do not; not judged" in text
    assert "it finds" not in text


def test_terms_are_defined_once_and_text_is_escaped():
    said = str(with_terms("<i>state</i> and state"))
    assert said.count("<dfn") == 1
    assert "&lt;i&gt;" in said


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00012345, "0.000123"), (12345.6, "12,346"), (-0.5, "−0.500"), (None, "–"), (pd.NA, "–"), (3.0, "3")],
)
def test_numbers_as_text(value, text):
    assert num(value) == text


def test_axis_places_values_where_they_belong():
    plot = Plot((0, 10), (0, 100), label="x", width=214, left=100, height=158, bottom=46)
    assert (plot.sx(0), plot.sx(5), plot.sx(10)) == (100, 150, 200)
    assert (plot.sy(0), plot.sy(100)) == (112, 12)
    assert ticks((0.0, 0.0)) == [0.0]


def test_gather_refuses_tables_it_does_not_know():
    with pytest.raises(OptionError, match="'hinges' is no table of a report"):
        gather(fitted().panel, hinges=None)


def test_inputs_refuse_what_is_no_panel():
    with pytest.raises(OptionError, match="must be a Panel"):
        ReportInputs(panel=pd.DataFrame())
