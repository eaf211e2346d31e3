"""The report: one self-contained offline page, and figures for a paper."""

from personalize.report.gather import gather
from personalize.report.inputs import ReportInputs
from personalize.report.page import write_patient, write_report

__all__ = ["ReportInputs", "gather", "write_patient", "write_report"]
