"""A path whose networks have the activations that lie between those of its ends (REPAIR, Jordan et al., ICLR 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from faiglib.attribution.parameter_path import ParameterPath
from faiglib.errors import FilterError, NetworkError
from faiglib.system.passes import analysed, forward

#: What is corrected: modules with a weight and a bias per channel of their output.
Convolution = nn.Conv2d | nn.ConvTranspose2d
#: Standard deviation below which a channel counts as constant, which no factor can widen.
CONSTANT = 1e-8


@torch.no_grad()
def corrected_path(
    target: nn.Module, baseline: nn.Module, inputs: Sequence[Tensor], points: int = 7
) -> list[nn.Module]:
    """Networks from target to baseline, from convolution to convolution corrected on some inputs.

    The networks are those of the straight line, at equidistant places. In each of them, weight and bias of every output
    channel are scaled and shifted so that its mean and standard deviation over the inputs lie on the line between
    those of the ends. They serve as waypoints for :func:`faiglib.attribution.waypoints.contributions_along`.

    Args:
        target: θ, every convolution of which is passed once and has a bias.
        baseline: θ̄, of the same architecture.
        inputs: of one size, each (1, C, h, w), on which the activations are taken.
        points: networks, both ends included.

    Returns:
        So many networks in evaluation mode; the ends have the weights of target and baseline.

    Raises:
        ValueError: there are fewer than two points.
        FilterError: there are no inputs.
        NetworkError: the networks differ, fail, or have a convolution without a bias or one in groups that is
            transposed.
    """
    if points < 2:
        raise ValueError(f"a path has two ends, so that {points} point(s) do not make one")
    if not inputs:
        raise FilterError("activations are taken on inputs, and there are none")
    path = ParameterPath(target, baseline)
    batch = torch.cat([one.to(path.parameters[0]) for one in inputs])
    first, last = (_statistics(analysed(network, batch.device), batch) for network in (target, baseline))
    found = [analysed(target, batch.device)]
    for number in range(1, points - 1):
        alpha = number / (points - 1)
        wanted = {name: torch.lerp(first[name], last[name], alpha) for name in first}
        found.append(_corrected(analysed(path.move_to(alpha)), batch, wanted))
    return [*found, analysed(baseline, batch.device)]


def _statistics(network: nn.Module, batch: Tensor) -> dict[str, Tensor]:
    """Mean and standard deviation of every output channel by convolution, (2, channels)."""
    found: dict[str, Tensor] = {}

    def look(name: str, module: Convolution, output: Tensor) -> None:
        found[name] = _moments(output)

    _run(network, batch, look)
    return found


def _corrected(network: nn.Module, batch: Tensor, wanted: dict[str, Tensor]) -> nn.Module:
    """The network with its convolutions changed in place, each on what the corrected ones before it give."""

    def correct(name: str, module: Convolution, output: Tensor) -> Tensor:
        mean, spread = _moments(output)
        goal_mean, goal_spread = wanted[name]
        factor = torch.where(spread > CONSTANT, goal_spread / spread.clamp(min=CONSTANT), torch.ones_like(spread))
        weight, bias = module.weight, module.bias
        assert bias is not None  # looked for in _run
        weight.mul_(factor.view(1, -1, 1, 1) if isinstance(module, nn.ConvTranspose2d) else factor.view(-1, 1, 1, 1))
        bias.copy_((bias - mean) * factor + goal_mean)
        return (output - mean.view(1, -1, 1, 1)) * factor.view(1, -1, 1, 1) + goal_mean.view(1, -1, 1, 1)

    _run(network, batch, correct)
    return network


def _moments(output: Tensor) -> Tensor:
    """Mean and standard deviation of each channel of (N, C, H, W), (2, C)."""
    spread, mean = torch.std_mean(output, dim=(0, 2, 3), correction=0)
    return torch.stack([mean, spread])


def _run(network: nn.Module, batch: Tensor, each: Callable[[str, Convolution, Tensor], Tensor | None]) -> None:
    """One pass in which a function sees, and may replace, the output of every convolution.

    Raises:
        NetworkError: a convolution has no bias or is transposed and in groups, or the network fails.
    """

    def watched(name: str) -> Callable[..., Tensor | None]:
        return lambda module, _, output: each(name, module, output)

    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            if module.bias is None or (isinstance(module, nn.ConvTranspose2d) and module.groups > 1):
                raise NetworkError(
                    f"the convolution {name} has no bias, or groups, so that its mean cannot be corrected"
                )
            handles.append(module.register_forward_hook(watched(name)))
    try:
        forward(network, batch)
    finally:
        for handle in handles:
            handle.remove()
