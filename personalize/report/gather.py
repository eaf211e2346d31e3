"""From fitted models to the tables of a report; what the caller already has is taken as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from features.panel import Panel
from personalize.report.inputs import ReportInputs

# PUBLISHED INTERFACE (body follows within minutes):
# from personalize.report import gather, write_report, ReportInputs
# inputs = gather(panel, forecaster, effect, notes=[...], run={...}, pseudonyms=False, hinge=..., attributions=..., evaluation=...)
# path = write_report(folder, inputs)      # writes folder/report.html (and folder/patients/*.html above 250 patients), returns folder/report.html


def gather(
    panel: Panel,
    forecaster: Any = None,
    effect: Any = None,
    *,
    notes: Sequence[str] = (),
    run: Mapping[str, Any] | None = None,
    pseudonyms: bool = False,
    **given: Any,
) -> ReportInputs:
    """Compute whatever of `ReportInputs` the models can tell and ``given`` (fields of `ReportInputs`) does not hold."""
    raise NotImplementedError
