"""Which filters a network has, numbered as in the released files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod

from faiglib.errors import FilterError, NetworkError


@dataclass(frozen=True)
class Layer:
    """One convolution weight: its name, its numbers of outputs and inputs (per group), its kernel (h, w)."""

    name: str
    outputs: int
    inputs: int
    kernel: tuple[int, int]

    @property
    def filters(self) -> int:
        """Number of filters in the layer."""
        return self.outputs * self.inputs


@dataclass(frozen=True)
class Location:
    """Where a filter sits: ``state_dict[layer][output, input]``."""

    layer: str
    output: int
    input: int


@dataclass(frozen=True)
class FilterIndex:
    """The bijection between filter ids 0 … total-1 and their places in a network."""

    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, network: nn.Module) -> FilterIndex:
        """Index every ``Conv2d`` of ``network``, whatever the architecture; a shared weight counts once.

        Raises:
            NetworkError: the network has no such convolution, or the weight of one is not a parameter.
        """
        refuse_unusable(network)
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        layers: dict[str, Layer] = {}
        for place, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                name = names.get(id(module.weight))
                if name is None:
                    raise computed_weight(place, "parametrize.remove_parametrizations")
                outputs, inputs, height, width = module.weight.shape
                layers.setdefault(name, Layer(name, outputs, inputs, (height, width)))
        if not layers:
            raise NetworkError(
                f"{type(network).__name__} has no convolution (nn.Conv2d) whose filters could be analysed"
            )
        return cls(tuple(layers.values()))

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
        """Names of the weights, in order."""
        return tuple(layer.name for layer in self.layers)

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
        """Sum |values| over the K×K weights of each filter: {name: (out, in, h, w)} → (total,) float64."""
        return torch.cat([values[name].double().abs().sum(dim=(2, 3)).flatten() for name in self.names])

    def split(self, values: Tensor) -> Iterator[tuple[Layer, Tensor]]:
        """Cut (total,) values into one (out, in) piece per layer."""
        for layer, piece in zip(self.layers, values.split([layer.filters for layer in self.layers]), strict=True):
            yield layer, piece.view(layer.outputs, layer.inputs)


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


def same_layers(networks: Sequence[nn.Module]) -> FilterIndex:
    """The common index of networks of one architecture.

    Raises:
        NetworkError: their convolutions differ.
    """
    first, *others = (FilterIndex.of(network) for network in networks)
    for other in others:
        if other != first:
            raise NetworkError(
                "the networks differ in their convolutions: baseline and target must be of one architecture"
            )
    return first
