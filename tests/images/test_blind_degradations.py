"""The ×4 degradation against slow loops, scipy and Pillow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, stats

from faiglib.errors import ImageError
from faiglib.images.blind_degradations import (
    DASR_SIGMA,
    GAUSSIAN8,
    NOISE_LIMIT,
    RandomDegradation,
    bicubic_downsample,
    bicubic_matrix,
    blur_valid_each,
    degrade,
    gaussian_windows,
    isotropic_kernels,
)
from faiglib.images.degradations import gaussian_window
from faiglib.training.patches import PatchSource


def keys_cubic(x: float) -> float:
    """Piecewise cubic with a = -1/2, from its general form."""
    a, x = -0.5, abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    if x < 2:
        return a * (x**3 - 5 * x**2 + 8 * x - 4)
    return 0.0


def imresize_rows(image: np.ndarray, scale: int) -> np.ndarray:
    """MATLAB's definition, output by output: u = x·s + (1 - s) / 2 with places counted from 1, symmetric border."""
    height, width = image.shape
    result = np.zeros((height // scale, width))
    reach = 2 * scale + 2
    for row in range(height // scale):
        u = (row + 1) * scale + 0.5 * (1 - scale)
        total, line = 0.0, np.zeros(width)
        for place in range(math.floor(u) - reach, math.floor(u) + reach + 1):
            weight = keys_cubic((u - place) / scale) / scale
            source = place
            while not 1 <= source <= height:
                source = 1 - source if source < 1 else 2 * height + 1 - source
            total += weight
            line += weight * image[source - 1]
        result[row] = line / total
    return result


def imresize(image: np.ndarray, scale: int) -> np.ndarray:
    return imresize_rows(imresize_rows(image, scale).T, scale).T


def kernel(sigma: float, size: int = 21) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    values = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return values / values.sum()


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(12, 24), (36, 12), (12, 60)])
def test_bicubic_is_matlabs_by_definition(random_image, scale, size):
    image = random_image(*size)
    expected = np.stack([imresize(plane, scale) for plane in image[0].numpy()])
    assert np.allclose(bicubic_downsample(image, scale)[0].numpy(), expected, rtol=0, atol=1e-14)


def test_bicubic_mirrors_even_where_the_image_is_smaller_than_the_support(random_image):
    image = random_image(4, 8)
    expected = np.stack([imresize(plane, 4) for plane in image[0].numpy()])
    assert np.allclose(bicubic_downsample(image, 4)[0].numpy(), expected, rtol=0, atol=1e-14)


def test_bicubic_agrees_with_pillow_inside(random_image):
    image = random_image(64, 48, dtype=torch.float32)
    plane = Image.fromarray(image[0, 0].numpy())
    expected = np.asarray(plane.resize((12, 16), Image.Resampling.BICUBIC))
    result = bicubic_downsample(image)[0, 0].numpy()
    assert np.abs(result - expected)[2:-2, 2:-2].max() < 5e-7
    assert np.abs(result - expected).max() > 1e-4  # Pillow cuts the kernel off at the border


def test_bicubic_keeps_constants_and_the_middle_of_ramps():
    assert torch.allclose(bicubic_matrix(40).sum(1), torch.ones(10, dtype=torch.float64), rtol=0, atol=1e-15)
    ramp = torch.arange(80, dtype=torch.float64).expand(1, 1, 80, 80)
    expected = 4 * torch.arange(20, dtype=torch.float64) + 1.5
    assert torch.allclose(bicubic_downsample(ramp)[0, 0, 5, 2:-2], expected[2:-2], rtol=1e-13)


def test_bicubic_matrix_is_the_matlab_kernel_of_a_quarter():
    row = bicubic_matrix(80)[10]
    taps = row[row != 0].tolist()
    assert len(taps) == 16
    assert taps == pytest.approx(taps[::-1], abs=1e-16)
    assert int(row.nonzero()[0]) == 4 * 10 - 6
    # The cubic at 1/8, 3/8, …, 15/8, a quarter of it: exact binary fractions that sum to 1.
    expected = [x / 4096 for x in (987, 745, 399, 93, -49, -75, -45, -7)]
    assert taps[8:] == pytest.approx(expected, abs=1e-16)


def test_bicubic_refuses_what_does_not_divide(random_image):
    with pytest.raises(ImageError, match="30x16 pixels does not divide by the scale 4"):
        bicubic_downsample(random_image(16, 30))


def test_windows_and_kernels_are_gaussians():
    sigmas = torch.tensor([0.2, 1.2, 4.0], dtype=torch.float64)
    windows, kernels = gaussian_windows(sigmas), isotropic_kernels(sigmas)
    for number, sigma in enumerate(sigmas.tolist()):
        assert torch.allclose(windows[number], gaussian_window(sigma), rtol=1e-14, atol=0)
        assert np.allclose(kernels[number].numpy(), kernel(sigma), rtol=1e-12, atol=0)
    assert gaussian_windows(sigmas.float()).dtype == torch.float32


def test_every_sample_gets_its_own_blur():
    images = torch.from_numpy(np.random.default_rng(0).random((3, 2, 30, 26)))
    sigmas = torch.tensor([0.2, 1.7, 4.0], dtype=torch.float64)
    result = blur_valid_each(images, gaussian_windows(sigmas)).numpy()
    assert result.shape == (3, 2, 10, 6)
    for n, sigma in enumerate(sigmas.tolist()):
        for channel in range(2):
            expected = ndimage.convolve(images[n, channel].numpy(), kernel(sigma))[10:-10, 10:-10]
            assert np.allclose(result[n, channel], expected, rtol=0, atol=1e-14)


def test_a_test_input_is_blur_bicubic_and_rounding(random_image):
    image = random_image(36, 44)
    result = degrade(image, DASR_SIGMA)[0].numpy()
    for plane, low in zip(image[0].numpy(), result, strict=True):
        blurred = ndimage.convolve(plane, kernel(1.2), mode="mirror")
        expected = np.rint(np.clip(imresize(blurred, 4), 0, 1) * 255)
        assert np.array_equal(np.rint(low * 255), expected)
        assert np.allclose(low * 255, expected, rtol=0, atol=1e-10)


def test_gaussian8_are_eight_even_widths():
    assert pytest.approx(list(np.linspace(1.8, 3.2, 8))) == list(GAUSSIAN8)


def test_noise_of_a_test_input(random_image):
    image = 0.25 + 0.5 * random_image(200, 200)
    noisy = degrade(image, 1.2, noise_sigma=0.05, generator=torch.Generator().manual_seed(1))
    again = degrade(image, 1.2, noise_sigma=0.05, generator=torch.Generator().manual_seed(1))
    assert torch.equal(noisy, again)
    assert float((noisy - degrade(image, 1.2)).std()) == pytest.approx(0.05, rel=0.05)
    with pytest.raises(ValueError, match=r"noise needs an explicit torch\.Generator"):
        degrade(image, 1.2, noise_sigma=0.05)


def padded(count: int, patch: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((count, 3, patch + 20, patch + 20))).float()


def test_training_samples_are_their_own_degradation():
    patches = padded(4, 32)
    sample = RandomDegradation()(patches, torch.Generator().manual_seed(3))
    assert sample.low.shape == (4, 3, 8, 8)
    assert torch.equal(sample.ground_truth, patches[..., 10:-10, 10:-10])
    assert not sample.noise_sigmas.any()
    for n in range(4):
        sigma = float(sample.blur_sigmas[n])
        for channel in range(3):
            blurred = ndimage.convolve(patches[n, channel].double().numpy(), kernel(sigma))[10:-10, 10:-10]
            expected = np.clip(imresize(blurred, 4), 0, 1) * 255
            assert np.abs(sample.low[n, channel].numpy() * 255 - expected).max() < 0.5 + 1e-3
        assert np.allclose(sample.kernels[n].numpy(), kernel(sigma), rtol=1e-4, atol=1e-8)
    assert torch.equal(torch.round(sample.low * 255) / 255, sample.low)


def test_widths_and_strengths_are_uniform_and_independent():
    generator = torch.Generator().manual_seed(0)
    sample = RandomDegradation(noise_limit=NOISE_LIMIT)(torch.full((2000, 1, 24, 24), 0.5), generator)
    blur, noise = sample.blur_sigmas.numpy(), sample.noise_sigmas.numpy()
    assert stats.kstest(blur, stats.uniform(0.2, 3.8).cdf).pvalue > 1e-3
    assert stats.kstest(noise, stats.uniform(0, 25 / 255).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(blur, noise)[0, 1]) < 0.1
    # One pixel per sample: its deviation from gray, in units of the strength, is standard normal.
    loud = noise > 0.03
    deviation = (sample.low.numpy().ravel()[loud] - 0.5) / noise[loud]
    assert stats.kstest(deviation, stats.norm.cdf).pvalue > 1e-3


def test_same_seed_same_samples_and_noise_leaves_the_widths_alone():
    patches = padded(6, 16)
    first, again = (RandomDegradation(noise_limit=0.1)(patches, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.low, again.low)
    without = RandomDegradation()(patches, torch.Generator().manual_seed(5))
    assert torch.equal(first.blur_sigmas, without.blur_sigmas)
    assert not torch.equal(first.low, without.low)


def test_the_same_degradation_of_other_patches():
    """Query and key of DASR: same blur and strength of noise, other noise; the first is drawn as if it were alone."""
    first, second = padded(6, 16), padded(6, 16, seed=1)
    generator = torch.Generator().manual_seed(5)
    degradation = RandomDegradation(noise_limit=0.1)
    query = degradation(first, generator)
    key = degradation.again(query, second, generator)
    assert torch.equal(query.low, degradation(first, torch.Generator().manual_seed(5)).low)
    assert torch.equal(key.ground_truth, second[..., 10:-10, 10:-10])
    for n in range(6):
        sigma = float(query.blur_sigmas[n])
        for channel in range(3):
            blurred = ndimage.convolve(second[n, channel].double().numpy(), kernel(sigma))[10:-10, 10:-10]
            noise = (key.low[n, channel].double().numpy() - imresize(blurred, 4)) / float(query.noise_sigmas[n])
            assert 0.1 < np.abs(noise).mean() < 4
    same = degradation.again(query, first, generator)
    assert not torch.equal(same.low, query.low)
    quiet = RandomDegradation()
    query = quiet(first, generator)
    assert torch.equal(quiet.again(query, first, generator).low, query.low)


def test_it_takes_what_the_patch_source_draws(random_image):
    source = PatchSource.from_images([random_image(40, 50, dtype=torch.float32)], 24)
    generator = torch.Generator().manual_seed(0)
    sample = RandomDegradation()(source.draw(5, generator), generator)
    assert sample.low.shape == (5, 3, 6, 6)
    assert sample.ground_truth.shape == (5, 3, 24, 24)
