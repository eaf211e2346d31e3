"""The bound for learners with few patients is one: no estimate in it is better than the mix."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.few_patients import OTHERS, few_patients
from features.errors import OptionError


def test_the_best_mix_is_no_worse_than_ours() -> None:
    table = few_patients(["nonlinear"], patients=120, seeds=2, first_seed=70)
    assert list(table["seed"]) == [70, 71]
    assert (table["best mix"] <= table[["ours", "without similar patients", "fixed mix"]].min(axis=1) + 1e-9).all()
    assert np.isfinite(table[["ours", *OTHERS]].to_numpy()).all()
    assert (table["ours"] < 3.0).all(), "the SD of the effects is 1.95"


def test_the_fixed_mix_needs_another_clinic() -> None:
    with pytest.raises(OptionError, match="2 or more"):
        few_patients(["nonlinear"], patients=120, seeds=1)
