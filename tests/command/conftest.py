"""Shared by the tests of the command."""

from __future__ import annotations

from tests.helpers.validation import small_validation as small_validation
