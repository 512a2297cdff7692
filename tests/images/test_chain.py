"""Steps of degradations against SciPy, NumPy, closed forms and Pillow itself."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import data

from faiglib.errors import ImageError
from faiglib.images.chain import (
    Chain,
    Downsample,
    GaussianBlur,
    GaussianNoise,
    Jpeg,
    MotionBlur,
    PoissonNoise,
    parse_step,
)
from faiglib.images.degradations import Degradation, noise_generator

PHOTO = torch.from_numpy(data.astronaut()[100:148, 200:264].copy()).permute(2, 0, 1)[None].double() / 255


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def correlated(kernel: np.ndarray) -> np.ndarray:
    """The photograph under a kernel, channel by channel, by SciPy; its "mirror" reflects as torch's "reflect" does."""
    return np.stack([ndimage.convolve(channel, kernel, mode="mirror") for channel in PHOTO[0].numpy()])[None]


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, -45.0])
def test_an_anisotropic_gaussian_is_that_of_its_covariance(angle):
    blurred = GaussianBlur(3.0, 1.0, angle)(PHOTO, generator())
    turn = math.radians(angle)
    axes = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    inverse = np.linalg.inv(axes.T @ np.diag([9.0, 1.0]) @ axes)
    kernel = np.empty((21, 21))
    for row in range(21):
        for column in range(21):
            offset = np.array([column - 10, 10 - row])  # to the right, and up
            kernel[row, column] = math.exp(-0.5 * offset @ inverse @ offset)
    assert np.allclose(blurred.numpy(), correlated(kernel / kernel.sum()), atol=1e-12)


def test_an_isotropic_blur_is_the_papers():
    papers = Degradation(blur_sigma=2.0)(PHOTO)
    assert torch.equal(Chain((GaussianBlur(2.0, 2.0), Downsample(2)))(PHOTO), papers)


def test_a_motion_is_the_integral_over_its_way():
    """A way of three pixels to the right covers the tent around pixel k by closed forms."""
    expected = np.zeros((21, 21))
    expected[10, 8:13] = [1 / 24, 7 / 24, 8 / 24, 7 / 24, 1 / 24]
    assert np.allclose(MotionBlur(3.0).kernel().numpy(), expected, atol=1e-4)
    assert np.allclose(MotionBlur(3.0, 90).kernel().numpy(), expected.T, atol=1e-4)
    assert torch.allclose(MotionBlur(7.0, 30).kernel(), MotionBlur(7.0, 210).kernel())
    rising = MotionBlur(9.0, 45).kernel()
    assert rising[7, 13] > 10 * rising[13, 13], "towards the top right"
    assert torch.allclose(MotionBlur(9.0, -45).kernel(), rising.flip(0))
    blurred = MotionBlur(5.0, 20)(PHOTO, generator())
    assert np.allclose(blurred.numpy(), correlated(MotionBlur(5.0, 20).kernel().numpy()), atol=1e-12)


def test_shot_noise_has_poissons_mean_and_variance():
    flat = torch.cat([torch.full((1, 3, 200, 200), level, dtype=torch.float64) for level in (0.1, 0.9)])
    noisy = PoissonNoise(50.0)(flat, generator())
    for level, image in zip((0.1, 0.9), noisy, strict=True):
        count = image.numel()
        variance = level / 50
        assert float(image.mean()) == pytest.approx(level, abs=4 * math.sqrt(variance / count))
        assert float(image.var()) == pytest.approx(variance, rel=4 * math.sqrt(2.2 / count))
        assert torch.allclose(image * 50, (image * 50).round())


@pytest.mark.parametrize(("subsampling", "named"), [("420", "4:2:0"), ("444", "4:4:4")])
def test_jpeg_is_what_pillow_writes_and_reads(subsampling, named):
    pixels = data.astronaut()[100:148, 200:264]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=30, subsampling=named)
    expected = np.asarray(Image.open(io.BytesIO(file.getvalue())))
    found = Jpeg(30, subsampling)(PHOTO, generator())
    assert np.array_equal((255 * found[0]).round().byte().permute(1, 2, 0).numpy(), expected)
    assert Jpeg(30, "420")(PHOTO, generator()).ne(Jpeg(30, "444")(PHOTO, generator())).any()


def test_steps_are_taken_in_their_order():
    first = Chain((Downsample(2), Jpeg(20)))(PHOTO)
    assert first.shape == (1, 3, 24, 32)
    assert not torch.equal(first, Chain((Jpeg(20), Downsample(2)))(PHOTO))
    noise, jpeg, images = GaussianNoise(0.1), Jpeg(50), noise_generator(1, 0)
    expected = jpeg(noise(PHOTO, noise_generator(1, 0)), images)
    assert torch.equal(Chain((noise, jpeg))(PHOTO, noise_generator(1, 0)), (expected * 255).round() / 255)
    assert Chain((Downsample(2), noise, Downsample(3))).scale == 6


def test_one_seed_is_one_result_and_noise_wants_one():
    chain = Chain((PoissonNoise(20), GaussianNoise(0.1)))
    assert torch.equal(chain(PHOTO, generator()), chain(PHOTO, generator()))
    with pytest.raises(ValueError, match="Generator"):
        chain(PHOTO)


def test_the_noise_of_the_paper_is_a_step():
    papers = Degradation(noise_sigma=0.1)(PHOTO, generator())
    assert torch.equal(Chain((Downsample(2), GaussianNoise(0.1)))(PHOTO, generator()), papers)


@pytest.mark.parametrize(
    ("steps", "size", "reason"),
    [
        (("down:2", "down:2"), (46, 44), "46x44|23x22"),
        (("down:2", "down:2", "blur:2"), (40, 40), "too small"),
        (("motion:5",), (10, 40), "too small"),
    ],
)
def test_sizes_are_judged_step_by_step(steps, size, reason):
    chain = Chain(tuple(map(parse_step, steps)))
    with pytest.raises(ImageError, match=reason):
        chain.require(size[1], size[0])
    chain.require(96, 96)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("blur:2", GaussianBlur(2, 2)),
        ("blur:3x1@-30", GaussianBlur(3, 1, -30)),
        ("motion:9@45.5", MotionBlur(9, 45.5)),
        ("down:3", Downsample(3)),
        ("noise:.1", GaussianNoise(0.1)),
        ("poisson:200", PoissonNoise(200)),
        ("jpeg:40", Jpeg(40)),
        ("jpeg:40/444", Jpeg(40, "444")),
    ],
)
def test_steps_are_named_in_a_word(text, step):
    assert parse_step(text) == step


@pytest.mark.parametrize(
    "text",
    [
        *("", "blur", "blur:", "blur:0", "blur:2x0", "blur:-1", "blur:nan", "blur:1e999", "motion:20", "motion:0"),
        *("down:0", "down:1.5", "noise:a", "poisson:0", "jpeg:0", "jpeg:101", "jpeg:40/422", "jpeg:40/", "jpeg:4\n0"),
        "sepia:1",
    ],
)
def test_what_is_no_step_is_one_sentence(text):
    with pytest.raises(ImageError, match="is no step of a degradation; such are blur:2") as info:
        parse_step(text)
    assert "\n" not in str(info.value)
