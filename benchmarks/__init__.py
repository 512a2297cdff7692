"""Measurements of speed and memory: ``nox -s bench``. Each measures two sides in one run and prints their ratio."""
