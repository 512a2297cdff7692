"""The tables of the book: measured values beside the paper's, as styled HTML."""

from __future__ import annotations

import math

import pandas as pd
from pandas.io.formats.style import Styler

from faiglib import paper
from faiglib.networks import TITLES


def spread(mean: float, deviation: float, digits: int = 2) -> str:
    """``mean ± deviation``; the deviation is left out where there is none, a dash stands for no value."""
    if mean is None or math.isnan(mean):
        return "–"
    text = f"{mean:.{digits}f}"
    return text if deviation is None or math.isnan(deviation) else f"{text} ± {deviation:.{digits}f}"


def plain(table: pd.DataFrame, formats: dict[str, str] | None = None, caption: str = "") -> Styler:
    """A table as it is, with number formats by column and without row numbers."""
    styled = table.style.hide(axis="index").format(formats or {}, na_rep="–").set_uuid("t")
    return styled.set_caption(caption) if caption else styled


def masking(summary: pd.DataFrame, network: str, image_set: str) -> Styler:
    """Supp. Tables 3-6: drop ×10³ by method, measured here and in the paper, and how far FAIG is ahead.

    Args:
        summary: from :func:`faiglib.experiments.masking.summary`.
        network: registry name.
        image_set: name of the set.
    """
    chosen = summary[(summary["network"] == network) & (summary["image_set"] == image_set)]
    rows = []
    for (kind, percent), cells in chosen.groupby(["input", "percent"], sort=False):
        by_method = cells.set_index("method")
        row: dict[tuple[str, str], object] = {("", "input"): kind, ("", "masked"): f"{percent:g} %"}
        for method, name in paper.METHODS.items():
            cell = by_method.loc[method]
            row[name, "here"] = spread(cell["measured"], cell["spread"])
            row[name, "paper"] = spread(cell["paper"], cell["paper_std"])
        for source, column in (("here", "measured"), ("paper", "paper")):
            others = by_method[column].drop("faig")
            ratio = by_method.loc["faig", column] / others.max()
            row["FAIG ÷ best other", source] = "–" if math.isnan(ratio) else f"{ratio:.1f}×"
        rows.append(row)
    table = pd.DataFrame(rows)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    first = chosen.iloc[0]
    runs = f"{first['seeds']} training run" + ("s" if first["seeds"] > 1 else "")
    caption = f"{TITLES[network]}, {first['images']} images, {runs} here and 3 in the paper"
    return table.style.hide(axis="index").set_uuid(f"masking-{network}-{image_set}").set_caption(caption)


def selectivity(table: pd.DataFrame) -> Styler:
    """PSNR of target, masked target and baseline for each input and masked function."""
    shown = pd.DataFrame(
        {
            "network": table["network"].map(TITLES),
            "image set": table["image_set"],
            "input": table["input"],
            "masked": table["percent"].map("{:g} %".format) + " " + table["filters"],
            "drop ×10³": table["drop"],
            "PSNR target": table["psnr_target"],
            "PSNR masked": table["psnr"],
            "PSNR baseline": table["psnr_baseline"],
            "brightness shift": table["luminance_shift"],
        }
    )
    numbers = {name: "{:.2f}" for name in shown.columns if name.startswith(("drop", "PSNR", "brightness"))}
    return plain(shown, numbers)
