"""Filters by number: a flat id for every K×K kernel of a network, scores on them, and sets of them.

A *filter* is ``weight[o, i]`` of a convolution weight (out, in, height, width), of any kernel size. Ids count
layers in state-dict order, then (o, i) row-major, as in the released text files. In a grouped convolution
``i`` counts the inputs of the group, as PyTorch stores them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast, get_args

import torch
from torch import Tensor

from faiglib.errors import FaiglibError, FilterError
from faiglib.filters.index import FilterIndex, Units
from faiglib.filters.layers import Kind, Layer
from faiglib.system.documents import parse_json
from faiglib.system.files import write_text_atomic
from faiglib.system.tensors import read_tensors, save_weights


@dataclass(frozen=True, eq=False)
class FilterSet:
    """Some filters of a network.

    Attributes:
        index: of the network.
        ids: (n,) int64, ascending, distinct.
    """

    index: FilterIndex
    ids: Tensor

    def __repr__(self) -> str:
        """In a line."""
        return f"FilterSet({len(self.ids):,} of {self.index.total:,} {self.index.units})"

    def __post_init__(self) -> None:
        """Sort and check the ids.

        Raises:
            FilterError: an id is out of range or occurs twice.
        """
        ids = self.ids.to(torch.int64).sort().values
        if len(ids) and (ids[0] < 0 or ids[-1] >= self.index.total):
            wrong = ids[0] if ids[0] < 0 else ids[-1]
            raise FilterError(f"there is no filter {int(wrong)}: ids go from 0 to {self.index.total - 1}")
        if len(ids.unique()) != len(ids):
            raise FilterError("a filter set names a filter twice")
        object.__setattr__(self, "ids", ids)

    @classmethod
    def every(cls, index: FilterIndex) -> FilterSet:
        """All filters of a network."""
        return cls(index, torch.arange(index.total))

    def __len__(self) -> int:
        """Number of filters in the set."""
        return len(self.ids)

    def member(self) -> Tensor:
        """(total,) bool, true at the filters of the set."""
        member = torch.zeros(self.index.total, dtype=torch.bool)
        member[self.ids] = True
        return member

    def masks(self) -> dict[str, Tensor]:
        """Per weight a bool mask that is broadcast over it, (out, in, 1, 1) of filters; no empty layers."""
        return {
            name: part
            for layer, mask in self.index.split(self.member())
            if mask.any()
            for name, part in zip(layer.weights, layer.over_weights(mask), strict=True)
        }

    def overlap(self, other: FilterSet) -> float:
        """|self ∩ other| / |self|, the overlap score of section 4 of the paper with ``self`` as filter^x.

        Raises:
            FilterError: this set is empty, or the sets belong to different networks.
        """
        if self.index != other.index:
            raise FilterError("the filter sets belong to networks with different convolutions")
        if not len(self):
            raise FilterError("the overlap score of an empty filter set is not defined")
        return float((self.member() & other.member()).sum()) / len(self)


@dataclass(frozen=True, eq=False)
class FilterScores:
    """A score for every filter of a network; larger means more important.

    Attributes:
        index: of the network.
        values: (total,) float64.
    """

    index: FilterIndex
    values: Tensor

    def __repr__(self) -> str:
        """In a line."""
        return f"FilterScores({self.index.total:,} {self.index.units} in {len(self.index.layers)} layers)"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            FilterError: their number is wrong or one is not finite.
        """
        if self.values.shape != (self.index.total,):
            raise FilterError(f"{self.index.total} scores expected, got a tensor of shape {tuple(self.values.shape)}")
        if not torch.isfinite(self.values).all():
            raise FilterError("filter scores hold NaN or infinite values; the weights or the images are not sound")
        object.__setattr__(self, "values", self.values.detach().cpu().double())

    def __sub__(self, other: FilterScores) -> FilterScores:
        """Gradient elimination (paper, eq. 7): what matters for one degradation and not for the other.

        Raises:
            FilterError: the scores belong to different networks.
        """
        if self.index != other.index:
            raise FilterError("the filter scores belong to networks with different convolutions")
        return FilterScores(self.index, self.values - other.values)

    def ranking(self) -> Tensor:
        """All ids in descending order of score; equal scores in ascending order of id. (total,) int64.

        Raises:
            FilterError: all scores are equal, so that nothing is ranked.
        """
        if self.index.total > 1 and bool((self.values == self.values[0]).all()):
            raise FilterError(
                "all filters have the same score, so that there is no ranking; the two networks, or the inputs of the "
                "two degradations, are probably the same"
            )
        return torch.sort(self.values, descending=True, stable=True).indices

    def top(self, percent: float) -> FilterSet:
        """The ``percent`` % filters with the highest scores, rounded down to whole filters as released."""
        return top_of(self.index, self.ranking(), percent)

    def save(self, path: Path) -> None:
        """Write the scores as safetensors, with the layers in the header."""
        layers = [
            [layer.name, layer.outputs, layer.inputs, *layer.kernel, *([layer.kind] if layer.kind != "filters" else [])]
            for layer in self.index.layers
        ]
        units = {} if self.index.units == "filters" else {"units": self.index.units}
        save_weights(path, {"scores": self.values}, {"layers": json.dumps(layers), **units})

    @classmethod
    def load(cls, path: Path) -> FilterScores:
        """Read scores written by :meth:`save`.

        Raises:
            FilterError: the file is not such a file.
        """
        try:
            tensors, metadata = read_tensors(path)
            units = metadata.get("units", "filters")
            if units not in get_args(Units):
                raise ValueError(f"units of the unknown kind {units[:60]!r}")
            layers = tuple(_layer_of(row) for row in parse_json(metadata["layers"], list[list[str | int]]))
            if units == "filters" and any(len(layer.kernel) != 2 or layer.kind != "filters" for layer in layers):
                raise ValueError("a layer that is no convolution of images")
            index = FilterIndex(layers, cast(Units, units))
            values = tensors["scores"]
            if not values.is_floating_point():
                raise ValueError(f"scores of type {values.dtype}")
            return cls(index, values)
        except KeyError as error:
            raise FilterError(f"{path} is not a file of filter scores: it has no {error.args[0]}") from None
        except (FaiglibError, TypeError, ValueError) as error:
            raise FilterError(f"{path} is not a file of filter scores: {error}") from None


def _layer_of(row: object) -> Layer:
    """A layer as :meth:`FilterScores.save` writes it.

    Raises:
        ValueError: it is none.
    """
    match row:
        case [str() as name, int() as outputs, int() as inputs, *rest]:
            kind = rest.pop() if rest and isinstance(rest[-1], str) else "filters"
            kernel = tuple(side for side in rest if isinstance(side, int))
            if min(outputs, inputs, *kernel) > 0 and len(kernel) == len(rest) and kind in get_args(Kind):
                return Layer(name, outputs, inputs, kernel, cast(Kind, kind))
    raise ValueError(f"a layer is a name and numbers from 1 on, not {str(row)[:60]}")


def count_of(index: FilterIndex, percent: float) -> int:
    """How many filters ``percent`` % are, rounded down: 1 % of 156,224 is 1,562.

    Raises:
        FilterError: the percentage is not between 0 and 100.
    """
    if not 0 <= percent <= 100:
        raise FilterError(f"a percentage of filters lies between 0 and 100, not {percent}")
    return math.floor(index.total * Fraction(str(percent)) / 100)


def top_of(index: FilterIndex, ranking: Tensor, percent: float) -> FilterSet:
    """The first ``percent`` % of a ranking."""
    return FilterSet(index, ranking[: count_of(index, percent)])


def write_ranking(path: Path, ranking: Tensor) -> None:
    """Write ids one per line, best first, as the released ``blur_index.txt`` and ``noise_index.txt``."""
    write_text_atomic(path, "\n".join(map(str, ranking.tolist())) + "\n")


def read_ranking(path: Path, index: FilterIndex) -> Tensor:
    """Read a ranking (total,) of the network's filters.

    Raises:
        FilterError: the file is missing, holds something else than ids, or does not name every filter
            exactly once.
    """
    try:
        text = Path(path).read_text(encoding="ascii")
    except OSError as error:
        raise FilterError(f"the ranking {path} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise FilterError(f"the ranking {path} cannot be read: it is no list of ids, as NAME_index.txt is") from None
    ids = []
    for number, line in enumerate(text.split("\n")[:-1] if text.endswith("\n") else text.split("\n"), start=1):
        if not line.strip().isdigit() or len(line) > 20:
            raise FilterError(f"line {number} of the ranking {path} is not a filter id: {line[:40]!r}")
        ids.append(int(line))
    if sorted(ids) != list(range(index.total)):
        raise FilterError(
            f"the ranking {path} does not name each of the network's {index.total} {index.units} exactly once; "
            "it may be of other units or of another network"
        )
    return torch.tensor(ids)
