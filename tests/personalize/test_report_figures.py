"""Figures for papers: axes that hold what the tables say, files that are the same twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.errors import OptionError
from features.events import ruptures
from personalize.report import figures
from tests.personalize.report_clinic import FORMULA, report_inputs


def test_spaghetti_draws_the_mean():
    panel = report_inputs().panel
    ax = figures.spaghetti(panel)
    x, y = ax.lines[-1].get_data()
    assert x[0] == 1
    assert y[0] == pytest.approx(panel.outcome[panel.occasion == 0].mean())


def test_variance_bars_add_up_to_one():
    ax = figures.variance_bars({"alliance": report_inputs().alliance_variance})
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(1.0)


def test_caterpillar_is_sorted():
    ax = figures.caterpillar(report_inputs().hinge)
    y = ax.lines[0].get_ydata()
    assert len(y) == report_inputs().panel.n_patients
    assert (np.diff(y) <= 0).all()


def test_toc_and_gates_show_the_validation():
    found = report_inputs().validation
    line = figures.toc(found).lines[0]
    rows = found[found["statistic"] == "toc"]
    assert line.get_ydata().tolist() == rows["estimate"].tolist()
    assert line.get_xdata()[0] == 10.0
    bars = figures.gates(found).patches
    assert [b.get_height() for b in bars] == found.loc[found["statistic"] == "gates", "estimate"].tolist()


def test_fan_of_one_patient():
    inputs = report_inputs()
    ax = figures.forecast_fan(inputs.panel, inputs.forecasts, FORMULA)
    own = inputs.forecasts[inputs.forecasts["patient_id"] == FORMULA]
    assert ax.lines[0].get_ydata().tolist() == own["mean"].tolist()
    with pytest.raises(OptionError, match="is not in the panel"):
        figures.forecast_fan(inputs.panel, inputs.forecasts, "nobody")


def test_specification_curve_is_sorted_and_marks_the_default():
    found = report_inputs().sensitivity
    ax = figures.specification_curve(found)
    known = found.dropna(subset=["estimate"])
    assert len(ax.lines[0].get_xdata()) + len(ax.lines[1].get_xdata()) == len(known)
    assert len(ax.lines[1].get_xdata()) == int(known["default"].sum())


def test_event_timeline_counts_events_by_session():
    table = pd.DataFrame({"session": [2, 2, 5, 40]})
    ax = figures.event_timeline({"ruptures": table}, last=6)
    assert ax.lines[0].get_ydata().tolist() == [0, 2, 0, 0, 1, 0]
    found = ruptures(report_inputs().panel)
    drawn = figures.event_timeline({"ruptures": found}, last=int(found["session"].max()))
    assert drawn.lines[0].get_ydata().sum() == len(found)


def test_every_figure_becomes_a_file(tmp_path):
    files = figures.write_figures(tmp_path / "figures", report_inputs())
    assert len(files) == 14
    assert all(p.stat().st_size > 1000 for p in files)


def test_files_are_the_same_twice(tmp_path):
    one, two = (figures.save(figures.caterpillar(report_inputs().hinge), tmp_path / name) for name in ("one", "two"))
    assert [p.suffix for p in one] == [".svg", ".pdf"]
    for a, b in zip(one, two, strict=True):
        assert a.read_bytes() == b.read_bytes()
