"""Checks the built book: all pages there, nothing loaded from the network, every picture described."""

from __future__ import annotations

import sys
from pathlib import Path

from bookmaker.check import complaints
from bookmaker.layout import Layout

if __name__ == "__main__":
    project = Path(__file__).resolve().parents[2]
    found = complaints(Layout(project))
    for complaint in found:
        print(complaint, file=sys.stderr)
    if not found:
        print(f"The book in {Layout(project).html} is complete.")
    sys.exit(bool(found))
