"""Reports: a page with pictures, and the numbers behind them."""

from simcore.analysis.reporting.report import report

__all__ = ["report"]
