"""Random crops until their choice of filters is stable: ``faiglib attribute --until``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from tqdm import tqdm

from faiglib.attribution.averaging import in_image_order
from faiglib.attribution.elimination import Minus
from faiglib.attribution.resamples import Resamples
from faiglib.command.sums import Sums
from faiglib.errors import SharedError
from faiglib.system.interruption import uninterrupted

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
    names: Sequence[str],
    crop: Callable[[int], Tensor],
    resamples: Resamples,
    until: Until,
    minus: Minus,
    fabric: Fabric | None,
) -> str:
    """Add crops to the sums until their choice is stable; keep them at every look, and when interrupted.

    The agreement is an estimate, and where it first reaches what is asked for it is a point or two too high.

    Args:
        sums: of the inputs, and of the resamples by their :attr:`Resamples.shapes`.
        names: of the inputs.
        crop: values of the crop of a number, (inputs, values), the scores of the filters first.
        resamples: of these inputs, nothing in them.
        until: when it is enough.
        minus: what is subtracted of the scores on other inputs.
        fabric: to share crops out over its ranks.

    Returns:
        What came out, in words.

    Raises:
        SharedError: the most crops there may be are not enough; the sums are kept.
        FaiglibError: a crop cannot be used.
    """
    total, start = resamples.index.total, sums.done
    resamples.hold(sums.tensors)

    def agreement() -> float:
        return resamples.agreement({name: sums.tensors[name][:total] for name in names}, minus)

    most, looks = max(until.most, start), [count for count in until.looks() if count > start]
    reached = agreement() if start == most or start in until.looks() else 0.0
    with tqdm(desc="FAIG", unit="crop", initial=start, total=most, disable=not sums.written) as bar:
        results = in_image_order(most - start, lambda number: crop(start + number), fabric)
        try:
            while reached < until.agreement and looks:
                for number in range(sums.done, looks.pop(0)):
                    found = dict(zip(names, next(results), strict=True))
                    with uninterrupted():
                        for name, one in found.items():
                            sums.tensors[name] += one
                        resamples.add(number, {name: one[:total] for name, one in found.items()})
                        sums.done += 1
                    bar.update()
                sums.save()
                reached = agreement()
                bar.set_postfix(agreement=f"{reached:.1%}")
        except KeyboardInterrupt:
            sums.save()
            raise
    return _told(sums.done, most, until, reached)


def _told(done: int, most: int, until: Until, reached: float) -> str:
    """What came out, in words.

    Raises:
        SharedError: it is not enough.
    """
    share = math.floor(10_000 * reached) / 100  # never what is asked for when it is less
    told = f"After {done} crops of {until.side} pixels their resamples agree in {share:.2f}% of the best filters"
    if reached < until.agreement:
        raise SharedError(
            f"{told}, not in {100 * until.agreement:g}%; with a larger --most than {most} it goes on from there"
        )
    return f"{told}."
