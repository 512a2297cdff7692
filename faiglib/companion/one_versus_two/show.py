"""Figures of the race of one branch against two."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from pandas.io.formats.style import Styler

from faiglib.companion import paper
from faiglib.companion.one_versus_two.measure import RecordedRace, printed_title
from faiglib.companion.one_versus_two.table_1 import TableOneRow
from faiglib.companion.page.budget import budget_box
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import BLUE, GRAY, GREEN, ORANGE, finished
from faiglib.companion.page.tables import plain, spread, styled
from faiglib.companion.page.words import counted
from faiglib.companion.workbench import Workbench
from faiglib.images.blind_degradations import SCALE
from faiglib.networks import TITLES
from faiglib.race import contest as race_contest
from faiglib.system import provenance


@with_source
def complexity(rows: list[TableOneRow]) -> Styler:
    """Supp. Table 1 beside what is counted here, from :func:`faiglib.companion.one_versus_two.table_1.table_1`."""
    shown = pd.DataFrame(
        {
            ("", "network"): [row.title for row in rows],
            ("10⁹ MACs, as the paper counts", "here"): [f"{row.ptflops / 1e9:.2f}" for row in rows],
            ("10⁹ MACs, as the paper counts", "paper"): [
                "–" if row.paper_gmacs is None else f"{row.paper_gmacs:.2f}" for row in rows
            ],
            ("10⁶ parameters", "here"): [f"{row.parameters / 1e6:.2f}" for row in rows],
            ("10⁶ parameters", "paper"): [
                "–" if row.paper_mparameters is None else f"{row.paper_mparameters:.2f}" for row in rows
            ],
            ("10⁹ MACs", "true"): [f"{row.true / 1e9:.2f}" for row in rows],
        }
    )
    caption = "One input of 120×120 pixels, ×4. Printed under “FLOPs”; rows without the paper's figures are added here."
    return styled(shown, caption=caption, uuid="complexity")


@with_source
def race(beside: pd.DataFrame) -> Styler:
    """Supp. Table 2, blur, beside the race here.

    Args:
        beside: from :func:`faiglib.companion.one_versus_two.report.beside_the_paper`.
    """
    roles = {"two": "two", "one": "one", "half": "one, half as deep"}
    shown = pd.DataFrame(
        {
            "contest": beside["contest"].map(TITLES),
            "branches": beside["branches"].map(roles),
            "network here": beside["title"],
            "RGB here (dB)": [spread(*cell) for cell in zip(beside["rgb"], beside["rgb_std"], strict=True)],
            "Y here (dB)": [spread(*cell) for cell in zip(beside["y"], beside["y_std"], strict=True)],
            "paper (dB)": [spread(*cell, digits=3) for cell in zip(beside["paper"], beside["paper_std"], strict=True)],
        }
    )
    return plain(shown)


@with_source
def race_leads(comparisons: pd.DataFrame, tests: Mapping[str, str]) -> Styler:
    """Leads with their intervals.

    Args:
        comparisons: from :func:`faiglib.companion.one_versus_two.report.comparisons`.
        tests: titles of the tests.
    """
    shown = pd.DataFrame(
        {
            "contest": comparisons["contest"].map(TITLES),
            "compared": comparisons["compared"],
            "test": comparisons["test"].map(tests),
            "channel": comparisons["channel"].str.upper(),
            "lead (dB)": comparisons["lead"].map("{:+.3f}".format),
            "95 % interval": [f"{row.low:+.3f} to {row.high:+.3f}" for row in comparisons.itertuples()],
            "90 % interval": [f"{row.low90:+.3f} to {row.high90:+.3f}" for row in comparisons.itertuples()],
            "single seeds": [f"{row.least:+.3f} to {row.most:+.3f}" for row in comparisons.itertuples()],
            "the first is": comparisons["outcome"],
            "decides": comparisons["primary"].map({True: "yes", False: ""}),
        }
    )
    return plain(shown)


def race_box(bench: Workbench, record: RecordedRace) -> str:
    """HTML that says on a page which race it shows, and what the race was made with."""
    preset, made = record.preset, record.description.made_on
    minutes = sum(record.description.seconds.values()) / 60
    seeds = counted(len(preset.seeds), "seed") if record.description.complete else "not all seeds yet"
    training, images = record.description.training_set, record.description.test_set
    return budget_box(
        bench,
        {
            "profile": bench.profile.name,
            "race": f"{'run for this page' if record.fresh else 'recorded before, not run for this page'}, budget "
            f"“{preset.name}”, {seeds}, {preset.iterations:,} iterations of {preset.batch} LR patches of "
            f"{preset.patch // SCALE}×{preset.patch // SCALE} pixels, peak learning rate {preset.peak_lr:g}, "
            f"{preset.precision}; the encoder of DASR {preset.encoder_iterations:,} iterations before",
            "trained on": f"{printed_title(training[0])}, {training[2]} images",
            "judged on": f"{printed_title(images[0])}, {images[2]} images, "
            + ("whole" if preset.crop is None else f"central {preset.crop}×{preset.crop} pixels")
            + f", {race_contest.BORDER} pixels of border left out",
            "race made with": f"{provenance.in_words(made)}, {counted(made['torch_threads'], 'thread')}, "
            f"{minutes:.1f} minutes of training, {made['time_utc']}",
            "in the paper": "; ".join(
                f"{TITLES[name]} {one.iterations:,} iterations of {one.batch} LR patches of {one.patch}×{one.patch}"
                for name, one in paper.RACE_TRAINING.items()
            )
            + ", DF2K",
        },
    )


#: Colour and name by role in a contest.
ROLES = {"two": (ORANGE, "two branches"), "one": (BLUE, "one branch"), "half": (GREEN, "one branch, half as deep")}

Point = tuple[float, float]


@with_source
def designs() -> Figure:
    """DAN, DASR and SRResNet as boxes and arrows: where a second branch tells the first about the degradation."""
    figure, axes = plt.subplots(3, 1, figsize=(8.4, 6.6))
    for axis in axes:
        axis.set(xlim=(0, 10), ylim=(0, 3))
        axis.set_axis_off()
    _dan(axes[0])
    _dasr(axes[1])
    _one_branch(axes[2])
    return finished(figure)


def _dan(axis: Axes) -> None:
    axis.set_title("DAN: restore and estimate in turn, four loops with the same weights", loc="left", fontsize=10)
    _box(axis, (0.9, 2.2), "blurry\ninput")
    _box(axis, (4.6, 2.2), "restorer", BLUE, 2.4)
    _box(axis, (4.6, 0.6), "estimator", ORANGE, 2.4)
    _box(axis, (9.0, 2.2), "restored\nimage")
    _arrow(axis, (1.6, 2.2), (3.4, 2.2))
    _arrow(axis, (5.8, 2.2), (8.3, 2.2))
    _arrow(axis, (0.9, 1.75), (3.4, 0.5), "angle,angleA=-90,angleB=180,rad=4")
    _arrow(axis, (9.0, 1.75), (5.8, 0.5), "angle,angleA=-90,angleB=0,rad=4", "no gradient", (7.4, 0.62))
    _arrow(axis, (4.6, 1.05), (4.6, 1.75), label="kernel code (10 numbers), no gradient", at=(4.75, 1.4), align="left")


def _dasr(axis: Axes) -> None:
    axis.set_title("DASR: an encoder, trained by contrast, steers the restoration", loc="left", fontsize=10)
    _box(axis, (0.9, 2.2), "blurry\ninput")
    _box(axis, (4.6, 2.2), "generator", BLUE, 2.4)
    _box(axis, (4.6, 0.6), "encoder", ORANGE, 2.4)
    _box(axis, (9.0, 2.2), "restored\nimage")
    _arrow(axis, (1.6, 2.2), (3.4, 2.2))
    _arrow(axis, (5.8, 2.2), (8.3, 2.2))
    _arrow(axis, (0.9, 1.75), (3.4, 0.6), "angle,angleA=-90,angleB=180,rad=4")
    _arrow(
        axis,
        (4.6, 1.05),
        (4.6, 1.75),
        label="representation: kernels and channel factors",
        at=(4.75, 1.4),
        align="left",
    )
    _box(axis, (9.0, 0.6), "key encoder,\nqueue", GRAY, 1.7, dashed=True)
    _arrow(axis, (5.8, 0.6), (8.1, 0.6), label="contrast, in training only", at=(6.95, 0.75), dashed=True)


def _one_branch(axis: Axes) -> None:
    axis.set_title("SRResNet: one branch that is told nothing", loc="left", fontsize=10)
    _box(axis, (0.9, 2.0), "blurry\ninput")
    _box(axis, (4.6, 2.0), "residual blocks, upsampling", BLUE, 3.6)
    _box(axis, (9.0, 2.0), "restored\nimage")
    _arrow(axis, (1.6, 2.0), (2.8, 2.0))
    _arrow(axis, (6.4, 2.0), (8.3, 2.0))
    axis.plot([0.9, 0.9, 9.0, 9.0], [1.55, 0.9, 0.9, 1.2], color="black", lw=1.1)
    _arrow(axis, (9.0, 1.2), (9.0, 1.55), label="bilinear upsampling, added", at=(4.95, 1.08))


def _box(axis: Axes, centre: Point, text: str, colour: str = GRAY, width: float = 1.4, *, dashed: bool = False) -> None:
    x, y = centre
    height = 0.9
    style = "round,pad=0,rounding_size=0.12"
    box = FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle=style, facecolor="white")
    box.set(edgecolor=colour, linewidth=1.8, linestyle="--" if dashed else "-")
    axis.add_patch(box)
    axis.text(x, y, text, ha="center", va="center", fontsize=9)


def _arrow(
    axis: Axes,
    start: Point,
    end: Point,
    connection: str = "arc3",
    label: str = "",
    at: Point = (0, 0),
    *,
    align: str = "center",
    dashed: bool = False,
) -> None:
    patch = FancyArrowPatch(start, end, connectionstyle=connection, arrowstyle="-|>", mutation_scale=11)
    patch.set(color="black", linewidth=1.1, linestyle="--" if dashed else "-")
    axis.add_patch(patch)
    if label:
        axis.text(*at, label, ha=align, va="center", fontsize=8, color="0.3")


@with_source
def budgets(table: pd.DataFrame) -> Figure:
    """PSNR against MACs and against parameters; a column a contest, bars from the worst seed to the best.

    Args:
        table: from :func:`faiglib.companion.one_versus_two.spending.race_budgets`.
    """
    contests = list(table["contest"].unique())
    figure, axes = plt.subplots(2, len(contests), figsize=(4.6 * len(contests), 6.4), squeeze=False, sharey="col")
    costs = {"gmacs": ("10⁹ MACs for 120×120 pixels", 1.0), "parameters": ("10⁶ parameters", 1e6)}
    for column, contest in enumerate(contests):
        rows = table[table["contest"] == contest]
        for axis, (cost, (label, unit)) in zip(axes[:, column], costs.items(), strict=True):
            for row in rows.to_dict("records"):
                colour, name = ROLES[row["role"]]
                errors = [[row["psnr"] - row["least"]], [row["most"] - row["psnr"]]]
                axis.errorbar(row[cost] / unit, row["psnr"], errors, color=colour, fmt="o", ms=8, capsize=4, label=name)
            axis.set(xlabel=label, ylabel="PSNR, RGB (dB)", xlim=(0, 1.15 * rows[cost].max() / unit))
            axis.margins(y=0.2)
        axes[0, column].set_title(f"{TITLES[contest]} and its rivals")
        axes[0, column].legend(fontsize=8, frameon=True, edgecolor="none")
    return finished(figure)


@with_source
def curves(table: pd.DataFrame, contests: Mapping[str, Mapping[str, str]]) -> Figure:
    """PSNR while training, a panel a contest; thin lines are seeds, thick ones their mean.

    Args:
        table: ``entrant``, ``seed``, ``phase``, ``step``, ``psnr_blurry``.
        contests: by name, entrants by role.
    """
    figure, axes = plt.subplots(1, len(contests), figsize=(4.6 * len(contests), 3.6), squeeze=False, sharey=True)
    rows = table[table["phase"] == "restoration"]
    for axis, (contest, entrants) in zip(axes[0], contests.items(), strict=True):
        for role, key in entrants.items():
            colour, name = ROLES[role]
            wide = rows[rows["entrant"] == key].pivot_table(index="step", columns="seed", values="psnr_blurry")
            axis.plot(wide, color=colour, lw=0.6, alpha=0.5)
            axis.plot(wide.mean(axis=1), color=colour, lw=2.2, label=name)
        axis.set(xlabel="iteration", ylabel="PSNR (dB)", title=f"{TITLES[contest]} and its rivals")
        axis.legend(fontsize=8, frameon=True, edgecolor="none", loc="lower right")
    return finished(figure)


@with_source
def leads(table: pd.DataFrame, margin: float, tests: Mapping[str, str]) -> Figure:
    """Leads with 95 % intervals (thin) and 90 % intervals (thick), on RGB, with the margin shaded.

    Args:
        table: from :func:`faiglib.companion.one_versus_two.report.comparisons`.
        margin: dB.
        tests: titles by name.
    """
    rows = table[table["channel"] == "rgb"].reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(8.2, 0.55 * len(rows) + 1.1))
    axis.axvspan(-margin, margin, color="black", alpha=0.07, lw=0)
    axis.axvline(0, color=GRAY, lw=0.8)
    for place, row in enumerate(rows.to_dict("records")):
        colour = BLUE if row["compared"] == "one − two" else GREEN
        axis.plot([row["low"], row["high"]], [place, place], color=colour, lw=1.2)
        axis.plot([row["low90"], row["high90"]], [place, place], color=colour, lw=4, alpha=0.5)
        axis.plot(row["lead"], place, "o", color=colour, ms=7 if row["primary"] else 4)
    labels = [
        f"{TITLES[row['contest']]}: {row['compared']}, {tests[row['test']]}" + (" *" if row["primary"] else "")
        for row in rows.to_dict("records")
    ]
    axis.set_yticks(range(len(rows)), labels)
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.set_xlabel("lead in PSNR, RGB (dB)")
    return finished(figure)
