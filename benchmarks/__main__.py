"""Run the measurements, print them, keep them as JSON: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks import published
from faiglib import datasets, provenance, zoo
from faiglib.attribution import faig
from faiglib.degradations import INPUTS, noise_generator
from faiglib.files import write_text_atomic
from faiglib.filters import FilterIndex, FilterScores
from faiglib.networks import build
from faiglib.training import Recipe, train

TOP_PERCENT = 1


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def attribution(crop: int) -> dict[str, float | str]:
    """Both rankings of one image by the published algorithm and by faiglib, same weights, same image."""
    folder = zoo.models_dir()
    network, seed = zoo.pairs_available(folder)[0]
    pair = zoo.load_pair(folder, network, seed)
    target, baseline = pair.target.state_dict(), pair.baseline.state_dict()
    image = next(image for name, image in datasets.find("skimage").load(crop=crop) if name == "chelsea")
    blurry, noisy = (INPUTS[kind](image, noise_generator(0, 0)) for kind in ("blurry", "noisy"))
    plain: dict[str, torch.Tensor] = {}
    ours: dict[str, FilterScores] = {}

    def run_published() -> None:
        for function, own, other in (("deblurring", blurry, noisy), ("denoising", noisy, blurry)):
            plain[function] = published.attribute(lambda: build(network), target, baseline, own, other, image)

    def run_faiglib() -> None:
        scores = {kind: faig(pair.target, pair.baseline, [(low, image)]) for kind, low in (("b", blurry), ("n", noisy))}
        ours["deblurring"], ours["denoising"] = scores["b"] - scores["n"], scores["n"] - scores["b"]

    run_faiglib()
    time_ours = min(seconds(run_faiglib) for _ in range(3))
    time_plain = seconds(run_published)
    index = FilterIndex.of(pair.target)
    overlap = {
        name: FilterScores(index, plain[name]).top(TOP_PERCENT).overlap(ours[name].top(TOP_PERCENT)) for name in ours
    }
    return {
        "network": network,
        "input": f"{crop // 2}x{crop // 2}",
        "published_s": time_plain,
        "faiglib_s": time_ours,
        "ratio": time_plain / time_ours,
        **{f"overlap_{name}": value for name, value in overlap.items()},
    }


def training(iterations: int) -> dict[str, float | str]:
    """Iterations per second of a plain training loop and of faiglib's trainer, same network, batch and patch."""
    images = [image for _, image in datasets.find("skimage").load(crop=480)]
    recipe = Recipe("srresnet", "target", iterations=iterations, batch=8, patch=48)

    def ours(count: int) -> None:
        train(Recipe("srresnet", "target", iterations=count, batch=8, patch=48), images, progress=False)

    def plain(count: int) -> None:
        published.train(build("srresnet", seed=0).train(), images, recipe.patch, recipe.batch, count)

    ours(2), plain(2)
    times = {"published": seconds(lambda: plain(iterations)), "faiglib": seconds(lambda: ours(iterations))}
    return {
        "network": recipe.network,
        "batch": f"{recipe.batch}x{recipe.patch}x{recipe.patch}",
        **{f"{name}_it_per_s": iterations / value for name, value in times.items()},
        "ratio": times["published"] / times["faiglib"],
    }


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--crop", type=int, default=96, help="side of the ground truth in the attribution benchmark")
    parser.add_argument("--iterations", type=int, default=40, help="training iterations on each side")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="where the JSON goes")
    options = parser.parse_args()
    work = {
        "attribution": lambda: attribution(options.crop),
        "training": lambda: training(options.iterations),
    }
    results = {name: measure() for name, measure in tqdm(work.items(), desc="bench")}
    for name, values in results.items():
        print(f"\n{name}")
        for key, value in values.items():
            print(f"  {key:<22} {value if isinstance(value, str) else format(value, '.3g')}")
    write_text_atomic(options.out, json.dumps({"results": results, "made_on": provenance.collect()}, indent=1) + "\n")
    print(f"\nWritten to {options.out}")


if __name__ == "__main__":
    main()
