"""The experiments of the paper, one module per section; each returns tidy tables that its notebook shows."""

from faiglib.experiments.workbench import Workbench, open_workbench

__all__ = ["Workbench", "open_workbench"]
