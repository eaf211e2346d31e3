"""One patient's page from a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from features.errors import FileError
from personalize.explain import OnTrack
from personalize.report import ReportInputs, gather
from personalize.report import write_patient as write_page
from personalize.report.names import Names
from personalize.study.results import Results

PAGE_MARK = b'id="report-data"'  # every page of ours holds its data under this name


def write_patient(results: Results, who: Any, path: Path | None = None) -> Path:
    """Write the page of one patient of a run.

    Parameters
    ----------
    results : Results
    who : identifier
        As in the panel; `Results.patient` finds it from text.
    path : Path, optional
        By default in the present folder, under the name it has in the results.

    Returns
    -------
    Path

    Raises
    ------
    FileError
        When a file that is not such a page stands there.
    """
    at = list(map(str, results.panel.patient_ids)).index(str(who))
    target = Path(Names.of(results.panel).files()[at]) if path is None else path
    if target.is_file() and PAGE_MARK not in target.read_bytes():
        raise FileError(f"{target}: is there and is no patient's page; it is not written over, name another file.")
    return write_page(target, patient_inputs(results, [who]), 0)


def patient_inputs(results: Results, who: list[Any]) -> ReportInputs:
    """What the pages of some patients show, computed from the saved models; the hinge table is the run's own."""
    panel = results.panel.subset(who)
    hinge, effect = results.table("hinge.csv"), results.effect
    own = None
    if effect is not None and hinge is not None:
        hinge = hinge.set_index(hinge[panel.columns.patient].map(str))
        own = hinge.loc[[str(one) for one in panel.patient_ids]].set_axis(panel.patient_ids, axis=0)
    signals = results.table("on-track.csv")
    judged = None
    if signals is not None:
        signals = signals.rename(columns={panel.columns.patient: "patient", "sessions_seen": "session"})
        known = {str(one): one for one in panel.patient_ids}
        signals["patient"] = [known.get(str(one)) for one in signals["patient"]]
        judged = OnTrack.of_signals(signals[signals["patient"].notna()])
    return gather(
        panel,
        results.forecaster,
        effect,
        run=results.run,
        evaluate=False,
        hinge=own,
        on_track=judged,
        reference=results.panel,
        sd=results.study.get("analysis.shift_sd"),
    )
