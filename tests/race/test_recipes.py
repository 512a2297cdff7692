"""Training of DAN, DASR and SRResNet at ×4: hand-written loops, equal inputs, and bits that survive interruptions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric

from faiglib.errors import TrainingError
from faiglib.images.blind_degradations import RandomDegradation
from faiglib.networks import build, seeded
from faiglib.networks.dan import DAN, kernel_code
from faiglib.networks.dasr import DASR
from faiglib.networks.weights import fit
from faiglib.race.contrast import DASRTraining
from faiglib.race.recipes import BlindRecipe, ContrastAlone
from faiglib.system.tensors import load_weights, read_metadata
from faiglib.training import trainer
from faiglib.training.patches import PatchSource
from faiglib.training.recipe import learning_rate
from faiglib.training.trainer import train

DAN_OPTIONS = {"features": 32, "blocks": 1, "loops": 2}
DASR_OPTIONS = {"features": 8, "groups": 1, "blocks": 1}
SR_OPTIONS = {"features": 8, "blocks": 1}
COMMON = {"iterations": 6, "batch": 2, "patch": 16, "peak_lr": 1e-3}
RECIPES = {
    "dan": BlindRecipe("dan", "restoration", options=DAN_OPTIONS, **COMMON),
    "encoder": BlindRecipe("dasr", "encoder", options=DASR_OPTIONS, queue=7, momentum=0.9, **COMMON),
    "dasr": BlindRecipe("dasr", "restoration", options=DASR_OPTIONS, queue=7, momentum=0.9, **COMMON),
    "srresnet": BlindRecipe("srresnet", "restoration", options=SR_OPTIONS, **COMMON),
}


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(256, (1, 3, *size), generator=generator) / 255 for size in ((24, 30), (20, 21))]


def run(recipe, images, **options):
    return train(recipe, images, **{"progress": False, "log_every": 3, **options})


def samples(recipe, images, step):
    """The crops of a step, drawn as every network's are."""
    generator = torch.Generator().manual_seed(step)  # of seed 0
    source = PatchSource.from_images(images, recipe.patch)
    numbers = source.choose(recipe.batch, generator)
    first = RandomDegradation(noise_limit=recipe.noise_limit)(source.crop(numbers, generator), generator)
    return source, numbers, first, generator


def by_hand(network, parameters, recipe, loss_of):
    """Adam and a moving average of the given parameters; the rest of the network's state as it ends."""
    optimizer = torch.optim.Adam(parameters, betas=(0.9, 0.99), foreach=False)
    average = [parameter.detach().clone() for parameter in parameters]
    losses = []
    for step in range(recipe.iterations):
        loss, after = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = learning_rate(recipe, step)
        optimizer.step()
        after()
        decay = min(recipe.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            average = [decay * a + (1 - decay) * p for a, p in zip(average, parameters, strict=True)]
        losses.append(loss.item())
    means = {id(parameter): mean for parameter, mean in zip(parameters, average, strict=True)}
    state = {name: means.get(id(t), t).detach() for name, t in network.state_dict(keep_vars=True).items()}
    return state, losses


def assert_equal_training(recipe, images, network, parameters, loss_of):
    expected, losses = by_hand(network, parameters, recipe, loss_of)
    result = run(recipe, images, log_every=1)
    assert [row["loss"] for row in result.log] == pytest.approx(losses, rel=1e-4)
    assert list(result.state) == list(expected)
    for name, tensor in expected.items():
        assert torch.allclose(result.state[name].double(), tensor.double(), rtol=1e-3, atol=2e-4), name


def test_dan_trains_image_and_code_of_the_last_loop(images):
    recipe = RECIPES["dan"]
    network = cast("DAN", build("dan", seed=0, **DAN_OPTIONS)).train()

    def loss_of(step):
        _, _, first, _ = samples(recipe, images, step)
        code = network.initial_code.expand(recipe.batch, -1)
        for _ in range(2):
            restored = network.restorer(first.low, code.detach())
            code = network.estimator(restored.detach(), first.low)
        target = kernel_code(first.kernels, network.basis)
        return (restored - first.ground_truth).abs().mean() + (code - target).abs().mean(), lambda: None

    assert_equal_training(recipe, images, network, list(network.parameters()), loss_of)


@pytest.mark.parametrize("role", ["encoder", "dasr"])
def test_dasr_trains_as_moco_written_out(images, role):
    """Query, key, cross-entropy over key and queue; then the queue, then the key encoder."""
    recipe = replace(RECIPES[role], peak_lr=1e-4)  # rounding grows with every step
    network = cast("DASR", build("dasr", seed=0, **DASR_OPTIONS)).train()
    with seeded(0):
        model = DASRTraining(network, 7, 0.9).train()
    contrast = model.momentum_contrast
    trained = [
        parameter
        for name, parameter in model.named_parameters()
        if "key_" not in name and "_mean" not in name and not (role == "encoder" and "generator" in name)
    ]
    fifo = list(contrast.queue)

    def loss_of(step):
        source, numbers, query, generator = samples(recipe, images, step)
        degradation = RandomDegradation(noise_limit=recipe.noise_limit)
        key = degradation.again(query, source.crop(numbers, generator), generator)
        representation = network.represent(query.low)
        queries = F.normalize(contrast.head(representation), dim=1)
        with torch.no_grad():
            keys = F.normalize(contrast.key_head(contrast.key_encoder(255 * key.low)), dim=1)
        logits = torch.cat(((queries * keys).sum(1, keepdim=True), queries @ torch.stack(fifo).T), 1) / 0.07
        loss = -F.log_softmax(logits, dim=1)[:, 0].mean()
        if role == "dasr":
            restored = network.restore(query.low, representation)
            loss = (restored - query.ground_truth).abs().mean() + loss / 255

        def after():
            fifo[:] = [*fifo[len(keys) :], *keys]
            with torch.no_grad():
                pairs = ((contrast.key_encoder, network.encoder), (contrast.key_head, contrast.head))
                for slow, fast in pairs:
                    for k, q in zip(slow.parameters(), fast.parameters(), strict=True):
                        k.copy_(0.9 * k + 0.1 * q)

        return loss, after

    result_of = model if role == "encoder" else network
    expected, losses = by_hand(result_of, trained, recipe, loss_of)
    result = run(recipe, images, log_every=1)
    assert [row["loss"] for row in result.log] == pytest.approx(losses, rel=1e-3)
    assert set(result.state) == set(expected)
    apart: list[torch.Tensor] = []
    close: list[torch.Tensor] = []
    names: list[str] = []
    for name, tensor in expected.items():
        before_normalisation = name.endswith(".bias") and "layers" in name and int(name.split(".")[-2]) % 3 == 0
        if name.endswith(("queue", "position")) or before_normalisation:  # such a bias has no gradient but rounding
            continue
        apart.append((result.state[name].double() - tensor.double()).abs().flatten())
        close.append(torch.isclose(result.state[name].double(), tensor.double(), rtol=1e-3, atol=2e-4).flatten())
        names.append(name)
    # Adam makes steps of full size out of gradients however small, so where a gradient is rounding alone, two ways to
    # compute it may go apart by twice all learning rates; statistics follow. That is the case of a few numbers.
    most = 2.5 * sum(learning_rate(recipe, step) for step in range(recipe.iterations))
    for name, one in zip(names, apart, strict=True):
        assert name.endswith(("running_mean", "running_var")) or float(one.max()) <= most, name
    assert float(torch.cat(close).double().mean()) > 0.99
    if role == "encoder":
        position = int(result.state["momentum_contrast.position"])
        assert position == 6 * 2 % 7
        turned = result.state["momentum_contrast.queue"].roll(-position, 0)
        assert torch.allclose(turned, torch.stack(fifo), atol=1e-3)


def test_srresnet_trains_on_the_same_inputs_with_l1(images):
    recipe = RECIPES["srresnet"]
    network = build("srresnet", seed=0, scale=4, **SR_OPTIONS).train()

    def loss_of(step):
        _, _, first, _ = samples(recipe, images, step)
        return (network(first.low) - first.ground_truth).abs().mean(), lambda: None

    assert_equal_training(recipe, images, network, list(network.parameters()), loss_of)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_all_networks_of_a_seed_see_the_same_inputs(images, noise):
    source = PatchSource.from_images(images, 16)
    seen = {}
    for name, recipe in RECIPES.items():
        objective = replace(recipe, noise_limit=noise).objective()
        seen[name] = objective.draw(source, 4, torch.Generator().manual_seed(9))
    low, truth = seen["srresnet"]
    for name in ("dan", "encoder", "dasr"):
        own = seen[name][0] if name == "dan" else seen[name][0][:, 0]
        assert torch.equal(own, low)
        assert torch.equal(seen[name][1], truth)
    assert not torch.equal(seen["dasr"][0][:, 1], low), "the key is another patch"


def test_second_phase_starts_from_the_first(images):
    first = run(RECIPES["encoder"], images)
    joint = RECIPES["dasr"]
    initial = {name: tensor.float() for name, tensor in first.state.items()}  # as weight files are read
    model = joint.objective().model
    fit(model, initial, "the first phase")
    assert int(model.momentum_contrast.position) == 5
    fresh = joint.objective().model.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor.double(), first.state[name].double())
        if name.startswith("network.generator."):
            assert torch.equal(tensor, fresh[name]), "the generator rests in the first phase"
    assert set(run(joint, images, initial=initial).state) == set(build("dasr", **DASR_OPTIONS).state_dict())


class Stop:
    """Raises KeyboardInterrupt the first time that the learning rate of a step is asked for."""

    def __init__(self, monkeypatch, step):
        self.step, self.done = step, False
        monkeypatch.setattr(trainer, "learning_rate", self)

    def __call__(self, recipe, step):
        if step == self.step and not self.done:
            self.done = True
            raise KeyboardInterrupt
        return learning_rate(recipe, step)


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_an_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(tmp_path, monkeypatch, images, name, precision):
    def fabric() -> Fabric:
        return Fabric(accelerator="cpu", devices=1, precision=precision)

    validation = {} if name == "encoder" else {"any": (torch.rand(2, 3, 4, 4), torch.rand(2, 3, 16, 16))}
    expected = run(RECIPES[name], images, fabric=fabric(), validation=validation)
    for step in (1, 4):
        with monkeypatch.context() as patch:
            Stop(patch, step)
            with pytest.raises(KeyboardInterrupt):
                run(RECIPES[name], images, fabric=fabric(), validation=validation, run_dir=tmp_path)
        assert read_metadata(tmp_path / "state.safetensors")["step"] == str(step)
    resumed = run(RECIPES[name], images, fabric=fabric(), validation=validation, run_dir=tmp_path)
    assert list(resumed.state) == list(expected.state)
    for key, tensor in expected.state.items():
        assert torch.equal(resumed.state[key], tensor), key
    assert [row["step"] for row in resumed.log] == [3, 6]
    assert [row.get("psnr_any") for row in resumed.log] == [row.get("psnr_any") for row in expected.log]
    written = load_weights(tmp_path / "weights.safetensors")
    assert all(torch.equal(written[key], tensor.float()) for key, tensor in expected.state.items())


def test_validation_uses_the_statistics_of_training_and_leaves_them(images):
    recipe = RECIPES["dasr"]
    low, truth = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 16, 16)
    with_it = run(recipe, images, validation={"any": (low, truth)})
    without = run(recipe, images)
    assert all(torch.equal(with_it.state[name], tensor) for name, tensor in without.state.items())
    network = build("dasr", **DASR_OPTIONS)
    network.load_state_dict(with_it.state)
    with torch.no_grad():
        restored = (network(low).clamp(0, 1) * 255).round() / 255
    error = (restored - truth)[..., 2:-2, 2:-2].square().mean(dim=(1, 2, 3))
    assert with_it.log[-1]["psnr_any"] == pytest.approx(float((-10 * torch.log10(error)).mean()), abs=1e-3)


def test_key_encoder_gets_no_gradient_and_no_average_in_the_trainer(images):
    fixed = replace(RECIPES["encoder"], momentum=1.0)
    start = fixed.objective().model.state_dict()
    state = run(fixed, images).state
    for name, tensor in state.items():
        key = "key_" in name and not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        if key or "generator" in name:
            assert torch.equal(tensor, start[name]), name
        elif name.startswith(("network.encoder.", "momentum_contrast.head.")) and name.endswith("weight"):
            assert not torch.equal(tensor, start[name]), name


def test_the_encoder_learns_to_tell_strengths_of_noise_apart():
    """The queue, noise at first, holds keys of real images only from step 4 on; guessing then costs log 33."""
    recipe = replace(RECIPES["encoder"], iterations=100, batch=8, queue=32, patch=32, peak_lr=3e-3, noise_limit=0.5)
    log = run(recipe, [torch.full((1, 3, 40, 40), 0.5)], log_every=50).log
    assert log[-1]["loss"] < 0.85 * math.log(33)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"role": "target"}, "unknown role 'target'; known: restoration, encoder"),
        ({"network": "dan", "role": "encoder"}, "dan has no encoder that is trained alone; dasr has"),
        ({"network": "dasr", "queue": 1}, "a queue of 1 keys does not hold a batch of 2"),
        ({"patch": 18}, "patch of 18 pixels does not divide by the scale 4"),
    ],
)
def test_impossible_recipes_are_refused(change, reason):
    with pytest.raises(TrainingError, match=reason):
        replace(RECIPES["srresnet"], **change)


def test_contrast_is_trained_in_one_process(images):
    class Two:
        world_size = 2

    assert ContrastAlone.one_process
    with pytest.raises(TrainingError, match="dasr keeps state besides its weights, which 2 processes would not share"):
        run(RECIPES["encoder"], images, fabric=Two())
