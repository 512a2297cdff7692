"""Which filters a network has, numbered as in the released files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod

from faiglib.errors import FilterError, NetworkError
from faiglib.filters.layers import Layer, heads_of

#: What is ranked: the K×K filters of Conv2d as released; output channels of every convolution and rows of Linear;
#: filters of every convolution (also one- and three-dimensional, and transposed) and rows of Linear; or heads of
#: attention.
Units = Literal["filters", "channels", "all", "heads"]

#: The units in words.
IN_WORDS: Mapping[Units, str] = {
    "filters": "filters",
    "channels": "channels",
    "all": "filters and rows",
    "heads": "heads",
}

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Location:
    """Where a unit sits: ``state_dict[layer][output, input]`` of a filter, ``[input, output]`` if transposed."""

    layer: str
    output: int
    input: int


@dataclass(frozen=True)
class FilterIndex:
    """The bijection between ids 0 … total-1 and places in a network, of filters or of other units."""

    layers: tuple[Layer, ...]
    units: Units = "filters"

    @classmethod
    def of(cls, network: nn.Module, units: Units = "filters") -> FilterIndex:
        """Index the units of ``network``, whatever the architecture; a shared weight counts once.

        Args:
            network: with its weights loaded.
            units: what is ranked; ids of ``filters`` are the released ones.

        Raises:
            NetworkError: the network has no such unit, or the weight of one is not a parameter.
            ValueError: there are no units of that name.
        """
        if units not in get_args(Units):
            raise ValueError(f"units must be one of {', '.join(get_args(Units))}, not {units!r}")
        refuse_unusable(network)
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        layers: dict[str, Layer] = {}
        for place, module in network.named_modules():
            if units == "heads":
                if (found := heads_of(place, module)) is not None:
                    layers[found.name] = found
                continue
            weight = _weight_of(module, units)
            if weight is not None:
                name = names.get(id(weight))
                if name is None:
                    raise computed_weight(place, "parametrize.remove_parametrizations")
                layers.setdefault(name, _layer_of(name, weight, module, units))
        if not layers:
            wanted = "convolution (nn.Conv2d) whose filters" if units == "filters" else f"layer whose {IN_WORDS[units]}"
            raise NetworkError(f"{type(network).__name__} has no {wanted} could be analysed")
        return cls(tuple(layers.values()), units)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First id of each layer, then the total."""
        sums = [0]
        for layer in self.layers:
            sums.append(sums[-1] + layer.filters)
        return tuple(sums)

    @property
    def total(self) -> int:
        """Number of filters."""
        return self.offsets[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers, in order: of their weights, but for heads."""
        return tuple(layer.name for layer in self.layers)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of all weights that are divided, in order."""
        return tuple(name for layer in self.layers for name in layer.weights)

    def locate(self, filter_id: int) -> Location:
        """The place of a filter.

        Raises:
            FilterError: there is no such id.
        """
        if not 0 <= filter_id < self.total:
            raise FilterError(f"there is no filter {filter_id}: ids go from 0 to {self.total - 1}")
        number = bisect_right(self.offsets, filter_id) - 1
        layer = self.layers[number]
        output, input_ = divmod(filter_id - self.offsets[number], layer.inputs)
        return Location(layer.name, output, input_)

    def id_of(self, location: Location) -> int:
        """The id of the filter at a place.

        Raises:
            FilterError: there is no such place.
        """
        for layer, offset in zip(self.layers, self.offsets, strict=False):
            if (
                layer.name == location.layer
                and 0 <= location.output < layer.outputs
                and 0 <= location.input < layer.inputs
            ):
                return offset + location.output * layer.inputs + location.input
        raise FilterError(f"there is no filter at {location.layer}[{location.output}, {location.input}]")

    def layer_numbers(self) -> Tensor:
        """For every filter the number of its layer, (total,) int64."""
        counts = torch.tensor([layer.filters for layer in self.layers])
        return torch.repeat_interleave(torch.arange(len(self.layers)), counts)

    def gather(self, values: Mapping[str, Tensor]) -> Tensor:
        """Sum |values| over the weights of each unit: {name: of the weight's shape} → (total,) float64."""
        return torch.cat([layer.gather(*(values[name] for name in layer.weights)) for layer in self.layers])

    def add_up(self, values: Mapping[str, Tensor]) -> Tensor:
        """Sum values with their signs over the weights of each unit: as :meth:`gather`."""
        return torch.cat([layer.add_up(*(values[name] for name in layer.weights)) for layer in self.layers])

    def split(self, values: Tensor) -> Iterator[tuple[Layer, Tensor]]:
        """Cut (total,) values into one (out, in) piece per layer."""
        for layer, piece in zip(self.layers, values.split([layer.filters for layer in self.layers]), strict=True):
            yield layer, piece.view(layer.outputs, layer.inputs)


def _weight_of(module: nn.Module, units: Units) -> Tensor | None:
    """The weight of a module that is divided into such units, or None."""
    kinds = (nn.Conv2d,) if units == "filters" else (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear)
    if isinstance(module, kinds):
        return module.weight
    if units != "filters" and isinstance(module, nn.MultiheadAttention):
        return module.in_proj_weight
    return None


def _layer_of(name: str, weight: Tensor, module: nn.Module, units: Units) -> Layer:
    """How a module's weight is divided."""
    if isinstance(module, _TRANSPOSED):
        if units == "channels":
            if module.groups > 1:
                raise NetworkError(
                    f"{name} is a transposed convolution in groups, whose channels are no columns of its weight; units "
                    "of the kind 'all' rank its filters"
                )
            return Layer(name, weight.shape[1], 1, tuple(weight.shape[2:]), "columns")
        return Layer(name, weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), "transposed filters")
    if units == "channels" or not isinstance(module, _CONVOLUTIONS):
        return Layer(name, weight.shape[0], 1, tuple(weight.shape[2:]), "rows")
    return Layer(name, weight.shape[0], weight.shape[1], tuple(weight.shape[2:]))


def refuse_unusable(network: nn.Module) -> None:
    """Refuse a network some of whose parameters have no value, or are recomputed before every pass.

    Raises:
        NetworkError: there is such a parameter.
    """
    for name, parameter in network.named_parameters():
        if is_lazy(parameter) or parameter.is_meta:
            raise NetworkError(f"the parameter {name} of {type(network).__name__} has no values; load weights first")
    for place, module in network.named_modules():
        if is_parametrized(module):
            raise computed_weight(place, "parametrize.remove_parametrizations")
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                raise computed_weight(place, "prune.remove")
            if call := _REMOVED_BY.get(type(hook).__name__):
                raise computed_weight(place, call)


#: Hooks of torch.nn.utils that compute a weight before every pass, and what takes them away.
_REMOVED_BY = {"WeightNorm": "remove_weight_norm", "SpectralNorm": "remove_spectral_norm"}


def computed_weight(place: str, call: str) -> NetworkError:
    """The error for a weight that is no parameter, and the call of torch.nn.utils that makes it one."""
    return NetworkError(
        f"the weight of {place or 'the network'} is computed from other parameters (weight normalisation, pruning?); "
        f"remove the parametrisation with torch.nn.utils.{call} before the analysis"
    )


def same_layers(networks: Sequence[nn.Module], units: Units = "filters") -> FilterIndex:
    """The common index of networks of one architecture.

    Raises:
        NetworkError: their convolutions differ.
    """
    first, *others = (FilterIndex.of(network, units) for network in networks)
    for other in others:
        if other != first:
            raise NetworkError(
                "the networks differ in their convolutions: baseline and target must be of one architecture"
            )
    return first
