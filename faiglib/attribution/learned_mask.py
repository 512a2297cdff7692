"""What could be chosen at best: a mask that is trained to bring back one ability and not the others.

An upper bound in practice for any method that ranks filters, at many times the cost of FAIG.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.attribution.gradients import Loss, require_same_shape
from faiglib.attribution.parameter_path import squared_error
from faiglib.errors import FilterError
from faiglib.filters.index import FilterIndex, same_layers
from faiglib.filters.scores import FilterScores
from faiglib.system.passes import analysed, as_image, differentiating, forward
from faiglib.system.spent import count_gradient

Pairs = Sequence[tuple[Tensor, Tensor]]

#: Largest step of a logit: 25 steps can move a filter from half to all or nothing.
RATE = 0.2
#: Weights of sparsity, one stage of the training each.
SPARSITIES = (1.0, 10.0, 50.0)


@differentiating
def learned_masks(
    target: nn.Module,
    baseline: nn.Module,
    own: Pairs,
    other: Pairs = (),
    *,
    steps: int = 50,
    batch: int = 2,
    sparsities: Sequence[float] = SPARSITIES,
    spill: float = 1.0,
    loss: Loss = squared_error,
    progress: str | None = None,
) -> dict[float, FilterScores]:
    """Train a mask over the filters that the baseline gets from the target: θ(s) = θ̄ + σ(s) (θ − θ̄).

    Every filter has a logit s, 0 at first; what is no filter stays the baseline's. Adam minimises own + spill · other +
    sparsity · mean σ(s). There, own is the part of the target's advantage in the loss that is missing on its inputs (0
    with the target's loss, 1 with the baseline's), and other the part that came along on the other inputs, at least 0.

    Args:
        target: θ.
        baseline: θ̄, of the same architecture.
        own: pairs of input (1, C, h, w) and ground truth (1, C, H, W) of the degradation to be removed.
        other: as many of another one; without them nothing is taken care of.
        steps: of Adam with the rate :data:`RATE`, for every sparsity.
        batch: pairs of either kind a step, taken in turn.
        sparsities: one stage after the other, each from the logits of the one before; the higher, the fewer stay.
        spill: the higher, the less the other degradation may be removed with them.
        loss: a sum over pixels.
        progress: label of a progress bar over steps; none without it.

    Returns:
        The logits at the end of every stage, by its sparsity.

    Raises:
        NetworkError: the networks differ in their convolutions, or fail.
        ImageError: an input is a batch, or does not fit its ground truth.
        FilterError: there are no images, or not as many of the other kind, a logit is not finite, or the target is no
            better than the baseline.
    """
    index = same_layers([target, baseline])
    ends = [analysed(network) for network in (target, baseline)]
    kinds = _kinds(ends, own, other, loss)
    logits = torch.zeros(index.total, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=RATE)
    turns = itertools.cycle(range(len(own)))
    found = {}
    for step in tqdm(range(1, len(sparsities) * steps + 1), progress, disable=progress is None):
        sparsity = sparsities[(step - 1) // steps]
        share = torch.sigmoid(logits)
        mixed = _mixed(index, share, *ends)
        drawn = [next(turns) for _ in range(batch)]
        missing, *others = (kind.missing(ends[1], mixed, drawn, loss) for kind in kinds)
        came_along = sum((1 - one).clamp(min=0) for one in others)
        optimiser.zero_grad()
        (missing + sparsity * share.mean().to(missing) + spill * came_along).backward()
        optimiser.step()
        if step % steps == 0:
            found[sparsity] = logits.detach().clone()
    return {sparsity: FilterScores(index, values) for sparsity, values in found.items()}


def _kinds(ends: Sequence[nn.Module], own: Pairs, other: Pairs, loss: Loss) -> list[_Kind]:
    """What the mask is trained on.

    Raises:
        FilterError: there is nothing, or not as much of either kind.
    """
    if not own or (other and len(other) != len(own)):
        raise FilterError(f"a mask is trained on images, as many of either kind, not on {len(own)} and {len(other)}")
    return [_Kind.of(ends, pairs, loss) for pairs in (own, other) if pairs]


def _mixed(index: FilterIndex, share: Tensor, target: nn.Module, baseline: nn.Module) -> dict[str, Tensor]:
    """The parameters of the baseline with a share of the way to the target's filters."""
    new = dict(target.named_parameters())
    mixed = {name: value.detach() for name, value in baseline.named_parameters()}
    for layer, piece in index.split(share.to(next(iter(mixed.values())))):
        for name, moved in zip(layer.weights, layer.over_weights(piece), strict=True):
            mixed[name] = torch.lerp(mixed[name], new[name].detach(), moved)
    return mixed


def _loss(
    network: nn.Module, pair: tuple[Tensor, Tensor], loss: Loss, parameters: dict[str, Tensor] | None = None
) -> Tensor:
    output = forward(network, pair[0], parameters)
    require_same_shape(output, pair[1])
    value: Tensor = loss(output, pair[1])
    return value


@dataclass(frozen=True)
class _Kind:
    """Images of one degradation.

    Attributes:
        pairs: where and as the networks are.
        best: the target's loss on each.
        advantage: how much lower it is than the baseline's, in the mean.
    """

    pairs: list[tuple[Tensor, Tensor]]
    best: list[float]
    advantage: float

    @classmethod
    @torch.no_grad()
    def of(cls, ends: Sequence[nn.Module], pairs: Pairs, loss: Loss) -> _Kind:
        """Measure the ends on some pairs.

        Raises:
            FilterError: the target is no better than the baseline.
        """
        like = next(ends[0].parameters())
        here = [(as_image(low, like), as_image(truth, like)) for low, truth in pairs]
        best, worst = ([float(_loss(network, pair, loss)) for pair in here] for network in ends)
        advantage = (sum(worst) - sum(best)) / len(here)
        if not advantage > 0:
            raise FilterError(
                "the target is no better than the baseline on these images, so that there is nothing to graft"
            )
        return cls(here, best, advantage)

    def missing(self, network: nn.Module, parameters: dict[str, Tensor], drawn: Sequence[int], loss: Loss) -> Tensor:
        """The part of the advantage that a network with other parameters does not have, on the drawn pairs."""
        for number in drawn:
            count_gradient(self.pairs[number][0])
        losses = torch.stack([_loss(network, self.pairs[number], loss, parameters) for number in drawn])
        return (losses.mean() - sum(self.best[number] for number in drawn) / len(drawn)) / self.advantage
