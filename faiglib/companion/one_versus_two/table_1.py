"""Supplementary Table 1: parameters and operations of DAN, DASR and their one-branch rivals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import nn

from faiglib.networks import build
from faiglib.networks.cost import operations, parameters, total_macs
from faiglib.networks.dasr import DASR
from faiglib.race.contrast import DASRTraining

#: Input of supp. Table 1, for ×4.
TABLE_1_INPUT = (1, 3, 120, 120)


@dataclass(frozen=True)
class TableOneRow:
    """One network of supp. Table 1, ×4, input 1×3×120×120.

    Attributes:
        network: name in the registry.
        title: what exactly was counted.
        pair: the two-branch network whose budget the row belongs to, ``dan`` or ``dasr``.
        parameters: exactly.
        ptflops: MACs as the paper counts.
        true: MACs of all convolutions and matrix products, and nothing else.
        paper_gmacs: 10⁹ MACs as printed (under "FLOPs"); none for a row that the paper does not have.
        paper_mparameters: 10⁶ parameters as printed.
    """

    network: str
    title: str
    pair: str
    parameters: int
    ptflops: int
    true: int
    paper_gmacs: float | None = None
    paper_mparameters: float | None = None


def table_1() -> list[TableOneRow]:
    """Supp. Table 1, computed anew, with the rows that an honest comparison needs beside it.

    The paper's row of DASR holds the key encoder and the contrastive heads, which exist in training only. A network
    that restores images has neither, and is matched in MACs by 25 residual blocks rather than 27.
    """

    def srresnet(blocks: int) -> nn.Module:
        return build("srresnet", seed=0, scale=4, blocks=blocks)

    dasr = cast("DASR", build("dasr", seed=0))
    pairs = (1, 2, *TABLE_1_INPUT[1:])  # query and key
    return [
        _row("dan", "DAN", "dan", build("dan", seed=0), (275.36, 4.33)),
        _row("srresnet", "SRResNet, 54 blocks", "dan", srresnet(54), (77.03, 4.32)),
        _row("dasr", "DASR with both encoders", "dasr", DASRTraining(dasr), (48.27, 7.25), pairs),
        _row("srresnet", "SRResNet, 27 blocks", "dasr", srresnet(27), (48.32, 2.33)),
        _row("dasr", "DASR, inference", "dasr", dasr),
        _row("srresnet", "SRResNet, 25 blocks", "dasr", srresnet(25)),
    ]


def _row(
    name: str,
    title: str,
    pair: str,
    network: nn.Module,
    printed: tuple[float, float] | None = None,
    input_shape: tuple[int, ...] = TABLE_1_INPUT,
) -> TableOneRow:
    counts = operations(network, input_shape)
    gmacs, mparameters = printed or (None, None)
    return TableOneRow(
        network=name,
        title=title,
        pair=pair,
        parameters=parameters(network),
        ptflops=total_macs(counts, "ptflops"),
        true=total_macs(counts, "true"),
        paper_gmacs=gmacs,
        paper_mparameters=mparameters,
    )


def printed_alike(rows: list[TableOneRow]) -> tuple[int, int]:
    """How many figures of supp. Table 1 come out to the printed digit (two decimals), and how many it has."""
    pairs = [
        (counted / unit, printed)
        for row in rows
        for counted, unit, printed in (
            (row.ptflops, 1e9, row.paper_gmacs),
            (row.parameters, 1e6, row.paper_mparameters),
        )
        if printed is not None
    ]
    return sum(f"{ours:.2f}" == f"{printed:.2f}" for ours, printed in pairs), len(pairs)
