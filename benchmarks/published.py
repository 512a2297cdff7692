"""The published algorithms, written plainly from the paper's description: the other side of every comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.companion.discovery import KINDS
from faiglib.companion.masked import Mask
from faiglib.companion.workbench import Sample
from faiglib.images.degradations import Degradation, quantise
from faiglib.images.metrics import gradient_error, psnr

STEPS = 100


def attribute(
    build: Callable[[], nn.Module],
    target: dict[str, Tensor],
    baseline: dict[str, Tensor],
    own: Tensor,
    other: Tensor,
    gt: Tensor,
    steps: int = STEPS,
) -> Tensor:
    """FAIG of one function on one image: a new network for each of 100 steps, both degradations at each.

    Called once for each ranking, as published, so that every gradient is computed twice.
    """
    sums: dict[str, list[Tensor]] = {"own": [], "other": []}
    names = [name for name in target if name.endswith("weight")]
    for step in range(steps):
        alpha = step / steps
        network = build()
        network.load_state_dict({name: alpha * baseline[name] + (1 - alpha) * target[name] for name in target})
        weights = dict(network.named_parameters())
        for kind, image in (("own", own), ("other", other)):
            network.zero_grad()
            F.mse_loss(network(image), gt, reduction="sum").backward()
            gradients = [weights[name].grad.clone() for name in names]
            if sums[kind]:
                gradients = [old + new for old, new in zip(sums[kind], gradients, strict=True)]
            sums[kind] = gradients
    scores = {}
    for kind, gradients in sums.items():
        scores[kind] = torch.cat(
            [
                (gradient * (baseline[name] - target[name]) / steps).abs().sum(dim=(2, 3)).flatten()
                for name, gradient in zip(names, gradients, strict=True)
            ]
        )
    return scores["own"] - scores["other"]


class WholeImageDataset(torch.utils.data.Dataset):
    """Whole images degraded on the CPU, then cropped, as in the released training: one sample an item.

    Unlike there, the images lie in memory, and the crops are neither flipped nor rotated: there is less to do here.
    """

    def __init__(self, images: list[Tensor], patch: int, samples: int) -> None:
        self.images, self.patch, self.samples = images, patch, samples

    def __len__(self) -> int:
        """Number of samples."""
        return self.samples

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Network input and ground truth of one sample."""
        generator = torch.Generator().manual_seed(number)
        image = self.images[number % len(self.images)]
        blurred, noisy = torch.rand(2, generator=generator) < 0.5
        low = Degradation(2.0 if blurred else 0.0, 0.1 if noisy else 0.0)(image, generator)[0]
        side = self.patch // 2
        top, left = (int(torch.randint(size - side + 1, (), generator=generator)) for size in low.shape[-2:])
        crop = image[0, :, 2 * top : 2 * top + self.patch, 2 * left : 2 * left + self.patch]
        return low[:, top : top + side, left : left + side].contiguous(), crop.contiguous()


def train(network: nn.Module, images: list[Tensor], patch: int, batch: int, iterations: int, workers: int = 0) -> None:
    """Train by a plain loop: a DataLoader over whole images, L1 loss, Adam, moving average parameter by parameter.

    Everything in single precision and PyTorch's usual memory layout; ``workers`` processes degrade the images.
    """
    dataset = WholeImageDataset(images, patch, batch * iterations)
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch, num_workers=workers)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.9, 0.99))
    average = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for low, ground_truth in loader:
        loss = F.l1_loss(network(low), ground_truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for name, parameter in network.named_parameters():
            average[name].mul_(0.999).add_(parameter.detach(), alpha=0.001)


def mask(
    build: Callable[[], nn.Module],
    target: dict[str, Tensor],
    baseline: dict[str, Tensor],
    masks: Sequence[Mask],
    samples: Sequence[Sample],
) -> list[tuple[float, float, float, float]]:
    """Masking by running everything again for every mask and image: target, baseline and masked network.

    Returns:
        Drop, PSNR of the masked network, of the target and of the baseline, by mask, image and input.
    """
    found = []
    for one in masks:
        masked = {name: value.clone() for name, value in target.items()}
        for name, chosen in one.filters.masks().items():
            masked[name] = torch.where(chosen, baseline[name], masked[name])
        for sample in samples:
            for kind in KINDS:
                outputs = []
                for state in (target, masked, baseline):
                    network = build()
                    network.load_state_dict(state)
                    with torch.no_grad():
                        outputs.append(quantise(network.eval()(sample.inputs[kind])))
                drop = float(gradient_error(outputs[1], outputs[0]))
                own, lost, plain = (float(psnr(output, sample.ground_truth)) for output in outputs)
                found.append((drop, lost, own, plain))
    return found
