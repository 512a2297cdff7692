"""The picture of the front page: its numbers are those of the parts shown, and its frames say what was taken out."""

from __future__ import annotations

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from faiglib.companion.page import story

SPILLED = 0.1


@pytest.fixture
def gallery():
    """Truth and, by input, an enlarged input, the target (error 0.01), and two masked ones (0.05 and 0.0101)."""
    generator = torch.Generator().manual_seed(0)
    truth = 0.1 + 0.8 * torch.rand(1, 3, 120, 120, generator=generator)
    low = torch.rand(1, 3, 60, 60, generator=generator).repeat_interleave(2, -1).repeat_interleave(2, -2)
    rows = {}
    for kind, errors in {"blurry": (0.01, 0.05, 0.0101), "noisy": (0.01, 0.02, 0.05)}.items():
        images = {f"SRResNet, {kind} input": low}
        for title, error in zip(("target", "without deblurring", "without denoising"), errors, strict=True):
            images[title] = truth + error
        rows[f"SRResNet, {kind}"] = images
    return rows, truth


def test_numbers_are_those_of_the_part_shown(gallery):
    rows, truth = gallery
    told = story.story(rows, truth, "SRResNet", SPILLED)
    part = (slice(None), slice(None), slice(12, 108), slice(12, 108))
    for kind, shown in told.items():
        images = list(rows[f"SRResNet, {kind}"].values())
        for one, image in zip(shown[1:], images[1:], strict=True):
            assert torch.equal(one.image, image[part])
            expected = peak_signal_noise_ratio(truth[part].double().numpy(), image[part].double().numpy(), data_range=1)
            assert one.psnr == pytest.approx(expected, abs=1e-4)
        enlarged = torch.nn.functional.interpolate(images[0][..., ::2, ::2], scale_factor=2.0, mode="bicubic")
        start = peak_signal_noise_ratio(
            truth[part].double().numpy(), enlarged.clamp(0, 1)[part].double().numpy(), data_range=1
        )
        assert shown[0].psnr == pytest.approx(start, abs=1e-4)
        assert shown[0].change is None
        assert shown[1].change == pytest.approx(shown[1].psnr - start, abs=1e-4)
        assert [one.change for one in shown[2:]] == pytest.approx([one.psnr - shown[1].psnr for one in shown[2:]])


def test_frames_say_what_was_taken_out_and_what_it_cost_besides(gallery):
    told = story.story(*gallery, "SRResNet", SPILLED)
    assert [one.frame for one in told["blurry"]] == ["", "", "own", ""]
    assert [one.frame for one in told["noisy"]] == ["", "", "spilled", "own"]
    html = story.as_story(told, "caption")
    assert html.count("<img") == 8
    assert html.count('class="cell own"') == 2
    assert "−" in html
    assert len(story.story_figure(told).axes) == 8


def test_the_caption_explains_the_frames_that_are_there(gallery):
    told = story.story(*gallery, "SRResNet", SPILLED)
    words = story.caption(told, "SRResNet, a cat", SPILLED)
    assert words.startswith("SRResNet, a cat: PSNR of the part shown")
    assert "Dashed" in words
    assert "Dashed" not in story.caption({"blurry": told["blurry"]}, "SRResNet, a cat", SPILLED)
