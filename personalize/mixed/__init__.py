"""Three-level linear mixed models, patients in therapists: the reference that effects and trajectories are held to."""

from personalize.mixed.fit import fit_mixed
from personalize.mixed.growth import growth_model
from personalize.mixed.moderated import ModeratedSlopes, moderated_slopes
from personalize.mixed.result import MixedFit
from personalize.mixed.within_between import within_between_model

__all__ = [
    "MixedFit",
    "ModeratedSlopes",
    "fit_mixed",
    "growth_model",
    "moderated_slopes",
    "within_between_model",
]
