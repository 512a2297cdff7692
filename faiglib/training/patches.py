"""Random training patches, cropped, flipped, rotated and degraded on the device that trains.

All images lie in one flat uint8 tensor. A batch is one gather: position, flip and transposition are index
arithmetic. What step ``t`` of a run sees depends on the seed and ``t`` alone, so a resumed run needs no
random state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from faiglib.errors import TrainingError
from faiglib.images.chain import Jpeg
from faiglib.images.datasets import ImageSet
from faiglib.images.degradations import KERNEL_SIZE, blur_valid, downsample, gaussian_window, quantise

MARGIN = KERNEL_SIZE // 2
#: Least and largest quality of JPEG that training meets.
JPEG_QUALITY = (30, 90)


def require_room(which: str, height: int, width: int, patch: int) -> None:
    """Refuse a training image that no patch fits into.

    Args:
        which: of the images it is.
        height: of the image.
        width: of the image.
        patch: side of a patch in HR pixels.

    Raises:
        TrainingError: a side is too short.
    """
    least = max(patch, MARGIN + 1)
    if min(height, width) < least:
        raise TrainingError(
            f"training image {which} has {width}x{height} pixels, but both sides must be at least {least} for patches "
            f"of {patch}"
        )


def large_enough(image_set: ImageSet, patch: int, limit: int | None = None) -> Iterator[Tensor]:
    """The images of a set to take patches from, each (1, 3, H, W).

    Args:
        image_set: of ground truth.
        patch: side of a patch in HR pixels.
        limit: at most so many images.

    Raises:
        TrainingError: a file is too small for a patch.
        ImageError: a file cannot be read.
    """
    for path, (_, image) in zip(image_set.select(limit), image_set.load(limit), strict=True):
        require_room(str(path), image.shape[-2], image.shape[-1], patch)
        yield image


@dataclass(frozen=True)
class PatchSource:
    """Images of any size in one flat tensor, each padded by reflection so that blur needs no border rule.

    Attributes:
        pixels: (P, 3) uint8, the padded images one after the other, row by row.
        offsets, widths: (M,) int64, first pixel and padded width of each image.
        rows, columns: (M,) int64, number of possible top and left positions of a patch.
        patch: patch side in HR pixels.
    """

    pixels: Tensor
    offsets: Tensor
    widths: Tensor
    rows: Tensor
    columns: Tensor
    patch: int

    @classmethod
    def from_images(cls, images: Iterable[Tensor], patch: int, device: torch.device | str = "cpu") -> PatchSource:
        """Collect images (1, 3, H, W) in [0, 1], one after the other; only their 8-bit pixels are kept.

        Raises:
            TrainingError: there are no images, or one is smaller than the patch.
        """
        flat = bytearray()  # grows in place, so that the pixels are never held twice
        offsets, widths, rows, columns = [], [], [], []
        for number, image in enumerate(images):
            height, width = image.shape[-2:]
            require_room(f"number {number}", height, width, patch)
            levels = (image.cpu() * 255).round().clamp(0, 255)
            padded = F.pad(levels, (MARGIN,) * 4, mode="reflect").to(torch.uint8)
            offsets.append(len(flat) // 3)
            flat += padded[0].permute(1, 2, 0).contiguous().view(-1).numpy().data
            widths.append(padded.shape[-1])
            rows.append(height - patch + 1)
            columns.append(width - patch + 1)
        if not offsets:
            raise TrainingError("training needs at least one image")
        return cls(
            torch.frombuffer(flat, dtype=torch.uint8).view(-1, 3).to(device),
            torch.tensor(offsets, device=device),
            torch.tensor(widths, device=device),
            torch.tensor(rows, device=device),
            torch.tensor(columns, device=device),
            patch,
        )

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        """Random augmented patches and margin: (batch, 3, p + 20, p + 20) in [0, 1], channels last."""
        return self.crop(self.choose(batch, generator), generator)

    def choose(self, batch: int, generator: torch.Generator) -> Tensor:
        """Numbers (batch,) of random images."""
        return torch.randint(len(self.widths), (batch,), generator=generator, device=self.pixels.device)

    def crop(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """A random augmented patch with margin of every image whose number is given; as :meth:`draw` returns them."""
        device, batch = self.pixels.device, len(image)
        side = self.patch + 2 * MARGIN
        position = torch.rand(2, batch, generator=generator, device=device)
        top = (position[0] * self.rows[image]).long()
        left = (position[1] * self.columns[image]).long()
        flip = torch.randint(2, (3, batch, 1, 1), generator=generator, device=device).bool()
        steps = torch.arange(side, device=device)
        down, across = steps.view(1, side, 1), steps.view(1, 1, side)
        down, across = torch.where(flip[0], across, down), torch.where(flip[0], down, across)
        down = torch.where(flip[1], side - 1 - down, down)
        across = torch.where(flip[2], side - 1 - across, across)
        start = self.offsets[image] + top * self.widths[image] + left
        index = start.view(-1, 1, 1) + down * self.widths[image].view(-1, 1, 1) + across
        return self.pixels[index].permute(0, 3, 1, 2).float() / 255


@dataclass(frozen=True)
class TrainingDegradation:
    """Blur and noise, each applied to a sample with its own probability (paper, section 3), and JPEG after them.

    Attributes:
        blur_probability, noise_probability, jpeg_probability: independent, per sample.
        blur_sigma: HR pixels. noise_sigma: on the [0, 1] scale. scale: downsampling factor.
    """

    blur_probability: float
    noise_probability: float
    blur_sigma: float
    noise_sigma: float
    scale: int
    jpeg_probability: float = 0.0

    def __call__(self, padded: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Padded patches (N, 3, p + 20, p + 20) → inputs (N, 3, p/r, p/r) and ground truth (N, 3, p, p)."""
        ground_truth = padded[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        count, device = len(padded), padded.device
        image = ground_truth
        if self.blur_probability:
            chosen = torch.rand(count, 1, 1, 1, generator=generator, device=device) < self.blur_probability
            blurred = blur_valid(padded, gaussian_window(self.blur_sigma))
            image = torch.where(chosen, blurred, image)
        image = downsample(image, self.scale)
        if self.noise_probability:
            chosen = torch.rand(count, 1, 1, 1, generator=generator, device=device) < self.noise_probability
            noise = torch.randn(image.shape, generator=generator, device=device)
            image = torch.where(chosen, image + self.noise_sigma * noise, image)
        image = quantise(image)
        if self.jpeg_probability:
            chosen = torch.rand(count, generator=generator, device=device) < self.jpeg_probability
            least, most = JPEG_QUALITY
            qualities = torch.randint(least, most + 1, (count,), generator=generator, device=device)
            for number in chosen.nonzero().flatten().tolist():
                one = slice(number, number + 1)
                image[one] = Jpeg(int(qualities[number]))(image[one], generator)
        return image, ground_truth
