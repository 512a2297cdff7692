"""Validation on small crops, for tests of whatever trains and publishes networks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faiglib.training import validation


@pytest.fixture(autouse=True, scope="module")
def small_validation() -> Iterator[None]:
    """Judge networks on crops of a sixteenth of the usual area: most of a short training is validation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "VALIDATION_CROP", 24)
        yield
