"""DAN against a plain functional version, the counted facts, and its gradients taken apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from torch import Tensor, nn

from faiglib.errors import NetworkError
from faiglib.images.blind_degradations import isotropic_kernels
from faiglib.networks import NETWORKS, TWO_BRANCH, build
from faiglib.networks.dan import DAN, dan_loss, kernel_code, principal_basis, random_kernel_basis


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture
def small() -> DAN:
    network = build("dan", seed=1, features=32, blocks=2, loops=3).double()
    assert isinstance(network, DAN)
    return network


@pytest.fixture
def batch(random_image) -> tuple[Tensor, Tensor, Tensor]:
    low = torch.cat([random_image(5, 6, seed) for seed in (0, 1)])
    high = torch.cat([random_image(20, 24, seed) for seed in (2, 3)])
    return low, high, isotropic_kernels(torch.tensor([0.7, 2.9], dtype=torch.float64))


def gradients(network: nn.Module, loss: Tensor) -> dict[str, Tensor | None]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))


def same(first: dict[str, Tensor | None], second: dict[str, Tensor | None]) -> bool:
    return all(torch.allclose(first[name], second[name], rtol=1e-9, atol=1e-14) for name in first)  # type: ignore


# The network once more, as functions of a state dict.


def lrelu(x: Tensor) -> Tensor:
    return torch.maximum(x, 0.2 * x)


def conv(state: dict[str, Tensor], name: str, x: Tensor, **options: int) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)


def block(state: dict[str, Tensor], name: str, basic: Tensor, condition: Tensor) -> Tensor:
    inner = conv(state, f"{name}.conv1", torch.cat([basic, condition], 1), padding=1)
    inner = conv(state, f"{name}.conv2", lrelu(inner), padding=1)
    means = inner.sum(dim=(2, 3), keepdim=True) / inner[0, 0].numel()
    scores = conv(state, f"{name}.attention.expand", lrelu(conv(state, f"{name}.attention.squeeze", means)))
    return basic + inner / (1 + torch.exp(-scores))


def shuffle(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)


def plain_restorer(state: dict[str, Tensor], x: Tensor, code: Tensor, blocks: int) -> Tensor:
    tiled = code.view(len(x), 10, 1, 1) * torch.ones_like(x[:, :1])
    features = conv(state, "restorer.conv_first", x, padding=1)
    for number in range(blocks):
        features = block(state, f"restorer.body.{number}", features, tiled)
    features = conv(state, "restorer.conv_body", features, padding=1)
    for number in (0, 1):
        features = shuffle(conv(state, f"restorer.upconvs.{number}", features, padding=1))
    return conv(state, "restorer.conv_last", features, padding=1)


def plain_estimator(state: dict[str, Tensor], restored: Tensor, x: Tensor) -> Tensor:
    features = conv(state, "estimator.conv_low", x)
    condition = conv(state, "estimator.conv_restored", restored, stride=4, padding=4)
    for number in range(5):
        features = block(state, f"estimator.body.{number}", features, condition)
    return conv(state, "estimator.conv_last", features, padding=1).mean(dim=(2, 3))


def plain_dan(
    state: dict[str, Tensor], x: Tensor, blocks: int, loops: int, detach: bool = True
) -> list[tuple[Tensor, Tensor]]:
    def stop(tensor: Tensor) -> Tensor:
        return tensor.detach() if detach else tensor

    delta = torch.zeros(21, 21, dtype=x.dtype)
    delta[10, 10] = 1
    code = (delta.flatten() @ state["basis"]).expand(len(x), 10)
    results = []
    for _ in range(loops):
        restored = plain_restorer(state, x, stop(code), blocks)
        code = plain_estimator(state, stop(restored), x)
        results.append((restored, code))
    return results


def test_parameters_are_those_of_the_paper():
    network = build("dan", seed=0)
    assert (count(network), count(network.restorer), count(network.estimator)) == (4_329_511, 4_040_915, 288_596)
    assert count(build("dan", features=32, blocks=10)) == 442_098


def test_shapes_of_the_branches():
    shapes = {name: tuple(t.shape) for name, t in build("dan", seed=0).named_parameters() if t.dim() == 4}
    assert shapes["restorer.conv_first.weight"] == (64, 3, 3, 3)
    assert shapes["restorer.body.39.conv1.weight"] == (74, 74, 3, 3)
    assert shapes["restorer.body.39.conv2.weight"] == (64, 74, 3, 3)
    assert shapes["restorer.body.39.attention.squeeze.weight"] == (4, 64, 1, 1)
    assert shapes["restorer.upconvs.1.weight"] == (256, 64, 3, 3)
    assert shapes["estimator.conv_low.weight"] == (32, 3, 1, 1)
    assert shapes["estimator.conv_restored.weight"] == (32, 3, 9, 9)
    assert shapes["estimator.body.4.conv1.weight"] == (64, 64, 3, 3)
    assert shapes["estimator.conv_last.weight"] == (10, 32, 3, 3)
    assert "restorer.body.40.conv1.weight" not in shapes
    assert "estimator.body.5.conv1.weight" not in shapes


def test_it_is_no_offer_for_attribution():
    assert "dan" in TWO_BRANCH
    assert "dan" not in NETWORKS


@torch.no_grad()
def test_every_loop_is_the_plain_functional_network(small, batch):
    results = small.unroll(batch[0])
    expected = plain_dan(dict(small.state_dict()), batch[0], blocks=2, loops=3)
    assert len(results) == 3
    for (restored, code), (plain_restored, plain_code) in zip(results, expected, strict=True):
        assert restored.shape == (2, 3, 20, 24)
        assert code.shape == (2, 10)
        assert torch.allclose(restored, plain_restored, rtol=1e-10, atol=1e-12)
        assert torch.allclose(code, plain_code, rtol=1e-10, atol=1e-12)
    assert torch.equal(small(batch[0]), results[-1][0])
    assert not torch.allclose(results[0][0], results[1][0])


def test_loops_share_their_weights(random_image):
    few, many = (build("dan", seed=1, features=32, blocks=2, loops=loops) for loops in (1, 5))
    assert isinstance(few, DAN)
    assert isinstance(many, DAN)
    assert [n for n, _ in few.named_parameters()] == [n for n, _ in many.named_parameters()]
    assert count(few) == count(many)
    image = random_image(5, 6, dtype=torch.float32)
    calls = {"restorer": 0, "estimator": 0}
    for name in calls:
        many.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    with torch.no_grad():
        assert torch.equal(few(image), many.unroll(image)[0][0])
    assert calls == {"restorer": 5, "estimator": 5}


def test_images_of_a_batch_do_not_mix(small, batch):
    with torch.no_grad():
        together = small(batch[0])
        assert torch.allclose(together[1:], small(batch[0][1:]), rtol=1e-10, atol=1e-12)


def test_each_loss_reaches_its_own_branch_only(small, batch):
    low, high, kernels = batch
    restored, code = small.unroll(low)[-1]
    by_image = gradients(small, F.l1_loss(restored, high))
    by_code = gradients(small, F.l1_loss(code, kernel_code(kernels, small.basis)))
    for name in by_image:
        right, wrong = (by_image, by_code) if name.startswith("restorer") else (by_code, by_image)
        assert wrong[name] is None, name
        assert right[name] is not None, name
        assert torch.count_nonzero(right[name]), name


def test_gradient_is_that_of_the_detached_graph_with_the_last_loop_in_the_loss(small, batch):
    low, high, kernels = batch
    measured = gradients(small, dan_loss(small, small.unroll(low)[-1], high, kernels))

    def reference(detach: bool) -> dict[str, Tensor | None]:
        state = {name: tensor.detach().clone().requires_grad_() for name, tensor in small.named_parameters()}
        restored, code = plain_dan({**state, "basis": small.basis}, low, 2, 3, detach)[-1]
        loss = (restored - high).abs().mean() + (code - kernels.flatten(1) @ small.basis).abs().mean()
        return dict(zip(state, torch.autograd.grad(loss, list(state.values())), strict=True))

    assert same(measured, reference(detach=True))
    assert not same(measured, reference(detach=False))


def test_only_the_last_loop_has_a_graph(small, batch):
    *others, last = small.unroll(batch[0])
    assert not any(tensor.requires_grad for result in others for tensor in result)
    assert all(tensor.requires_grad for tensor in last)
    with torch.no_grad():
        assert not any(tensor.requires_grad for tensor in small.unroll(batch[0])[-1])
        assert not torch.is_grad_enabled()


def test_loss_is_the_sum_of_two_mean_absolute_errors(small, batch):
    _, high, kernels = batch
    last = (high - 0.5, torch.zeros(2, 10).double())
    code = kernels.flatten(1).numpy() @ small.basis.numpy()
    assert float(dan_loss(small, last, high, kernels)) == pytest.approx(0.5 + np.abs(code).mean(), rel=1e-12)


def test_basis_is_that_of_principal_component_analysis():
    kernels = isotropic_kernels(torch.linspace(0.2, 4, 500, dtype=torch.float64)).flatten(1)
    basis = principal_basis(kernels, 6).numpy()
    reference = PCA(6, svd_solver="full").fit(kernels.numpy()).components_.T
    signs = np.sign((basis * reference).sum(0))
    assert np.allclose(basis, reference * signs, rtol=0, atol=1e-8)
    assert (basis[np.abs(basis).argmax(0), np.arange(6)] > 0).all()


def test_random_basis_is_seeded_orthonormal_and_describes_the_kernels():
    basis = random_kernel_basis()
    assert basis.shape == (441, 10)
    assert torch.allclose(basis.T @ basis, torch.eye(10, dtype=torch.float64), rtol=0, atol=1e-10)
    random_kernel_basis.cache_clear()
    assert torch.equal(random_kernel_basis(), basis)
    assert not torch.allclose(random_kernel_basis(seed=1), basis, atol=1e-6)
    kernels = isotropic_kernels(torch.tensor([0.2, 0.5, 1.3, 2.5, 3.9], dtype=torch.float64)).flatten(1)
    rebuilt = kernel_code(kernels.view(-1, 21, 21), basis) @ basis.T
    # Codes tell the kernels apart; what is lost is one and the same part of the mean kernel, as nothing is centred.
    lost = kernels - rebuilt
    assert float(lost[0].norm()) > 0.01
    assert float((lost - lost[0]).norm(dim=1).max()) < 1e-3


def test_code_is_not_centred():
    assert torch.count_nonzero(kernel_code(torch.zeros(1, 21, 21), random_kernel_basis())) == 0


def test_basis_travels_with_the_weights_and_is_not_trained():
    network = build("dan", seed=0, features=32, blocks=1)
    assert isinstance(network, DAN)
    assert "basis" in network.state_dict()
    assert "basis" not in dict(network.named_parameters())
    assert torch.equal(network.initial_code, network.basis[10 * 21 + 10])


@pytest.mark.parametrize("scale", [2, 3])
def test_other_scales(random_image, scale):
    network = build("dan", seed=0, scale=scale, features=32, blocks=1, loops=2)
    with torch.no_grad():
        assert network(random_image(5, 6, dtype=torch.float32)).shape == (1, 3, 5 * scale, 6 * scale)


def test_unknown_scale_is_refused():
    with pytest.raises(NetworkError, match="scale must be 2, 3 or 4, not 8"):
        build("dan", scale=8)
