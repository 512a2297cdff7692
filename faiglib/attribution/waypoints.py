"""FAIG along paths that are not straight: from waypoint to waypoint, and a waypoint where the loss is low."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.attribution.averaging import mean_over_images
from faiglib.attribution.gradients import Loss
from faiglib.attribution.parameter_path import (
    DEFAULT_NODES,
    DEFAULT_RULE,
    ParameterPath,
    integrate,
    squared_error,
)
from faiglib.attribution.quadrature import Rule, quadrature
from faiglib.errors import FilterError
from faiglib.filters.index import Units
from faiglib.filters.scores import FilterScores
from faiglib.system.passes import analysed, as_image, differentiating, forward
from faiglib.system.spent import count_gradient


@differentiating
def contributions_along(
    waypoints: Sequence[nn.Module],
    images: Iterable[tuple[Tensor, Tensor]],
    *,
    rule: Rule | str = DEFAULT_RULE,
    nodes: int = DEFAULT_NODES,
    loss: Loss = squared_error,
    units: Units = "filters",
    progress: str | None = None,
) -> tuple[FilterScores, FilterScores, float]:
    """FAIG along straight pieces between waypoints, with and without the signs.

    A weight's contribution is the sum over the pieces of ∫ ∂L/∂γ dγ; with two waypoints, target and baseline, the first
    result is FAIG (paper, eq. 6).

    Args:
        waypoints: from the target to the baseline, of one architecture.
        images: pairs of degraded input (1, C, h, w) and ground truth (1, C, H, W).
        rule: of quadrature on every piece.
        nodes: gradient evaluations a piece and image.
        loss: a sum over pixels.
        units: what is ranked, see :class:`faiglib.filters.index.FilterIndex`.
        progress: label of a progress bar over images; none without it.

    Returns:
        Scores Σ|contribution| of every filter; the signed sums Σ contribution, positive where the target's filter
        lowers the loss; and the sum over all parameters, which tends to L(last) − L(first) as nodes are added. All are
        means over images.

    Raises:
        NetworkError: the networks differ, have no convolution, or fail.
        FilterError: there are fewer than two waypoints, no images, or a score is not finite.
        ImageError: an input is a batch, or does not fit its ground truth.
    """
    if len(waypoints) < 2:
        raise FilterError("a path needs two networks at least, its ends")
    pieces = [ParameterPath(first, last, units=units) for first, last in itertools.pairwise(waypoints)]
    points, index = quadrature(rule, nodes), pieces[0].index

    def values(pair: tuple[Tensor, Tensor]) -> Tensor:
        low, truth = (as_image(tensor, pieces[0].parameters[0]) for tensor in pair)
        total = [torch.zeros_like(parameter) for parameter in pieces[0].parameters]
        for piece in pieces:
            integral = integrate(piece, low, truth, points, loss)
            torch._foreach_addcmul_(total, integral, piece.direction)
        named = dict(zip(pieces[0].names, total, strict=True))
        everything = sum(float(one.double().sum()) for one in total)
        scores, signed = index.gather(named), index.add_up(named)
        return torch.cat([scores, signed, scores.new_tensor([everything])]).cpu()

    mean = mean_over_images(images, values, progress)
    scores, signed = mean[: index.total], mean[index.total : -1]
    return FilterScores(index, scores), FilterScores(index, signed), float(mean[-1])


@differentiating
def low_loss_waypoint(
    target: nn.Module,
    baseline: nn.Module,
    images: Sequence[tuple[Tensor, Tensor]],
    *,
    steps: int = 200,
    rate: float = 1e-4,
    seed: int = 0,
    loss: Loss = squared_error,
    progress: str | None = None,
) -> nn.Module:
    """A network between two others by way of which the loss stays low (the chain of Garipov et al., NeurIPS 2018).

    Starting in the middle, it is trained by Adam on the loss at random points of the two straight pieces that lead to
    the ends, which stay as they are.

    Args:
        target: one end.
        baseline: the other, of the same architecture.
        images: pairs of input (1, C, h, w) and ground truth (1, C, H, W), taken in turn, one a step.
        steps: of Adam.
        rate: its learning rate, which falls to 0 along a half cosine.
        seed: of the points.
        loss: function of output and ground truth, divided by the number of the output's values.
        progress: label of a progress bar over steps; none without it.

    Raises:
        NetworkError: the networks differ, or fail.
        FilterError: there are no images.
        ImageError: an input is a batch.
    """
    if not images:
        raise FilterError("a waypoint is trained on images, and there are none")
    middle = ParameterPath(target, baseline).move_to(0.5)
    parameters = dict(middle.named_parameters())
    ends = [dict(analysed(network).named_parameters()) for network in (target, baseline)]
    optimiser = torch.optim.Adam(parameters.values(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(seed)
    turns = itertools.cycle(images)
    for _ in tqdm(range(steps), desc=progress, unit="step", disable=progress is None):
        low, truth = (as_image(tensor, next(iter(parameters.values()))) for tensor in next(turns))
        end = ends[int(torch.randint(2, (), generator=generator))]
        share = float(torch.rand((), generator=generator))
        between = {name: torch.lerp(end[name].detach(), one, share) for name, one in parameters.items()}
        output = forward(middle, low, between)
        optimiser.zero_grad()
        count_gradient(low)
        (loss(output, truth) / output.numel()).backward()
        optimiser.step()
        schedule.step()
    for parameter in parameters.values():
        parameter.requires_grad_(False)
    return middle
