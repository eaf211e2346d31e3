"""What the sessions of similar patients add, where patients are few: a forest that has seen the patient.

The shrinkage takes what τ̂_i misses of τ(x_i) for unrelated between patients. With a few hundred patients τ̂ misses much,
and patients alike in intake are missed alike. A random forest F (Breiman 2001, Machine Learning 45, 5) on own slopes,
the patient's among them, averages the slopes of those who share its leaves, and takes the place of a part of

    z_i = γ1·τ̂_i + (1 − κ)·t̂_j + û_i          intake, therapist and own part of the posterior mean, all centred
    shift_i = π·g·(1 − r_i)²·(SD(z) / SD(F)·F_i − z_i), less its mean

with little where the data already tell: κ = Var(t̂) / ψ² is how far therapists are known, r_i = ω² / (ω² + v_i) how far
the patient is (`own_reliability`), and g = min(1, `GATE`·Var(γ1·τ̂) / (Var(γ1·τ̂) + Var(û))) is one unless intake
predicts next to nothing. π is `SHARE` up to `ALL` patients and falls to zero at `NONE`: τ̂ misses less with more, and on
tuning clinics of 600 and 1,000 what was gained where moderators act by thresholds was lost where they act linearly.

All of a patient's posterior moves by shift_i; its width stays. Shifts add up to zero, so the average stays, and z
spreads no more than before: where nothing varies, trees find no more noise than that. Each tree sees a random part of
the patients and, at each split, of the columns; with all columns it does harm where moderators act linearly. Slopes
have weight 1 / (v_i + ω²/4): by precision, but no few patients outweigh the rest.
"""

from __future__ import annotations

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from personalize.effects.posterior import Posterior
from personalize.effects.shrinkage import Patients
from personalize.effects.transitions import Floats

SHARE, GATE = 0.7, 8.0  # π and g; these and the forest's numbers were chosen on tuning clinics
ALL, NONE = 300, 600  # patients up to which π is whole, and from which it is zero
TREES, PATIENTS, COLUMNS, LEAF = 500, 0.6, 0.3, 14  # share of patients a tree, of columns a split; fewest in a leaf
FEWEST_COLUMNS = 3  # of encoded intake: fewer leave a forest nothing to combine
TINY = 1e-300


def forest(x: Floats, b: Floats, weight: Floats, seed: int) -> Floats:
    """Forest on own slopes that predicts the patients it has seen; shape (n,).

    Parameters
    ----------
    x : array of shape (n, p)
        Encoded intake.
    b, weight : array of shape (n,)
        Own slopes and their weights.
    seed : int
    """
    rng, n = np.random.default_rng(seed), len(b)
    weight = weight / weight.mean()
    total = np.zeros(n)
    for _ in range(TREES):
        some = rng.permutation(n)[: int(PATIENTS * n)]
        tree = DecisionTreeRegressor(min_samples_leaf=LEAF, max_features=COLUMNS, random_state=int(rng.integers(2**31)))
        total += tree.fit(x[some], b[some], sample_weight=weight[some]).predict(x)
    return total / TREES


def similar_shift(x: Floats, patients: Patients, posterior: Posterior, seed: int) -> Floats:
    """How far similar patients move each effect, outcome points per alliance point, shape (n_patients,); mean zero.

    Zero for patients without an own slope; for all with `NONE` patients and more, with fewer than `FEWEST_COLUMNS`
    columns, or where intake splits nobody.

    Parameters
    ----------
    x : array of shape (n_patients, p)
        Encoded intake.
    patients, posterior : Patients, Posterior
        As given to `personalize.effects.shrinkage.shrink`, and what came of it.
    seed : int
    """
    known = patients.known
    out = np.zeros(len(known))
    most = SHARE * float(np.clip((NONE - known.sum()) / (NONE - ALL), 0.0, 1.0))
    if most == 0.0 or x.shape[1] < FEWEST_COLUMNS:
        return out
    b, v, free = patients.b[known], patients.v[known], posterior.omega**2
    told = free / (free + v)
    intake = posterior.gamma[1] * patients.tau[known]
    own = (posterior.mean - posterior.baseline)[known]
    therapist = posterior.therapist[patients.cluster[known]]
    therapists_known = min(1.0, therapist.var() / max(posterior.psi**2, TINY))
    gate = min(1.0, GATE * intake.var() / max(intake.var() + own.var(), TINY))
    z = intake + (1.0 - therapists_known) * therapist + own
    f = forest(x[known], b, 1.0 / (v + free / 4.0), seed)
    if f.std() > 1e-9 * np.abs(b).max():
        shift = most * gate * (1.0 - told) ** 2 * (z.std() / f.std() * (f - f.mean()) - (z - z.mean()))
        out[known] = shift - shift.mean()
    return out
