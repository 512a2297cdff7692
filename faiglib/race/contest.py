"""The race of supp. Table 2: two-branch networks against one-branch networks, equally trained, in one command.

Every network is trained with every seed; within a seed all see the same crops, kernels and noise. The run can be
interrupted at any time and goes on where it stopped. What it finds is written into a folder as it comes:

- ``psnr.csv``: dB by entrant, seed, image and width of the blur, on RGB and Y;
- ``curves.csv``: the logs of all training runs;
- ``race.json``: budget, data, and what machine made it;
- ``weights/``: the networks of the first seed in half precision. All networks are measured with weights so rounded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from faiglib.images import datasets
from faiglib.images.blind_degradations import DASR_SIGMA, GAUSSIAN8, SCALE, degrade
from faiglib.images.datasets import ImageSet
from faiglib.images.metrics import psnr, psnr_y
from faiglib.images.restoration import restore_all
from faiglib.networks import build
from faiglib.networks.weights import fit
from faiglib.race.presets import Entrant, Preset
from faiglib.race.record import Row, read_csv
from faiglib.system import provenance
from faiglib.system.files import sha256_file, write_rows_atomic, write_text_atomic
from faiglib.system.tensors import State, halved, save_weights
from faiglib.training.patches import large_enough
from faiglib.training.trainer import TrainingResult, train

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Pixels left out on every side when networks are judged, in the paper and here.
BORDER = 4
#: Widths of the test blur in HR pixels: that of DASR, then those of DAN.
WIDTHS = (DASR_SIGMA, *GAUSSIAN8)
#: Width of the blur in the images that training curves are measured on.
CURVE_WIDTH = 2.4
#: Points of a training curve.
POINTS = 20


@dataclass(frozen=True)
class TestImages:
    """Test images in every width of the blur.

    Attributes:
        names: of the images.
        ground_truth: each (1, 3, H, W) in [0, 1].
        low: by width, each (1, 3, H/4, W/4), 8-bit values.
        digest: of the files and of what was taken of them.
    """

    __test__ = False  # no test class, whatever its name

    names: tuple[str, ...]
    ground_truth: tuple[Tensor, ...]
    low: Mapping[float, tuple[Tensor, ...]]
    digest: str

    @classmethod
    def of(cls, image_set: ImageSet, limit: int | None, crop: int | None) -> TestImages:
        """Degrade (at most ``limit``) images of a set (their central ``crop``) by every width of :data:`WIDTHS`."""
        loaded = list(image_set.load(limit, crop))
        truths = tuple(image for _, image in loaded)
        low = {width: tuple(degrade(image, width) for image in truths) for width in WIDTHS}
        digest = hashlib.sha256(json.dumps([image_set.digest, limit, crop, WIDTHS, BORDER]).encode()).hexdigest()
        return cls(tuple(name for name, _ in loaded), truths, low, digest)


@torch.no_grad()
def measure(network: nn.Module, images: TestImages, device: torch.device) -> list[Row]:
    """PSNR of a network, 8-bit outputs, 4-pixel border: a row per ``image`` and ``width``, dB on ``rgb`` and ``y``."""
    network = network.to(device).eval()
    rows = []
    for width, low in images.low.items():
        outputs = restore_all(network, [image.to(device) for image in low])
        for name, output, truth in zip(images.names, outputs, images.ground_truth, strict=True):
            values = {"rgb": psnr(output.cpu(), truth, BORDER), "y": psnr_y(output.cpu(), truth, BORDER)}
            rows.append({"image": name, "width": width} | {key: round(float(one), 4) for key, one in values.items()})
    return rows


def rounded(state: Mapping[str, Tensor]) -> State:
    """Weights in half precision; vectors, such as biases and the statistics of batch normalisation, as they are."""
    return halved(state, least_dimensions=2)


def restored_network(entrant: Entrant, state: Mapping[str, Tensor]) -> nn.Module:
    """The entrant with weights of :func:`rounded` or of a file."""
    return fit(
        build(entrant.network, scale=SCALE, **entrant.options),
        {name: tensor.float() for name, tensor in state.items()},
        f"the weights of {entrant.title}",
    )


def train_entrant(
    preset: Preset, entrant: Entrant, seed: int, images: Sequence[Tensor], folder: Path, fabric: Fabric, progress: bool
) -> dict[str, TrainingResult]:
    """Train one network with one seed, or go on with it; the results by phase, ``restoration`` last."""
    low, truth = _curve_images()
    options: dict[str, Any] = {"fabric": fabric, "progress": progress}

    def phase(role: str, **more: Any) -> TrainingResult:
        recipe = preset.recipe(entrant, seed, role)
        every = max(1, recipe.iterations // POINTS)
        return train(recipe, images, run_dir=folder / role, log_every=every, **options, **more)

    results = {}
    initial = None
    if entrant.network == "dasr":
        results["encoder"] = phase("encoder")
        initial = results["encoder"].state
    results["restoration"] = phase("restoration", initial=initial, validation={"blurry": (low, truth)})
    return results


def _curve_images() -> tuple[Tensor, Tensor]:
    truth = torch.cat([image for _, image in datasets.find("skimage").load(crop=96)])
    return degrade(truth, CURVE_WIDTH), truth


def run(
    preset: Preset,
    training_set: ImageSet,
    test_set: ImageSet,
    out: Path,
    record: Path,
    fabric: Fabric,
    *,
    progress: bool = True,
) -> None:
    """Run the race, or go on with it, and keep the record up to date.

    Args:
        preset: the budget.
        training_set: ground-truth images of the training.
        test_set: images that the networks are judged on.
        out: folder of the training runs, one race a folder.
        record: folder of the results.
        fabric: launched; one process of the preset's precision.
        progress: show progress bars.

    Raises:
        TrainingError: ``out`` holds another race, or see :func:`faiglib.training.trainer.train`.
    """
    images = list(large_enough(training_set, preset.patch, preset.training_images))
    tests = TestImages.of(test_set, preset.images, preset.crop)
    measured: list[Row] = []
    curves: list[Row] = []
    seconds: dict[str, float] = {}
    for seed in preset.seeds:
        for entrant in preset.entrants:
            folder = out / f"{entrant.key}-seed{seed}"
            label = {"entrant": entrant.key, "seed": seed}
            results = train_entrant(preset, entrant, seed, images, folder, fabric, progress)
            state = rounded(results["restoration"].state)
            measured += [{**label, **row} for row in _measured_once(entrant, state, tests, folder, fabric.device)]
            for phase, result in results.items():
                curves += [{**label, "phase": phase, **row} for row in result.log]
                seconds[f"{entrant.key}-seed{seed}-{phase}"] = round(result.seconds, 1)
            if seed == preset.seeds[0]:
                save_weights(record / "weights" / f"{entrant.key}.safetensors", state)
            write_rows_atomic(record / "psnr.csv", measured)
            write_rows_atomic(record / "curves.csv", curves)
            description = {
                "preset": asdict(preset),
                "complete": len(seconds) == len(preset.seeds) * (len(preset.entrants) + 1),
                "training_set": [training_set.name, training_set.digest, len(images)],
                "test_set": [test_set.name, test_set.digest, len(tests.names)],
                "seconds": seconds,
                "made_on": provenance.collect(fabric.device),
            }
            write_text_atomic(record / "race.json", json.dumps(description, indent=1) + "\n")


def _measured_once(entrant: Entrant, state: State, tests: TestImages, folder: Path, device: torch.device) -> list[Row]:
    """Rows of :func:`measure`, read if these weights were measured on these images before."""
    weights = sha256_file(folder / "restoration" / "weights.safetensors")
    path = folder / f"psnr-{hashlib.sha256((weights + tests.digest).encode()).hexdigest()[:16]}.csv"
    if not path.exists():
        write_rows_atomic(path, measure(restored_network(entrant, state), tests, device))
    return read_csv(path)
