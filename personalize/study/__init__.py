"""One study: what it analyses (``study.toml`` or flags), its run from files to results folder, and its results."""

from personalize.study.config import Study
from personalize.study.reading import study_from, study_from_toml
from personalize.study.results import Results, load_results
from personalize.study.run import RunSummary, run_panel, run_study

__all__ = ["Results", "RunSummary", "Study", "load_results", "run_panel", "run_study", "study_from", "study_from_toml"]
