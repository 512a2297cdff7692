"""Degradations beyond the paper's, as steps that are taken in the order given.

Every step maps float tensors (N, 3, H, W) in [0, 1] to tensors of the same kind; randomness comes from a generator on
the CPU only, so that one seed gives one result on every machine.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from faiglib.errors import ImageError
from faiglib.images.degradations import (
    KERNEL_SIZE,
    add_noise,
    downsample,
    quantise,
    require_kernel_fits,
    require_multiple,
)

#: Points on a pixel's length from which the kernel of a motion is summed up.
POINTS = 64
#: Chroma of a JPEG file: halved both ways, as cameras do, or whole.
SUBSAMPLINGS = {"420": "4:2:0", "444": "4:4:4"}


@dataclass(frozen=True)
class Step:
    """One thing that is done to an image; subclasses say what.

    Attributes:
        scale: by which a side becomes shorter.
        reach: pixels that a kernel reaches to either side; 0 without one.
        random: whether it draws random numbers.
    """

    scale: ClassVar[int] = 1
    reach: ClassVar[int] = 0
    random: ClassVar[bool] = False

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Do it to (N, 3, H, W)."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Blurring(Step):
    """Convolution with a kernel of 21×21 pixels, reflected at the border as the paper's blur is."""

    reach: ClassVar[int] = KERNEL_SIZE // 2

    def kernel(self) -> Tensor:
        """(21, 21) float64, sum 1."""
        raise NotImplementedError

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Convolve every channel."""
        channels = image.shape[1]
        taps = self.kernel().to(image).expand(channels, 1, KERNEL_SIZE, KERNEL_SIZE)
        return F.conv2d(F.pad(image, (self.reach,) * 4, mode="reflect"), taps, groups=channels)


@dataclass(frozen=True)
class GaussianBlur(_Blurring):
    """Gaussian blur, along one direction as strong as across it or not.

    Attributes:
        sigma: standard deviation in pixels along the direction, > 0.
        across: the same across it.
        angle: of the direction in degrees, from the x axis towards the top of the image.
    """

    sigma: float
    across: float
    angle: float = 0.0

    def kernel(self) -> Tensor:
        """exp(−½ xᵀ Σ⁻¹ x) at the pixels, normalised; Σ has the squared deviations as eigenvalues."""
        along, across = _turned(self.angle)
        weights = torch.exp(-0.5 * ((along / self.sigma) ** 2 + (across / self.across) ** 2))
        return weights / weights.sum()


@dataclass(frozen=True)
class MotionBlur(_Blurring):
    """Blur of a motion in a straight line while the shutter is open.

    Attributes:
        length: of the way in pixels, > 0 and at most 19.
        angle: of its direction in degrees, from the x axis towards the top of the image.
    """

    length: float
    angle: float = 0.0

    def kernel(self) -> Tensor:
        """The way as a line of points, each shared out over the four pixels around it, normalised."""
        count = max(2, math.ceil(POINTS * self.length))
        places = (torch.arange(count, dtype=torch.float64) + 0.5) / count - 0.5
        radians = math.radians(self.angle)
        column = self.reach + self.length * places * math.cos(radians)
        row = self.reach - self.length * places * math.sin(radians)
        weights = torch.zeros(KERNEL_SIZE, KERNEL_SIZE, dtype=torch.float64)
        for down in (0, 1):
            for right in (0, 1):
                top, left = row.floor() + down, column.floor() + right
                share = (1 - (row - top).abs()) * (1 - (column - left).abs())
                weights.index_put_((top.long(), left.long()), share, accumulate=True)
        return weights / weights.sum()


def _turned(angle: float) -> tuple[Tensor, Tensor]:
    """Distances of the kernel's pixels from its centre along and across a direction, each (21, 21)."""
    offsets = torch.arange(KERNEL_SIZE, dtype=torch.float64) - KERNEL_SIZE // 2
    right, up = offsets[None, :], -offsets[:, None]
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return right * cosine + up * sine, up * cosine - right * sine


@dataclass(frozen=True)
class Downsample(Step):
    """The paper's bilinear downsampling, see :func:`faiglib.images.degradations.downsample`.

    Attributes:
        scale: factor.
    """

    scale: int = 2  # type: ignore[misc]

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Make it smaller."""
        return downsample(image, self.scale)


@dataclass(frozen=True)
class GaussianNoise(Step):
    """White Gaussian noise.

    Attributes:
        sigma: standard deviation on the [0, 1] scale.
    """

    sigma: float

    random: ClassVar[bool] = True

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Add the noise; not clipped."""
        return add_noise(image, self.sigma, generator)


@dataclass(frozen=True)
class PoissonNoise(Step):
    """Shot noise: the number of photons is Poisson's, so that bright pixels are noisier than dark ones.

    Attributes:
        photons: expected at white; the fewer, the noisier.
    """

    photons: float

    random: ClassVar[bool] = True

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Count the photons."""
        expected = image.clamp(min=0).to(generator.device) * self.photons
        return (torch.poisson(expected, generator=generator) / self.photons).to(image)


@dataclass(frozen=True)
class Jpeg(Step):
    """What a JPEG file keeps, by Pillow's codec (libjpeg); the image is rounded to 8 bits first.

    Attributes:
        quality: 1 to 100.
        subsampling: of the chroma, ``420`` or ``444``.
    """

    quality: int
    subsampling: str = "420"

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Encode and decode every image."""
        return torch.cat([self._of_one(one) for one in image.split(1)])

    def _of_one(self, image: Tensor) -> Tensor:
        pixels = (255 * quantise(image)).round().byte()[0].permute(1, 2, 0).cpu().numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=self.quality, subsampling=SUBSAMPLINGS[self.subsampling])
        with Image.open(file) as decoded:
            levels = np.array(decoded.convert("RGB"))
        return torch.from_numpy(levels).permute(2, 0, 1)[None].to(image) / 255


@dataclass(frozen=True)
class Chain:
    """Steps from ground truth (HR) to network input (LR), then 8-bit rounding.

    Attributes:
        steps: in their order.
    """

    steps: tuple[Step, ...]

    @property
    def scale(self) -> int:
        """By which a side becomes shorter, all in all."""
        return math.prod(step.scale for step in self.steps)

    def require(self, height: int, width: int) -> None:
        """Refuse a size that cannot be degraded.

        Raises:
            ImageError: at some step the image is too small for the kernel, or does not divide by the scale.
        """
        for step in self.steps:
            if step.reach:
                require_kernel_fits(height, width)
            require_multiple(height, width, step.scale)
            height, width = height // step.scale, width // step.scale

    def __call__(self, ground_truth: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Degrade (N, 3, H, W) to (N, 3, H/scale, W/scale), 8-bit values in [0, 1].

        Raises:
            ImageError: see :meth:`require`.
            ValueError: a step is random, and there is no generator.
        """
        if generator is None:
            if any(step.random for step in self.steps):
                raise ValueError("noise needs an explicit torch.Generator")
            generator = torch.Generator()
        self.require(*ground_truth.shape[-2:])
        image = ground_truth
        for step in self.steps:
            image = step(image, generator)
        return quantise(image)


def parse_step(text: str) -> Step:
    """A step as the command line names it.

    ``blur:2`` (σ in pixels), ``blur:3x1@30`` (along, across, degrees), ``motion:9@45`` (pixels, degrees), ``down:2``,
    ``noise:0.1`` (σ on the [0, 1] scale), ``poisson:200`` (photons at white), ``jpeg:40`` or ``jpeg:40/444`` (quality,
    chroma).

    Raises:
        ImageError: it is none of these, or a number is out of its range.
    """
    kind, _, rest = text.partition(":")
    found = _GRAMMAR[kind][0].fullmatch(rest) if kind in _GRAMMAR else None
    step = _GRAMMAR[kind][1](*found.groups()) if found else None
    if step is None:
        known = ", ".join(example for *_, example in _GRAMMAR.values())
        raise ImageError(f"{text[:60]!r} is no step of a degradation; such are {known}")
    return step


_NUMBER = r"(\d+\.?\d*|\.\d+)"
_ANGLE = rf"(?:@(-?{_NUMBER[1:-1]}))?"


def _blur(along: str, across: str | None, angle: str | None) -> Step | None:
    sigmas = float(along), float(across or along)
    return GaussianBlur(*sigmas, float(angle or 0)) if min(sigmas) > 0 else None


def _motion(length: str, angle: str | None) -> Step | None:
    return MotionBlur(float(length), float(angle or 0)) if 0 < float(length) <= KERNEL_SIZE - 2 else None


_GRAMMAR: Mapping[str, tuple[re.Pattern[str], Callable[..., Step | None], str]] = {
    "blur": (re.compile(rf"{_NUMBER}(?:x{_NUMBER})?{_ANGLE}"), _blur, "blur:2, blur:3x1@30"),
    "motion": (re.compile(rf"{_NUMBER}{_ANGLE}"), _motion, "motion:9@45"),
    "down": (re.compile(r"(\d+)"), lambda scale: Downsample(int(scale)) if int(scale) > 0 else None, "down:2"),
    "noise": (re.compile(_NUMBER), lambda sigma: GaussianNoise(float(sigma)), "noise:0.1"),
    "poisson": (
        re.compile(_NUMBER),
        lambda photons: PoissonNoise(float(photons)) if float(photons) > 0 else None,
        "poisson:200",
    ),
    "jpeg": (
        re.compile(r"(\d+)(?:/(420|444))?"),
        lambda quality, chroma: Jpeg(int(quality), chroma or "420") if 1 <= int(quality) <= 100 else None,
        "jpeg:40, jpeg:40/444",
    ),
}
