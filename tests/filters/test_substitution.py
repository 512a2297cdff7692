"""Substitution against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faiglib.attribution import random_scores
from faiglib.errors import FilterError, NetworkError
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterSet
from faiglib.filters.substitution import Substitutions, substitute
from faiglib.networks import build

OPTIONS = [{}, {"kernels": (5, 1, 3)}, {"kernels": (3, 3), "groups": 2}, {"scale": 3}]


def some_filters(network, percent: float = 30, seed: int = 0) -> FilterSet:
    return random_scores(FilterIndex.of(network), seed).top(percent)


def reference(target, source, ids, strength) -> dict[str, np.ndarray]:
    """Walk over all kernels in order, and move those whose number is chosen."""
    ids, number, result = set(ids.tolist()), 0, {}
    donors = source.state_dict()
    for name, tensor in target.state_dict().items():
        values = tensor.numpy().copy()
        if values.ndim == 4:
            for output in range(values.shape[0]):
                for input_ in range(values.shape[1]):
                    if number in ids:
                        donor = donors[name].numpy()[output, input_]
                        values[output, input_] = (1 - strength) * values[output, input_] + strength * donor
                    number += 1
        result[name] = values
    return result


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("strength", [0.3, 0.5, 0.8, 1.2])
def test_partial_strength_is_numpys_interpolation(small, make_pair, options, strength):
    target, source = make_pair(lambda: small(**options), step=0.5)
    filters = some_filters(target)
    assert 0 < len(filters) < filters.index.total
    changed = substitute(target, source, filters, strength)
    expected = reference(target, source, filters.ids, strength)
    for name, tensor in changed.state_dict().items():
        assert np.allclose(tensor.numpy(), expected[name], rtol=1e-13, atol=1e-15), name


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_full_strength_gives_the_bits_of_the_source_at_the_filters_and_of_the_target_elsewhere(
    small, make_pair, options, dtype
):
    target, source = make_pair(lambda: small(**options), step=0.5, dtype=dtype)
    filters = some_filters(target)
    changed = substitute(target, source, filters)
    expected = reference(target, source, filters.ids, 1)
    assert all(np.array_equal(tensor.numpy(), expected[name]) for name, tensor in changed.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_strength_is_the_target_bit_by_bit(small, make_pair, bits, dtype):
    target, source = make_pair(small, step=0.5, dtype=dtype)
    assert bits(substitute(target, source, some_filters(target), 0)) == bits(target)


def test_one_set_after_another_leaves_nothing_of_those_before(small, make_pair):
    """Layers that a set does not touch are the target's again, whatever was there before, and at any strength."""
    target, source = make_pair(small, step=0.5)
    index = FilterIndex.of(target)
    last = FilterSet(index, torch.arange(index.offsets[-2], index.total))
    sets = [
        FilterSet.every(index),
        some_filters(target, 30, 1),
        last,
        some_filters(target, 0),
        some_filters(target, 5, 2),
    ]
    masks = Substitutions(target, source)
    for filters, strength in [(filters, strength) for filters in sets for strength in (1, 0.5)]:
        expected = reference(target, source, filters.ids, strength)
        for name, tensor in masks.of(filters, strength).state_dict().items():
            assert np.allclose(tensor.numpy(), expected[name], rtol=1e-13, atol=1e-15), name
    rows = random_scores(FilterIndex.of(target, "channels"), 3).top(30)
    masks.of(sets[0])
    after, alone = masks.of(rows).state_dict(), substitute(target, source, rows).state_dict()
    assert all(torch.equal(after[name], alone[name]) for name in alone)


def test_an_empty_set_changes_nothing(small, make_pair, bits):
    target, source = make_pair(small)
    assert bits(substitute(target, source, some_filters(target, 0))) == bits(target)


def test_all_filters_give_the_weights_of_the_source_and_the_biases_of_the_target(small, make_pair):
    target, source = make_pair(small)
    changed = substitute(target, source, some_filters(target, 100)).state_dict()
    for name, tensor in changed.items():
        donor = (source if name.endswith("weight") else target).state_dict()[name]
        assert torch.equal(tensor, donor)


def test_masking_and_putting_back_restores_the_bits(make_pair, bits):
    target, source = make_pair(lambda: build("srresnet", seed=0), dtype=torch.float32)
    filters = some_filters(target, 5)
    masked = substitute(target, source, filters)
    assert bits(masked) != bits(target)
    assert bits(substitute(masked, target, filters)) == bits(target)


def test_the_changed_network_computes_with_the_changed_filters(small, make_pair, random_image):
    target, source = make_pair(small, step=0.5)
    image = random_image(6, 6)
    with torch.no_grad():
        outputs = [network(image) for network in (target, source)]
        changed = substitute(target, source, some_filters(target))(image)
    assert not torch.equal(changed, outputs[0])
    assert not torch.equal(changed, outputs[1])


def test_the_given_networks_are_not_modified(small, make_pair, bits):
    target, source = make_pair(small)
    target.train()
    before = bits(target), bits(source)
    changed = substitute(target, source, some_filters(target))
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.zero_()
    assert (bits(target), bits(source)) == before
    assert changed.training, "the copy keeps the mode of the target"


@pytest.mark.parametrize("other", [{"width": 5}, {"kernels": (3, 5)}, {"scale": 3}], ids=str)
def test_another_architecture_is_refused(small, other):
    target = small()
    with pytest.raises(NetworkError, match="one architecture"):
        substitute(target, small(**other), some_filters(target))


def test_the_filters_of_another_network_are_refused(small, make_pair):
    with pytest.raises(FilterError, match="belongs to a network with other convolutions"):
        substitute(*make_pair(small), some_filters(small(width=5)))
