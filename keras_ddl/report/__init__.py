"""Report of a run: one HTML file that opens from disk and asks nothing of the network."""

from keras_ddl.report.content import Content
from keras_ddl.report.page import REPORT, write_report

__all__ = ["REPORT", "Content", "write_report"]
