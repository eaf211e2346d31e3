"""Explanations: who hinges on the alliance and why, what moved a forecast, and what if the alliance rose or fell."""

from personalize.explain.attributions import attributions, average_attributions
from personalize.explain.fan import fan
from personalize.explain.hinge import hinge
from personalize.explain.on_track import OnTrack, on_track
from personalize.explain.scenarios import scenarios
from personalize.explain.subgroups import Subgroups, subgroups
from personalize.explain.tree_attributions import average_tree_attributions, tree_attributions

__all__ = [
    "OnTrack",
    "Subgroups",
    "attributions",
    "average_attributions",
    "average_tree_attributions",
    "fan",
    "hinge",
    "on_track",
    "scenarios",
    "subgroups",
    "tree_attributions",
]
