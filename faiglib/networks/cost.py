"""What a network costs: parameters, and multiply-accumulates (MACs) by a stated convention; supp. Table 1.

A network is run once on the ``meta`` device, which computes shapes and no values, and every operation is recorded
below the level at which modules and functions differ. A convention is a price per kind of operation:

======================  ======  =========
kind                    true    ptflops
======================  ======  =========
``layers``              1       1
``functional``          1       0
``biases``              0       1
``leaky_relu``          0       1
``batch_norm``          0       2
``pooling``             0       1
======================  ======  =========

- ``layers`` are the MACs of convolutions and matrix products inside an ``nn.Conv*`` or ``nn.Linear``; ``functional``
  all others: a convolution whose kernel was computed from the input, attention, a subclass of a layer.
- ``biases`` counts the outputs of ``layers`` that have a bias, ``leaky_relu`` the elements of every LeakyReLU,
  ``batch_norm`` those of every batch normalisation, ``pooling`` the elements that a pooling takes in.
- Everything else is free in both: ReLU, sigmoid, sums and products of tensors, interpolation, padding, pixel shuffle.

``true`` is the usual meaning of MACs. ``ptflops`` is how the tool of that name counts the codes that the paper's
authors built upon, and reproduces the printed Table 1. The tool sees modules of the exact types it knows and no
functional calls. In those codes LeakyReLU, batch normalisation and pooling are modules; ReLU, interpolation and DASR's
dynamic convolution are functional calls; the sigmoid is a type that the tool does not know, and DASR's shift by the
mean colour a subclass of a convolution (3 M MACs; with them the printed 48.27 G would be 48.28 G). Here the
*kind* decides about everything but convolutions and matrix products, so that the figure does not depend on how our own
code calls LeakyReLU or pooling.

PyTorch's own ``torch.utils.flop_counter.FlopCounterMode`` gives 2 · ``true``; its formulas are used for the products.
It knows neither biases nor any other kind, therefore it cannot give Table 1.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

Kind = Literal["layers", "functional", "biases", "leaky_relu", "batch_norm", "pooling"]
Convention = Literal["true", "ptflops"]

#: Price per operation of a kind; a kind that is missing is free.
CONVENTIONS: Mapping[Convention, Mapping[Kind, int]] = MappingProxyType(
    {
        "true": {"layers": 1, "functional": 1},
        "ptflops": {"layers": 1, "biases": 1, "leaky_relu": 1, "batch_norm": 2, "pooling": 1},
    }
)

_LAYERS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear,
)  # fmt: skip
_ATEN = torch.ops.aten
_POOLING = {
    _ATEN.avg_pool1d, _ATEN.avg_pool2d, _ATEN.avg_pool3d, _ATEN._adaptive_avg_pool2d, _ATEN._adaptive_avg_pool3d,
    _ATEN.max_pool2d_with_indices, _ATEN.max_pool3d_with_indices, _ATEN.adaptive_max_pool2d,
    _ATEN.adaptive_max_pool3d,
}  # fmt: skip
_ELEMENTWISE: dict[Any, Kind] = {
    **dict.fromkeys(_POOLING, "pooling"),
    **dict.fromkeys((_ATEN.leaky_relu, _ATEN.leaky_relu_), "leaky_relu"),
    **dict.fromkeys(
        (
            _ATEN.native_batch_norm, _ATEN._native_batch_norm_legit, _ATEN._native_batch_norm_legit_no_training,
            _ATEN.cudnn_batch_norm, _ATEN.miopen_batch_norm,
        ),
        "batch_norm",
    ),
}  # fmt: skip


def parameters(network: nn.Module) -> int:
    """Number of parameters, trainable or frozen; a shared one counts once, buffers do not count."""
    return sum(parameter.numel() for parameter in network.parameters())


def operations(network: nn.Module, input_shape: tuple[int, ...]) -> Counter[Kind]:
    """Number of operations of every kind in one forward pass in evaluation mode.

    Args:
        network: takes one tensor; its forward pass may depend on shapes, not on values. It is left untouched.
        input_shape: of the tensor, for instance (1, 3, 120, 120).
    """
    double = copy.deepcopy(network).to("meta").eval()
    recorder = _Recorder()
    for module in double.modules():
        if type(module) in _LAYERS:
            module.register_forward_pre_hook(recorder.enter)
            module.register_forward_hook(recorder.leave)
    with torch.no_grad(), recorder:
        double(torch.empty(input_shape, device="meta"))
    return recorder.counts


def macs(network: nn.Module, input_shape: tuple[int, ...], convention: Convention = "true") -> int:
    """Multiply-accumulates of one forward pass, by a convention of :data:`CONVENTIONS`; see :func:`operations`.

    Raises:
        ValueError: the convention is unknown.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"unknown convention {convention!r}; known: {', '.join(CONVENTIONS)}")
    return total_macs(operations(network, input_shape), convention)


def total_macs(counts: Mapping[Kind, int], convention: Convention) -> int:
    """Operations of a network by a counting convention, from their numbers by kind."""
    return sum(price * counts[kind] for kind, price in CONVENTIONS[convention].items())


class _Recorder(TorchDispatchMode):
    """Sorts every operation that reaches the backend into its kind."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[Kind] = Counter()
        self._formulas: dict[Any, Callable[..., int]] = FlopCounterMode(display=False).flop_registry
        self._depth = 0

    def enter(self, *_: object) -> None:
        """A layer begins."""
        self._depth += 1

    def leave(self, *_: object) -> None:
        """A layer ends."""
        self._depth -= 1

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        operation = func._overloadpacket
        if operation in self._formulas:
            flops = self._formulas[operation](*args, **kwargs, out_val=result)
            self.counts["layers" if self._depth else "functional"] += flops // 2
            if self._depth and _has_bias(operation, args):
                self.counts["biases"] += result.numel()
        elif operation in _ELEMENTWISE:
            self.counts[_ELEMENTWISE[operation]] += args[0].numel()
        elif operation is _ATEN.mean and _is_global_pooling(args):
            self.counts["pooling"] += args[0].numel()
        return result


def _has_bias(operation: object, args: tuple[Any, ...]) -> bool:
    if operation is _ATEN.convolution:
        return isinstance(args[2], Tensor)
    return operation is _ATEN.addmm


def _is_global_pooling(args: tuple[Any, ...]) -> bool:
    """Whether a mean runs over exactly the last two axes of (N, C, H, W), as ``AdaptiveAvgPool2d(1)`` does."""
    return args[0].dim() == 4 and len(args) > 1 and sorted(axis % 4 for axis in args[1] or ()) == [2, 3]
