"""How to read the report, and what it cannot say."""

from __future__ import annotations

from personalize.report.blocks import Section
from personalize.report.inputs import ReportInputs
from personalize.report.numbers import percent
from personalize.report.words import Words


def section(inputs: ReportInputs, words: Words) -> Section:
    """Plain sentences, those about the effect only where there is one."""
    level = percent(inputs.level)
    of_effect = ", effects and benefits" if inputs.average is not None else ""
    said = [
        "Forecast and effect answer different questions. A forecast says what is likely to come, from everything "
        "seen so "
        "far. It does not say what would happen if somebody acted.",
    ]
    if inputs.average is not None:
        said += [
            f"The effect says what would be expected to change if {words.alliance} were different, under "
            f"assumptions that "
            "the data cannot prove. It is observational. A clinical decision needs more than this page.",
            "A single patient's estimate leans on intake and on the average as far as the own sessions are few "
            "(own-data "
            "reliability says how far). Wide intervals are the finding, not a flaw of the picture.",
            "The largest estimates in a ranking are partly luck. Estimates here are shrunken for that; a ranking by "
            "raw "
            "slopes would not be.",
            "This software has never been tested on real session-by-session alliance data, because no public data set "
            "was found. Check it on your own before you rely on it.",
        ]
    said += [
        "Patients who leave early are in the data only as long as they stay. What a last score says mixes "
        "completers and "
        "drop-outs.",
        f"Intervals of forecasts{of_effect} hold {level} of what is plausible; those of accuracy and of variance "
        "shares are 95 % confidence intervals.",
        f"Groups of fewer than five patients are not shown. Numbers are in the units of {words.outcome}"
        + (f" and {words.alliance}." if words.alliance else "."),
    ]
    return Section("limits", "How to read this, and what it cannot say", said, short="How to read")
