"""Filter attribution integrated gradients (paper, section 3): the path integral in parameter space.

L(θ, x) = ‖F(θ, x) − x_gt‖² summed over pixels; γ(α) = α θ̄ + (1 − α) θ runs from the target θ to the
baseline θ̄. The attribution of a weight w is |∫₀¹ ∂L/∂γ(α)_w · (θ̄_w − θ_w) dα|, of a filter the sum over
its K×K weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.attribution.paths import Quadrature, Rule, quadrature
from faiglib.errors import FilterError, ImageError, NetworkError
from faiglib.filters import FilterIndex, FilterScores, same_layers

#: At least the fidelity of the released 100 left nodes at a sixth of the cost, as measured.
DEFAULT_RULE: Rule = "midpoint"
DEFAULT_NODES = 16

Loss = Callable[[Tensor, Tensor], Tensor]


def squared_error(output: Tensor, ground_truth: Tensor) -> Tensor:
    """‖output − ground truth‖², the sum over all pixels and channels (paper, eq. 3)."""
    return (output - ground_truth).square().sum()


@dataclass(frozen=True)
class PathIntegral:
    """The integrated gradient of one image, before any absolute value.

    Attributes:
        contributions: {parameter: ∫ ∂L/∂γ dα · (θ̄ − θ)}, biases included, each of the parameter's shape.
        loss_at_target: L(θ, x).
        loss_at_baseline: L(θ̄, x).
    """

    contributions: dict[str, Tensor]
    loss_at_target: float
    loss_at_baseline: float

    @property
    def convergence_delta(self) -> float:
        """Sum of all contributions minus the difference of the losses; tends to 0 as nodes are added."""
        total = sum(float(value.double().sum()) for value in self.contributions.values())
        return total - (self.loss_at_baseline - self.loss_at_target)


class ParameterPath:
    """A network that can be put anywhere on the straight line from target (α = 0) to baseline (α = 1).

    One copy of the target is kept; moving it overwrites its parameters in place.

    Args:
        target: θ.
        baseline: θ̄, of the same architecture.
        device: where the copy lives; by default where the target is.

    Raises:
        NetworkError: the networks differ in their parameters, or in buffers (such as batch-norm statistics), which the
            path does not move.
    """

    def __init__(self, target: nn.Module, baseline: nn.Module, device: torch.device | str | None = None) -> None:
        shapes = [{name: p.shape for name, p in network.named_parameters()} for network in (target, baseline)]
        if shapes[0] != shapes[1]:
            raise NetworkError(
                "the networks differ in their parameters: baseline and target must be of one architecture"
            )
        kept = dict(baseline.named_buffers())
        for name, buffer in target.named_buffers():
            if name not in kept or not torch.equal(buffer.cpu(), kept[name].cpu()):
                raise NetworkError(
                    f"the networks differ in the buffer {name}, which the path between their parameters does not move; "
                    "fold batch normalisation into the convolutions first"
                )
        self.index: FilterIndex = same_layers([target, baseline])
        self.network = copy.deepcopy(target).eval()
        if device is not None:
            self.network.to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.names = [name for name, _ in self.network.named_parameters()]
        self.parameters = list(self.network.parameters())
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self._start = [parameter.detach().clone() for parameter in self.parameters]
        ends = dict(baseline.named_parameters())
        self.direction = [
            ends[name].detach().to(start) - start for name, start in zip(self.names, self._start, strict=True)
        ]

    def move_to(self, alpha: float) -> nn.Module:
        """Set the parameters to α θ̄ + (1 − α) θ and return the network (always the same object)."""
        with torch.no_grad():
            for parameter, start, step in zip(self.parameters, self._start, self.direction, strict=True):
                torch.add(start, step, alpha=alpha, out=parameter.data)
        return self.network

    def loss(self, alpha: float, inputs: Tensor, ground_truth: Tensor, loss: Loss = squared_error) -> float:
        """L(γ(α), x)."""
        with torch.no_grad():
            return float(loss(self.move_to(alpha)(inputs), ground_truth))


def integrate(
    path: ParameterPath, inputs: Tensor, ground_truth: Tensor, rule: Quadrature, loss: Loss = squared_error
) -> list[Tensor]:
    """∫₀¹ ∂L/∂γ(α) dα for one image, one tensor per parameter of the path.

    Args:
        path: from target to baseline.
        inputs: (1, 3, h, w).
        ground_truth: (1, 3, H, W).
        rule: where the gradient is evaluated.
        loss: scalar function of output and ground truth.

    Raises:
        ImageError: there is more than one image, or the output has another shape than the ground truth.
    """
    one_image(inputs)
    total = [torch.zeros_like(parameter) for parameter in path.parameters]
    for alpha, weight in zip(rule.nodes, rule.weights, strict=True):
        output = path.move_to(alpha)(inputs)
        if output.shape != ground_truth.shape:
            raise ImageError(
                f"the network's output has shape {tuple(output.shape)}, the ground truth {tuple(ground_truth.shape)}"
            )
        value = loss(output, ground_truth)
        gradients = torch.autograd.grad(value, path.parameters, allow_unused=True, materialize_grads=True)
        torch._foreach_add_(total, gradients, alpha=weight)
    return total


def path_integral(
    target: nn.Module,
    baseline: nn.Module,
    inputs: Tensor,
    ground_truth: Tensor,
    *,
    rule: Rule | str = DEFAULT_RULE,
    nodes: int = DEFAULT_NODES,
    loss: Loss = squared_error,
) -> PathIntegral:
    """Integrated gradients of one image over all parameters, with what is needed to judge their convergence.

    Args:
        target: θ.
        baseline: θ̄, of the same architecture.
        inputs: degraded image (1, 3, h, w) in [0, 1].
        ground_truth: (1, 3, H, W).
        rule: of quadrature, see :func:`faiglib.attribution.paths.quadrature`.
        nodes: gradient evaluations.
        loss: function of the network whose change along the path is attributed.
    """
    path = ParameterPath(target, baseline)
    integral = integrate(path, inputs, ground_truth, quadrature(rule, nodes), loss)
    contributions = {name: total * step for name, total, step in zip(path.names, integral, path.direction, strict=True)}
    ends = [path.loss(alpha, inputs, ground_truth, loss) for alpha in (0.0, 1.0)]
    return PathIntegral(contributions, *ends)


def faig(
    target: nn.Module,
    baseline: nn.Module,
    images: Iterable[tuple[Tensor, Tensor]],
    *,
    rule: Rule | str = DEFAULT_RULE,
    nodes: int = DEFAULT_NODES,
    loss: Loss = squared_error,
    device: torch.device | str | None = None,
    progress: str | None = None,
) -> FilterScores:
    """FAIG of every filter (paper, eq. 6), averaged over images; one degradation, nothing eliminated.

    Works on any module with ``Conv2d`` weights. Subtract the scores of the other degradation for eq. 7:
    ``faig(..., blurry) - faig(..., noisy)`` ranks the deblurring filters, the reverse the denoising filters.

    Args:
        target: the network that handles the degradation, θ.
        baseline: the same architecture without that ability, θ̄.
        images: pairs of degraded input (1, C, h, w) and ground truth (1, C, H, W).
        rule: quadrature rule; ``"left"`` with ``nodes=100`` is the released code.
        nodes: gradient evaluations per image.
        loss: function of the network that is attributed, by default eq. 3.
        device: where to compute; by default where the target is.
        progress: label of a progress bar over images; none without it.

    Raises:
        NetworkError: the networks differ, or have no convolution.
        ImageError: an input is a batch, or does not fit its ground truth.
        FilterError: a score is not finite, or there are no images.
    """
    path = ParameterPath(target, baseline, device)
    points = quadrature(rule, nodes)
    return mean_scores(path.index, images, lambda pair: image_scores(path, *pair, points, loss), progress)


def one_image(inputs: Tensor) -> None:
    """Refuse a batch: the absolute value is taken for each image, so images come one by one.

    Raises:
        ImageError: the tensor is not one image (1, C, h, w).
    """
    if inputs.ndim != 4 or len(inputs) != 1:
        raise ImageError(f"images are attributed one by one, as (1, C, h, w); got shape {tuple(inputs.shape)}")


def image_scores(
    path: ParameterPath, inputs: Tensor, ground_truth: Tensor, rule: Quadrature, loss: Loss = squared_error
) -> Tensor:
    """FAIG of every filter on one image (paper, eq. 6): (total,) float64 on the CPU.

    Arguments as for :func:`integrate`, on any device.
    """
    like = path.parameters[0]
    integral = integrate(path, inputs.to(like), ground_truth.to(like), rule, loss)
    contributions = {name: total * step for name, total, step in zip(path.names, integral, path.direction, strict=True)}
    return path.index.gather(contributions).cpu()


def mean_scores(
    index: FilterIndex,
    images: Iterable[tuple[Tensor, Tensor]],
    scores: Callable[[tuple[Tensor, Tensor]], Tensor],
    progress: str | None,
) -> FilterScores:
    """Average the (total,) scores of each pair of tensors, with a progress bar when it has a label.

    Raises:
        FilterError: there are no pairs, or a score is not finite.
    """
    pairs: Sequence[tuple[Tensor, Tensor]] = list(images)
    if not pairs:
        raise FilterError("attribution averages over images, and there are none")
    total = torch.zeros(index.total, dtype=torch.float64)
    for pair in tqdm(pairs, desc=progress, unit="image", disable=progress is None):
        total += scores(pair)
    return FilterScores(index, total / len(pairs))
