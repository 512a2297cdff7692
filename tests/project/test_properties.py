"""Laws that hold for arbitrary networks, filter sets, images and texts."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from faiglib.companion.cache import Cache
from faiglib.filters.index import FilterIndex, Layer
from faiglib.filters.scores import FilterScores, FilterSet, read_ranking, write_ranking
from faiglib.filters.substitution import substitute
from faiglib.images.degradations import Degradation, downsample, noise_generator, quantise
from faiglib.images.files import read_image, save_image


@st.composite
def networks(draw) -> nn.Module:
    """Stacks of convolutions of any kernel, some grouped, between other layers."""
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 3))):
        groups = draw(st.integers(1, 3))
        inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
        kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
        layers.append(nn.Conv2d(inputs, outputs, kernel, groups=groups, bias=draw(st.booleans())))
        layers.append(
            draw(st.sampled_from([nn.PReLU(), nn.BatchNorm2d(2), nn.Linear(2, 3), nn.ConvTranspose2d(2, 2, 3)]))
        )
    return nn.Sequential(*layers).to(draw(st.sampled_from([torch.float32, torch.float64])))


@st.composite
def pairs(draw) -> tuple[nn.Module, nn.Module, FilterSet]:
    """A target, a source of other values, and some of their filters."""
    target = draw(networks())
    source = copy.deepcopy(target)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1 + parameter.abs())
    index = FilterIndex.of(target)
    ids = draw(st.sets(st.integers(0, index.total - 1)))
    return target, source, FilterSet(index, torch.tensor(sorted(ids), dtype=torch.int64))


def state_bits(network: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


@given(pairs())
def test_strength_0_is_the_target_and_strength_1_the_source_at_the_filters(pair):
    target, source, filters = pair
    assert state_bits(substitute(target, source, filters, 0.0)) == state_bits(target)
    changed = substitute(target, source, filters, 1.0).state_dict()
    chosen = set(filters.ids.tolist())
    number = 0
    for layer in filters.index.layers:
        for output in range(layer.outputs):
            for input_ in range(layer.inputs):
                origin = source if number in chosen else target
                assert torch.equal(changed[layer.name][output, input_], origin.state_dict()[layer.name][output, input_])
                number += 1
    others = set(changed) - set(filters.index.names)
    assert all(torch.equal(changed[name], target.state_dict()[name]) for name in others)


@given(pairs())
def test_masked_and_unmasked_networks_have_the_bits_of_the_first(pair):
    target, source, filters = pair
    masked = substitute(target, source, filters)
    assert (state_bits(masked) == state_bits(target)) == (len(filters) == 0)
    assert state_bits(substitute(masked, target, filters)) == state_bits(target)


@given(pairs(), st.data())
def test_masking_in_two_parts_is_masking_at_once(pair, data):
    target, source, filters = pair
    chosen = filters.ids.tolist()
    first = data.draw(st.sets(st.sampled_from(chosen))) if chosen else set()
    parts = [
        FilterSet(filters.index, torch.tensor(sorted(ids), dtype=torch.int64)) for ids in (first, set(chosen) - first)
    ]
    step_by_step = substitute(substitute(target, source, parts[0]), source, parts[1])
    assert state_bits(step_by_step) == state_bits(substitute(target, source, filters))


# ---------------------------------------------------------------- degradations

TURNS = {
    "left-right": lambda x: x.flip(-1),
    "up-down": lambda x: x.flip(-2),
    "half turn": lambda x: x.flip(-1, -2),
}


@st.composite
def images(draw, scale: int, least: int = 1) -> Tensor:
    """8-bit images as they are read, (1, 3, H, W) in float32, whose sizes divide by the scale."""
    blocks = st.integers(-(-least // scale), 16 // scale + 8)
    height, width = scale * draw(blocks), scale * draw(blocks)
    seed = draw(st.integers(0, 2**32 - 1))
    levels = np.random.default_rng(seed).integers(0, draw(st.sampled_from([2, 256])), (1, 3, height, width))
    return torch.from_numpy(levels).float() / 255


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("turn", TURNS)
@settings(max_examples=40)
@given(data=st.data())
def test_downsampling_commutes_with_flips_up_to_ties(scale, turn, data):
    """To the bit, but for means that lie in the middle of two levels: the order of the sum decides on their rounding.

    An even factor averages four pixels, so that this can befall sums of levels that are 2 modulo 4. An odd factor picks
    one pixel.
    """
    image = data.draw(images(scale))
    degrade, turned = Degradation(scale=scale), TURNS[turn]
    difference = ((degrade(turned(image)) - turned(degrade(image))) * 255).round()
    assert float(difference.abs().max()) <= 1
    levels = (image * 255).round().long()
    if scale % 2:
        assert not difference.any()
    else:
        middle = (scale // 2 - 1, scale // 2)
        fours = sum(levels[..., row::scale, column::scale] for row in middle for column in middle)
        assert not difference[turned(fours) % 4 != 2].any()


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("turn", TURNS)
@settings(max_examples=25)
@given(data=st.data(), sigma=st.floats(0.3, 4))
def test_blur_commutes_with_flips_up_to_ties(scale, turn, data, sigma):
    """The sums of the blur run in another order; a value between two 8-bit levels can fall to either of them."""
    image = data.draw(images(scale, least=12))
    degrade, turned = Degradation(blur_sigma=sigma, scale=scale), TURNS[turn]
    difference = (degrade(turned(image.double())) - turned(degrade(image.double()))) * 255
    assert float(difference.abs().max()) < 1 + 1e-6
    assert float((difference.abs() > 1e-6).double().mean()) < 0.01


@pytest.mark.parametrize("turn", TURNS)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_noise_commutes_with_flips_if_it_is_flipped_too(turn, data, seed):
    image, turned = data.draw(images(2)), TURNS[turn]
    noisy = Degradation(noise_sigma=0.1)(image, noise_generator(seed, 0))
    low = downsample(image, 2)
    noise = 0.1 * torch.randn(low.shape, generator=noise_generator(seed, 0))
    assert torch.equal(turned(noisy), quantise(downsample(turned(image), 2) + turned(noise)))


# ---------------------------------------------------------------- files


@given(data=st.data(), total=st.integers(1, 400))
def test_rankings_come_back_from_their_text_file(tmp_path_factory, data, total):
    index = FilterIndex((Layer("a.weight", 1, total, (3, 3)),))
    ranking = torch.tensor(data.draw(st.permutations(range(total))))
    path = tmp_path_factory.getbasetemp() / "ranking.txt"
    write_ranking(path, ranking)
    assert torch.equal(read_ranking(path, index), ranking)
    assert np.array_equal(np.loadtxt(path, dtype=np.int64, ndmin=1), ranking.numpy())


@given(
    names=st.lists(
        st.text(min_size=1, max_size=8).filter(lambda name: name.isprintable()), min_size=1, max_size=3, unique=True
    ),
    seed=st.integers(0, 2**31),
)
def test_scores_come_back_with_the_names_of_any_layers(tmp_path_factory, names, seed):
    index = FilterIndex(tuple(Layer(name, 2, 3, (1, 5)) for name in names))
    values = torch.randn(index.total, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    path = tmp_path_factory.getbasetemp() / "scores.safetensors"
    FilterScores(index, values).save(path)
    loaded = FilterScores.load(path)
    assert loaded.index == index
    assert torch.equal(loaded.values, values)


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
            st.floats(),
            st.integers(-(2**63), 2**63 - 1),
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_tables_come_back_from_the_store(tmp_path_factory, rows):
    table = pd.DataFrame(
        {
            "text": pd.Series([row[0] for row in rows], dtype=object),
            "number": pd.Series([row[1] for row in rows], dtype="float64"),
            "whole": pd.Series([row[2] for row in rows], dtype="int64"),
            "true": pd.Series([row[3] for row in rows], dtype=bool),
        }
    )
    store = Cache(Path(tmp_path_factory.mktemp("store")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):  # as computed, then as read
            found = store.table("rows", {}, lambda: table)
            pd.testing.assert_frame_equal(found, table, check_exact=True)


@settings(max_examples=25)
@given(data=st.data())
def test_images_come_back_to_the_bit(tmp_path_factory, data):
    image = data.draw(images(1))
    path = tmp_path_factory.getbasetemp() / "image.png"
    save_image(path, image)
    assert torch.equal(read_image(path), image)
