"""How far a ranking would change with other images: resamples of a sample that grows image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from faiglib.attribution.elimination import Minus, eliminate_each
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores, FilterSet

RESAMPLES = 20
#: Nodes of a crop's integral, the fewest that are as good as more of them in the study of chapter 11 (nox -s passes).
CROP_NODES = 6
#: The same of nodes that are moved from crop to crop, at half the price.
MOVED_NODES = 3
#: Side of a crop, pixels of ground truth.
CROP_SIDE = 64
#: One filter of so many is chosen, at least one.
ONE_OF = 100


class Resamples:
    """Sums of scores over bootstrap resamples of a growing sample of images.

    Every image belongs to each resample as often as a Poisson variable of mean 1 says, drawn from its number, so that
    the sample need neither be kept nor its size be known beforehand (Poisson bootstrap: Oza and Russell, 2001). As the
    resamples lie about the mean of the sample, the mean of the sample lies about that of all images: the overlap of
    their choices estimates how much of the choice from all images is found.

    Args:
        names: of the inputs.
        index: of the network.

    Attributes:
        shapes: of its sums, which are float64 and start at zero, by name.
    """

    def __init__(self, names: Sequence[str], index: FilterIndex) -> None:
        self.index = index
        self.names = {name: f"{name}/resamples" for name in names}
        self.shapes: dict[str, tuple[int, ...]] = dict.fromkeys(self.names.values(), (RESAMPLES, index.total))
        self.hold({name: torch.zeros(shape, dtype=torch.float64) for name, shape in self.shapes.items()})

    def hold(self, sums: Mapping[str, Tensor]) -> None:
        """From now on, add to these sums, in place."""
        self.sums = {name: sums[held] for name, held in self.names.items()}

    def add(self, number: int, scores: Mapping[str, Tensor]) -> None:
        """Add an image.

        Args:
            number: of the image, from 0.
            scores: nothing eliminated, by input, (total,).
        """
        generator = torch.Generator().manual_seed(number)
        times = torch.poisson(torch.ones(RESAMPLES, dtype=torch.float64), generator)
        for name, one in scores.items():
            self.sums[name] += times[:, None] * one

    def agreement(self, sums: Mapping[str, Tensor], minus: Minus) -> float:
        """The share of the best filters, one of :data:`ONE_OF`, that resamples have in common with the sample.

        Args:
            sums: of the sample, by input, (total,).
            minus: what is subtracted, see :func:`faiglib.attribution.elimination.eliminate_each`.

        Returns:
            0 to 1, mean over resamples, of the input where it is least.

        Raises:
            FilterError: a score is not finite, or a sum is the same for all filters.
        """
        whole = self._chosen(sums, minus)
        overlaps = [
            [chosen.overlap(whole[name]) for name, chosen in self._chosen(one, minus).items()]
            for one in ({name: rows[number] for name, rows in self.sums.items()} for number in range(RESAMPLES))
        ]
        return float(torch.tensor(overlaps, dtype=torch.float64).mean(0).min())

    def _chosen(self, sums: Mapping[str, Tensor], minus: Minus) -> dict[str, FilterSet]:
        scores = {name: FilterScores(self.index, one) for name, one in sums.items()}
        count = max(1, self.index.total // ONE_OF)
        eliminated = eliminate_each(scores, minus).items()
        return {name: FilterSet(self.index, one.ranking()[:count]) for name, one in eliminated}
