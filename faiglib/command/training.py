"""Commands that train: train, race, publish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import torch
import typer
from tqdm import tqdm

from faiglib.command.options import (
    LARGEST_SEED,
    DeviceOption,
    DevicesOption,
    NetworkOption,
    find_images,
    one_of,
    say,
    several,
)
from faiglib.errors import FaiglibError, TrainingError
from faiglib.images import datasets, registry
from faiglib.race import contest, presets
from faiglib.system.devices import choose_device
from faiglib.training import publishing, runs
from faiglib.training.fabric import fabric_on
from faiglib.training.recipe import ROLES, Schedule

RolesOption = Annotated[
    list[str] | None,
    typer.Option("--role", help="What to train; by default baseline, then target from it.", **one_of(ROLES)),
]
SeedsOption = Annotated[
    list[int] | None,
    typer.Option(
        "--seed",
        min=0,
        max=LARGEST_SEED,
        help="Seed of weights, patches and noise, by default 0; several are trained one after the other.",
    ),
]
ProfileOption = Annotated[
    str,
    typer.Option(help="Recipe: that of the shipped weights, the paper's, or a smoke test.", **one_of(runs.RECIPES)),
]
ManifestOption = Annotated[
    Path | None,
    typer.Option(help="Repeat the runs of this folder of models; profile standard is the shipped folder."),
]
DataOption = Annotated[
    str | None, typer.Option(help="An image set (faiglib info lists them) or a folder, instead of the recipe's.")
]
DataDirOption = Annotated[Path | None, typer.Option(help="Data folder; by default FAIGLIB_DATA, then the cache.")]
ScheduleOption = Annotated[
    str | None, typer.Option(help="Of the learning rate, instead of the recipe's.", **one_of(get_args(Schedule)))
]
HostsOption = Annotated[
    int, typer.Option(min=1, help="Hosts that the command runs on, with as many --devices each and one disk.")
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        help="auto is the manifest's; without one bf16-mixed on a GPU, else 32-true.",
        **one_of(("auto", "32-true", "bf16-mixed")),
    ),
]


def train(
    network: NetworkOption,
    role: RolesOption = None,
    seed: SeedsOption = None,
    profile: ProfileOption = "standard",
    from_manifest: ManifestOption = None,
    data: DataOption = None,
    data_dir: DataDirOption = None,
    out: Annotated[Path, typer.Option(help="Folder that gets one folder a run.")] = Path("build/runs"),
    initial: Annotated[Path | None, typer.Option(help="Weights to start the first role of a seed from.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    patch: Annotated[int | None, typer.Option(help="Side of the ground-truth patch, instead of the recipe's.")] = None,
    peak_lr: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    schedule: ScheduleOption = None,
    period: Annotated[int | None, typer.Option(help="Steps of a cycle, for the schedules that have several.")] = None,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    nodes: HostsOption = 1,
    precision: PrecisionOption = "auto",
) -> None:
    """Train networks, or go on with an interrupted training.

    Runs land in OUT/NETWORK-ROLE-seedN. Ctrl-C writes a checkpoint; the same command continues from it. A target starts
    from the baseline in OUT that its recipe names.
    """
    if from_manifest and profile != "standard":
        raise FaiglibError(f"--from-manifest says what to train, so that --profile {profile} cannot")
    changes: dict[str, object] = {"iterations": iterations, "batch": batch, "patch": patch, "peak_lr": peak_lr}
    changes |= {"schedule": schedule, "period": period}
    chains = [runs.plans_of(profile, network, role or (), one, from_manifest) for one in seed or [0]]
    plans = [runs.changed(plan, changes, data) for plan in runs.in_order(chains, initial)]
    image_sets = {name: find_images(name, data_dir) for name in dict.fromkeys(plan.data for plan in plans)}
    if data is None:
        for plan in plans:
            require_images(plan, image_sets[plan.data])
    place = choose_device(device)
    fabric = several(place, devices, precision_of(plans, place) if precision == "auto" else precision, nodes)
    for plan in plans:
        weights = runs.carry_out(plan, image_sets[plan.data], out, fabric)
        if fabric.is_global_zero:
            say(f"Trained weights: {weights}")


def race_(
    preset: Annotated[
        str,
        typer.Option(
            help="Budget: about an hour of one core, full-size networks, or a smoke test.", **one_of(presets.PRESETS)
        ),
    ] = "cpu",
    data: Annotated[str, typer.Option(help="Training images: name of an image set, or a folder.")] = "bsd400",
    test: Annotated[str, typer.Option(help="Test images: name of an image set, or a folder.")] = "bsd100",
    data_dir: DataDirOption = None,
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
    budget = presets.get(preset)
    fabric = fabric_on(choose_device(device), precision=budget.precision)
    fabric.launch()
    contest.run(budget, find_images(data, data_dir), find_images(test, data_dir), out, record, fabric)
    say(f"The record of the race is in {record}.")


def publish(
    run: Annotated[list[Path], typer.Argument(help="Folders of finished training runs.")],
    models: Annotated[Path, typer.Option(help="Folder of weights with a manifest.")] = Path("models"),
    data: Annotated[
        list[str] | None,
        typer.Option(help="Sets to measure PSNR on, by default set14 and bsd100.", **one_of(registry.NAMES)),
    ] = None,
    data_dir: DataDirOption = None,
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


def precision_of(plans: Sequence[runs.Plan], device: torch.device) -> str:
    """The arithmetic that the plans want, or where they do not say so, what suits the device.

    Raises:
        TrainingError: they want different ones.
    """
    wanted = sorted({plan.precision for plan in plans if plan.precision})
    if len(wanted) > 1:
        raise TrainingError(
            f"the manifest has runs in {' and in '.join(wanted)}; train them one by one (--role, --seed), or choose "
            "with --precision"
        )
    if wanted:
        return wanted[0]
    # bfloat16 is arithmetic of the hardware from compute capability 8.0 on; before, it is imitated, slowly.
    return "bf16-mixed" if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0) else "32-true"
