"""Events of a treatment: sudden gains and losses, ruptures and repairs, reliable and clinically significant change."""

from features.clinical import clinical_change, reliable_change_so_far
from features.ruptures import rupture_states, ruptures
from features.significance import cutoff_score, reliable_points
from features.sudden import sudden_changes

__all__ = [
    "clinical_change",
    "cutoff_score",
    "reliable_change_so_far",
    "reliable_points",
    "rupture_states",
    "ruptures",
    "sudden_changes",
]
