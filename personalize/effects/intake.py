"""Intake tables of patients and of their therapists, as one table a patient."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.baseline import apart
from features.panel import Panel
from personalize.effects.encode import learn_encoding
from personalize.effects.transitions import Floats


def therapist_table(panel: Panel) -> pd.DataFrame:
    """Therapist characteristics, named as in the feature table: ``therapist_...``, apart from the patients' columns."""
    used = set(map(str, panel.patients.columns))
    return panel.therapists.rename(columns=lambda name: apart(f"therapist_{name}", used))


def baseline_table(panel: Panel) -> pd.DataFrame:
    """Intake columns of each patient and, prefixed ``therapist_``, those of the patient's therapist."""
    staff = therapist_table(panel)
    if not len(staff.columns):
        return panel.patients
    joined = staff.iloc[np.maximum(panel.therapist_index, 0)].copy() if len(staff) else staff
    joined.index = panel.patient_ids
    untreated = panel.therapist_index < 0
    if untreated.any():
        joined = joined.astype(object)
        joined.loc[untreated] = None
        joined = joined.infer_objects()
    return panel.patients.join(joined)


def intake_matrix(panel: Panel) -> Floats:
    """All intake as numbers, shape (n_patients, p), encoded as the panel's own patients suggest."""
    table = baseline_table(panel)
    return learn_encoding(table).matrix(table)
