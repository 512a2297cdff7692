"""Scores image by image, their mean, and elimination, against plain loops."""

import pytest
import torch

from faiglib.attribution import eliminate, per_image
from faiglib.attribution.averaging import mean_over_images
from faiglib.errors import FilterError
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.networks import build


def scenes(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [tuple(torch.rand(2, 5, dtype=torch.float64, generator=generator)) for _ in range(count)]


def product(scene):
    return scene[0] * scene[1]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_values_come_in_the_order_of_the_images(count, capsys):
    images = scenes(count)
    found = list(per_image(iter(images), product))
    assert torch.equal(torch.stack(found), torch.stack([one * two for one, two in images]))
    assert capsys.readouterr().err == ""
    mean = mean_over_images(images, product, None)
    assert torch.allclose(mean, torch.stack(found).mean(0), rtol=1e-15, atol=0)


def test_values_are_computed_one_at_a_time():
    asked = []
    results = per_image(scenes(3), lambda scene: asked.append(scene) or product(scene))
    next(results)
    assert len(asked) == 1


def test_a_label_shows_progress(capsys):
    list(per_image(scenes(2), product, "FAIG: here"))
    assert "FAIG: here" in capsys.readouterr().err


def test_no_images_are_refused():
    with pytest.raises(FilterError, match="there are none"):
        list(per_image([], product))


def test_elimination_is_a_difference_of_scores_and_of_tensors():
    index = FilterIndex.of(build("srresnet_s", seed=0))
    own, other = (FilterScores(index, torch.rand(index.total, dtype=torch.float64)) for _ in range(2))
    expected = torch.tensor([a - b for a, b in zip(own.values.tolist(), other.values.tolist(), strict=True)]).double()
    assert torch.allclose(eliminate(own, other).values, expected, rtol=1e-6)
    assert torch.equal(eliminate(own.values, other.values), eliminate(own, other).values)
