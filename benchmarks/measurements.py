"""The measurements. Each returns what the JSON keeps: numbers, and lists of rows."""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import fidelity, per_image, published
from benchmarks.common import exponent, flops, gradient_pass, in_new_process, main_pair, samples, seconds
from benchmarks.sizes import Size
from faiglib.attribution import faig, random_scores
from faiglib.attribution.parameter_path import ParameterPath, integrate
from faiglib.attribution.quadrature import quadrature
from faiglib.companion.beyond import integration
from faiglib.companion.discovery import KINDS
from faiglib.companion.masked import Mask, measure
from faiglib.companion.workbench import open_workbench
from faiglib.filters.index import FilterIndex
from faiglib.images import datasets
from faiglib.networks import build
from faiglib.system.passes import activation_bytes
from faiglib.training.fabric import fabric_on
from faiglib.training.recipe import Recipe
from faiglib.training.trainer import train

Row = dict[str, Any]


def gradients_of(path: ParameterPath, inputs: Tensor, ground_truth: Tensor) -> list[Tensor]:
    """One gradient of faiglib's, as :func:`faiglib.attribution.parameter_path` takes it."""
    return integrate(path, inputs, ground_truth, quadrature("midpoint", 1), wanted=path.weights)


def convergence(size: Size) -> Row:
    """Every rule with 1 to 200 nodes against a reference of many nodes, on one image, for both networks."""
    bench = open_workbench("quick", "cpu")
    profile = dataclasses.replace(
        bench.profile,
        image_sets=("skimage",),
        convergence_images=1,
        convergence_crop=size.crop,
        most_nodes=size.most_nodes,
        reference_nodes=size.convergence_reference,
    )
    table = integration.convergence(dataclasses.replace(bench, profile=profile))
    return {
        "crop": size.crop,
        "reference_nodes": size.convergence_reference,
        "most_nodes": size.most_nodes,
        "rows": table.to_dict("records"),
    }


def memory(size: Size) -> Row:
    """What the gradients of a large image add to the memory of a fresh process, with and without a limit."""
    side = size.memory_crop // 2
    limit = activation_bytes(build("srresnet"), (1, 3, side, side)) * 3 // 4
    rows = [
        {"name": name, "mib": int(in_new_process("benchmarks.memory", which, size.memory_crop, bound)) / 2**20}
        for name, which, bound in (
            ("published", "published", 0),
            ("faiglib", "faiglib", 0),
            ("faiglib, memory_limit", "faiglib", limit),
        )
    ]
    return {"network": "srresnet", "crop": size.memory_crop, "limit_mib": limit / 2**20, "rows": rows}


def peak(size: Size) -> Row:
    """The best that this machine does on the convolutions of the networks here, in GFLOP/s by precision."""
    rows = []
    for dtype, precision in ((torch.float32, "32-true"), (torch.bfloat16, "bf16-mixed")):
        for channels, outputs, side, batch in ((64, 64, 24, 8), (64, 64, 48, 1), (64, 64, 96, 1), (128, 128, 48, 1)):
            for layout in (torch.contiguous_format, torch.channels_last):
                image = torch.rand(batch, channels, side, side).to(dtype).contiguous(memory_format=layout)
                weight = torch.rand(outputs, channels, 3, 3).to(dtype).contiguous(memory_format=layout)

                def work(image: Tensor = image, weight: Tensor = weight) -> object:
                    return F.conv2d(image, weight, padding=1)

                rate = flops(work) / seconds(work, 5 + 15 * size.repeats) / 1e9
                rows.append(
                    {
                        "precision": precision,
                        "shape": f"{batch}x{channels}x{side}x{side} to {outputs}",
                        "layout": "channels last" if layout is torch.channels_last else "channels first",
                        "gflops": rate,
                    }
                )
    best = {
        precision: max(row["gflops"] for row in rows if row["precision"] == precision)
        for precision in ("32-true", "bf16-mixed")
    }
    return {"rows": rows, "best": best}


def throughput(size: Size) -> Row:
    """Achieved GFLOP/s of attribution by image size, and of training, as a share of the peak of the same run."""
    best = peak(size)
    pair = main_pair()
    rows = []
    for precision in ("32-true", "bf16-mixed"):
        path = ParameterPath(pair.target, pair.baseline, precision=precision)
        for crop in size.crops:
            (scene,) = samples(1, crop)

            def work(scene: Any = scene, path: ParameterPath = path) -> object:
                return gradients_of(path, scene.inputs["noisy"], scene.ground_truth)

            rate = flops(work) / seconds(work, 2 * size.repeats) / 1e9
            rows.append({"work": "attribution", "size": f"1x{crop}x{crop}", "precision": precision, "gflops": rate})
    recipe = Recipe("srresnet", "target", iterations=size.iterations, batch=8, patch=48)
    truth = torch.rand(recipe.batch, 3, recipe.patch, recipe.patch)
    low = F.avg_pool2d(truth, 2)
    one_step = flops(gradient_pass(build("srresnet", seed=0), low, truth))
    for precision in ("32-true", "bf16-mixed"):
        rate = one_step / train_seconds(recipe, precision) / 1e9
        shape = f"{recipe.batch}x{recipe.patch}x{recipe.patch}"
        rows.append({"work": "training", "size": shape, "precision": precision, "gflops": rate})
    for row in rows:
        row["share"] = row["gflops"] / best["best"][row["precision"]]
    return {"peak": best, "rows": rows}


def whole_images() -> list[Tensor]:
    """Whole photographs of scikit-image, about as large as those that networks are trained on."""
    return [image for _, image in datasets.find("skimage").load()]


def train_seconds(recipe: Recipe, precision: str) -> float:
    """Wall time of one step of faiglib's trainer, with all that surrounds the network."""
    images = whole_images()

    def run(count: int) -> None:
        shorter = Recipe(recipe.network, recipe.role, iterations=count, batch=recipe.batch, patch=recipe.patch)
        train(shorter, images, progress=False, fabric=fabric_on(torch.device("cpu"), precision=precision))

    run(2)
    fewer = max(1, recipe.iterations // 4)
    times = [seconds(lambda count=count: run(count), warm_up=False) for count in (fewer, fewer + recipe.iterations)]
    return (times[1] - times[0]) / recipe.iterations


def training(size: Size) -> Row:
    """Steps per second of a plain training loop and of faiglib's trainer, same network, batch, patch and images.

    The start of either side (reading, worker processes) is left out: times of two lengths are subtracted.
    """
    recipe = Recipe("srresnet", "target", iterations=size.iterations, batch=8, patch=48)
    images = whole_images()
    workers = min(6, os.cpu_count() or 1)

    def plain(count: int) -> None:
        network = build("srresnet", seed=0).train()
        published.train(network, images, recipe.patch, recipe.batch, count, workers)

    plain(2)
    fewer = max(1, size.iterations // 4)
    times = [seconds(lambda count=count: plain(count), warm_up=False) for count in (fewer, fewer + size.iterations)]
    steps = {
        "plain loop, 32-true": (times[1] - times[0]) / size.iterations,
        "faiglib, 32-true": train_seconds(recipe, "32-true"),
        "faiglib, bf16-mixed": train_seconds(recipe, "bf16-mixed"),
    }
    first = steps["plain loop, 32-true"]
    return {
        "network": recipe.network,
        "batch": recipe.batch,
        "patch": recipe.patch,
        "workers": workers,
        "image_sizes": sorted({f"{image.shape[-1]}x{image.shape[-2]}" for image in images}),
        "rows": [{"name": name, "it_per_s": 1 / value, "ratio": first / value} for name, value in steps.items()],
    }


def scaling(size: Size) -> Row:
    """Time of one ranking against image area, images, nodes and filters, with the exponents of power laws."""
    pair = main_pair()
    rows: list[Row] = []

    def add(what: str, amount: float, work: Any) -> None:
        rows.append({"what": what, "amount": amount, "seconds": seconds(work, size.repeats)})

    def ranking(networks: Any, scenes: Any, nodes: int) -> Any:
        pairs = [(scene.inputs["blurry"], scene.ground_truth) for scene in scenes]
        return lambda: faig(*networks, pairs, nodes=nodes)

    networks = (pair.target, pair.baseline)
    for crop in size.crops:
        add("pixels of the input", crop**2 / 4, ranking(networks, samples(1, crop), 2))
    scenes = samples(8, size.scaling_crop)
    for count in (1, 2, 4, 8):
        add("images", count, ranking(networks, scenes[:count], 2))
    for nodes in (2, 4, 8, 16):
        add("nodes", nodes, ranking(networks, scenes[:1], nodes))
    for blocks in (4, 8, 16, 32):
        deeper = [build("srresnet", seed=seed, blocks=blocks) for seed in (0, 1)]
        add("filters", FilterIndex.of(deeper[0]).total, ranking(deeper, scenes[:1], 2))
    exponents = {
        what: exponent(*zip(*[(row["amount"], row["seconds"]) for row in rows if row["what"] == what], strict=True))
        for what in dict.fromkeys(row["what"] for row in rows)
    }
    return {"rows": rows, "exponents": exponents}


def masking(size: Size) -> Row:
    """A sweep of masked proportions by faiglib and by running all three networks again for each."""
    pair = main_pair()
    scores = random_scores(FilterIndex.of(pair.target), 0)
    masks = [Mask("random", "deblurring", percent, scores.top(percent)) for percent in size.percents]
    scenes = samples(size.masking_images, size.masking_crop)
    states = [dict(one.state_dict()) for one in (pair.target, pair.baseline)]
    naive = seconds(lambda: published.mask(lambda: build(pair.network), *states, masks, scenes), warm_up=False)
    ours = seconds(lambda: measure(pair, masks, scenes, "masking"), warm_up=False)
    images = len(scenes) * len(KINDS)
    return {
        "masks": len(masks),
        "inputs": images,
        "crop": size.masking_crop,
        "naive_s": naive,
        "faiglib_s": ours,
        "ratio": naive / ours,
        "naive_passes": 3 * len(masks) * images,
        "faiglib_passes": (len(masks) + 2) * images,
    }


def per_image_gradients(size: Size) -> Row:
    """Time per image of the ways to the weight gradients of every image of a batch, and of the batch's summed one."""
    network = main_pair().target
    rows = []
    for crop in size.batch_crops:
        scenes = samples(size.batch, crop)
        low = torch.cat([scene.inputs["noisy"] for scene in scenes]).contiguous(memory_format=torch.channels_last)
        truth = torch.cat([scene.ground_truth for scene in scenes])
        for way in per_image.WAYS:
            taken = seconds(partial(per_image.gradients, network, low, truth, way), size.repeats)
            rows.append({"crop": crop, "way": way, "seconds": taken / len(low)})
        taken = seconds(gradient_pass(network, low, truth), size.repeats)
        rows.append({"crop": crop, "way": "summed over the batch (a bound)", "seconds": taken / len(low)})
    return {"batch": size.batch, "rows": rows}


MEASUREMENTS = {
    "attribution": fidelity.attribution,
    "convergence": convergence,
    "memory": memory,
    "throughput": throughput,
    "scaling": scaling,
    "masking": masking,
    "training": training,
    "per_image_gradients": per_image_gradients,
}
