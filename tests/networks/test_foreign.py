"""Networks told from their weights: own ones, and others by a stand-in for spandrel."""

from __future__ import annotations

import builtins
import copy
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from faiglib.attribution import faig, path_profile
from faiglib.errors import NetworkError, WeightsError
from faiglib.filters.substitution import substitute
from faiglib.networks import NETWORKS, TITLES, build
from faiglib.networks.foreign import in_unit_range, load, load_pair
from faiglib.system.tensors import save_weights


@pytest.fixture
def other(tmp_path):
    """Weights of a network that nobody here knows."""
    network = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))
    save_weights(tmp_path / "other.safetensors", network.state_dict(), {})
    return tmp_path / "other.safetensors", network


@pytest.fixture
def without(monkeypatch):
    """Let the import of a module fail."""

    def hide(name: str, missing: str) -> None:
        genuine = builtins.__import__

        def importing(wanted, *rest, **options):
            if wanted == name:
                raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
            return genuine(wanted, *rest, **options)

        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(builtins, "__import__", importing)

    return hide


class Descriptor:
    """What spandrel's loader returns for one image."""

    def __init__(self, model: nn.Module, scale: int = 2, name: str = "Sequential") -> None:
        self.model, self.scale = model, scale
        self.architecture = types.SimpleNamespace(name=name)


@pytest.fixture
def spandrel(monkeypatch):
    """A module of that name, whose loader does what it is told to."""
    module = types.ModuleType("spandrel")
    module.ImageModelDescriptor = Descriptor
    module.answer = lambda state: pytest.fail("asked for weights of this library")

    class ModelLoader:
        def __init__(self, device: str) -> None:
            assert device == "cpu"

        def load_from_state_dict(self, state: dict) -> object:
            return module.answer(state)

    module.ModelLoader = ModelLoader
    monkeypatch.setitem(sys.modules, "spandrel", module)
    return module


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_own_networks_are_told_from_their_weights(spandrel, tmp_path, name, scale):
    network = build(name, seed=1, scale=scale)
    save_weights(tmp_path / "a.safetensors", network.state_dict(), {})
    found = load(tmp_path / "a.safetensors")
    assert (found.title, found.scale, found.network.training) == (TITLES[name], scale, False)
    image = torch.rand(1, 3, 6, 6)
    with torch.no_grad():
        assert torch.equal(found.network(image), network(image))
    with pytest.raises(NetworkError, match=rf"is of {TITLES[name]} ×{scale}, not of a network of scale 5"):
        load(tmp_path / "a.safetensors", scale=5)


def test_a_name_decides_and_means_scale_two(tmp_path):
    save_weights(tmp_path / "a.safetensors", build("srresnet_s", scale=3).state_dict(), {})
    with pytest.raises(WeightsError, match="they look like weights of srresnet_s at scale 3"):
        load(tmp_path / "a.safetensors", "srresnet_s")
    assert load(tmp_path / "a.safetensors", "srresnet_s", 3).scale == 3


def test_others_are_told_by_spandrel(spandrel, other):
    path, network = other
    asked = []

    def answer(state):
        asked.append(set(state))
        return Descriptor(network.half().train())

    spandrel.answer = answer
    found = load(path)
    assert asked == [{"0.weight", "0.bias"}]
    assert found.in_words == "Sequential ×2"
    assert not found.network.training
    assert {parameter.dtype for parameter in found.network.parameters()} == {torch.float32}


def test_without_spandrel_a_sentence_says_how_to_get_it(without, other):
    without("spandrel", "spandrel")
    with pytest.raises(WeightsError, match=r"are of no network that faiglib has; .* pip install 'faiglib\[spandrel\]'"):
        load(other[0])


def test_what_spandrel_lacks_is_named(without, other):
    without("spandrel", "torchvision.ops")
    with pytest.raises(WeightsError, match="cannot be imported without torchvision"):
        load(other[0])


@pytest.mark.parametrize("error", [RuntimeError("Unsupported model\nor so"), KeyError("body.0"), AssertionError()])
def test_what_spandrel_does_not_know_is_one_sentence(spandrel, other, error):
    def answer(state):
        raise error

    spandrel.answer = answer
    with pytest.raises(WeightsError, match=r"spandrel cannot tell what they are of: .+") as info:
        load(other[0])
    assert "\n" not in str(info.value)


def test_what_takes_a_mask_as_well_is_refused(spandrel, other):
    spandrel.answer = lambda state: types.SimpleNamespace(architecture=types.SimpleNamespace(name="LaMa"))
    with pytest.raises(WeightsError, match="spandrel calls them LaMa, which does not restore one image"):
        load(other[0])


def test_a_pair_is_of_one_architecture_and_scale(spandrel, other, tmp_path):
    for name, scale in (("srresnet_s", 2), ("srresnet_s", 3)):
        save_weights(tmp_path / f"{scale}.safetensors", build(name, seed=scale, scale=scale).state_dict(), {})
    target, baseline, scale = load_pair(tmp_path / "2.safetensors", tmp_path / "2.safetensors")
    assert scale == 2
    assert target is not baseline
    with pytest.raises(NetworkError, match=r"is of SRResNet-S ×2, the baseline .*3\.safetensors of SRResNet-S ×3"):
        load_pair(tmp_path / "2.safetensors", tmp_path / "3.safetensors")
    spandrel.answer = lambda state: Descriptor(other[1])
    with pytest.raises(NetworkError, match=r"is of Sequential ×2, the baseline .* of SRResNet-S ×2"):
        load_pair(other[0], tmp_path / "2.safetensors")


@pytest.mark.filterwarnings("ignore:the filters of the convolutions")
def test_a_network_of_another_range_is_put_into_the_unit_range(random_image):
    def edsr_like() -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 3, padding=1)).double()
        with torch.no_grad():
            network[2].bias += 100.0
        return network

    plain, ranged = edsr_like(), in_unit_range(edsr_like(), 255.0)
    image = random_image(6, 7)
    assert torch.allclose(ranged(image), plain(255 * image) / 255, rtol=1e-12)
    assert dict(ranged.named_parameters()).keys() == dict(plain.named_parameters()).keys()
    assert torch.allclose(copy.deepcopy(ranged)(image), ranged(image))
    assert torch.equal(in_unit_range(plain, 1.0)(image), plain(image))
    truth = random_image(6, 7, seed=1)
    with torch.no_grad():
        for parameter in (moved := edsr_like()).parameters():
            parameter.mul_(1.1)
    found = faig(ranged, in_unit_range(moved, 255.0), [(image, truth)], nodes=3)
    by_hand = faig(
        edsr_like(),
        moved_back(moved),
        [(255 * image, 255 * truth)],
        nodes=3,
        loss=lambda a, b: ((a - b) / 255).square().sum(),
    )
    assert torch.allclose(found.values, by_hand.values, rtol=1e-9)


def moved_back(network: nn.Module) -> nn.Module:
    """A copy without hooks."""
    plain = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 3, padding=1)).double()
    plain.load_state_dict(network.state_dict())
    return plain


class Compact(nn.Module):
    """A network of the shape of RealESRGAN's realesr-general-x4v3: convolutions, PReLU, one pixel shuffle."""

    def __init__(self, features: int = 64, convolutions: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)]
        for _ in range(convolutions):
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
        self.body = nn.ModuleList([*layers, nn.Conv2d(features, 48, 3, padding=1)])

    def forward(self, x):
        out = x
        for layer in self.body:
            out = layer(out)
        return F.pixel_shuffle(out, 4) + F.interpolate(x, scale_factor=4.0, mode="nearest")


class Dense(nn.Module):
    """A network of the shape of ESRGAN's, with one dense block in place of 69."""

    def __init__(self, features: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(3, features, 3, padding=1)
        widths = [features + number * growth for number in range(5)]
        sizes = [*[growth] * 4, features]
        self.body = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, sizes, strict=True)])
        self.conv_up = nn.ModuleList([nn.Conv2d(features, features, 3, padding=1) for _ in range(2)])
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)

    def forward(self, x):
        features = self.conv_first(x)
        seen = features
        for conv in self.body[:-1]:
            seen = torch.cat([seen, F.leaky_relu(conv(seen), 0.2)], 1)
        features = features + 0.2 * self.body[-1](seen)
        for conv in self.conv_up:
            features = F.leaky_relu(conv(F.interpolate(features, scale_factor=2.0, mode="nearest")), 0.2)
        return self.conv_last(features)


@pytest.mark.parametrize("make", [Compact, Dense])
@pytest.mark.filterwarnings("ignore:the filters of the convolutions")
def test_public_pairs_of_other_architectures_are_analysed_like_our_own(spandrel, tmp_path, make):
    """RealESRGAN's twins and ESRGAN's PSNR and GAN weights come as pickles with the parameters below ``params``."""
    torch.manual_seed(0)
    ends = [make().eval() for _ in range(2)]
    for name, network in zip(("target", "baseline"), ends, strict=True):
        torch.save({"params": network.state_dict()}, tmp_path / f"{name}.pth")

    def answer(state):
        network = make()
        network.load_state_dict(state)
        return Descriptor(network, 4, make.__name__)

    spandrel.answer = answer
    target, baseline, scale = load_pair(tmp_path / "target.pth", tmp_path / "baseline.pth")
    assert scale == 4
    low, truth = torch.rand(1, 3, 6, 6), torch.rand(1, 3, 24, 24)
    profile = path_profile(target, baseline, [(low, truth)], points=3)
    with torch.no_grad():
        expected = [float(-10 * torch.log10((network(low) - truth).square().mean())) for network in ends]
    assert [profile.psnr[0], profile.psnr[-1]] == pytest.approx(expected, abs=1e-4)
    scores = faig(target, baseline, [(low, truth)], nodes=2)
    kernels = [one for one in ends[0].state_dict().values() if one.dim() == 4]
    assert len(scores.values) == sum(one.shape[0] * one.shape[1] for one in kernels)
    best = scores.top(1)
    masked = substitute(target, baseline, best).state_dict()
    moved = sum(
        int((masked[name] != one).flatten(2).any(-1).sum())
        for name, one in target.state_dict().items()
        if one.dim() == 4
    )
    assert moved == len(best)
