"""The page that lists what all experiments answered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Experiments</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-size: .85rem; }
td, th { padding: .25rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
img { max-width: 100%; } .no { color: #a33; } h2 { margin-top: 2.5rem; }
</style></head><body>
<h1>Experiments</h1>
<p>{{ about.size }} size, seed {{ about.random_state }}, {{ data }}; personalize {{ about.version }}.</p>
<table><tr><th>experiment</th><th>status</th><th>answer</th><th>checks that hold</th></tr>
{% for row in rows %}<tr><td><a href="#{{ row.experiment }}">{{ row.experiment }}</a></td>
<td{% if row.status != "answered" %} class="no"{% endif %}>{{ row.status }}</td><td>{{ row.sentence }}</td>
<td>{% if row.status == "answered" %}{{ row.passed }} of {{ row.checks }}{% endif %}</td></tr>
{% endfor %}</table>
{% for row in rows if row.status == "answered" %}
<h2 id="{{ row.experiment }}">{{ row.experiment }}</h2>
<p><em>{{ row.claim }}</em></p>
<p>{{ row.sentence }}</p>
{% if row.figure %}<img src="{{ row.experiment }}/figure.svg" alt="figure of {{ row.experiment }}">{% endif %}
<p>Falsification check</p>
<table><tr><th>check</th><th>expected</th><th>found</th><th>lower</th><th>upper</th><th>n</th><th>holds</th></tr>
{% for check in row.falsification %}<tr><td>{{ check.check }}</td><td>{{ check.expected }}</td>
<td>{{ check.estimate }}</td><td>{{ check.lower }}</td><td>{{ check.upper }}</td><td>{{ check.n }}</td>
<td{% if not check.passed %} class="no"{% endif %}>{{ "yes" if check.passed else "no" }}</td></tr>
{% endfor %}</table>
<p><a href="{{ row.experiment }}/table.csv">table</a> ·
<a href="{{ row.experiment }}/result.txt">all in words, with notes</a></p>
{% endfor %}
</body></html>
"""


def page(table: pd.DataFrame, claims: Mapping[str, str], place: Path, about: Mapping[str, Any]) -> str:
    """Render the page from the summary and the folders of the experiments.

    Parameters
    ----------
    table : DataFrame
        As in `experiments.everything.Answers`.
    claims : mapping of experiment to claim
    place : Path
        Folder that holds a folder an experiment.
    about : mapping
        size, random_state, version, data.
    """
    rows = []
    for row in table.to_dict("records"):
        own = place / row["experiment"]
        if row["status"] == "answered":
            checks = pd.read_csv(own / "falsification.csv", dtype={"expected": str})
            for name in ("estimate", "lower", "upper"):
                checks[name] = checks[name].map(lambda value: "" if pd.isna(value) else f"{value:.3g}")
            row = {
                **row,
                "checks": int(row["checks"]),
                "passed": int(row["passed"]),
                "claim": claims[row["experiment"]],
                "figure": (own / "figure.svg").is_file(),
                "falsification": checks.to_dict("records"),
            }
        rows.append(row)
    data = "simulated clinics" if about["data"] == "simulated" else f"data of a study (sha256 {about['data'][:12]}…)"
    return Environment(autoescape=True).from_string(PAGE).render(rows=rows, about=about, data=data)
