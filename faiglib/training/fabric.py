"""Where training runs: Lightning Fabric on a device, with so many processes and hosts."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def _lightning() -> tuple[type[Fabric], ModuleType]:
    """Fabric and its environments, imported when they are wanted: that takes as long as importing PyTorch does."""
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins import environments
    except ModuleNotFoundError:  # the same code ships inside the package "lightning"
        from lightning.fabric import Fabric  # type: ignore[no-redef]
        from lightning.fabric.plugins import environments  # type: ignore[no-redef]
    return Fabric, environments


def fabric_on(device: torch.device, processes: int = 1, precision: str | None = None, hosts: int = 1) -> Fabric:
    """A Fabric on a device, not yet launched.

    Args:
        device: its index, where it has one and is a GPU, chooses that GPU.
        processes: how many on each host; more than one on a CPU use gloo.
        precision: in Fabric's words; float32 without it.
        hosts: how many machines take part.
    """
    fabric, environments = _lightning()
    chosen = [device.index] if device.type != "cpu" and device.index is not None else processes
    # Where nobody asked for several hosts, what a scheduler (SLURM, LSF, MPI) has set is about something else.
    alone = hosts == 1 and (processes == 1 or not environments.TorchElasticEnvironment.detect())
    environment = environments.LightningEnvironment() if alone else None
    return fabric(
        accelerator=device.type,
        devices=chosen,
        num_nodes=hosts,
        precision=precision,  # type: ignore[arg-type]
        plugins=environment,
    )


def arithmetic(fabric: Fabric) -> str:
    """Precision of a Fabric in its own words, such as ``32-true`` or ``bf16-mixed``."""
    return fabric.strategy.precision.precision
