"""Random crops until their choice of filters is stable: ``faiglib attribute --until``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from tqdm import tqdm

from faiglib.attribution.averaging import in_image_order
from faiglib.attribution.elimination import Minus
from faiglib.attribution.resamples import Resamples
from faiglib.command.pieces import Piece, random_crop
from faiglib.command.scenes import Scene
from faiglib.command.sums import Sums
from faiglib.errors import FaiglibError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Crops before the first look at their agreement, and between two looks: so many, or this share of those there are.
FIRST_LOOK, LEAST_STEP, STEP = 20, 5, 0.1


@dataclass(frozen=True)
class Until:
    """When random crops are enough.

    Attributes:
        agreement: of :class:`faiglib.attribution.resamples.Resamples` that is wanted, from 0 to 1.
        side: of a crop, pixels of ground truth; a smaller image gives what it has.
        most: crops, at least :data:`FIRST_LOOK`.
    """

    agreement: float
    side: int
    most: int

    def looks(self) -> list[int]:
        """Numbers of crops at which their agreement is looked at, ascending; the last one is :attr:`most`."""
        found, count = [], FIRST_LOOK
        while count < self.most:
            found.append(count)
            count += max(LEAST_STEP, int(STEP * count))
        return [*found, self.most]


def add_crops(
    sums: Sums,
    scenes: Sequence[Scene],
    values: Callable[[Piece], Tensor],
    resamples: Resamples,
    until: Until,
    minus: Minus,
    fabric: Fabric | None,
) -> str:
    """Add crops to the sums until their choice is stable, and keep them at every look.

    Args:
        sums: of the inputs, and of the resamples by their :attr:`Resamples.shapes`.
        scenes: that crops are cut from.
        values: of a crop, (inputs, values), the scores of the filters first.
        resamples: of these inputs, nothing in them.
        until: when it is enough.
        minus: what is subtracted of the scores on other inputs.
        fabric: to share crops out over its ranks.

    Returns:
        What came out, in words.

    Raises:
        FaiglibError: a crop cannot be used, or the most there may be are not enough; the sums are kept.
    """
    names, total, start = [*scenes[0].inputs], resamples.index.total, sums.done
    resamples.hold(sums.tensors)

    def agreement() -> float:
        return resamples.agreement({name: sums.tensors[name][:total] for name in names}, minus)

    def crop(number: int) -> Tensor:
        return values(random_crop(scenes, start + number, until.side))

    looks = [count for count in until.looks() if count > start]
    reached = agreement() if start >= FIRST_LOOK else 0.0
    with tqdm(desc="FAIG", unit="crop", initial=start, total=until.most, disable=not sums.written) as bar:
        results = in_image_order(max(0, until.most - start), crop, fabric)
        while reached < until.agreement and looks:
            for number in range(sums.done, looks.pop(0)):
                found = next(results)
                for name, one in zip(names, found, strict=True):
                    sums.tensors[name] += one
                resamples.add(number, {name: one[:total] for name, one in zip(names, found, strict=True)})
                bar.update()
                sums.done += 1
            sums.save()
            reached = agreement()
            bar.set_postfix(agreement=f"{reached:.1%}")
    told = f"After {sums.done} crops of {until.side} pixels their resamples agree in {reached:.1%} of the best filters"
    if reached < until.agreement:
        raise FaiglibError(
            f"{told}, not in {until.agreement:.1%}; with a larger --most than {until.most} it goes on from there"
        )
    return f"{told}."
