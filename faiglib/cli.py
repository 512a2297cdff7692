"""The command line: ``faiglib --help``. Errors are one sentence on standard error.

Exit status: 1 for what cannot be done, 2 for a wrong command line, 128 + number of the signal for an interruption.
"""

from __future__ import annotations

import io
import itertools
import math
import signal
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import torch
import typer
from tqdm import tqdm

from faiglib import __version__, datasets, environment, folders, publishing, race, runs, zoo
from faiglib.attribution.faig import DEFAULT_NODES, DEFAULT_RULE
from faiglib.attribution.paths import RULES
from faiglib.checkpoints import fit as fit_weights
from faiglib.checkpoints import load_network, load_weights, save_weights
from faiglib.degradations import Degradation
from faiglib.devices import choose_device
from faiglib.errors import DatasetError, FaiglibError, TrainingError, WeightsError
from faiglib.files import expanded
from faiglib.filters import FilterIndex, read_ranking, top_of, write_ranking
from faiglib.interruption import interruptible
from faiglib.networks import NETWORKS, build
from faiglib.passes import out_of_memory
from faiglib.substitution import substitute
from faiglib.training import ROLES, Schedule, fabric_on

if TYPE_CHECKING:
    from lightning_fabric import Fabric

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Find the filters of a restoration network that remove blur or noise, and put others in their place.",
    epilog="Every command explains itself: faiglib COMMAND --help.",
)


#: What typer raises for a wrong command line; it has no public name.
_USAGE_ERROR: Any = typer.BadParameter.__base__

#: Largest seed; the random generators take 64 bits, of which the step or image number needs the rest.
LARGEST_SEED = 2**31 - 1


def one_of(names: Iterable[str]) -> dict[str, Any]:
    """What makes an option accept one out of several values and list them in the help."""
    known = tuple(names)

    def parse(value: str) -> str:
        if value not in known:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}.")
        return value

    return {"parser": parse, "metavar": "|".join(known)}


def number(least: float) -> dict[str, Any]:
    """What makes an option a finite number of at least ``least``."""

    def parse(value: str) -> float:
        found = float(value)
        if not (math.isfinite(found) and found >= least):
            raise typer.BadParameter(f"{value!r} is not a finite number of at least {least:g}.")
        return found

    return {"parser": parse, "metavar": "NUMBER"}


#: Largest limit of memory in GiB; more is a slip of the pen.
MOST_MEMORY = 2**20

NetworkOption = Annotated[str, typer.Option("--network", help="Architecture of the weights.", **one_of(NETWORKS))]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
DevicesOption = Annotated[int, typer.Option(min=1, help="Processes; more than one on a CPU uses gloo.")]
ScaleOption = Annotated[int, typer.Option(help="Super-resolution factor: 2, 3 or 4.")]
BaselineOption = Annotated[Path, typer.Option(help="Weights of the baseline network (.safetensors or released .pth).")]
TargetOption = Annotated[Path, typer.Option(help="Weights of the target network (.safetensors or released .pth).")]
MemoryOption = Annotated[
    float | None,
    typer.Option(help="GiB for the activations of one pass; larger images are cut into tiles, which gives the same."),
]
InputOption = Annotated[Path, typer.Option("--input", help="Folder of images.")]
OutputOption = Annotated[Path, typer.Option("--output", help="Folder for the results, PNG under the same names.")]


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Handle options that come before any command."""
    if version:
        say(f"faiglib {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def attribute(
    network: NetworkOption,
    baseline: BaselineOption,
    target: TargetOption,
    gt: Annotated[Path, typer.Option(help="Folder of ground-truth images.")],
    blur: Annotated[Path, typer.Option(help="Folder of blurry network inputs, same names.")],
    noise: Annotated[Path, typer.Option(help="Folder of noisy network inputs, same names.")],
    out: Annotated[Path, typer.Option(help="Folder for rankings and scores.")],
    rule: Annotated[str, typer.Option(help="Quadrature rule of the path integral.", **one_of(RULES))] = DEFAULT_RULE,
    nodes: Annotated[int, typer.Option(min=1, help="Gradient evaluations per image and degradation.")] = DEFAULT_NODES,
    scale: ScaleOption = 2,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    memory: MemoryOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw an unfinished run of other work away.")] = False,
) -> None:
    """Rank all filters by FAIG for deblurring and for denoising.

    Writes blur_index.txt and noise_index.txt (all filter ids, best first, one per line, numbered as released) and
    the scores behind them as blur_scores.safetensors and noise_scores.safetensors. An interrupted run goes on where
    it stopped; one of other work in the same folder is refused. The released code is --rule left --nodes 100.
    """
    target_net, baseline_net = (load_network(path, network, scale=scale) for path in (target, baseline))
    triples = folders.triples(gt, blur, noise, scale)
    fabric = several(choose_device(device), devices)
    deblurring, denoising = folders.attribute(
        target_net,
        baseline_net,
        triples,
        out,
        rule=rule,
        nodes=nodes,
        memory_limit=bytes_of(memory),
        fabric=fabric,
        overwrite=overwrite,
        say=say if fabric.is_global_zero else lambda _: None,
    )
    if not fabric.is_global_zero:
        return
    deblurring.save(out / "blur_scores.safetensors")
    denoising.save(out / "noise_scores.safetensors")
    write_ranking(out / "blur_index.txt", deblurring.ranking())
    write_ranking(out / "noise_index.txt", denoising.ranking())
    folders.forget(out)
    say(f"Ranked {deblurring.index.total:,} filters on {len(triples)} images; see {out}.")


@app.command()
def mask(
    network: NetworkOption,
    baseline: BaselineOption,
    target: TargetOption,
    filters: Annotated[Path, typer.Option(help="Ranking, such as blur_index.txt.")],
    input_: InputOption,
    output: OutputOption,
    percent: Annotated[float, typer.Option(help="Proportion of filters to replace, 0 to 100.")] = 1.0,
    scale: ScaleOption = 2,
    device: DeviceOption = "auto",
    memory: MemoryOption = None,
) -> None:
    """Restore images with some of the target's filters replaced.

    The best-ranked filters of the target become those of the baseline; what they did is no longer done.
    """
    place = choose_device(device)
    target_net, baseline_net = (load_network(path, network, scale=scale) for path in (target, baseline))
    index = FilterIndex.of(target_net)
    chosen = top_of(index, read_ranking(filters, index), percent)
    masked = substitute(target_net, baseline_net, chosen).to(place)
    say(f"Replaced {len(chosen):,} of {index.total:,} filters.")
    say(f"Wrote {folders.restore(masked, input_, output, place, bytes_of(memory))} images to {output}.")


@app.command()
def restore(
    network: NetworkOption,
    weights: Annotated[Path, typer.Option(help="Weights (.safetensors or released .pth).")],
    input_: InputOption,
    output: OutputOption,
    scale: ScaleOption = 2,
    device: DeviceOption = "auto",
    memory: MemoryOption = None,
) -> None:
    """Restore and upsample the images of a folder."""
    place = choose_device(device)
    restorer = load_network(weights, network, scale=scale).to(place)
    restored = folders.restore(restorer, input_, output, place, bytes_of(memory))
    say(f"Wrote {restored} images to {output}.")


@app.command()
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
    crop: Annotated[
        bool, typer.Option("--crop", help="Cut images that do not divide by the scale; otherwise they are refused.")
    ] = False,
) -> None:
    """Make network inputs from ground-truth images.

    In this order: blur, bilinear downsampling, noise, 8-bit rounding. The paper uses --blur 2 for blurry and
    --noise 0.1 for noisy input. All images are looked at before the first result is written.
    """
    count = folders.degrade(Degradation(blur, noise, scale), input_, output, seed, crop)
    say(f"Wrote {count} images to {output} (blur σ {blur:g}, noise σ {noise:g}, ÷{scale}, seed {seed}).")


@app.command()
def train(
    network: NetworkOption,
    role: Annotated[
        list[str] | None,
        typer.Option(help="What to train; by default baseline, then target from it.", **one_of(ROLES)),
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            max=LARGEST_SEED,
            help="Seed of weights, patches and noise, by default 0; several are trained one after the other.",
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="Recipe: that of the shipped weights, the paper's, or a smoke test.", **one_of(runs.PROFILES)
        ),
    ] = "standard",
    from_manifest: Annotated[
        Path | None,
        typer.Option(help="Repeat the runs of this folder of models; profile standard is the shipped folder."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="An image set (faiglib info lists them) or a folder, instead of the recipe's."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Data folder; by default FAIGLIB_DATA, then the cache.")] = None,
    out: Annotated[Path, typer.Option(help="Folder that gets one folder a run.")] = Path("build/runs"),
    initial: Annotated[Path | None, typer.Option(help="Weights to start the first role of a seed from.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    patch: Annotated[int | None, typer.Option(help="Side of the ground-truth patch, instead of the recipe's.")] = None,
    peak_lr: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Of the learning rate, instead of the recipe's.", **one_of(get_args(Schedule)))
    ] = None,
    period: Annotated[int | None, typer.Option(help="Steps of a cycle, for the schedules that have several.")] = None,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    nodes: Annotated[
        int, typer.Option(min=1, help="Hosts that the command runs on, with as many --devices each and one disk.")
    ] = 1,
    precision: Annotated[
        str,
        typer.Option(
            help="auto is the manifest's; without one bf16-mixed on a GPU, else 32-true.",
            **one_of(("auto", "32-true", "bf16-mixed")),
        ),
    ] = "auto",
) -> None:
    """Train networks, or go on with an interrupted training.

    Runs land in OUT/NETWORK-ROLE-seedN. Ctrl-C writes a checkpoint; the same command continues from it. A target starts
    from the baseline in OUT that its recipe names.
    """
    if from_manifest and profile != "standard":
        raise FaiglibError(f"--from-manifest says what to train, so that --profile {profile} cannot")
    chains = [runs.plans_of(profile, network, role or (), one, from_manifest) for one in seed or [0]]
    wanted = dict.fromkeys(data or plan.data for chain in chains for plan in chain)
    image_sets = {name: find_images(name, data_dir) for name in wanted}
    if data is None:
        for plan in itertools.chain.from_iterable(chains):
            require_images(plan, image_sets[plan.data])
    place = choose_device(device)
    if precision == "auto":
        precision = precision_of(chains, place)
    fabric = several(place, devices, precision, nodes)
    trained = set()
    for chain in chains:
        for number, plan in enumerate(chain):
            if plan.name in trained:  # seeds may share a baseline
                continue
            recipe = runs.with_overrides(
                plan.recipe,
                iterations=iterations,
                batch=batch,
                patch=patch,
                peak_lr=peak_lr,
                schedule=schedule,
                period=period,
            )
            parent = out / plan.parent / "weights.safetensors" if plan.parent else None
            start = initial if number == 0 and initial else parent
            weights = runs.run(recipe, image_sets[data or plan.data], out / plan.name, initial=start, fabric=fabric)
            trained.add(plan.name)
            if fabric.is_global_zero:
                say(f"Trained weights: {weights}")


@app.command("race")
def race_(
    preset: Annotated[
        str,
        typer.Option(
            help="Budget: about an hour of one core, full-size networks, or a smoke test.", **one_of(race.PRESETS)
        ),
    ] = "cpu",
    data: Annotated[str, typer.Option(help="Training images: name of an image set, or a folder.")] = "bsd400",
    test: Annotated[str, typer.Option(help="Test images: name of an image set, or a folder.")] = "bsd100",
    data_dir: Annotated[Path | None, typer.Option(help="Data folder; by default FAIGLIB_DATA, then the cache.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the training runs.")] = Path("build/race"),
    record: Annotated[Path, typer.Option(help="Folder that gets tables, description and weights.")] = Path(
        "results/race"
    ),
    device: DeviceOption = "auto",
) -> None:
    """Race networks of two branches against networks of one.

    This is supp. Table 2 in small. Ctrl-C writes a checkpoint; the same command goes on from it. The record is up to
    date after every network.
    """
    budget = race.get(preset)
    fabric = fabric_on(choose_device(device), precision=budget.precision)
    fabric.launch()
    race.run(budget, find_images(data, data_dir), find_images(test, data_dir), out, record, fabric)
    say(f"The record of the race is in {record}.")


@app.command()
def publish(
    run: Annotated[list[Path], typer.Argument(help="Folders of finished training runs.")],
    models: Annotated[Path, typer.Option(help="Folder of weights with a manifest.")] = Path("models"),
    data: Annotated[
        list[str] | None,
        typer.Option(help="Sets to measure PSNR on, by default set14 and bsd100.", **one_of(datasets.NAMES)),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Data folder; by default FAIGLIB_DATA, then the cache.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="At most so many of each set; by default all.")] = None,
) -> None:
    """Put trained weights into a folder of models.

    They are stored in half precision and described in the manifest, with the PSNR that is measured now.
    """
    image_sets = [datasets.find(one, data_dir) for one in data or ("set14", "bsd100")]
    with tqdm(run, desc="publish", unit="run") as bar:
        for folder in bar:
            entry = publishing.publish(folder, models, image_sets, images)
            tqdm.write(f"{entry.file}: {entry.psnr}")


@app.command("import-weights")
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


@app.command()
def fetch(
    names: Annotated[
        list[str],
        typer.Argument(help=f"Out of {', '.join(datasets.NAMES)}.", **{**one_of(datasets.NAMES), "metavar": "NAMES"}),
    ],
    data_dir: Annotated[Path | None, typer.Option(help="Where to; by default the cache.")] = None,
) -> None:
    """Download image sets.

    They come from pinned commits, each file is checked against its SHA-256, and what is there already is kept.
    """
    for name in names:
        image_set = datasets.fetch(name, data_dir)
        say(f"{image_set.title}: {len(image_set)} images in {image_set.paths[0].parent}")


@app.command()
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
    for name in datasets.NAMES:
        say(f"  {name:<12} {folders.presence(name, data_dir)}")
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


def bytes_of(gib: float | None) -> int | None:
    """A limit of memory in bytes.

    Raises:
        FaiglibError: it is not positive, no number, or larger than any memory.
    """
    if gib is not None and not 0 < gib <= MOST_MEMORY:
        raise FaiglibError(f"--memory is a positive number of GiB, at most {MOST_MEMORY:,}, not {gib:g}")
    return None if gib is None else max(1, int(gib * 2**30))


def say(text: str) -> None:
    """Print a line, with what would steer a terminal written out."""
    typer.echo(printable(text))


def printable(text: str) -> str:
    """Text in one line for a terminal: control characters, and what names from elsewhere hold of no encoding, escaped.

    Args:
        text: perhaps with names of files, which may hold anything.
    """
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co") else letter for letter in text
    )


def require_images(plan: runs.Plan, image_set: datasets.ImageSet) -> None:
    """Refuse images that are not those of the plan.

    Raises:
        TrainingError: they are not the very images that the plan wants.
    """
    if plan.data_digest and image_set.digest != plan.data_digest:
        raise TrainingError(
            f"the images of {image_set.title} on this machine are not those that {plan.name} was trained on, by their "
            "digest; --data trains on other images"
        )


def precision_of(chains: Sequence[Sequence[runs.Plan]], device: torch.device) -> str:
    """The arithmetic that the plans want, or where they do not say so, what suits the device.

    Raises:
        TrainingError: they want different ones.
    """
    wanted = sorted({plan.precision for chain in chains for plan in chain if plan.precision})
    if len(wanted) > 1:
        raise TrainingError(
            f"the manifest has runs in {' and in '.join(wanted)}; train them one by one (--role, --seed), or choose "
            "with --precision"
        )
    if wanted:
        return wanted[0]
    # bfloat16 is arithmetic of the hardware from compute capability 8.0 on; before, it is imitated, slowly.
    return "bf16-mixed" if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0) else "32-true"


def several(device: torch.device, processes: int, precision: str | None = None, hosts: int = 1) -> Fabric:
    """A launched Fabric, of so many processes a host: from here on the command runs in every process.

    Raises:
        FaiglibError: the device is a single one.
    """
    if device.index is not None and processes > 1:
        raise FaiglibError(f"the device '{device}' is one, so that {processes} processes cannot use one each")
    fabric = fabric_on(device, processes, precision, hosts)
    fabric.launch()
    return fabric


def find_images(data: str, data_dir: Path | None) -> datasets.ImageSet:
    """The image set of that name, or the images of that folder.

    Raises:
        DatasetError: there is neither, or its images cannot be used.
    """
    if data in datasets.NAMES:
        return datasets.find(data, data_dir)
    if not Path(data).exists():
        raise DatasetError(f"{data} is neither a folder nor one of the image sets {', '.join(datasets.NAMES)}")
    return datasets.from_folder(data)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what a user can cause ends in one sentence on standard error.

    Raises:
        SystemExit: the command failed or was interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an encoding without σ or a name's letters never costs the work
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: tqdm.write(
            f"faiglib: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr
        )
        status, message = outcome(arguments)
    if message:
        print("faiglib:", printable(" ".join(message.split())), file=sys.stderr)
    if status:
        sys.exit(status)


def outcome(arguments: Sequence[str] | None) -> tuple[int, str]:
    """Exit status and message of a command; when it returns, the frames of a failed one and its bars are gone."""
    signals: list[int] = []
    with interruptible(signals):
        try:
            status = app(args=arguments, prog_name="faiglib", standalone_mode=False) or 0
        except (KeyboardInterrupt, typer.Abort):
            status = 128 + signal.SIGINT
        except FaiglibError as error:
            return 1, str(error)
        except OSError as error:
            return 1, f"{error.filename or 'input/output'}: {error.strerror or error}"
        except Exception as error:
            if out_of_memory(error):
                return 1, f"out of memory: {error}"
            if isinstance(error, _USAGE_ERROR):
                return 2, error.format_message()
            raise
    return (128 + signals[0], "interrupted") if signals else (status, "")


if __name__ == "__main__":
    main()
