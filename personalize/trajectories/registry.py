"""Members by name: how each is learned and rebuilt."""

from __future__ import annotations

from typing import Any

from personalize.trajectories.members.boosted import Boosted, learn_boosted, learn_lightgbm
from personalize.trajectories.members.direct import Direct, learn_direct, learn_regression
from personalize.trajectories.members.expected import Expected, learn_expected
from personalize.trajectories.members.growth_member import GrowthMember, learn_growth
from personalize.trajectories.members.last import Last, learn_last
from personalize.trajectories.members.member import Learner
from personalize.trajectories.members.mixed import Mixed, learn_mixed
from personalize.trajectories.members.neighbours import Neighbours, learn_neighbours

LEARNERS: dict[str, Learner] = {
    "last": learn_last,
    "regression": learn_regression,
    "expected": learn_expected,
    "mixed": learn_mixed,
    "neighbours": learn_neighbours,
    "direct": learn_direct,
    "growth": learn_growth,
    "boosted": learn_boosted,
    "lightgbm": learn_lightgbm,
}
MANY_PATIENTS = 500
FEW = ("direct", "growth", "boosted", "regression", "mixed", "neighbours")
MANY = ("direct", "growth", "boosted")


def usual_members(n_patients: int) -> tuple[str, ...]:
    """Members that take part by default.

    With few patients every member errs by chance in its own way, so that the mean of plain and flexible ones errs less
    than any; with many the flexible ones contain what the plain ones say, which would only cost time.
    """
    return FEW if n_patients < MANY_PATIENTS else MANY


KINDS: dict[str, Any] = {
    "last": Last,
    "regression": Direct,
    "expected": Expected,
    "mixed": Mixed,
    "neighbours": Neighbours,
    "direct": Direct,
    "growth": GrowthMember,
    "boosted": Boosted,
    "lightgbm": Boosted,
}
