"""One self-contained HTML file that says how a run went, with the source of every figure."""

from striate.report.facts import is_at_chance
from striate.report.files import REPORT_NAME
from striate.report.write import write_report

__all__ = ["REPORT_NAME", "is_at_chance", "write_report"]
