"""A model that is compiled where that works, and runs as it is where it does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from faiglib.training.checkpoint import RunState

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def should_compile(fabric: Fabric, run_state: RunState) -> bool:
    """Whether to compile: on a GPU, and a model that has no fixed or self-made state, which would stay as it is."""
    return fabric.device.type == "cuda" and not run_state.kept


class Compiled(nn.Module):
    """A model that is compiled if that works here, and otherwise runs as it is, with one warning.

    Whether it works shows at the first step: it takes Triton and a C compiler, which may be missing or too old.

    Args:
        model: whose parameters these are.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        # In a list, so that the parameters are not there twice.
        self._fast: list[Callable[..., Any]] = [torch.compile(model, mode="reduce-overhead")]

    def forward(self, *inputs: Tensor) -> Any:
        """What the model returns."""
        if self._fast:
            try:
                return self._fast[0](*inputs)
            except Exception as error:
                if not cannot_compile(error):
                    raise
                self._fast.clear()
                reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
                warnings.warn(
                    f"the model cannot be compiled here and runs as it is: {reason}", UserWarning, stacklevel=2
                )
        return self.model(*inputs)


def cannot_compile(error: BaseException) -> bool:
    """Whether an error comes from the compiler, not from the model or from a lack of memory."""
    causes: list[BaseException] = []
    while error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__ or error
    if any(isinstance(one, torch.OutOfMemoryError) for one in causes):
        return False
    return any(type(one).__module__.startswith(("torch._dynamo", "torch._inductor", "triton")) for one in causes)
