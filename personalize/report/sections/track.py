"""The not-on-track signal and how often it is right."""

from __future__ import annotations

from personalize.explain.on_track import OnTrack
from personalize.report.blocks import Section, table
from personalize.report.inputs import SMALLEST_GROUP, ReportInputs
from personalize.report.numbers import between, percent
from personalize.report.words import Words

TITLE = "Not on track"
NAMES = {"sensitivity": "sensitivity", "specificity": "specificity", "share_flagged": "share flagged",
         "not_improved": "share not improved", "not_improved_if_flagged": "share not improved, if flagged"}  # fmt: skip


def section(inputs: ReportInputs, words: Words) -> Section:
    """Accuracy of the signal, cross-validated."""
    found = inputs.on_track
    if not isinstance(found, OnTrack):
        return Section("track", TITLE, missing="The signal could not be computed; the notes above say why.")
    said = [
        f"A patient is flagged where the score ({words.outcome}) is worse than that of {percent(found.probability)} of "
        f"patients with the same first score (expected response, learned on other patients). The signal is right where "
        f"the patient does not reach {found.criterion}; it is judged in patients who have a session after it, while "
        "on-track.csv flags all who have been seen that often."
    ]
    own = found.accuracy.set_index(["statistic", "session"])
    for session in found.accuracy["session"].unique():
        sens, spec = own.loc[("sensitivity", session)], own.loc[("specificity", session)]
        if min(sens["n"], spec["n"]) < SMALLEST_GROUP:
            said.append(f"At session {session}: fewer than {SMALLEST_GROUP} patients improve, or do not; not judged.")
            continue
        found_of, left = (between(100 * row["lower"], 100 * row["upper"], 2) for row in (sens, spec))
        said.append(
            f"At session {session} it finds {percent(sens['estimate'])} of those who do not improve (sensitivity; "
            f"95 % interval {found_of}) and leaves {percent(spec['estimate'])} of those who do alone (specificity; "
            f"{left})."
        )
    frame = found.accuracy.assign(statistic=[NAMES[s] for s in found.accuracy["statistic"]])
    frame = frame[["statistic", "session", "estimate", "lower", "upper", "n"]].astype({"session": str})
    for name in ("estimate", "lower", "upper"):
        frame[name] = [percent(v) for v in frame[name]]
    head = ("statistic", "session", "estimate", "lower 95 %", "upper 95 %", "patients")
    return Section("track", TITLE, said, (), [("Accuracy of the signal", table(frame, head, left=2))])
