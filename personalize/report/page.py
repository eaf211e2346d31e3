"""Write the report: one offline page, and a page a patient where there are many."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from personalize import __version__
from personalize.files.atomic import whole_file
from personalize.report.appendix import appendix
from personalize.report.blocks import Section
from personalize.report.glossary import with_terms, words_used
from personalize.report.inputs import ReportInputs
from personalize.report.names import Names
from personalize.report.numbers import percent
from personalize.report.patients import Records, script_json, shared
from personalize.report.sections import data, differ, effect, forecast, limits, ranking, track, variance, whom
from personalize.report.summary import summary
from personalize.report.words import Words

MOST_EMBEDDED = 250  # patients on the page itself; above, each gets a page beside it
NAME, DATA = "@@name@@", "@@data@@"  # what a patient's page fills in
WORDS = "@@words@@"  # where the glossary goes, once it is known which words the page uses
HORIZON = 4  # sessions ahead that sentences speak of


def write_report(folder: str | Path, inputs: ReportInputs) -> Path:
    """Write ``report.html`` into a folder, and ``patients/*.html`` beside it for more than 250 patients.

    The page is complete in itself: styles, script and data are inside, nothing is fetched, and a content security
    policy forbids it. Every number shown comes from ``inputs``.

    Parameters
    ----------
    folder : str or Path
        An existing folder.
    inputs : ReportInputs

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileError
        When the folder cannot be written to.
    """
    target = Path(folder)
    words, shown = Words.of(inputs.panel), Names.of(inputs.panel)
    embedded = inputs.panel.n_patients <= MOST_EMBEDDED
    pages = [] if embedded else [f"patients/{name}" for name in shown.files()]
    links = dict(zip(shown.patients, range(inputs.panel.n_patients) if embedded else pages, strict=True))
    in_common = shared(inputs, words, horizon(inputs))
    records = Records(inputs, shown, in_common)
    patients = [records.of(i) for i in range(inputs.panel.n_patients)] if embedded else []
    html = (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=str(inputs.run.get("title") or _title(words)),
            version=str(inputs.run.get("version") or __version__),
            css=asset("style.css"),
            js=asset("app.js"),
            summary=summary(inputs, words),
            simulated=bool(inputs.run.get("simulated", False)),
            notes=list(dict.fromkeys(str(n) for n in inputs.notes)),
            sections=sections(inputs, words, shown),
            embedded=embedded,
            has_scenarios=inputs.scenarios is not None,
            level=percent(inputs.level),
            links=links,
            pages=list(zip(shown.patients, pages, strict=True)) if pages else [],
            appendix=appendix(inputs, words),
            w=words,
            data=Markup(script_json({"shared": in_common, "patients": patients})),
            words=WORDS,
        )
    )
    glossary = _environment().get_template("words.html.j2").render(words=words_used(html))
    html = html.replace(WORDS, glossary, 1)
    path = target / "report.html"
    if pages:
        (target / "patients").mkdir(exist_ok=True)
        for i, page in enumerate(pages):
            write_patient(target / page, inputs, i, records=records)
    with whole_file(path) as partial:
        partial.write_text(html, encoding="utf-8")
    return path


def write_patient(path: str | Path, inputs: ReportInputs, i: int, *, records: Records | None = None) -> Path:
    """Write the page of the i-th patient of the panel, complete in itself.

    Parameters
    ----------
    path : str or Path
    inputs : ReportInputs
    i : int
        Row of ``panel.patients``.
    records : Records, optional
        Made once where many pages are written.
    """
    words = Words.of(inputs.panel)
    if records is None:
        records = Records(inputs, Names.of(inputs.panel), shared(inputs, words, horizon(inputs)))
    record = records.of(i)
    simulated, what_if = bool(inputs.run.get("simulated", False)), inputs.scenarios is not None
    frame = _patient_frame(words, simulated, what_if, percent(inputs.level))
    values = {NAME: str(escape(record["name"])), DATA: script_json({"shared": records.shared, "patients": [record]})}
    html = re.sub(f"{NAME}|{DATA}", lambda found: values[found.group(0)], frame)
    target = Path(path)
    with whole_file(target) as partial:
        partial.write_text(html, encoding="utf-8")
    return target


def _title(words: Words) -> str:
    """Heading of a report whose study has none."""
    return f"{words.outcome}: forecasts" + (f", and who hinges on {words.alliance}" if words.alliance else "")


def horizon(inputs: ReportInputs) -> int:
    """Sessions ahead that benefits and sentences speak of."""
    return HORIZON if inputs.hinge is None else int(inputs.hinge.attrs.get("sessions", HORIZON))


def sections(inputs: ReportInputs, words: Words, shown: Names) -> list[Section]:
    """All sections of the overview, in reading order."""
    found = [data.section(inputs, words), variance.section(inputs, words), forecast.section(inputs, words)]
    if not inputs.new_patients:  # what is learned from them stands in the report of the run
        found.append(track.section(inputs, words))
    found.append(effect.section(inputs, words))
    if inputs.average is not None and not inputs.new_patients:  # without an effect, its section says what is left out
        found += [
            differ.section(inputs, words),
            ranking.section(inputs, words, shown),
            whom.section(inputs, words),
        ]
    return [*found, limits.section(inputs, words)]


@cache
def _patient_frame(words: Words, simulated: bool, has_scenarios: bool, level: str) -> str:
    """Everything of a patient's page that is the same for all: rendered once, however many pages there are."""
    page = _environment().get_template("patient.html.j2")
    return page.render(
        name=NAME,
        css=asset("style.css"),
        js=asset("app.js"),
        simulated=simulated,
        has_scenarios=has_scenarios,
        level=level,
        w=words,
        data=DATA,
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("personalize.report", "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["terms"] = with_terms
    environment.filters["wordy"] = lambda text: any(character.isalpha() for character in str(text))
    return environment


@cache
def asset(name: str) -> Markup:
    """Style sheet or script of the page: our own text, which stands in it as it is."""
    return Markup(files("personalize.report").joinpath("templates", name).read_text(encoding="utf-8"))
