"""The path integral of one image before any absolute value, with what tells whether it is complete."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from faiglib.attribution.gradients import Loss
from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE, ParameterPath, integrate, squared_error
from faiglib.attribution.quadrature import Rule, quadrature
from faiglib.system.passes import as_image, differentiating


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


@differentiating
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
        rule: of quadrature, see :func:`faiglib.attribution.quadrature.quadrature`.
        nodes: gradient evaluations.
        loss: function of the network whose change along the path is attributed.
    """
    path = ParameterPath(target, baseline)
    inputs, ground_truth = (as_image(image, path.parameters[0]) for image in (inputs, ground_truth))
    integral = integrate(path, inputs, ground_truth, quadrature(rule, nodes), loss)
    contributions = {name: total * step for name, total, step in zip(path.names, integral, path.direction, strict=True)}
    ends = [path.loss(alpha, inputs, ground_truth, loss) for alpha in (0.0, 1.0)]
    return PathIntegral(contributions, *ends)
