"""Degradations against scipy and plain numpy loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from faiglib.errors import ImageError
from faiglib.images.degradations import (
    INPUTS,
    Degradation,
    add_noise,
    blur,
    blur_valid,
    downsample,
    gaussian_window,
    noise_generator,
    quantise,
)


def kernel_2d(sigma: float, size: int) -> np.ndarray:
    centre = size // 2
    kernel = np.empty((size, size))
    for row in range(size):
        for column in range(size):
            kernel[row, column] = math.exp(-((row - centre) ** 2 + (column - centre) ** 2) / (2 * sigma**2))
    return kernel / kernel.sum()


def blur_reference(image: np.ndarray, sigma: float, size: int = 21) -> np.ndarray:
    kernel = kernel_2d(sigma, size)
    return np.stack([[ndimage.convolve(plane, kernel, mode="mirror") for plane in item] for item in image])


def bilinear_reference(image: np.ndarray, scale: int) -> np.ndarray:
    """Sample at the centres of the large pixels, one by one."""
    height, width = image.shape[-2] // scale, image.shape[-1] // scale
    result = np.empty((*image.shape[:-2], height, width))
    for row in range(height):
        for column in range(width):
            y, x = (row + 0.5) * scale - 0.5, (column + 0.5) * scale - 0.5
            top, left = math.floor(y), math.floor(x)
            bottom, right = min(top + 1, image.shape[-2] - 1), min(left + 1, image.shape[-1] - 1)
            v, u = y - top, x - left
            result[..., row, column] = (1 - v) * ((1 - u) * image[..., top, left] + u * image[..., top, right]) + v * (
                (1 - u) * image[..., bottom, left] + u * image[..., bottom, right]
            )
    return result


@pytest.mark.parametrize("sigma", [0.4, 2.0, 3.2])
@pytest.mark.parametrize("size", [(11, 11), (24, 37), (64, 40)])
def test_blur_is_scipys_convolution_with_mirrored_border(random_image, sigma, size):
    image = random_image(*size)
    assert np.allclose(blur(image, sigma).numpy(), blur_reference(image.numpy(), sigma), rtol=0, atol=1e-13)


def test_blur_in_float32_agrees_to_rounding(random_image):
    image = random_image(30, 26, dtype=torch.float32)
    result = blur(image)
    assert result.dtype == torch.float32
    assert np.abs(result.numpy() - blur_reference(image.double().numpy(), 2.0)).max() < 5e-7


@pytest.mark.parametrize(("sigma", "size"), [(1.0, 5), (2.0, 21), (1.3, 7)])
def test_window_is_a_factor_of_the_two_dimensional_kernel(sigma, size):
    window = gaussian_window(sigma, size).numpy()
    assert np.allclose(np.outer(window, window), kernel_2d(sigma, size), rtol=1e-13, atol=0)


@pytest.mark.parametrize(("sigma", "size"), [(0.0, 21), (-1.0, 21), (2.0, 20)])
def test_window_refuses_what_is_no_gaussian(sigma, size):
    with pytest.raises(ValueError, match="sigma > 0 and an odd size"):
        gaussian_window(sigma, size)


def test_blur_valid_is_the_inside_of_the_bordered_blur(random_image):
    image = random_image(33, 41)
    inside = blur_valid(image, gaussian_window(2.0))
    assert inside.shape == (1, 3, 13, 21)
    assert torch.allclose(inside, blur(image)[..., 10:-10, 10:-10], rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [(10, 30), (30, 10), (1, 1)])
def test_blur_refuses_an_image_smaller_than_the_kernel_reaches(random_image, size):
    with pytest.raises(ImageError, match=f"{size[1]}x{size[0]} pixels is too small for the 21x21 blur kernel"):
        blur(random_image(*size))


def test_downsampling_by_two_is_the_mean_of_blocks(random_image):
    image = random_image(18, 26, dtype=torch.float32)
    values = image.numpy().astype(np.float64)
    blocks = values.reshape(1, 3, 9, 2, 13, 2).mean(axis=(3, 5))
    assert np.abs(downsample(image).numpy() - blocks).max() <= np.finfo(np.float32).eps / 2


def test_downsampling_of_eight_bit_levels_by_two_is_exact():
    levels = np.random.default_rng(0).integers(0, 256, (2, 3, 12, 10))
    exact = levels.reshape(2, 3, 6, 2, 5, 2).sum(axis=(3, 5)) / 4
    assert np.array_equal(downsample(torch.from_numpy(levels).float()).numpy(), exact)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downsampling_is_bilinear_sampling_without_antialiasing(random_image, scale):
    image = random_image(6 * scale, 7 * scale)
    assert np.allclose(downsample(image, scale).numpy(), bilinear_reference(image.numpy(), scale), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("size", "scale"), [((13, 12), 2), ((12, 13), 2), ((12, 14), 3), ((14, 16), 4)])
def test_downsampling_refuses_sizes_that_do_not_divide(random_image, size, scale):
    with pytest.raises(ImageError, match=f"{size[1]}x{size[0]} pixels does not divide by the scale {scale}"):
        downsample(random_image(*size), scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quantise_clips_and_rounds_like_numpy(dtype):
    image = torch.linspace(-0.3, 1.3, 4001, dtype=dtype).view(1, 1, 1, -1)
    expected = np.round(np.clip(image.numpy(), 0, 1) * 255) / 255
    assert np.array_equal(quantise(image).numpy(), expected)
    assert torch.equal(quantise(quantise(image)), quantise(image))


def test_quantise_leaves_every_eight_bit_level():
    levels = torch.arange(256, dtype=torch.float32) / 255
    assert torch.equal(quantise(levels), levels)


@pytest.mark.parametrize("sigma", [0.1, 0.02])
def test_noise_is_white_and_gaussian_with_the_given_deviation(sigma):
    noise = add_noise(torch.zeros(1, 3, 256, 256), sigma, noise_generator(0, 0)).double().numpy() / sigma
    count = noise.size
    assert abs(noise.mean()) < 5 / math.sqrt(count)
    assert abs(noise.std() - 1) < 5 / math.sqrt(2 * count)
    assert abs((noise**4).mean() - 3) < 5 * math.sqrt(96 / count)
    for neighbours in (noise[..., 1:] * noise[..., :-1], noise[..., 1:, :] * noise[..., :-1, :]):
        assert abs(neighbours.mean()) < 5 / math.sqrt(count)
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 5 / math.sqrt(count / 3)


def test_noise_is_not_clipped():
    noisy = add_noise(torch.ones(1, 3, 32, 32), 0.1, noise_generator(0, 0))
    assert noisy.max() > 1.2


def test_noise_of_an_image_depends_on_seed_and_number_alone(random_image):
    degradation = INPUTS["noisy"]
    images = [random_image(24, 30, number, torch.float32) for number in range(4)]
    forward = [degradation(images[number], noise_generator(7, number)) for number in range(4)]
    backward = {number: degradation(images[number], noise_generator(7, number)) for number in (3, 1, 0, 2)}
    assert all(torch.equal(forward[number], backward[number]) for number in range(4))


def test_noise_differs_between_seeds_and_numbers():
    draws = {
        tuple(torch.randn(4, generator=noise_generator(seed, number)).tolist())
        for seed in range(20)
        for number in range(200)
    }
    assert len(draws) == 20 * 200


def test_noise_does_not_touch_the_global_random_state(random_image):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    INPUTS["noisy"](random_image(24, 24, dtype=torch.float32), noise_generator(0, 0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_degradation_is_blur_then_downsampling_then_rounding(random_image, scale, sigma):
    image = random_image(24, 36)
    expected = blur_reference(image.numpy(), sigma) if sigma else image.numpy()
    expected = np.round(bilinear_reference(expected, scale).clip(0, 1) * 255)
    result = Degradation(blur_sigma=sigma, scale=scale)(image)
    assert result.shape == (1, 3, 24 // scale, 36 // scale)
    assert np.array_equal(np.round(result.numpy() * 255), expected)
    assert np.allclose(result.numpy() * 255, expected, rtol=0, atol=1e-10)


def test_noise_is_added_after_downsampling(random_image):
    image = random_image(24, 36)
    noise = torch.randn(1, 3, 12, 18, generator=noise_generator(1, 2), dtype=torch.float64).numpy()
    expected = bilinear_reference(blur_reference(image.numpy(), 2.0), 2) + 0.1 * noise
    result = INPUTS["blurry+noisy"](image, noise_generator(1, 2)).numpy()
    assert np.array_equal(np.round(result * 255), np.round(expected.clip(0, 1) * 255))


def test_noise_needs_a_generator(random_image):
    with pytest.raises(ValueError, match=r"torch\.Generator"):
        INPUTS["noisy"](random_image(24, 24))


def test_inputs_are_those_of_the_paper():
    assert dict(INPUTS) == {
        "clean": Degradation(0, 0, 2),
        "blurry": Degradation(2, 0, 2),
        "noisy": Degradation(0, 0.1, 2),
        "blurry+noisy": Degradation(2, 0.1, 2),
    }


@pytest.mark.parametrize("name", ["clean", "blurry"])
@pytest.mark.parametrize(
    "turn",
    [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.mT, lambda x: x.rot90(1, (-2, -1))],
    ids=["left-right", "up-down", "transposed", "rotated"],
)
def test_degradations_commute_with_flips_and_rotations(random_image, name, turn):
    image = random_image(24, 30)
    degrade = INPUTS[name]
    assert torch.equal(degrade(turn(image)), turn(degrade(image)))
