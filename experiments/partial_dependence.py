"""Do intervals of partial dependence cover? Mean true effects with one characteristic set, over simulated clinics.

Claim: 90 % intervals of `personalize.explain.subgroups` hold the mean true effect of the clinic's patients, had all of
them this value of the characteristic, nearly as often as promised. They hold what other therapists and patients would
change, not that learners draw small differences toward zero, so a little less is expected. Truth: the simulator's own
moderation, with the value set for everybody. Intake is complete here: with values missing there would be no truth of a
patient's to set them in. Seeds from 11000 were used to choose nothing.

Run ``python -m experiments.partial_dependence --clinics 4 --jobs 2``; about half a minute a clinic and core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from experiments.checkpoint import Row
from experiments.many_clinics import run_clinics, study_main
from personalize import explain
from personalize.effects.alliance_effect import AllianceEffect
from personalize.explain.dependence import values_of
from personalize.simulate import PRESETS, simulate_clinic
from personalize.simulation.moderators import moderation

PRESETS_ASKED = ("linear", "nonlinear")
FIRST_SEED = 11_000
GROUPS = 10  # of therapists, each left out once


def one_clinic(n_patients: int, n_sessions: int, preset: str, seed: int) -> list[Row]:
    """Estimate, interval and truth of every value of the moderators shown; one row each."""
    options = replace(PRESETS[preset], missing_intake=0.0)
    clinic = simulate_clinic(n_patients=n_patients, n_sessions=n_sessions, random_state=seed, options=options)
    effect = AllianceEffect(random_state=seed).fit(clinic.panel)
    found = explain.subgroups(effect, clinic.panel, groups=GROUPS).dependence
    # the average is that of the clinic: its therapists' and patients' random parts do not move with the value
    rest = clinic.truth.average_effect - clinic.truth.patients["tau"].mean()
    intake, rows = clinic.panel.patients, []
    for name in [n for n in found["moderator"].unique() if n in intake.columns]:
        for said, value in values_of(intake[name]):
            row = found[(found["moderator"] == name) & (found["value"] == said)].iloc[0]
            everybody = moderation(
                intake.assign(**{name: value}), options.linear_moderators, options.nonlinear_moderators
            )
            truth = options.average_effect + everybody.mean() + rest
            rows.append(
                {
                    "moderator": name,
                    "value": said,
                    "truth": float(truth),
                    "estimate": float(row["estimate"]),
                    "covered": float(row["lower"] <= truth <= row["upper"]),
                }
            )
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Coverage by preset and over all: preset, clinics, n (values), coverage."""
    parts = [("all", rows), *rows.groupby("preset", sort=False)]
    table = [
        {"preset": name, "clinics": len(part[["preset", "seed"]].drop_duplicates()), "n": len(part)}
        | {"coverage": part["covered"].mean()}
        for name, part in parts
    ]
    return pd.DataFrame(table)


def partial_dependence(
    *,
    presets: Sequence[str] = PRESETS_ASKED,
    clinics: int = 4,
    n_patients: int = 400,
    n_sessions: int = 12,
    **where: Any,
) -> pd.DataFrame:
    """Run the clinics that are not done yet; parameters as `experiments.top_fifth.top_fifth`, table as `summary`."""
    cells = [{"preset": p, "seed": FIRST_SEED + k} for k in range(clinics) for p in presets]
    size = {"n_patients": n_patients, "n_sessions": n_sessions}
    return summary(run_clinics("partial_dependence", one_clinic, cells, **size, **where))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", choices=PRESETS_ASKED, default=list(PRESETS_ASKED))
    return study_main(parser, partial_dependence, arguments, clinics=4, patients=400, words="preset")


if __name__ == "__main__":
    sys.exit(main())
