"""What a training starts with: the model on its device with its first weights, and what of it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faiglib.errors import TrainingError
from faiglib.networks.weights import fit
from faiglib.training.objectives import Objective
from faiglib.training.recipe import RecipeBase

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def objective_of(recipe: RecipeBase, fabric: Fabric, initial: Mapping[str, Tensor] | None) -> Objective:
    """The recipe's objective, its model on the device and with the weights it starts from.

    Raises:
        TrainingError: the batch does not divide over the processes, or the network cannot be trained in several.
        WeightsError: the weights do not fit.
    """
    if recipe.batch % fabric.world_size:
        raise TrainingError(f"a batch of {recipe.batch} does not divide over {fabric.world_size} processes")
    objective = recipe.objective()
    if objective.one_process and fabric.world_size > 1:
        raise TrainingError(
            f"{recipe.network} keeps state besides its weights, which {fabric.world_size} processes would not share; "
            "train it in one"
        )
    if initial is not None:
        fit(objective.model, initial, "the file of initial weights")
    objective.model.to(fabric.device)
    objective.model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    return objective


def masks_of(trained: Mapping[str, Tensor], trainable: Mapping[str, Tensor] | None) -> list[Tensor | None]:
    """What of each trained parameter is trained, in their order; None is all of it.

    Raises:
        TrainingError: a mask names no parameter.
    """
    if trainable is None:
        return [None] * len(trained)
    for name in trainable:
        if name not in trained:
            raise TrainingError(f"cannot train {name}: the network has no such parameter")
    nothing = torch.zeros(())
    return [trainable.get(name, nothing).to(parameter.device, parameter.dtype) for name, parameter in trained.items()]
