"""How the weights of one layer are divided into units: filters, rows, columns, or the heads of attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from faiglib.errors import NetworkError

#: How the weights of a layer are divided: into (out, in) filters, or into rows, one per output; the same of a weight
#: that is stored (in, out), as transposed convolutions have it; or into heads, over two weights.
Kind = Literal["filters", "transposed filters", "rows", "columns", "heads"]

#: Between the names of the two weights of a layer of heads; no parameter has it in its name.
AND = "+"


@dataclass(frozen=True)
class Layer:
    """One weight that is divided into units: name, numbers of outputs and inputs (per group), kernel such as (h, w).

    Of a layer of rows or columns, ``inputs`` is 1, since a unit holds all that leads to an output. A layer of heads has
    two weights, the projection to queries, keys and values (3·E, E) and that of the output (E, E); ``outputs`` are its
    heads, and its kernel is their width. A head is its rows of q, k and v and its columns of the output.
    """

    name: str
    outputs: int
    inputs: int
    kernel: tuple[int, ...]
    kind: Kind = "filters"

    @property
    def filters(self) -> int:
        """Number of units in the layer."""
        return self.outputs * self.inputs

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the weights that it divides, one but for heads."""
        return tuple(self.name.split(AND)) if self.kind == "heads" else (self.name,)

    @property
    def _turned(self) -> bool:
        """Whether inputs come first in the weight."""
        return self.kind in ("transposed filters", "columns")

    def gather(self, *values: Tensor) -> Tensor:
        """Sum |values| over the weights of each unit: one tensor per weight, of its shape → (out · in,) float64."""
        return self.add_up(*(value.double().abs() for value in values))

    def add_up(self, *values: Tensor) -> Tensor:
        """Sum values with their signs over the weights of each unit, as :meth:`gather`."""
        if self.kind == "heads":
            projection, output = (value.double() for value in values)
            width = self.kernel[0]
            rows = projection.view(3, self.outputs, width, -1).sum(dim=(0, 2, 3))
            return rows + output.view(-1, self.outputs, width).sum(dim=(0, 2))
        (value,) = values
        turned = value.double().transpose(0, 1) if self._turned else value.double()
        return turned.flatten(1 if self.kind in ("rows", "columns") else 2).sum(dim=-1).flatten()

    def over_weights(self, units: Tensor) -> Iterator[Tensor]:
        """A value per unit, (out, in), as tensors that are broadcast over :attr:`weights`, in their order."""
        if self.kind == "heads":
            columns = units.reshape(-1).repeat_interleave(self.kernel[0])
            yield columns.repeat(3)[:, None]
            yield columns[None, :]
        else:
            places = units.T if self._turned else units
            yield places[(..., *(None,) * len(self.kernel))]


def heads_of(place: str, module: nn.Module) -> Layer | None:
    """The heads of an attention module, or None if it is none.

    Known are ``nn.MultiheadAttention`` and modules with a number ``num_heads`` and two linear layers, ``qkv`` and
    ``proj``, as vision transformers, Swin and SwinIR have them.

    Args:
        place: name of the module in its network.
        module: any.

    Raises:
        NetworkError: it projects queries, keys and values of different widths apart.
    """
    before = f"{place}." if place else ""
    if isinstance(module, nn.MultiheadAttention):
        if module.in_proj_weight is None:
            raise NetworkError(
                f"{place or 'the network'} projects queries, keys and values of different widths apart, whose heads "
                "cannot be ranked"
            )
        names, heads, width = ("in_proj_weight", "out_proj.weight"), module.num_heads, module.embed_dim
    else:
        projection, output = (getattr(module, name, None) for name in ("qkv", "proj"))
        heads = getattr(module, "num_heads", None)
        if not (isinstance(projection, nn.Linear) and isinstance(output, nn.Linear) and isinstance(heads, int)):
            return None
        width = output.in_features
        if projection.out_features != 3 * width or width % heads:
            return None
        names = ("qkv.weight", "proj.weight")
    return Layer(AND.join(before + name for name in names), heads, 1, (width // heads,), "heads")
