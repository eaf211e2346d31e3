"""What is in the data and what is wrong with it, before anything is fitted."""

from personalize.check.check import check_files, check_panel
from personalize.check.report import CheckReport

__all__ = ["CheckReport", "check_files", "check_panel"]
