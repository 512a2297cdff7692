"""Entries of manifests for weights that nobody trained."""

from __future__ import annotations

#: The fields of an entry besides role, parent and seed.
DESCRIPTION = {
    "network": "srresnet",
    "recipe": {"scale": 2, "iterations": 1, "batch": 1, "patch": 48, "peak_lr": 1e-4, "schedule": "one-cycle"},
    "precision": "32-true",
    "data": "none",
    "data_digest": "",
    "made_on": {},
    "seconds": 0.0,
    "psnr": {},
}
