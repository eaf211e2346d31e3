"""The clinic that riclpm.R was run on: one row a patient, y1 ... y6 and a1 ... a6."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from personalize.simulate import SimulatedClinic, simulate_clinic

WAVES = 6
# everybody's trend is free in the R model; trends that differ by intake are not, so they are off here
OPTIONS = {"length_spread": 0.0, "symptom_gain_baseline": 0.0, "alliance_rise_baseline": 0.0, "missing_intake": 0.0}


def clinic(preset: str) -> SimulatedClinic:
    """Simulate the clinic ("constant" or "null")."""
    return simulate_clinic(preset, n_patients=1000, n_sessions=WAVES, random_state=2022, options=OPTIONS)


def wide(made: SimulatedClinic) -> pd.DataFrame:
    """Lay the sessions side by side."""
    panel = made.panel
    y, a = (values.reshape(panel.n_patients, WAVES) for values in (panel.outcome, panel.alliance))
    names = [f"y{k}" for k in range(1, WAVES + 1)] + [f"a{k}" for k in range(1, WAVES + 1)]
    return pd.DataFrame(np.hstack([y, a]), columns=names)


if __name__ == "__main__":
    wide(clinic(sys.argv[1])).to_csv(sys.argv[2], index=False)
