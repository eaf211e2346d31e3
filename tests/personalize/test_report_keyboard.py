"""The page without a mouse, without colour and in one go: keys, focus, definitions, greyscale, all that is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from personalize.effects.alliance_effect import AllianceEffect
from personalize.report import gather, write_report
from personalize.report.names import Names
from personalize.simulate import simulate_clinic
from personalize.trajectories.forecast import TrajectoryForecaster
from tests.personalize.browsing import Reader, browser, reading
from tests.personalize.report_clinic import nonsense, report_inputs

MOST_TABS = 1500
SLOWEST_MS = 2000
MOST_BYTES = 10_000_000
CONTROLS = "a[href], button, input, summary, dfn, [tabindex='0']"
FOCUSED = """(e => { const s = getComputedStyle(e); return [window.__all.indexOf(e),
  parseFloat(s.outlineWidth) >= 2 && s.outlineStyle !== "none"]; })(document.activeElement)"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    browser()
    return write_report(tmp_path_factory.mktemp("keys"), report_inputs())


@pytest.fixture
def reader(page, tmp_path) -> Iterator[Reader]:
    with reading(tmp_path / "profile") as open_page:
        open_page.look(width=1280)
        open_page.open(page)
        yield open_page
        assert open_page.bad == []
        assert {url.split("#")[0] for url in open_page.requests} == {page.as_uri()}


def slide(reader: Reader, stop: int) -> None:
    """Move the slider to a stop."""
    reader.run(f"(s => {{ s.value = {stop}; s.dispatchEvent(new Event('input')); }})(document.getElementById('shift'))")


def test_every_control_is_reached_by_tab_and_shows_it(reader):
    names = reader.run(
        f"(window.__all = [...document.querySelectorAll({CONTROLS!r})].filter(e => e.checkVisibility()))"
        ".map(e => e.tagName + ' ' + (e.id || e.textContent.slice(0, 30)))"
    )
    reached: dict[int, bool] = {}
    for _ in range(MOST_TABS):
        reader.press("Tab")
        at, shown = reader.run(FOCUSED)
        if at in reached:
            break
        reached[at] = shown
    missed = [name for i, name in enumerate(names) if i not in reached]
    assert missed == []
    assert [names[i] for i, shown in reached.items() if i >= 0 and not shown] == []


def test_slider_follows_the_arrow_keys(reader):
    reader.run("document.getElementById('shift').focus()")
    before = reader.run("document.getElementById('fan-mean').getAttribute('d')")
    reader.press("ArrowRight", 2)
    assert reader.run("document.getElementById('shift-out').textContent").startswith("+1 SD")
    assert reader.run("document.getElementById('shift').getAttribute('aria-valuetext')").startswith("+1 SD")
    assert reader.run("document.getElementById('fan-mean').getAttribute('d')") != before
    reader.press("ArrowLeft", 3)
    assert reader.run("document.getElementById('shift-out').textContent").startswith("−0.5")
    reader.press("Tab")
    reader.press("Enter")  # the button beside it
    assert reader.run("document.getElementById('fan-mean').getAttribute('d')") == before


def test_patient_is_found_by_typing_and_enter(reader):
    wanted = str(report_inputs().panel.patient_ids[7])
    reader.run("(e => { e.focus(); e.select(); })(document.getElementById('find'))")
    reader.type(wanted)
    reader.press("Enter")
    assert reader.run("document.getElementById('who').textContent").startswith(wanted)
    reader.press("Tab", 2)  # past "Previous"
    reader.press("Enter")
    following = str(report_inputs().panel.patient_ids[8])
    assert reader.run("document.getElementById('who').textContent").startswith(following)


def test_link_of_the_ranking_leads_to_the_patient_by_enter(reader):
    reader.run("document.querySelector('a[data-patient-link]').focus()")
    name = reader.run("document.activeElement.textContent")
    reader.press("Enter")
    assert reader.run("document.getElementById('who').textContent").startswith(name)
    assert reader.run("document.activeElement.id") == "patient"


def test_definitions_show_on_focus_and_stand_on_the_page(reader):
    said = reader.run(
        "[...document.querySelectorAll('dfn')].filter(e => e.checkVisibility()).map(e => { e.focus(); "
        "return [e.textContent, e.getAttribute('aria-description'), getComputedStyle(e, '::after').content]; })"
    )
    assert len(said) > 20
    for word, meaning, shown in said:
        assert meaning and shown.strip('"').replace('\\"', '"') == meaning, word
    listed = {word.lower() for word in reader.run("[...document.querySelectorAll('.words dt')].map(e => e.innerText)")}
    static = reader.run("[...document.querySelectorAll('main section:not(#patient) dfn')].map(e => e.textContent)")
    assert {word.lower() for word in static} <= listed
    headings = reader.run("[...document.querySelectorAll('th')].map(e => [e.innerText, !!e.querySelector('dfn')])")
    jargon = re.compile(r"P\(|reliab|signed benefit|verdict|horizon|TreeSHAP", re.IGNORECASE)
    assert [text for text, defined in headings if jargon.search(text) and not defined] == []


def test_series_differ_without_colour(reader):
    """Every line of a patient's picture has its own dash and width; a flag is larger than the dots and hollow."""
    slide(reader, 6)
    looks = reader.run(
        "['.seen', '.alli', '.base', '.fan'].map(q => getComputedStyle(document.querySelector('#fan path' + q)))"
        ".map(s => s.strokeDasharray + ' ' + s.strokeWidth)"
    )
    assert len(set(looks)) == 4
    kinds = ("share therapist", "share patient", "share session")
    filled = reader.run(
        f"{list(kinds)!r}.map(k => getComputedStyle(document.querySelector('rect.' + k.replace(' ', '.'))).fill)"
    )
    grey = sorted(np.array([re.findall(r"\d+", colour) for colour in filled], dtype=float) @ (0.299, 0.587, 0.114))
    assert np.diff(grey).min() > 25  # of 255


@pytest.mark.parametrize("slider", [4, 0, 7])
def test_nothing_on_the_page_is_a_minus_zero_or_the_word_of_a_program(reader, slider):
    reader.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    text = reader.run("document.body.innerText")
    slide(reader, slider)
    for _ in range(30):
        reader.run("document.getElementById('after').click()")
        text += "\n" + reader.run("document.getElementById('patient').innerText")
    assert nonsense(text) == []


@pytest.mark.parametrize("text", ["by −0 %", "[−0.00, 1]", "-0.0", "nan", "None", "−0 to 2", "undefined"])
def test_nonsense_is_recognised(text):
    assert nonsense(text)


@pytest.mark.parametrize("text", ["−0.05", "[−0.003, 0]", "2024-01-03", "-0.50", "none", "e-09"])
def test_sense_is_not_nonsense(text):
    assert not nonsense(text)


def test_many_patients_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr("personalize.report.page.MOST_EMBEDDED", 100)
    browser()
    page = write_report(tmp_path, report_inputs())
    names = Names.of(report_inputs().panel)
    with reading(tmp_path / "profile") as reader:
        reader.look(width=1280)
        reader.open(page)
        reader.run("document.getElementById('goto').focus()")
        reader.type("nobody at all")
        reader.press("Enter")
        assert reader.run("document.getElementById('nobody').textContent") == "No patient of that name."
        reader.run("(e => { e.value = ''; e.focus(); })(document.getElementById('goto'))")
        reader.type(names.patients[9])
        reader.press("Enter")
        reader.wait("location.href.includes('/patients/')")
        assert reader.run("location.href").endswith(f"patients/{names.files()[9]}")
        assert reader.run("document.querySelector('h1').textContent").startswith(names.patients[9])
        assert reader.bad == []


def test_page_of_250_patients_is_small_and_quick(tmp_path):
    browser()
    panel = simulate_clinic("linear", n_patients=250, n_sessions=12, random_state=4).panel
    forecaster = TrajectoryForecaster(members=("direct",), n_folds=2, random_state=0).fit(panel)
    effect = AllianceEffect(random_state=0).fit(panel)
    page = write_report(tmp_path, gather(panel, forecaster, effect, evaluate=False))
    assert not (tmp_path / "patients").exists()
    assert page.stat().st_size < MOST_BYTES
    with reading(tmp_path / "profile") as reader:
        reader.look(width=1280)
        reader.open(page)
        took = reader.run("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        assert reader.bad == []
        assert reader.requests == [page.as_uri()]
    assert took < SLOWEST_MS
