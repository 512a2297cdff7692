"""Choosing where to compute."""

from __future__ import annotations

import torch

from faiglib.errors import FaiglibError


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is the first CUDA GPU, or the CPU where there is none.

    Raises:
        FaiglibError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError, AttributeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0]
        raise FaiglibError(f"the device {name!r} cannot be used here: {reason}") from None
    return device
