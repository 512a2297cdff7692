"""What users hand over that no analysis can use: told in one sentence, or made usable."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import faiglib
from faiglib.attribution import faig, filter_change, intinf, path_integral
from faiglib.attribution.coverage import LEFT_OUT, Coverage
from faiglib.attribution.parameter_path import Account, ParameterPath, image_scores
from faiglib.attribution.quadrature import quadrature
from faiglib.errors import FaiglibError, FilterError, ImageError, NetworkError
from faiglib.filters.index import FilterIndex
from faiglib.images.restoration import restore

IMAGE = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor):
        return self.result(self.conv(x))

    def result(self, y: Tensor):
        return y


def pair(make=Plain) -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        target = make()
        baseline = copy.deepcopy(target)
        with torch.no_grad():
            for parameter in baseline.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)
    return target, baseline


def returning(result) -> type[Plain]:
    return type("Returning", (Plain,), {"result": lambda self, y: result(y)})


#: Everything of the library that runs a user's network on a user's image.
USES = {
    "faig": lambda t, b, x: faig(t, b, [(x, x)], nodes=1),
    "path_integral": lambda t, b, x: path_integral(t, b, x, x, nodes=1),
    "intinf": lambda t, b, x: intinf(t, [(x, x)], nodes=1),
    "restore": lambda t, b, x: restore(t, x),
}
OUTPUTS = {
    "a tuple": (lambda y: (y, None), "returns a tuple where one tensor"),
    "a list": (lambda y: [y], "returns a list where one tensor"),
    "a dict": (lambda y: {"out": y}, "returns a dict where one tensor"),
    "nothing": (lambda y: None, "returns a NoneType where one tensor"),
    "a number": (lambda y: 1.0, "returns a float where one tensor"),
    "an array": (lambda y: y.detach().numpy(), "returns a ndarray where one tensor"),
    "three dimensions": (lambda y: y[0], r"returns a tensor of shape \(3, 12, 12\) where \(N, C, H, W\)"),
    "an error": (lambda y: {}["missing"], "fails on an input of shape .* KeyError: 'missing'"),
    "an assertion": (lambda y: (_ for _ in ()).throw(AssertionError()), "fails on an input of shape .* AssertionError"),
    "another shape": (lambda y: y.reshape(2, -1, 7), "fails on an input of shape .* RuntimeError: shape"),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize(("result", "sentence"), OUTPUTS.values(), ids=OUTPUTS)
def test_networks_that_return_something_else(use, result, sentence):
    with pytest.raises(NetworkError, match=f"Returning {sentence}") as caught:
        use(*pair(returning(result)), IMAGE)
    assert "\n" not in str(caught.value)


IMAGES = {
    "an array": (IMAGE.numpy(), ImageError, "images are tensors .* not ndarray"),
    "a list": (IMAGE.tolist(), ImageError, "images are tensors .* not list"),
    "a path": ("image.png", ImageError, "images are tensors .* not str"),
    "a batch": (IMAGE.repeat(2, 1, 1, 1), ImageError, "one by one"),
    "three dimensions": (IMAGE[0], ImageError, "one by one"),
    "four channels": (torch.rand(1, 4, 12, 12), NetworkError, "expected input.* to have 3 channels, but got 4"),
    "one channel": (torch.rand(1, 1, 12, 12), NetworkError, "expected input.* to have 3 channels, but got 1"),
    "bytes": ((255 * IMAGE).byte(), ImageError, "floating-point values"),
    "integers": ((255 * IMAGE).long(), ImageError, "floating-point values"),
    "no pixels": (IMAGE[..., :0], ImageError, "floating-point values"),
}
ATTRIBUTIONS = {name: use for name, use in USES.items() if name != "restore"}


@pytest.mark.parametrize("use", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS)
@pytest.mark.parametrize(("image", "kind", "sentence"), IMAGES.values(), ids=IMAGES)
def test_images_that_are_none(use, image, kind, sentence):
    with pytest.raises(kind, match=sentence):
        use(*pair(), image)


@pytest.mark.parametrize("use", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS)
@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_surroundings_do_not_matter(use, around):
    def values(result):
        return result.contributions["conv.weight"] if hasattr(result, "contributions") else result.values

    expected = values(use(*pair(), IMAGE))
    with around():
        found = values(use(*pair(), IMAGE.clone()))
    assert torch.equal(found, expected)


def state_of(network: nn.Module) -> list[tuple]:
    return [(one.requires_grad, one.dtype, network.training) for one in network.parameters()]


STATES = {
    "as it is": lambda network: network,
    "frozen": lambda network: network.requires_grad_(False),
    "training": lambda network: network.train(),
    "channels last": lambda network: network.to(memory_format=torch.channels_last),
    "double": lambda network: network.double(),
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_states_of_a_network_that_do_not_matter(state):
    expected = faig(*pair(), [(IMAGE, IMAGE)], nodes=2)
    networks = [state(network) for network in pair()]
    before = [state_of(network) for network in networks]
    found = faig(*networks, [(IMAGE, IMAGE)], nodes=2)
    assert torch.allclose(found.values, expected.values, rtol=1e-4)
    assert before == [state_of(network) for network in networks]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    halves = [network.to(dtype) for network in pair()]
    singles = [copy.deepcopy(network).float() for network in halves]
    assert torch.equal(faig(*halves, [(IMAGE, IMAGE)]).values, faig(*singles, [(IMAGE, IMAGE)]).values)


# ---------------------------------------------------------------- weights that are none

UTILS = nn.utils


def pruned(layer: nn.Module) -> nn.Module:
    from torch.nn.utils import prune

    return prune.l1_unstructured(layer, "weight", 0.5)


def old(normalise):
    def quietly(layer: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return normalise(layer)

    return quietly


COMPUTED = {
    "weight norm": (UTILS.parametrizations.weight_norm, "remove_parametrizations"),
    "spectral norm": (UTILS.parametrizations.spectral_norm, "remove_parametrizations"),
    "orthogonal": (UTILS.parametrizations.orthogonal, "remove_parametrizations"),
    "old weight norm": (old(UTILS.weight_norm), "remove_weight_norm"),
    "old spectral norm": (old(UTILS.spectral_norm), "remove_spectral_norm"),
    "pruning": (pruned, "prune.remove"),
}
LAYERS = {
    "Conv2d": lambda: nn.Conv2d(3, 3, 3, padding=1),
    "Linear": lambda: nn.Linear(12, 12),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(3, 3, 3, padding=1),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(("normalise", "call"), COMPUTED.values(), ids=COMPUTED)
def test_computed_weights_are_refused_by_name(layer, normalise, call):
    class Normalised(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.second = normalise(layer())

        def result(self, y: Tensor) -> Tensor:
            return self.second(y)

    networks = Normalised(), Normalised()
    for use in (
        lambda: faig(*networks, [(IMAGE, IMAGE)]),
        lambda: filter_change(*networks),
        lambda: intinf(networks[0], []),
    ):
        with pytest.raises(NetworkError, match=f"the weight of second is computed from other parameters .*{call}"):
            use()


@pytest.mark.parametrize("empty", [lambda: Plain().to("meta"), lambda: nn.Sequential(nn.LazyConv2d(3, 3))])
def test_networks_without_values_are_refused(empty):
    with pytest.raises(NetworkError, match="has no values; load weights first"):
        FilterIndex.of(empty())


# ---------------------------------------------------------------- results that mean nothing


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up = nn.Conv2d(3, 8, 3, padding=1), nn.ConvTranspose2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.relu(self.conv(x)))


class Attending(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 3)

    def result(self, y: Tensor) -> Tensor:
        return y + self.mix(y.movedim(1, 3)).movedim(3, 1)


class Normed(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.slope = nn.GroupNorm(1, 3), nn.PReLU()

    def result(self, y: Tensor) -> Tensor:
        return self.slope(self.norm(y))


@pytest.mark.parametrize(("make", "named"), [(Transposed, "up.weight"), (Attending, "mix."), (Normed, "norm.")])
def test_what_the_filters_do_not_hold_is_said(make, named):
    target, baseline = pair(make)
    with pytest.warns(UserWarning, match=rf"not ranked, most in .*{named}"):
        scores = faig(target, baseline, [(IMAGE, IMAGE)], nodes=4)
    parts = path_integral(target, baseline, IMAGE, IMAGE, nodes=4).contributions
    sizes = {name: float(part.double().abs().sum()) for name, part in parts.items()}
    coverage = Coverage(
        float(scores.values.sum()), {n: size for n, size in sizes.items() if n not in scores.index.names}
    )
    assert coverage.left_out == pytest.approx(1 - sizes["conv.weight"] / sum(sizes.values()))
    assert f"{coverage.left_out:.0%}" in coverage.in_words()


def test_a_network_of_filters_is_not_warned_of():
    networks = [nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faig(*networks, [(IMAGE, IMAGE)])
    assert Coverage(1.0, {}).left_out == Coverage(0.0, {"bias": 0.0}).left_out == 0
    assert "not ranked" not in Coverage(1.0, {"bias": LEFT_OUT / 2}).in_words()


def test_others_are_appended_to_the_scores():
    path = ParameterPath(*pair(Attending))
    rule = quadrature("midpoint", 3)
    account = Account.of(path, image_scores(path, IMAGE, IMAGE, rule, with_others=True))
    assert torch.equal(account.scores, image_scores(path, IMAGE, IMAGE, rule))
    parts = path_integral(*pair(Attending), IMAGE, IMAGE, rule="midpoint", nodes=3).contributions
    expected = [float(parts[name].double().abs().sum()) for name in path.others]
    assert list(account.coverage.others.values()) == pytest.approx(expected)
    assert account.whole == pytest.approx(sum(float(part.double().sum()) for part in parts.values()))
    by_hand = [parts[name].double().sum((2, 3)).flatten() for name in path.index.weights]
    assert torch.allclose(account.signed, torch.cat(by_hand))


def test_equal_networks_and_equal_inputs_give_no_ranking():
    target, baseline = pair()
    with pytest.warns(UserWarning, match="same parameters"):
        nothing = faig(target, target, [(IMAGE, IMAGE)], nodes=1)
    scores = faig(target, baseline, [(IMAGE, IMAGE)], nodes=1)
    for empty in (nothing, scores - scores, filter_change(target, target)):
        for use in (empty.ranking, lambda empty=empty: empty.top(1)):
            with pytest.raises(FilterError, match="all filters have the same score"):
                use()
    assert issubclass(FilterError, FaiglibError)
    assert scores.ranking().tolist() != list(range(scores.index.total))
    assert faiglib.faig is faig
    assert np.isfinite(scores.values.numpy()).all()
