"""The tables of the book: measured values beside the paper's, as styled HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from pandas.io.formats.style import Styler

from faiglib import datasets, paper
from faiglib.complexity import TableOneRow
from faiglib.escaping import as_html
from faiglib.networks import TITLES
from faiglib.source import with_source


def spread(mean: float, deviation: float, digits: int = 2) -> str:
    """``mean ± deviation``; the deviation is left out where there is none, a dash stands for no value."""
    if mean is None or math.isnan(mean):
        return "–"
    text = f"{mean:.{digits}f}"
    return text if deviation is None or math.isnan(deviation) else f"{text} ± {deviation:.{digits}f}"


def interval(low: float, high: float, digits: int = 2) -> str:
    """``low to high``, or a dash where there is no interval."""
    return "–" if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"


def styled(table: pd.DataFrame, formats: dict[str, str] | None = None, caption: str = "", uuid: str = "t") -> Styler:
    """A table without row numbers in which words are words: cells, heads and caption are escaped."""
    made = table.style.hide(axis="index").format(formats or {}, na_rep="–", escape="html").set_uuid(uuid)
    made = made.format_index(escape="html", axis=1)
    return made.set_caption(as_html(caption)) if caption else made


@with_source
def plain(table: pd.DataFrame, formats: dict[str, str] | None = None, caption: str = "") -> Styler:
    """A table as it is, with number formats by column, without row numbers, and with printed names for keys."""
    titles = {"network": TITLES.get, "image_set": datasets.title}
    for column, title in titles.items():
        if column in table:
            table = table.assign(**{column: table[column].map(lambda key, title=title: title(key) or key)})
    table = table.rename(columns=lambda name: str(name).replace("_", " "))
    formats = {name.replace("_", " "): text for name, text in (formats or {}).items()}
    return styled(table, formats, caption)


@with_source
def nodes_needed(needed: pd.DataFrame, caption: str = "") -> Styler:
    """Points that a quadrature rule needs, from :func:`faiglib.experiments.beyond.nodes_needed`."""
    titles = {
        "nodes": "points needed",
        "overlap": "top 1 % in common",
        "spearman": "rank correlation",
        "error_percent": "completeness error (%)",
    }
    formats = dict(zip(titles.values(), ("{:.0f}", "{:.2%}", "{:.5f}", "{:.3f}"), strict=True))
    return plain(needed.rename(columns=titles), formats, caption)


@with_source
def complexity(rows: list[TableOneRow]) -> Styler:
    """Supp. Table 1 beside what is counted here, from :func:`faiglib.complexity.table_1`."""
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
    """Supp. Table 2, blur, beside the race here: from :func:`faiglib.experiments.one_versus_two.beside_the_paper`."""
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
    """Leads with their intervals, from :func:`faiglib.experiments.one_versus_two.comparisons`; titles of the tests."""
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


@with_source
def masking(summary: pd.DataFrame, leads: pd.DataFrame, network: str, image_set: str) -> Styler:
    """Supp. Tables 3-6: drop ×10³ by method, measured here and in the paper, and how far FAIG is ahead.

    Args:
        summary: from :func:`faiglib.experiments.masking.summary`.
        leads: from :func:`faiglib.experiments.masking.leads`.
        network: registry name.
        image_set: name of the set.
    """
    chosen = summary[(summary["network"] == network) & (summary["image_set"] == image_set)]
    ahead = leads[(leads["network"] == network) & (leads["image_set"] == image_set)].set_index(["input", "percent"])
    rows = []
    for (kind, percent), cells in chosen.groupby(["input", "percent"], sort=False):
        by_method = cells.set_index("method")
        row: dict[tuple[str, str], object] = {("", "input"): kind, ("", "masked"): f"{percent:g} %"}
        for method, name in paper.METHODS.items():
            cell = by_method.loc[method]
            row[name, "here"] = spread(cell["measured"], cell["spread"])
            row[name, "paper"] = spread(cell["paper"], cell["paper_std"])
        faig = by_method.loc["faig"]
        row["FAIG, 95 %", "here"] = interval(faig["low"], faig["high"])
        lead = ahead.loc[(kind, percent)]
        row["FAIG ÷ best other", "here"] = f"{lead['ratio']:.1f}×"
        row["FAIG ÷ best other", "95 %"] = interval(lead["low"], lead["high"], 1)
        published = faig["paper"] / by_method["paper"].drop("faig").max()
        row["FAIG ÷ best other", "paper"] = "–" if math.isnan(published) else f"{published:.1f}×"
        rows.append(row)
    table = pd.DataFrame(rows)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    first = chosen.iloc[0]
    runs = f"{first['seeds']} training run" + ("s" if first["seeds"] > 1 else "")
    caption = (
        f"{TITLES[network]}, {first['images']} images, {runs} here and 3 in the paper. Gray here; the released script "
        "compares blue channels. ± is over fine-tuning runs, 95 % a bootstrap interval over images. |θ − θ̄| is the "
        "absolute change here; the released script divides it by |θ̄|."
    )
    return styled(table, caption=caption, uuid=f"masking-{network}-{image_set}")


@with_source
def selectivity(table: pd.DataFrame) -> Styler:
    """PSNR of target, masked target and baseline for each input and masked function."""
    shown = pd.DataFrame(
        {
            "network": table["network"].map(TITLES),
            "image set": table["image_set"].map(datasets.title),
            "input": table["input"],
            "masked": table["percent"].map("{:g} %".format) + " " + table["filters"],
            "drop ×10³": table["drop"],
            "PSNR target": table["psnr_target"],
            "PSNR masked": table["psnr"],
            "brightness shift": table["luminance_shift"],
            "PSNR masked, brightness put right": table["psnr_level"],
            "PSNR baseline": table["psnr_baseline"],
        }
    )
    numbers = {name: "{:.2f}" for name in shown.columns if name.startswith(("drop", "PSNR", "brightness"))}
    return plain(shown, numbers)


@with_source
def retraining(final: pd.DataFrame, network: str) -> Styler:
    """PSNR in dB after re-training 1 % of the filters, measured here and in the paper, a row per task and method."""
    chosen = final[final["network"] == network]
    rows = []
    for row in chosen.itertuples():
        name = "all filters (upper bound)" if row.method == "all" else paper.METHODS[row.method]
        rows.append(
            {
                "learnt": row.task,
                "filters that may move": "all" if row.filters == "all" else f"1 % {row.filters}",
                "chosen by": name,
                "PSNR here": spread(row.measured, row.spread),
                "gain here": f"{row.gain:+.2f}",
                "of upper bound": f"{row.recovered:.0%}",
                "PSNR in the paper": spread(row.paper, row.paper_std),
            }
        )
    return plain(pd.DataFrame(rows), caption=f"{TITLES[network]}, {chosen['seeds'].max()} training run(s) here")


@with_source
def depths(centroids: pd.DataFrame) -> Styler:
    """Mean depth of deblurring and denoising filters and their difference, with intervals, beside an even spread.

    Args:
        centroids: from :func:`faiglib.experiments.distribution.centroids`, one method.
    """
    basis = {"seeds": "t over {} fine-tuning runs", "filters": "bootstrap over filters"}
    shown = pd.DataFrame(
        {
            "network": centroids["network"].map(TITLES),
            "filters": centroids["filters"].replace("difference", "deblurring − denoising"),
            "mean depth": centroids["centroid"].map("{:.3f}".format),
            "95 % interval": [f"{row.low:.3f} to {row.high:.3f}" for row in centroids.itertuples()],
            "even spread": centroids["uniform"].map("{:.3f}".format),
            "interval from": [basis[row.interval].format(row.seeds) for row in centroids.itertuples()],
        }
    )
    return plain(shown)


@with_source
def layer_spread(spread: pd.DataFrame) -> Styler:
    """How unevenly the sets lie and what the last layers hold, by network, method and function.

    Args:
        spread: from :func:`faiglib.experiments.distribution.spread`.
    """
    chosen = spread[spread["method"].isin(["faig", "random"])]
    shown = pd.DataFrame(
        {
            "network": chosen["network"].map(TITLES),
            "chosen by": chosen["method"].map(paper.METHODS),
            "filters": chosen["filters"],
            "uneven": chosen["uneven"].map("{:.0%}".format),
            "in the last two layers": chosen["last_share"].map("{:.1%}".format),
            "even spread": chosen["last_uniform"].map("{:.1%}".format),
            "ratio": chosen["last_ratio"].map("{:.1f}×".format),
            "in the output layer": chosen["output_share"].map("{:.2%}".format),
            "part of the output layer": chosen["output_fraction"].map("{:.1%}".format),
        }
    )
    return plain(shown)


@with_source
def control(control: pd.DataFrame) -> Styler:
    """What turning a knob from λ = 0 to 1 does, and how evenly.

    Args:
        control: from :func:`faiglib.experiments.interpolation.control`.
    """
    measures = {"sharpness": "mean gradient", "noise": "residual noise"}
    shown = pd.DataFrame(
        {
            "network": control["network"].map(TITLES),
            "filters (measure)": control["filters"] + " (" + control["effect"].map(measures) + ")",
            "λ = 0": control["at_0"].map("{:.2f}".format),
            "λ = 1": control["at_1"].map("{:.2f}".format),
            "ground truth": control["truth"].map("{:.2f}".format),
            "steps the right way": control["monotone"].map("{:.0%}".format),
            "largest step": control["largest_step"],
            "steepest ÷ even": control["steepest"],
            "half at λ": control["halfway"],
            "10 to 90 % at λ": [
                "–" if math.isnan(row.started) else f"{row.started:.2f} to {row.finished:.2f}"
                for row in control.itertuples()
            ],
            "PSNR, λ 0 to 1 (dB)": control["gained"].map("{:+.2f}".format),
            "other input moves (dB)": control["other_moved"].map("{:.2f}".format),
        }
    )
    return plain(shown, {"largest step": "{:.0%}", "steepest ÷ even": "{:.1f}", "half at λ": "{:.2f}"})


@with_source
def best_lambda(summary: pd.DataFrame) -> Styler:
    """Where PSNR is highest, by network and knob.

    Args:
        summary: from :func:`faiglib.experiments.interpolation.best_summary`.
    """
    shown = pd.DataFrame(
        {
            "network": summary["network"].map(TITLES),
            "filters": summary["filters"],
            "images (all seeds)": summary["images"],
            "median λ": summary["median"].map("{:g}".format),
            "best below 1": summary["below"].map("{:.0%}".format),
            "best above 1": summary["above"].map("{:.0%}".format),
            "mean gain over λ = 1 (dB)": summary["mean_gain"].map("{:.3f}".format),
            "largest gain (dB)": summary["largest_gain"].map("{:.3f}".format),
        }
    )
    return plain(shown)


@with_source
def both_knobs(separation: pd.DataFrame) -> Styler:
    """PSNR in dB with neither, one and both knobs at 1, and at the best setting, on blurry and noisy input.

    Args:
        separation: from :func:`faiglib.experiments.interpolation.separation`.
    """
    shown = pd.DataFrame(
        {
            "network": separation["network"].map(TITLES),
            "both λ = 0": separation["off"],
            "deblurring 1": separation["deblurring"],
            "denoising 1": separation["denoising"],
            "both λ = 1": separation["both"],
            "gains of single knobs, summed": separation["sum_of_gains"],
            "gain of both": separation["joint_gain"],
            "best setting": [
                f"{row.best_deblurring:g} / {row.best_denoising:g}: {row.best_psnr:.2f}"
                for row in separation.itertuples()
            ],
        }
    )
    return plain(shown, dict.fromkeys(shown.columns[1:-1], "{:.2f}"))


@with_source
def prediction(cells: pd.DataFrame, titles: Mapping[str, str], names: Mapping[str, str]) -> Styler:
    """Accuracy of degradation prediction, measured here and in the paper.

    Args:
        cells: from :func:`faiglib.experiments.prediction.headline`.
        titles: of the image sets.
        names: of the predictors.
    """
    shown = pd.DataFrame(
        {
            "predictor": cells["predictor"].map(names),
            "network": cells["network"].map(TITLES),
            "degradation": cells["degradation"],
            "tested on": cells["image_set"].map(titles),
            "threshold": cells["threshold"],
            "accuracy": [
                spread(100 * mean, 100 * std, 1) + " %"
                for mean, std in zip(cells["accuracy"], cells["spread"], strict=True)
            ],
            "decisions": cells["decisions"],
            "95 % interval": [
                f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in zip(cells["low"], cells["high"], strict=True)
            ],
            "in the paper": cells["paper"],
        }
    )
    return plain(shown, {"threshold": "{:.2f}", "in the paper": "{:.0%}"})


@with_source
def prediction_transfer(wide: pd.DataFrame, titles: Mapping[str, str], names: Mapping[str, str]) -> Styler:
    """Accuracy with thresholds from other sets and from the paper.

    ``wide`` is from :func:`faiglib.experiments.prediction.transfer`; ``titles`` are those of the image sets, ``names``
    those of the predictors.
    """
    shown = pd.DataFrame(
        {
            "predictor": wide["predictor"].map(names),
            "network": wide["network"].map(TITLES),
            "thresholds from": wide["thresholds_on"].map({**titles, "paper": "the paper"}),
            "tested on": wide["image_set"].map(titles),
            "blur": wide["blur"],
            "noise": wide["noise"],
        }
    )
    return plain(shown, {"blur": "{:.1%}", "noise": "{:.1%}"})


@with_source
def prediction_areas(areas: pd.DataFrame, titles: Mapping[str, str], names: Mapping[str, str]) -> Styler:
    """AUC with its interval, from :func:`faiglib.experiments.prediction.areas`; columns are degradations and inputs.

    ``titles`` are those of the image sets, ``names`` those of the predictors.
    """
    text = [f"{row.auc:.3f} ({row.low:.3f} to {row.high:.3f})" for row in areas.itertuples()]
    column = areas["degradation"] + ", " + areas["inputs"] + " inputs"
    named = areas.assign(
        text=text,
        column=column,
        predictor=areas["predictor"].map(names),
        network=areas["network"].map(TITLES).fillna("–"),
        tested=areas["image_set"].map(titles),
    ).rename(columns={"tested": "tested on"})
    rows = ["predictor", "network", "tested on"]
    wide = named.pivot_table(index=rows, columns="column", values="text", aggfunc="first", sort=False)
    return plain(wide.reset_index().rename_axis(columns=None), caption="AUC (95 % interval over images)")
