"""A validated panel in, feature tables out. This floor knows no predictor."""

from features.build import build_features, dictionary, past_features
from features.columns import Columns
from features.errors import LeakageError, NotEnoughData, OptionError, PanelError, PersonalizeError
from features.feature import require_past
from features.panel import Panel

__all__ = [
    "Columns",
    "LeakageError",
    "NotEnoughData",
    "OptionError",
    "Panel",
    "PanelError",
    "PersonalizeError",
    "build_features",
    "dictionary",
    "past_features",
    "require_past",
]
