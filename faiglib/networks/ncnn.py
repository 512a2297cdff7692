"""Weights in ncnn's two files: ``.param``, text that names the layers, and ``.bin``, their numbers one after another.

Of a layer the ``.bin`` has a tag of four bytes, 0x01306B47 for half precision, the weights (out, in, k, k), zeros up to
a multiple of four bytes, and the biases in single precision. (The format is that of Tencent's ncnn, ``modelbin.cpp``.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faiglib.errors import WeightsError
from faiglib.system.tensors import State

#: What a ``.param`` begins with.
MAGIC = "7767517"
#: Before weights in half precision, as a little-endian integer.
HALF = 0x01306B47
#: Kinds of layers, and whether they have weights.
KINDS: Mapping[str, bool] = {"Input": False, "Convolution": True, "Deconvolution": True}


@dataclass(frozen=True)
class Layer:
    """A line of a ``.param``.

    Attributes:
        kind: one of :data:`KINDS`.
        name: of the layer.
        options: numbers by their keys: of convolutions 0 outputs, 1 kernel, 3 stride, 4 padding, 5 whether there are
            biases, 6 weights, 9 activation (2 is LeakyReLU, whose slope is in -23310).
    """

    kind: str
    name: str
    options: Mapping[str, str]

    def number(self, key: str) -> int:
        """An option, 0 where it is not given."""
        return int(self.options.get(key, "0"))


def layers(text: str, source: str) -> list[Layer]:
    """The layers that a ``.param`` names.

    Args:
        text: its content.
        source: its name, for errors.

    Raises:
        WeightsError: it is no ``.param``, lacks layers that it announces, or names one of a kind that is not known.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or lines[0] != [MAGIC] or len(lines[1]) != 2 or not lines[1][0].isdigit():
        raise WeightsError(f"{source} is no .param file of ncnn, which begins with {MAGIC} and two numbers")
    announced, found = int(lines[1][0]), [_layer(words, source) for words in lines[2:]]
    if len(found) != announced:
        raise WeightsError(f"{source} announces {announced} layers and names {len(found)}")
    return found


def _layer(words: list[str], source: str) -> Layer:
    """One line: kind, name, numbers of inputs and outputs, their names, and the options."""
    if words[0] not in KINDS:
        raise WeightsError(f"{source} names a layer of the kind {words[0][:40]!r}; known: {', '.join(KINDS)}")
    options = dict(word.split("=", 1) for word in words[2:] if "=" in word)
    if len(words) < 4 or any(not options.get(key, "0").isdigit() for key in "01345679"):
        raise WeightsError(f"{source} has a line that cannot be read, that of {' '.join(words[:2])[:60]!r}")
    return Layer(words[0], words[1], options)


def weights(param: str, data: bytes, source: str) -> State:
    """The weights of a network, as PyTorch has them.

    Args:
        param: content of its ``.param``.
        data: of its ``.bin``.
        source: name of both without an ending, for errors.

    Returns:
        ``LAYER.weight``, of a convolution (out, in, k, k) and of a deconvolution (in, out, k, k), and ``LAYER.bias``
        (out,), all float32.

    Raises:
        WeightsError: a layer is not known or not in half precision, or the numbers are fewer or more than its layers
            take.
    """
    state: State = {}
    numbers = _Numbers(data, source)
    for layer in layers(param, f"{source}.param"):
        if not KINDS[layer.kind]:
            continue
        tag = int.from_bytes(numbers.take(4, layer), "little")
        if tag != HALF:
            raise WeightsError(f"{source}.bin has the layer {layer.name} not in half precision (its tag is {tag:#x})")
        outputs, kernel, count = (layer.number(key) for key in "016")
        inputs, left = divmod(count, max(1, outputs * kernel**2))
        if left or not inputs:
            raise WeightsError(f"{source}.param gives the layer {layer.name} weights that do not fill its filters")
        values = numbers.floats("<f2", count, layer).view(outputs, inputs, kernel, kernel)
        turned = layer.kind == "Deconvolution"  # PyTorch has the weight of these the other way round
        state[f"{layer.name}.weight"] = values.transpose(0, 1).contiguous() if turned else values
        if layer.number("5"):
            state[f"{layer.name}.bias"] = numbers.floats("<f4", outputs, layer)
    if numbers.left:
        raise WeightsError(f"{source}.bin has {numbers.left} bytes more than its layers take")
    return state


class _Numbers:
    """The content of a ``.bin``, taken from the front."""

    def __init__(self, data: bytes, source: str) -> None:
        self._data, self._source, self._place = data, source, 0

    @property
    def left(self) -> int:
        """Bytes that nobody has taken."""
        return len(self._data) - self._place

    def take(self, size: int, layer: Layer) -> bytes:
        """So many bytes, and zeros behind them up to a multiple of four, for a layer."""
        whole = size + -size % 4
        if whole > self.left:
            raise WeightsError(
                f"{self._source}.bin is too short: it has {self.left} bytes left for the layer {layer.name}, which "
                f"takes {whole} more"
            )
        start, self._place = self._place, self._place + whole
        return self._data[start : start + size]

    def floats(self, kind: str, count: int, layer: Layer) -> Tensor:
        """So many numbers of a NumPy type, (count,) float32."""
        size = count * np.dtype(kind).itemsize
        return torch.from_numpy(np.frombuffer(self.take(size, layer), kind).astype(np.float32))
