"""Ways to the weight gradients of every single image of a batch, to see whether any beats one image at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.overrides import TorchFunctionMode

Way = Literal["loop", "batch, weights one by one", "grouped convolution", "unfold + batched product", "torch.func"]
WAYS: tuple[str, ...] = get_args(Way)


def gradients(network: nn.Module, inputs: Tensor, truth: Tensor, way: str) -> dict[str, Tensor]:
    """∂‖F(x_i) − y_i‖²/∂w for every convolution weight and every image i: {name: (N, out, in, k, k)}.

    Args:
        network: of plain convolutions (one group, stride 1, odd kernels).
        inputs: (N, C, h, w).
        truth: (N, C, H, W).
        way: one of :data:`WAYS`.
    """
    names = {id(weight): name for name, weight in network.named_parameters() if weight.dim() == 4}
    weights = [weight for weight in network.parameters() if weight.dim() == 4]
    if way == "loop":
        rows = []
        for low, high in zip(inputs.split(1), truth.split(1), strict=True):
            rows.append(torch.autograd.grad((network(low) - high).square().sum(), weights))
        return {names[id(w)]: torch.cat([row[k][None] for row in rows]) for k, w in enumerate(weights)}
    if way == "torch.func":
        state = {name: parameter.detach() for name, parameter in network.named_parameters()}
        moving = {name: value for name, value in state.items() if value.dim() == 4}

        def loss(moved: dict[str, Tensor], low: Tensor, high: Tensor) -> Tensor:
            return (functional_call(network, {**state, **moved}, (low[None],)) - high).square().sum()

        return vmap(grad(loss), in_dims=(None, 0, 0))(moving, inputs, truth)
    with _Recorder(WEIGHT_GRADIENTS[way]) as recorder:
        value = (network(inputs) - truth).square().sum()
    torch.autograd.grad(value, weights, allow_unused=True)
    return {names[key]: found for key, found in recorder.found.items()}


def _one_by_one(inputs: Tensor, output_gradient: Tensor, weight: Tensor) -> Tensor:
    reach = [side // 2 for side in weight.shape[-2:]]
    return torch.stack(
        [
            torch.ops.aten.convolution_backward(
                g, x, weight, [0], [1, 1], reach, [1, 1], False, [0, 0], 1, [False, True, False]
            )[1]
            for x, g in zip(inputs.split(1), output_gradient.split(1), strict=True)
        ]
    )


def _grouped(inputs: Tensor, output_gradient: Tensor, weight: Tensor) -> Tensor:
    count, (outputs, channels, height, width) = len(inputs), weight.shape
    kernels = output_gradient.reshape(count * outputs, 1, *output_gradient.shape[2:])
    found = F.conv2d(inputs.transpose(0, 1), kernels, padding=(height // 2, width // 2), groups=count)
    return found.view(channels, count, outputs, height, width).permute(1, 2, 0, 3, 4)


def _unfolded(inputs: Tensor, output_gradient: Tensor, weight: Tensor) -> Tensor:
    height, width = weight.shape[-2:]
    columns = F.unfold(inputs, (height, width), padding=(height // 2, width // 2))
    return torch.bmm(output_gradient.flatten(2), columns.transpose(1, 2)).view(len(inputs), *weight.shape)


WeightGradient = Callable[[Tensor, Tensor, Tensor], Tensor]
WEIGHT_GRADIENTS: dict[str, WeightGradient] = dict(zip(WAYS[1:4], (_one_by_one, _grouped, _unfolded), strict=True))


class _Recorder(TorchFunctionMode):
    """Has every convolution keep its weight gradients per image; the gradient of its input goes on as usual."""

    def __init__(self, weight_gradient: WeightGradient) -> None:
        super().__init__()
        self.weight_gradient = weight_gradient
        self.found: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func in (F.conv2d, torch.conv2d):
            return _Convolution.apply(args[0], args[1], args[2], self)
        return func(*args, **(kwargs or {}))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, recorder: _Recorder) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.recorder, ctx.key = recorder, id(weight)
        return F.conv2d(inputs, weight, bias, padding=(weight.shape[-2] // 2, weight.shape[-1] // 2))

    @staticmethod
    def backward(ctx: Any, output_gradient: Tensor) -> tuple[Tensor | None, None, None, None]:
        inputs, weight = ctx.saved_tensors
        ctx.recorder.found[ctx.key] = ctx.recorder.weight_gradient(inputs, output_gradient, weight)
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        reach = (weight.shape[-2] // 2, weight.shape[-1] // 2)
        return torch.nn.grad.conv2d_input(inputs.shape, weight, output_gradient, padding=reach), None, None, None
