"""Training patches: every drawn patch is found again in the image, and degraded as a whole image would be."""

from __future__ import annotations

import io
import weakref
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from faiglib.errors import TrainingError
from faiglib.images.degradations import INPUTS
from faiglib.training.patches import PatchSource, TrainingDegradation

PATCH, MARGIN = 16, 10
DIHEDRAL = [(turns, flip) for turns in range(4) for flip in (False, True)]


def levels(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def transform(window: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    """One of the eight symmetries of the square, on (H, W, 3)."""
    return np.rot90(window[:, ::-1] if flip else window, turns)


def find(patch: torch.Tensor, images: list[np.ndarray], side: int) -> tuple[int, int, int, int, bool]:
    """Where a drawn patch comes from: image, top, left, turns, flip."""
    values = np.round(patch.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    assert np.array_equal(values.astype(np.float32) / 255, patch.permute(1, 2, 0).numpy()), "8-bit levels"
    found = []
    for number, image in enumerate(images):
        padded = np.pad(image, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="reflect")
        for turns, flip in DIHEDRAL:
            wanted = transform(values, turns, flip)
            corner = wanted[MARGIN, MARGIN]
            rows, columns = image.shape[0] - side + 1, image.shape[1] - side + 1
            places = (image[:rows, :columns] == corner).all(-1).nonzero()
            for top, left in zip(*places, strict=True):
                reach = side + 2 * MARGIN
                if np.array_equal(padded[top : top + reach, left : left + reach], wanted):
                    found.append((number, int(top), int(left), turns, flip))
    assert len(found) == 1, f"found {len(found)} times"
    return found[0]


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [levels(16, 16, 0), levels(16, 19, 1), levels(20, 16, 2), levels(23, 18, 3)]


@pytest.fixture(scope="module")
def drawn(images):
    source = PatchSource.from_images([tensor(image) for image in images], PATCH)
    patches = torch.cat([source.draw(64, torch.Generator().manual_seed(step)) for step in range(30)])
    return patches, [find(patch, images, PATCH) for patch in patches]


def test_every_patch_is_a_window_of_the_reflected_image_under_a_symmetry_of_the_square(drawn):
    patches, places = drawn
    assert patches.shape == (1920, 3, PATCH + 20, PATCH + 20)
    assert patches.dtype == torch.float32
    assert len(places) == 1920


def test_positions_cover_each_image_to_its_borders(images, drawn):
    _, places = drawn
    for number, image in enumerate(images):
        seen = {(top, left) for n, top, left, _, _ in places if n == number}
        rows, columns = image.shape[0] - PATCH + 1, image.shape[1] - PATCH + 1
        assert seen == {(top, left) for top in range(rows) for left in range(columns)}


def test_images_positions_and_symmetries_are_uniform(drawn):
    _, places = drawn
    number, top, left, turns, flip = zip(*places, strict=True)
    assert stats.chisquare(list(Counter(number).values())).pvalue > 1e-3
    symmetries = Counter(zip(turns, flip, strict=True))
    assert set(symmetries) == set(DIHEDRAL)
    assert stats.chisquare(list(symmetries.values())).pvalue > 1e-3
    where = Counter((t, c) for n, t, c in zip(number, top, left, strict=True) if n == 3)
    assert len(where) == 24
    assert stats.chisquare(list(where.values())).pvalue > 1e-3


def test_what_a_step_draws_is_fixed_by_its_generator(images):
    source = PatchSource.from_images([tensor(image) for image in images], PATCH)
    first, again, other = (source.draw(8, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_highest_random_number_stays_inside():
    """The position is rand·rows rounded down; rand < 1 must not be rounded up to rows."""
    highest = torch.tensor(1 - 2**-24)
    rows = torch.arange(1, 1 << 16)
    assert ((highest * rows).long() < rows).all()


def test_images_of_any_kind_of_eight_bit_values_are_kept(images):
    source = PatchSource.from_images([tensor(image) for image in images], PATCH)
    assert source.pixels.dtype == torch.uint8
    padded = np.pad(images[1], ((10, 10), (10, 10), (0, 0)), mode="reflect").reshape(-1, 3)
    start = int(source.offsets[1])
    assert np.array_equal(source.pixels[start : start + len(padded)].numpy(), padded)
    assert len(source.pixels) == sum((i.shape[0] + 20) * (i.shape[1] + 20) for i in images)


def test_images_are_consumed_one_by_one(images):
    """When the next one is asked for, the last one may go: nothing holds it."""
    before: list[weakref.ref] = []

    def one_by_one():
        for image in images:
            assert all(one() is None for one in before[:-1])
            made = tensor(image)
            before.append(weakref.ref(made))
            yield made
            del made

    source, expected = (
        PatchSource.from_images(several, PATCH) for several in (one_by_one(), [tensor(image) for image in images])
    )
    assert len(before) == len(images)
    for name in ("pixels", "offsets", "widths", "rows", "columns"):
        assert torch.equal(getattr(source, name), getattr(expected, name))


@pytest.mark.parametrize("nothing", [list, lambda: iter(())])
def test_no_images_are_refused(nothing):
    with pytest.raises(TrainingError, match="at least one image"):
        PatchSource.from_images(nothing(), PATCH)


@pytest.mark.parametrize(("size", "patch"), [((16, 15), 16), ((15, 16), 16), ((10, 30), 8)])
def test_images_too_small_for_patch_or_reflection_are_refused(size, patch):
    good = tensor(levels(40, 40, 0))
    with pytest.raises(TrainingError, match=f"training image number 1 has {size[1]}x{size[0]} pixels"):
        PatchSource.from_images([good, tensor(levels(*size, 1))], patch)


def test_small_patches_of_small_images_are_found():
    image = levels(11, 12, 0)
    source = PatchSource.from_images([tensor(image)], 4)
    for patch in source.draw(40, torch.Generator().manual_seed(0)):
        find(patch, [image], 4)


# ---------------------------------------------------------------- degradation of the patches


def degradation(blur: float, noise: float, scale: int = 2) -> TrainingDegradation:
    return TrainingDegradation(blur, noise, 2.0, 0.1, scale)


@pytest.fixture(scope="module")
def large():
    image = levels(48, 44, 7)
    source = PatchSource.from_images([tensor(image)], PATCH)
    patches = source.draw(400, torch.Generator().manual_seed(0))
    return image, patches, [find(patch, [image], PATCH) for patch in patches]


@pytest.mark.parametrize(("blur", "name"), [(0.0, "clean"), (1.0, "blurry")])
def test_patches_are_crops_of_the_degraded_image(large, blur, name):
    """Where the patch starts at an even pixel, degrading the whole image and cropping gives the same.

    The mean of four levels lies half way between two levels for one block in four. There float rounding, which
    differs between the orientations, decides; everywhere else the clean input is equal exactly.
    """
    image, patches, places = large
    low, truth = degradation(blur, 0)(patches, torch.Generator().manual_seed(1))
    whole = INPUTS[name](tensor(image))[0].permute(1, 2, 0).numpy()
    halfway = image.reshape(24, 2, 22, 2, 3).sum(axis=(1, 3), dtype=int) % 4 == 2
    compared, apart = 0, 0
    for k, (_, top, left, turns, flip) in enumerate(places):
        crop = transform(truth[k].permute(1, 2, 0).numpy(), turns, flip)
        assert np.array_equal(np.round(crop * 255), image[top : top + PATCH, left : left + PATCH])
        if top % 2 == 0 and left % 2 == 0:
            inside = np.s_[top // 2 : (top + PATCH) // 2, left // 2 : (left + PATCH) // 2]
            steps = np.abs(transform(low[k].permute(1, 2, 0).numpy(), turns, flip) - whole[inside]) * 255
            assert steps.max() < 1.01, "at most one level where rounding falls on the other side"
            apart += int((steps > 0.5)[~halfway[inside] if name == "clean" else ...].sum())
            compared += steps.size
    assert compared > 50 * 8 * 8 * 3
    assert apart <= (1e-3 * compared if name == "blurry" else 0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shapes_and_levels(scale):
    source = PatchSource.from_images([tensor(levels(40, 40, 0))], 12)
    low, truth = degradation(0.5, 0.5, scale)(
        source.draw(5, torch.Generator().manual_seed(0)), torch.Generator().manual_seed(0)
    )
    assert low.shape == (5, 3, 12 // scale, 12 // scale)
    assert truth.shape == (5, 3, 12, 12)
    assert torch.allclose(low * 255, (low * 255).round(), atol=1e-4)
    assert low.min() >= 0
    assert low.max() <= 1


@pytest.mark.parametrize("blur", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_blur_and_noise_come_independently_at_their_probabilities(large, blur, noise):
    _, patches, _ = large
    clean, blurred = (degradation(p, 0)(patches, torch.Generator().manual_seed(0))[0] for p in (0.0, 1.0))
    low, _ = degradation(blur, noise)(patches, torch.Generator().manual_seed(3))
    far = [(low - other).square().mean(dim=(1, 2, 3)).sqrt() for other in (clean, blurred)]
    is_blurred = far[1] < far[0]
    distance = torch.where(is_blurred, far[1], far[0])
    is_noisy = distance > 0
    for flags, probability in ((is_blurred, blur), (is_noisy, noise)):
        if probability in (0, 1):
            assert (flags == bool(probability)).all()
        else:
            assert stats.binomtest(int(flags.sum()), len(flags), probability).pvalue > 1e-3
    if 0 < blur < 1 and 0 < noise < 1:
        table = np.array([[(is_blurred & is_noisy).sum(), (is_blurred & ~is_noisy).sum()],
                          [(~is_blurred & is_noisy).sum(), (~is_blurred & ~is_noisy).sum()]])  # fmt: skip
        assert stats.chi2_contingency(table).pvalue > 1e-3


def pillow(image: torch.Tensor, quality: int) -> torch.Tensor:
    """One image (3, h, w) through a JPEG file."""
    file = io.BytesIO()
    levels = np.round(image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    Image.fromarray(levels).save(file, "JPEG", quality=quality, subsampling=2)
    return tensor(np.array(Image.open(file)))[0]


def test_jpeg_comes_last_at_its_probability_in_every_quality(large):
    _, patches, _ = large
    before = degradation(0.5, 0.5)(patches, torch.Generator().manual_seed(3))[0]
    after = replace(degradation(0.5, 0.5), jpeg_probability=0.5)(patches, torch.Generator().manual_seed(3))[0]
    qualities = []
    for one, other in zip(before, after, strict=True):
        if not torch.equal(one, other):
            found = [q for q in range(30, 91) if torch.equal(pillow(one, q), other)]
            assert found, "what came out is the JPEG of what went in"
            qualities.append(found[0])
    assert stats.binomtest(len(qualities), len(patches), 0.5).pvalue > 1e-3
    assert stats.kstest(qualities, stats.uniform(30, 61).cdf).pvalue > 1e-3


def test_noise_has_the_deviation_asked_for():
    flat = torch.full((64, 3, 36, 36), 0.5)
    low, _ = degradation(0, 1)(flat, torch.Generator().manual_seed(0))
    noise = (low - 0.5).double()
    count = noise.numel()
    assert abs(float(noise.mean())) < 5 * 0.1 / count**0.5
    expected = (0.1**2 + (1 / 255) ** 2 / 12) ** 0.5
    assert float(noise.std()) == pytest.approx(expected, rel=5 / (2 * count) ** 0.5)


def test_blur_of_a_flat_patch_is_flat():
    flat = torch.full((2, 3, 36, 36), 77 / 255)
    low, _ = degradation(1, 0)(flat, torch.Generator().manual_seed(0))
    assert torch.equal(low, torch.full((2, 3, 8, 8), 77 / 255))
