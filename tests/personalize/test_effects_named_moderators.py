"""Moderators named beforehand: what they change, what they leave alone, and what they refuse."""

import numpy as np
import pandas as pd
import pytest

from features import Panel
from features.errors import OptionError
from personalize import AllianceEffect
from personalize.simulate import simulate_clinic
from personalize.simulation.moderators import MODERATORS


@pytest.fixture(scope="module")
def clinic():
    return simulate_clinic("nonlinear", n_patients=300, random_state=5)


@pytest.fixture(scope="module")
def named(clinic):
    return AllianceEffect(moderators=list(MODERATORS)).fit(clinic.panel)


def test_only_the_named_ones_moderate_and_the_average_stays(clinic, named):
    every = AllianceEffect().fit(clinic.panel)
    assert set(named.moderator_contributions().columns) <= set(MODERATORS)
    assert set(every.moderator_contributions().columns) - set(MODERATORS)
    pd.testing.assert_series_equal(named.average_, every.average_)
    pd.testing.assert_frame_equal(named.sensitivity(), every.sensitivity())
    assert np.array_equal(named.own_slope_, every.own_slope_, equal_nan=True)


def test_a_new_patient_is_known_from_the_named_ones_alone(clinic, named, tmp_path):
    patients = clinic.panel.patients.head(5)
    told = named.predict(patients)
    pd.testing.assert_frame_equal(told, named.predict(patients[list(MODERATORS)]))
    named.save(tmp_path / "m")
    again = AllianceEffect.load(tmp_path / "m")
    assert again.moderators == list(MODERATORS)
    pd.testing.assert_frame_equal(told, again.predict(patients))


def test_naming_them_helps_where_patients_are_few():
    gains = []
    for seed in range(4):
        panel, truth = simulate_clinic("nonlinear", n_patients=300, random_state=40 + seed)
        true = truth.patients["effect"].to_numpy()
        errors = [
            np.sqrt(np.mean((AllianceEffect(moderators=m).fit(panel).effects_["estimate"].to_numpy() - true) ** 2))
            for m in (None, list(MODERATORS))
        ]
        gains.append(errors[0] - errors[1])
    assert np.mean(gains) > 0


def test_a_column_of_the_therapists_table_can_be_named(clinic):
    name = f"therapist_{clinic.panel.therapists.columns[0]}"
    assert set(AllianceEffect(moderators=[name]).fit(clinic.panel).moderator_contributions().columns) == {name}


def test_a_named_column_that_says_nothing_is_named_in_a_note(clinic):
    panel = clinic.panel
    patients = panel.patients.assign(planned=1.0).reset_index(names="patient_id")
    again = Panel(panel.sessions, patients, columns=panel.columns, better="low")
    found = AllianceEffect(moderators=[*MODERATORS[:2], "planned"]).fit(again)
    assert any("'planned'" in note and "Not used as moderators" in note for note in found.notes_)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["attachment_anxiety", "shoe_size"], "'shoe_size'; allowed are 'severity'"),
        ("attachment_anxiety", "give a list of intake columns"),
        ([], "give a list of intake columns"),
    ],
)
def test_what_cannot_be_named(clinic, given, words):
    with pytest.raises(OptionError, match="moderators") as told:
        AllianceEffect(moderators=given).fit(clinic.panel)
    assert words in str(told.value)
