"""A validated panel in, feature tables out. This floor knows no predictor."""

from features.errors import LeakageError, NotEnoughData, OptionError, PanelError, PersonalizeError
from features.panel import Columns, Panel

__all__ = [
    "Columns",
    "LeakageError",
    "NotEnoughData",
    "OptionError",
    "Panel",
    "PanelError",
    "PersonalizeError",
]
