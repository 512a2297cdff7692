"""One pass of a network: what can go wrong in it, told in one sentence, and the memory that it takes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from faiglib.errors import FaiglibError, ImageError, NetworkError

P = ParamSpec("P")
R = TypeVar("R")


def forward(network: nn.Module, inputs: Tensor, parameters: dict[str, Tensor] | None = None) -> Tensor:
    """The network's output, (N, C, H, W), whatever else may go wrong in it told in one sentence.

    Args:
        network: of any kind.
        inputs: (N, C, h, w).
        parameters: in place of the network's own, by name, differentiable; None is its own.

    Raises:
        NetworkError: the network fails, or returns something else than one image.
        RuntimeError: the memory does not suffice, see :func:`out_of_memory`.
    """
    name = type(network).__name__
    try:
        output = network(inputs) if parameters is None else functional_call(network, parameters, (inputs,))
    except FaiglibError:
        raise
    except Exception as error:  # a user's network fails in every possible way
        if out_of_memory(error):
            raise
        raise NetworkError(
            f"{name} fails on an input of shape {tuple(inputs.shape)} and type {inputs.dtype}: {in_one_line(error)}"
        ) from error
    if not isinstance(output, Tensor):
        raise NetworkError(
            f"{name} returns a {type(output).__name__} where one tensor, the restored image, was expected; wrap it in "
            "a module that returns that tensor"
        )
    if output.ndim != 4:
        raise NetworkError(f"{name} returns a tensor of shape {tuple(output.shape)} where (N, C, H, W) was expected")
    return output


def in_one_line(error: BaseException) -> str:
    """An error's kind and the first line of what it says."""
    text = str(error).strip().split("\n")[0].rstrip(" .:")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def activation_sizes(network: nn.Module, shape: tuple[int, ...]) -> list[int]:
    """Bytes of the tensors that a forward pass keeps for the backward pass, and last of its output.

    The forward pass runs on the ``meta`` device, which computes shapes and no values.

    Args:
        network: its parameters count not.
        shape: of the input, (1, C, h, w).

    Raises:
        NetworkError: the network cannot be run without values.
    """
    double = copy.deepcopy(network).to("meta")
    for parameter in double.parameters():
        parameter.requires_grad_(True)
    parameters = {parameter.untyped_storage()._cdata for parameter in double.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    dtype = next(double.parameters()).dtype
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = forward(double, torch.empty(shape, device="meta", dtype=dtype))
    sizes = [tensor.untyped_storage().nbytes() for name, tensor in kept.items() if name not in parameters]
    return [*sizes, output.numel() * output.element_size()]


def activation_bytes(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Estimate of the memory of one gradient: what is kept for the backward pass, and three of its largest tensors.

    Arguments and errors as for :func:`activation_sizes`.
    """
    sizes = activation_sizes(network, shape)
    return sum(sizes[:-1]) + 3 * max(sizes)


def restoring_bytes(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Estimate of the memory of one forward pass that keeps nothing: four of its largest tensors.

    Arguments and errors as for :func:`activation_sizes`.
    """
    return 4 * max(activation_sizes(network, shape))


def differentiating(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function take gradients whatever surrounds its call (``no_grad``, ``inference_mode``)."""

    @wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        with torch.inference_mode(False), torch.enable_grad():
            return function(*arguments, **options)

    return call


def analysed(network: nn.Module, device: torch.device | str | None = None) -> nn.Module:
    """A copy to be analysed: in evaluation mode, on a device, its weights laid out for speed, at least in float32.

    Args:
        network: stays as it is.
        device: by default where the network is.
    """
    double = copy.deepcopy(network).eval()
    if any(parameter.dtype in (torch.float16, torch.bfloat16) for parameter in double.parameters()):
        double.float()
    if device is not None:
        double.to(device)
    return double.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def as_image(image: Tensor, like: Tensor) -> Tensor:
    """One image where and as a parameter is.

    Raises:
        ImageError: see :func:`one_image`.
    """
    one_image(image)
    moved = image.to(like)
    return moved.clone() if moved.is_inference() else moved


def one_image(inputs: Tensor) -> None:
    """Refuse what is not one image.

    Raises:
        ImageError: the tensor is not one image (1, C, h, w).
    """
    if not isinstance(inputs, Tensor):
        raise ImageError(f"images are tensors (1, C, h, w), not {type(inputs).__name__}; torch.from_numpy makes them")
    if inputs.ndim != 4 or len(inputs) != 1:
        raise ImageError(f"images are attributed one by one, as (1, C, h, w); got shape {tuple(inputs.shape)}")
    if not inputs.is_floating_point() or not inputs.numel():
        raise ImageError(
            f"an image has floating-point values in [0, 1]; got type {inputs.dtype} and shape {tuple(inputs.shape)}"
        )
