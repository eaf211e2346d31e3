"""For whom at group level: ranked moderators and partial dependence with intervals, the honest tree, the fifths."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from personalize import explain
from personalize.effects.encode import learn_encoding
from personalize.effects.intake import baseline_table
from personalize.explain.dependence import dependence
from personalize.explain.honest_tree import cluster_mean, honest_tree
from personalize.explain.jackknife import Spread, refitted
from personalize.explain.subgroups import Subgroups
from tests.personalize.report_clinic import fitted


@cache
def found() -> Subgroups:
    panel, _, effect = fitted()
    return explain.subgroups(effect, panel)


def test_moderators_are_ranked_by_the_size_of_their_contributions():
    panel, _, effect = fitted()
    ranked = found().moderators
    contributions = effect.moderator_contributions().abs().mean()
    assert ranked.set_index("moderator")["estimate"].loc[contributions.index].tolist() == pytest.approx(
        contributions.tolist()
    )
    assert ranked["estimate"].is_monotonic_decreasing
    assert ((ranked["lower"] >= 0) & (ranked["lower"] <= ranked["estimate"] + 1e-12)).all()
    assert (ranked["upper"] >= ranked["estimate"]).all()
    assert ranked["rank_lower"].between(1, ranked["rank_upper"]).all()
    assert ranked["rank_upper"].iloc[0] > 1  # 120 patients do not say for certain which moderator is first
    assert found().fifths.iloc[0, 2:].sum() == panel.n_patients


def test_yes_and_no_are_said_as_such():
    """A truth value is a share in the fifths, and no threshold of one half in the tree."""
    fifths = found().fifths.set_index("characteristic")
    assert fifths.loc["personality_disorder: yes", "unit"] == "share"
    assert fifths.loc["age", "unit"] == "mean"
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"married": np.arange(400) % 2 == 0})
    encoding = learn_encoding(table)
    scores = np.where(table["married"], -4.0, 0.0) + rng.normal(size=400)
    tree = honest_tree(scores, encoding.matrix(table), encoding, np.arange(400), truths=["married"], level=0.9, seed=0)
    assert tree.leaves["subgroup"].tolist() == ["married: yes", "married: no"]


def test_dependence_is_the_mean_prediction_with_the_value_set_for_everybody():
    panel, _, effect = fitted()
    table = baseline_table(panel)
    row = found().dependence.iloc[0]
    name = row["moderator"]
    value = table[name].dropna().quantile(0.1, interpolation="nearest")
    changed = effect.moderators_.predict(effect.encoding_.matrix(table.assign(**{name: value})))
    by_hand = effect.average_["estimate"] + effect.posterior_.gamma[1] * changed.mean()
    assert row["estimate"] == pytest.approx(by_hand)
    assert (found().dependence["lower"] < found().dependence["estimate"]).all()


def test_without_refits_there_are_estimates_and_no_intervals():
    panel, _, effect = fitted()
    bare = explain.subgroups(effect, panel, groups=0)
    assert bare.moderators["estimate"].tolist() == found().moderators["estimate"].tolist()
    for table in (bare.moderators, bare.dependence):
        assert table[["lower", "upper"]].isna().all(axis=None)
    assert bare.moderators["rank_lower"].isna().all()


def test_jackknife_of_a_mean_is_its_standard_error():
    """Deleting one value at a time, the jackknife of a mean is s / √n exactly."""
    x = np.random.default_rng(2).normal(size=12)
    without = np.array([[np.delete(x, k).mean()] for k in range(12)])
    lower, upper = Spread(np.array([x.mean()]), without).interval(0.9)
    half = student.ppf(0.95, 11) * x.std(ddof=1) / np.sqrt(12)
    assert (lower[0], upper[0]) == pytest.approx((x.mean() - half, x.mean() + half))


def test_ranks_of_what_is_certain_and_of_what_is_not():
    without = np.tile([9.0, 1.0, 1.0], (10, 1))
    without[:, 1] += np.linspace(-1, 1, 10)
    low, high = Spread(np.array([9.0, 1.0, 1.0]), without).ranks(0.9, seed=0)
    assert low.tolist() == [1.0, 2.0, 2.0]
    assert high.tolist() == [1.0, 3.0, 3.0]


def test_too_few_refits_say_nothing():
    lower, upper = Spread(np.zeros(2), np.zeros((4, 2))).interval(0.9)
    assert np.isnan([lower, upper]).all()


def test_every_therapist_is_left_out_once():
    seen = []

    class Recorder:
        moderators_ = True

        def get_params(self, deep=False):
            return {}

        def fit(self, panel):
            seen.append(set(panel.patient_ids))
            return self

    panel, _, _ = fitted()
    again = refitted(Recorder(), panel.renamed(panel.columns), groups=3)
    assert len(again) == len(seen) == 3
    everybody = set(panel.patient_ids)
    left = [everybody - kept for kept in seen]
    assert set.union(*left) == everybody and sum(map(len, left)) == len(everybody)


def test_dependence_of_nothing_is_empty():
    panel, _, effect = fitted()
    assert dependence(effect, baseline_table(panel), [], [], 0.9).empty


def test_honest_tree_finds_a_split_that_is_there_and_estimates_it_on_others():
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"age": rng.uniform(20, 60, 400), "noise": rng.normal(size=400)})
    encoding = learn_encoding(table)
    scores = np.where(table["age"] > 40, -4.0, 0.0) + rng.normal(size=400)
    clusters = np.repeat(np.arange(40), 10)
    tree = honest_tree(scores, encoding.matrix(table), encoding, clusters, level=0.9, seed=0)
    leaves = tree.leaves
    young = leaves[leaves["subgroup"].str.startswith("age ≤")]
    old = leaves[leaves["subgroup"].str.startswith("age >")]
    assert len(young) and len(old)
    assert (young["upper"] > -1.0).all() and (old["lower"] < -3.0).all()
    assert leaves["subgroup"].str.count("age >").max() == 1  # the tightest condition is enough
    assert leaves["n"].sum() == tree.held.sum()
    assert leaves["n"].tolist() == np.bincount(tree.leaf_of[tree.held]).tolist()
    assert (pd.Series(tree.held).groupby(clusters).nunique() == 1).all()  # whole therapists are held out


def test_tree_of_too_few_patients_is_empty():
    table = pd.DataFrame({"age": np.arange(12.0)})
    encoding = learn_encoding(table)
    x = encoding.matrix(table)
    assert honest_tree(np.arange(12.0), x[:, :0], encoding, np.arange(12), level=0.9, seed=0).leaves.empty


def test_mean_of_a_single_cluster_has_no_interval():
    mean, lower, upper = cluster_mean(np.array([1.0, 3.0]), np.array([5, 5]), 0.9)
    assert mean == 2.0 and np.isnan([lower, upper]).all()
    values = np.array([1.0, 3.0, 2.0, 6.0])
    mean, lower, upper = cluster_mean(values, np.arange(4), 0.9)
    assert upper - mean == pytest.approx(student.ppf(0.95, 3) * values.std(ddof=1) / 2)  # every one its own cluster
