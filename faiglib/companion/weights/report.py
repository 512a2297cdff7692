"""How the shipped weights were made, and how good they are: what the page on training shows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from faiglib.companion.page.words import counted, listed, seeds_named, typeset
from faiglib.companion.weights import milestones
from faiglib.errors import WeightsError
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import TITLES, zoo
from faiglib.system.documents import DocumentError, parse_csv, read_text
from faiglib.training.recipe import paper_recipe
from faiglib.training.validation import JUDGED

#: Roles in words.
ROLES = {"baseline": "baseline", "target": "target", "target_jpeg": "target (with JPEG)"}

#: Entries of a recipe that the table of budgets shows.
BUDGET = ("iterations", "batch", "patch", "peak_lr", "schedule")

#: Least gain of a shipped target over its baseline on Set14, in dB: it has to do clearly what it is there for, and must
#: not pay for that visibly on clean input.
FLOOR = {"clean": -0.5, "blurry": 3.0, "noisy": 4.0}

#: Depth in dB that the straight path between baseline and target may have on clean input where a recipe is chosen.
BARRIER = 1.0


def logs(folder: Path) -> dict[str, pd.DataFrame]:
    """The training log of every shipped weight file, by its name without ending.

    Raises:
        WeightsError: a log that belongs to the manifest is missing, or cannot be read.
    """
    found = {}
    for entry in zoo.entries(folder):
        path = folder / "logs" / Path(entry.file).with_suffix(".csv").name
        try:
            rows = parse_csv(read_text(path))
        except FileNotFoundError:
            raise WeightsError(f"the training log {path} is missing") from None
        except (OSError, DocumentError) as error:
            raise WeightsError(f"the training log {path} cannot be read: {error}") from None
        found[Path(entry.file).stem] = pd.DataFrame(rows)
    return found


def budgets(folder: Path) -> pd.DataFrame:
    """Budget of every run beside the paper's.

    Returns:
        One row per weight file, then one per network and role for the paper (``seed`` is "paper"): ``network``,
        ``role``, ``seed``, ``baseline_seed`` (that a target was trained from), ``iterations``, ``batch``, ``patch`` (HR
        pixels), ``peak_lr``, ``schedule``, ``minutes``, ``cpu``, ``gpu``, ``pixels`` (ground-truth pixels seen, in
        millions) and ``share`` of the paper's pixels.
    """
    rows = []
    for entry in zoo.entries(folder):
        recipe, full = entry.recipe, paper_recipe(entry.network, entry.role)
        pixels = recipe["iterations"] * recipe["batch"] * recipe["patch"] ** 2
        rows.append(
            {
                "network": entry.network,
                "role": entry.role,
                "seed": str(entry.seed),
                "baseline_seed": str(zoo.pair_entries(folder, entry.network, entry.seed, entry.role)["baseline"].seed)
                if entry.role in zoo.TARGETS
                else None,
                **{name: recipe[name] for name in BUDGET},
                "minutes": entry.seconds / 60,
                "cpu": entry.made_on.get("cpu"),
                "gpu": entry.made_on.get("gpu"),
                "pixels": pixels / 1e6,
                "share": pixels / (full.iterations * full.batch * full.patch**2),
            }
        )
    for network in dict.fromkeys(row["network"] for row in rows):
        for role in ("baseline", "target"):
            full = paper_recipe(network, role)
            pixels = full.iterations * full.batch * full.patch**2
            values = {name: getattr(full, name) for name in BUDGET}
            rows.append(
                {"network": network, "role": role, "seed": "paper", **values, "pixels": pixels / 1e6, "share": 1.0}
            )
    return pd.DataFrame(rows)


def quality(folder: Path) -> pd.DataFrame:
    """PSNR of baseline and target of every pair, whole images.

    Returns:
        One row per ``network``, ``seed``, ``image_set`` and ``input``: ``images`` (how many, or "all"), ``baseline``
        and ``target`` (dB), ``gain`` (dB).

    Raises:
        WeightsError: a target was judged on other images than its baseline, or not on all inputs.
    """
    rows = []
    for network, seed in zoo.pairs_available(folder):
        pair = zoo.pair_entries(folder, network, seed)
        for image_set in pair["target"].psnr:
            counts = {str((entry.psnr_images or {}).get(image_set, "all")) for entry in pair.values()}
            if len(counts) > 1:
                raise WeightsError(
                    f"baseline and target of {network} seed {seed} were judged on different numbers of images of "
                    f"{image_set}: {' and '.join(sorted(counts))}"
                )
            (images,) = counts
            for kind in JUDGED:
                try:
                    base, target = (pair[role].psnr[image_set][kind] for role in ("baseline", "target"))
                except KeyError:
                    raise WeightsError(
                        f"the manifest lacks the PSNR of {network} seed {seed}, or of its baseline, on {kind} input of "
                        f"{image_set[:60]}"
                    ) from None
                rows.append((network, seed, image_set, images, kind, base, target, target - base))
    columns = ["network", "seed", "image_set", "images", "input", "baseline", "target", "gain"]
    return pd.DataFrame(rows, columns=columns)


@typeset
def floor() -> str:
    """:data:`FLOOR` in words."""
    return listed(f"{gain:+g} dB on {kind}" for kind, gain in FLOOR.items()) + " input"


def pairs(folder: Path) -> pd.DataFrame:
    """Every pair in a row: recipe of its target, gain on Set14, path and selectivity.

    Returns:
        ``network``, ``seed``, ``baseline_seed``, ``iterations``, ``batch``, ``peak_lr``, ``gain_clean``,
        ``gain_blurry``, ``gain_noisy`` (dB over the baseline, whole images of Set14), and the columns of
        :func:`faiglib.companion.weights.milestones.ends` (NaN for a pair without milestones).
    """
    recipes = budgets(folder)
    recipes = recipes[(recipes["role"] == "target") & (recipes["seed"] != "paper")]
    recipes = recipes[["network", "seed", "baseline_seed", "iterations", "batch", "peak_lr"]].astype({"seed": int})
    on_set14 = quality(folder)
    on_set14 = on_set14[on_set14["image_set"] == "set14"]
    gains = on_set14.pivot(index=["network", "seed"], columns="input", values="gain")[list(JUDGED)].add_prefix("gain_")
    table = recipes.merge(gains.reset_index(), how="left", on=["network", "seed"])
    rows = milestones.rows(folder)
    return table if rows.empty else table.merge(milestones.ends(rows), how="left", on=["network", "seed"])


@typeset
def by_limits(pairs: pd.DataFrame, spilled: float) -> str:
    """How many pairs are good enough by the limits that were declared for recipes, and by each of these.

    Args:
        pairs: from :func:`pairs`.
        spilled: share of the drop that the other input may lose.
    """
    enough = pd.DataFrame({f"gain_{kind}": pairs[f"gain_{kind}"] >= gain for kind, gain in FLOOR.items()}).all(axis=1)
    if "barrier" not in pairs:
        return f"Above the floor: {enough.sum()} of {counted(len(pairs), 'pair')}; of the rest nothing is recorded."
    sound = pairs["barrier"] <= BARRIER
    spares = (pairs[[f"{function}_other" for function in FUNCTIONS]] <= spilled).all(axis=1)
    return (
        f"By all three limits {(enough & sound & spares).sum()} of {counted(len(pairs), 'pair')} are good enough: "
        f"{enough.sum()} are above the floor, {sound.sum()} have so low a barrier, and {spares.sum()} spare the other "
        "input with the filters of both functions."
    )


@typeset
def shared_baselines(folder: Path) -> str:
    """A sentence on targets that were trained from one baseline; empty if each has its own."""
    used: dict[tuple[str, int], list[int]] = {}
    for network, seed in zoo.pairs_available(folder):
        baseline = zoo.pair_entries(folder, network, seed)["baseline"]
        used.setdefault((network, baseline.seed), []).append(seed)
    shared = [
        f"the {TITLES[network]} targets of {seeds_named(seeds)} share the baseline of seed {baseline}"
        for (network, baseline), seeds in used.items()
        if len(seeds) > 1
    ]
    if not shared:
        return ""
    return f"To save time, {listed(shared)}: there, a spread over seeds is that of fine-tuning alone."


@typeset
def unequal_budgets(folder: Path) -> str:
    """A sentence on networks whose targets were not all trained by one recipe; empty if there are none."""
    found: dict[str, set[tuple[object, ...]]] = {}
    for network, seed in zoo.pairs_available(folder):
        recipe = zoo.pair_entries(folder, network, seed)["target"].recipe
        found.setdefault(network, set()).add(tuple(value for name, value in recipe.items() if name != "seed"))
    mixed = [TITLES[network] for network, recipes in found.items() if len(recipes) > 1]
    if not mixed:
        return ""
    return (
        f"The targets of {listed(mixed)} were trained by recipes that differ from seed to seed, so their spread "
        "holds differences of budget besides chance."
    )
