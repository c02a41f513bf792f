"""Reports of a study: rows and plans in, tables, figures and one HTML page out. Never imports torch or ray."""

from reports.report import write_report
from reports.tables import Table, build_table

__all__ = ["Table", "build_table", "write_report"]
