"""How much is measured, chosen by one word."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """A budget of the benchmarks; sides are in ground-truth pixels, twice those of the network's input.

    Attributes:
        images, crop: of the attribution benchmark.
        other_images: in it, for the networks that are not timed.
        published_images: on which the published algorithm is timed.
        reference: nodes of its Gauss-Legendre reference.
        most_nodes, convergence_reference: of the comparison of quadrature rules on one image.
        memory_crop: side of the image whose gradient's memory is measured.
        crops: sides for the throughput and for the growth with the area.
        scaling_crop: side of the images for the growth with images, nodes and filters.
        batch: images in a batch of the ways to per-image gradients, of ``batch_crops`` sides.
        batch_crops: see there.
        percents, masking_images, masking_crop: of the masking sweep.
        iterations: training steps on each side.
        repeats: of the short measurements, of which the fastest counts.
    """

    images: int
    crop: int
    other_images: int
    published_images: int
    reference: int
    most_nodes: int
    convergence_reference: int
    memory_crop: int
    crops: tuple[int, ...]
    scaling_crop: int
    batch: int
    batch_crops: tuple[int, ...]
    percents: tuple[float, ...]
    masking_images: int
    masking_crop: int
    iterations: int
    repeats: int


SIZES = {
    "quick": Size(
        images=2,
        crop=24,
        other_images=1,
        published_images=1,
        reference=32,
        most_nodes=100,
        convergence_reference=120,
        memory_crop=240,
        crops=(24, 36, 48),
        scaling_crop=24,
        batch=2,
        batch_crops=(24,),
        percents=(1, 5),
        masking_images=1,
        masking_crop=48,
        iterations=4,
        repeats=1,
    ),
    "full": Size(
        images=8,
        crop=48,
        other_images=4,
        published_images=2,
        reference=96,
        most_nodes=200,
        convergence_reference=1000,
        memory_crop=360,
        crops=(24, 36, 48, 72, 96, 144),
        scaling_crop=48,
        batch=4,
        batch_crops=(48, 96, 144),
        percents=(0.5, 1, 2, 3, 5, 7, 10),
        masking_images=4,
        masking_crop=96,
        iterations=40,
        repeats=3,
    ),
}
