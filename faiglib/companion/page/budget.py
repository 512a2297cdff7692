"""The box at the top of a page that says what its numbers were made with."""

from __future__ import annotations

from faiglib.companion.page.boxes import box
from faiglib.companion.page.words import counted
from faiglib.companion.workbench import Workbench
from faiglib.networks import TITLES, zoo
from faiglib.system import provenance
from faiglib.training.recipe import paper_recipe


def images_in_words(bench: Workbench, image_set: str, limit: int | None, crop: int | None) -> str:
    """Which images something is measured on: ``10 images of Set14, central 64×64 pixels``.

    Args:
        bench: where things are.
        image_set: name of the set.
        limit: number of its images; None is all.
        crop: side of the central crop in HR pixels; None is the whole image.
    """
    chosen = bench.image_set(image_set)
    side = "whole" if crop is None else f"central {crop}×{crop} pixels"
    return f"{counted(len(chosen.select(limit)), 'image')} of {chosen.title}, {side}"


def means_in_words(bench: Workbench, image_set: str, limit: int | None, crop: int | None) -> str:
    """What the means of a figure or table are over: :func:`images_in_words`, and training runs where there are several.

    The arguments are those of :func:`images_in_words`.
    """
    runs = max(len(bench.seeds(network)) for network, _ in bench.pair_names)
    over = f"means over {images_in_words(bench, image_set, limit, crop)}"
    return over if runs == 1 else f"{over}, and over {counted(runs, 'training run')} of a network"


def budget(bench: Workbench) -> str:
    """HTML that says on a page what the numbers below it were made with, and what was left out."""
    profile = bench.profile

    def amount(limit: int | None, crop: int | None) -> str:
        images = "all images" if limit is None else f"at most {counted(limit, 'image')} a set"
        return f"{images}, {'whole' if crop is None else f'central {crop}×{crop} pixels'}"

    def trained(network: str, seed: int) -> str:
        found = zoo.pair_entries(bench.models, network, seed)
        iterations = " + ".join(f"{found[role].recipe['iterations']:,}" for role in ("baseline", "target"))
        return f"{TITLES[network]} seed {seed}, {iterations} iterations, sha256 {found['target'].sha256[:8]}"

    here = {
        "profile": f"{profile.name}, on {bench.device.type.upper()}, seed {bench.seed} for test noise and chance",
        "trained pairs": "; ".join(trained(network, seed) for network, seed in bench.pair_names),
        "image sets": ", ".join(f"{one.title} ({counted(len(one), 'image')})" for one in bench.image_sets.values()),
        "filters found on": f"{amount(profile.discovery_images, profile.discovery_crop)}, "
        f"{profile.nodes} {profile.rule} nodes",
        "masking measured on": amount(profile.evaluation_images, profile.evaluation_crop),
        "in the paper": "whole images, 100 left nodes, three runs trained for "
        + " + ".join(f"{paper_recipe('srresnet', role).iterations:,}" for role in ("baseline", "target"))
        + " iterations",
    }
    return budget_box(bench, here)


def budget_box(bench: Workbench, here: dict[str, str]) -> str:
    """The HTML of :func:`budget`: the rows, then what made the page and what is not on this machine."""
    made = provenance.collect(bench.device)
    here["made with"] = f"{provenance.in_words(made)}, {counted(made['cores'], 'core')}, {made['time_utc']}"
    if bench.missing:
        here["not on this machine"] = f"{', '.join(bench.missing)}; therefore not on this page"
    return box("Budget of this page", here, opened=True)
