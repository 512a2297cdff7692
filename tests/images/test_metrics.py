"""Metrics against scikit-image, numpy loops and values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from faiglib.images.metrics import gradient_error, gradient_map, gray, luma_bt601, mean_luminance, psnr, psnr_y


@pytest.mark.parametrize("border", [0, 2, 5])
@pytest.mark.parametrize("noise", [0.001, 0.1, 0.8])
def test_psnr_is_scikit_images_inside_the_border(random_image, border, noise):
    truth = random_image(20, 26)
    restored = (truth + noise * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    inside = np.s_[0, :, border : 20 - border, border : 26 - border]
    expected = peak_signal_noise_ratio(truth.numpy()[inside], restored.numpy()[inside], data_range=1)
    assert float(psnr(restored, truth, border)) == pytest.approx(expected, abs=1e-10)
    assert float(psnr(restored.float(), truth.float(), border)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("border", [0, 4])
def test_psnr_on_y_is_scikit_images(random_image, border):
    truth, restored = random_image(20, 26), random_image(20, 26, seed=1)
    planes = [rgb2ycbcr(image[0].permute(1, 2, 0).numpy())[..., 0] for image in (truth, restored)]
    assert np.allclose(255 * luma_bt601(truth)[0, 0].numpy(), planes[0], rtol=0, atol=1e-9)
    inside = np.s_[border : 20 - border, border : 26 - border]
    expected = peak_signal_noise_ratio(planes[0][inside], planes[1][inside], data_range=255)
    assert float(psnr_y(restored, truth, border)) == pytest.approx(expected, abs=1e-10)


def test_psnr_leaves_two_pixels_out_by_default(random_image):
    truth = random_image(12, 12)
    restored = truth.clone()
    restored[..., :2, :] = 0
    restored[..., :, -2:] = 0
    assert torch.isinf(psnr(restored, truth)).all()
    restored[..., 2, 5] += 0.1
    assert float(psnr(restored, truth)) == pytest.approx(-10 * math.log10(0.01 / 64))


def test_psnr_is_one_value_per_image(random_image):
    truth = torch.cat([random_image(12, 14, seed) for seed in range(3)])
    restored = torch.cat([truth[:1] + 0.1, truth[1:2] + 0.01, truth[2:]])
    values = psnr(restored, truth)
    assert values.shape == (3,)
    assert values[:2].tolist() == pytest.approx([20, 40])
    assert values[2] == math.inf


def test_psnr_refuses_different_shapes(random_image):
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\) and \(1, 3, 8, 9\)"):
        psnr(random_image(8, 8), random_image(8, 9))


def test_luma_is_the_gray_of_pillow():
    levels = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    image = torch.from_numpy(levels).permute(2, 0, 1)[None].double() / 255
    expected = np.asarray(Image.fromarray(levels).convert("L"), dtype=np.float64)
    assert np.abs(gray(image)[0, 0].numpy() * 255 - expected).max() <= 0.51


def test_blue_is_the_last_channel(random_image):
    image = random_image(5, 6)
    assert np.array_equal(gray(image, "blue")[0, 0].numpy(), image.numpy()[0, 2])


def test_unknown_channel_is_refused(random_image):
    with pytest.raises(ValueError, match="'luma' or 'blue', not 'red'"):
        gray(random_image(4, 4), "red")


def gradient_loop(plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape
    result = np.empty_like(plane)

    def at(row: int, column: int) -> float:
        return plane[row, column] if 0 <= row < height and 0 <= column < width else 0.0

    for row in range(height):
        for column in range(width):
            vertical = at(row + 1, column) - at(row - 1, column)
            horizontal = at(row, column + 1) - at(row, column - 1)
            result[row, column] = math.sqrt(vertical**2 + horizontal**2 + 1e-6)
    return result


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 9)])
def test_gradient_map_is_the_plain_loop(random_image, size):
    image = random_image(*size)[:, :1]
    expected = gradient_loop(image.numpy()[0, 0])
    assert np.allclose(gradient_map(image).numpy()[0, 0], expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("channel", ["luma", "blue"])
def test_gradient_error_is_the_plain_loop(random_image, channel):
    first, second = random_image(9, 7, 1), random_image(9, 7, 2)
    weights = {"luma": [0.299, 0.587, 0.114], "blue": [0, 0, 1]}[channel]
    maps = [gradient_loop(np.tensordot(weights, image.numpy()[0], axes=1)) for image in (first, second)]
    expected = 1000 * np.mean((maps[0] - maps[1]) ** 2)
    assert float(gradient_error(first, second, channel)) == pytest.approx(expected, rel=1e-12)


def test_gradient_error_by_hand():
    """One white pixel in a black 3x3 image: its four neighbours have gradient 1, all else none."""
    black = torch.zeros(1, 3, 3, 3)
    white = black.clone()
    white[..., 1, 1] = 1
    expected = 1000 * 4 / 9 * (math.sqrt(1 + 1e-6) - 1e-3) ** 2
    assert float(gradient_error(black, white)) == pytest.approx(expected, rel=1e-6)
    assert float(gradient_error(black, white, "blue")) == pytest.approx(expected, rel=1e-6)
    assert float(gradient_error(white, white)) == 0


def test_channels_tell_blue_from_the_rest():
    black = torch.zeros(1, 3, 3, 3)
    blue, red = black.clone(), black.clone()
    blue[:, 2, 1, 1] = 1
    red[:, 0, 1, 1] = 1
    assert float(gradient_error(black, red, "blue")) == 0
    expected = 1000 * 4 / 9 * (math.sqrt(0.114**2 + 1e-6) - 1e-3) ** 2
    assert float(gradient_error(black, blue)) == pytest.approx(expected, rel=1e-6)


def test_gradient_error_is_one_value_per_image(random_image):
    first = torch.cat([random_image(6, 6, seed) for seed in range(3)])
    second = torch.cat([random_image(6, 6, seed) for seed in range(3, 6)])
    values = gradient_error(first, second)
    singles = [float(gradient_error(first[k : k + 1], second[k : k + 1])) for k in range(3)]
    assert values.tolist() == pytest.approx(singles, rel=1e-12)


def test_mean_luminance(random_image):
    image = torch.cat([random_image(6, 5, 1), random_image(6, 5, 2)])
    expected = (image.numpy() * np.array([0.299, 0.587, 0.114])[:, None, None]).sum(1).mean((1, 2))
    assert mean_luminance(image).numpy() == pytest.approx(expected, rel=1e-12)
    assert mean_luminance(image + 0.1).numpy() == pytest.approx(expected + 0.1, rel=1e-12)
