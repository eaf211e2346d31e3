"""What the shrinkage says of every patient's effect: a mixture of normals over the grid of variance components."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from personalize.effects.transitions import Floats


@dataclass(frozen=True)
class Posterior:
    """Posterior of every patient's effect.

    Attributes
    ----------
    mean, sd : array of shape (n_patients,)
    baseline : array of shape (n_patients,)
        γ0 + γ1·τ̂_i + t_j: what is said of the patient without the own sessions (therapist included).
    therapist : array of shape (n_clusters,)
        Posterior mean of t_j.
    components : tuple of (weights (c,), means (c, n_patients), sds (c, n_patients))
        The mixture over the grid.
    gamma : array of shape (2,)
        Posterior mean of γ0, γ1.
    noise_slope : float
        Posterior mean of δ.
    omega, psi : float
        Posterior mean of the standard deviations of u and t.
    grid : array of shape (c, 5)
        ω, ψ, γ1 of the components, the prior SD of δ (0: δ is zero), and how log SD(u_i) grows with z_i.
    average_variance : float
        Posterior variance of γ0 given the rest of the model.
    extra_variance : float
        What was added to it for all patients alike.
    similar_shift : array of shape (n_patients,)
        What similar patients moved each patient's mean, components and draws by (`personalize.effects.similar`).
    """

    mean: Floats
    sd: Floats
    baseline: Floats
    therapist: Floats
    components: tuple[Floats, Floats, Floats]
    gamma: Floats
    noise_slope: float
    omega: float
    psi: float
    grid: Floats
    average_variance: float
    extra_variance: float
    similar_shift: Floats

    def moved(self, shift: Floats) -> Posterior:
        """The same posterior with each patient's effect moved by ``shift``, shape (n_patients,)."""
        weights, means, sds = self.components
        return replace(
            self,
            mean=self.mean + shift,
            components=(weights, means + shift, sds),
            similar_shift=self.similar_shift + shift,
        )


def mixture_quantile(components: tuple[Floats, Floats, Floats], q: float) -> Floats:
    """Quantile of each patient's mixture of normals, by bisection on all patients at once."""
    weights, means, sds = components
    low, high = (means - 9 * sds).min(axis=0), (means + 9 * sds).max(axis=0)
    for _ in range(48):
        middle = (low + high) / 2
        below = np.einsum("c,cn->n", weights, ndtr((middle - means) / np.maximum(sds, 1e-300))) < q
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)
