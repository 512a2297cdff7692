from __future__ import annotations

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from faiglib.errors import DatasetError, ImageError
from faiglib.images.files import center_crop, crop_to_multiple, read_image, save_image, to_uint8
from faiglib.images.folders import list_images, match_by_name

RNG = np.random.default_rng(7)


def png_bytes(pixels: np.ndarray, color_type: int, depth: int, extra: bytes = b"") -> bytes:
    """A PNG written from its specification, since Pillow cannot write 16-bit colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def pixels_of(image: torch.Tensor) -> np.ndarray:
    return (image[0].permute(1, 2, 0).double().numpy() * 255).round().astype(int)


def read_with_warnings(path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = read_image(path)
    return image, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_rgb_is_read_bit_for_bit(tmp_path, suffix):
    pixels = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if suffix == "webp" else {}))
    image, messages = read_with_warnings(path)
    assert image.shape == (1, 3, 5, 7)
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    expected = torch.tensor(pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255))[None]
    assert torch.equal(image, expected)
    assert messages == []


def test_jpeg_agrees_with_its_own_decoder(tmp_path):
    pixels = RNG.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.jpg", quality=90)
    image, messages = read_with_warnings(tmp_path / "x.jpg")
    assert np.array_equal(pixels_of(image), np.asarray(Image.open(tmp_path / "x.jpg")))
    assert messages == []


def test_orientation_in_exif_is_applied(tmp_path):
    pixels = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6  # to be shown turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(pixels_of(read_image(tmp_path / "x.png")), np.rot90(pixels, -1))


def test_gray_is_repeated_with_one_warning_naming_the_file(tmp_path):
    pixels = RNG.integers(0, 256, (4, 6), dtype=np.uint8)
    path = tmp_path / "g.png"
    Image.fromarray(pixels).save(path)
    image, messages = read_with_warnings(path)
    assert np.array_equal(pixels_of(image), np.stack([pixels] * 3, -1))
    assert messages == [f"image {path} was converted: gray repeated to three channels"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(read_image(path, warn=False), image)


def test_black_and_white(tmp_path):
    bits = RNG.integers(0, 2, (9, 9)).astype(bool)
    Image.fromarray(bits).save(tmp_path / "b.png")
    image, messages = read_with_warnings(tmp_path / "b.png")
    assert np.array_equal(pixels_of(image)[..., 1], bits * 255)
    assert len(messages) == 1


def test_palette_is_looked_up(tmp_path):
    indices = RNG.integers(0, 3, (5, 5), dtype=np.uint8)
    colors = np.array([[255, 0, 3], [9, 200, 30], [1, 2, 250]], dtype=np.uint8)
    image = Image.new("P", (5, 5))
    image.putdata(indices.reshape(-1).tolist())
    image.putpalette(colors.tobytes())
    image.save(tmp_path / "p.png")
    read, messages = read_with_warnings(tmp_path / "p.png")
    assert np.array_equal(pixels_of(read), colors[indices])
    assert messages == []


def test_opaque_alpha_is_dropped_and_a_single_transparent_pixel_refused(tmp_path):
    pixels = RNG.integers(0, 256, (4, 6, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "opaque.png")
    image, messages = read_with_warnings(tmp_path / "opaque.png")
    assert np.array_equal(pixels_of(image), pixels[..., :3])
    assert len(messages) == 1
    assert "alpha" in messages[0]
    pixels[2, 3, 3] = 254
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    with pytest.raises(ImageError, match=r"clear\.png has transparent pixels"):
        read_image(tmp_path / "clear.png")


def test_transparent_colour_of_a_png_counts_as_transparency(tmp_path):
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    chunk = struct.pack(">I", 6) + b"tRNS" + bytes(6) + struct.pack(">I", zlib.crc32(b"tRNS" + bytes(6)))
    (tmp_path / "t.png").write_bytes(png_bytes(pixels, 2, 8, chunk))
    with pytest.raises(ImageError, match="transparent"):
        read_image(tmp_path / "t.png")
    (tmp_path / "t.png").write_bytes(png_bytes(pixels + 9, 2, 8, chunk))
    with pytest.warns(UserWarning, match="opaque alpha"):
        read_image(tmp_path / "t.png")


@pytest.mark.parametrize(("color_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png_keeps_the_upper_8_bits_and_warns(tmp_path, color_type, channels):
    pixels = RNG.integers(0, 65536, (5, 7, channels))
    if channels % 2 == 0:
        pixels[..., -1] = 65535
    path = tmp_path / "x.png"
    path.write_bytes(png_bytes(pixels, color_type, 16))
    image, messages = read_with_warnings(path)
    color = pixels[..., :3] if channels >= 3 else pixels[..., [0, 0, 0]]
    assert np.array_equal(pixels_of(image), color >> 8)
    assert len(messages) == 1
    assert "16 bits per channel reduced to 8" in messages[0]
    assert ("gray" in messages[0]) == (channels < 3)
    assert ("alpha" in messages[0]) == (channels % 2 == 0)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiff(tmp_path, shape, order):
    tifffile = pytest.importorskip("tifffile")
    pixels = RNG.integers(0, 65536, shape).astype(f"{order}u2")
    kind = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric=kind, byteorder=order)
    image, messages = read_with_warnings(tmp_path / "x.tif")
    assert np.array_equal(pixels_of(image), np.broadcast_to(pixels.reshape(5, 7, -1) >> 8, (5, 7, 3)))
    assert "16 bits" in messages[0]


def test_unusual_pixels_are_refused(tmp_path):
    Image.new("CMYK", (4, 4)).save(tmp_path / "cmyk.jpg")
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.ones((4, 4), np.int32)).save(tmp_path / "int.tif")
    for name, kind in (("cmyk.jpg", "CMYK"), ("float.tif", "F"), ("int.tif", "I")):
        with pytest.raises(ImageError, match=rf"{name} has pixels of the kind {kind};"):
            read_image(tmp_path / name)


def test_several_pages_are_refused(tmp_path):
    pages = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match="several pages"):
        read_image(tmp_path / "x.tif")


def test_first_picture_of_a_phone_photo_is_taken(tmp_path):
    pages = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    pages[0].save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=pages[1:])
    assert (pixels_of(read_image(tmp_path / "x.jpg"))[8, 8] - [254, 0, 0]).max() <= 2


def noise_png(path):
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("kept", [0, 5, 20, 40, 100, 6000])
def test_damaged_png_gives_one_sentence(tmp_path, kept):
    path = tmp_path / "x.png"
    path.write_bytes(noise_png(path)[:kept])
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert not message.endswith(".")
    assert "\n" not in message


def test_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "x.png"
    content = bytearray(noise_png(path))
    content[2000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"x\.png cannot be read"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["bmp", "jpg", "tif", "webp"])
def test_truncated_files_of_other_formats(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ImageError):
        read_image(path)


def test_what_is_no_image(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ImageError, match=r"text\.png is not a PNG, BMP"):
        read_image(tmp_path / "text.png")
    with pytest.raises(ImageError, match=r"absent\.png does not exist"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match=r"is not a file"):
        read_image(tmp_path)


@pytest.mark.parametrize("limit", [400, 900])  # beyond twice the limit Pillow raises, below it only warns
def test_huge_images_are_refused(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    Image.new("RGB", (31, 31)).save(tmp_path / "x.png")
    with pytest.raises(ImageError, match=rf"more than {limit} pixels"):
        read_image(tmp_path / "x.png")


def test_8_bit_rounding_against_integers():
    levels = torch.arange(256) / 255
    assert torch.equal(to_uint8(levels), torch.arange(256, dtype=torch.uint8))
    assert to_uint8(torch.tensor([-0.5, 0.4999 / 255, 0.5001 / 255, 254.51 / 255, 7.0])).tolist() == [
        0,
        0,
        1,
        255,
        255,
    ]
    with pytest.raises(ImageError, match="NaN"):
        to_uint8(torch.tensor([0.1, torch.inf]))


@pytest.mark.parametrize("leading", [(), (1,)])
def test_save_clips_rounds_and_reads_back(tmp_path, leading):
    image = torch.tensor(RNG.uniform(-0.2, 1.2, (3, 6, 5)), dtype=torch.float32, requires_grad=True)
    path = tmp_path / "new" / "out.png"
    save_image(path, image.reshape(*leading, 3, 6, 5))
    expected = np.clip(np.rint(image.detach().numpy() * np.float32(255)), 0, 255).transpose(1, 2, 0)
    with Image.open(path) as stored:
        assert (stored.format, stored.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(stored), expected)
    assert os.listdir(path.parent) == ["out.png"]
    assert torch.equal(to_uint8(read_image(path))[0], to_uint8(image))


def test_save_refuses_nan_and_other_shapes(tmp_path):
    broken = torch.zeros(1, 3, 4, 4)
    broken[0, 1, 2, 3] = torch.nan
    with pytest.raises(ImageError, match=r"x\.png has values that are NaN"):
        save_image(tmp_path / "x.png", broken)
    for shape in ((1, 1, 4, 4), (2, 3, 4, 4), (4, 4, 3), (3, 0, 4)):
        with pytest.raises(ImageError, match=r"\(1, 3, H, W\) was expected"):
            save_image(tmp_path / "x.png", torch.zeros(shape))
    assert os.listdir(tmp_path) == []


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_list_images(tmp_path):
    folder = touch(tmp_path / "f", "b.PNG", "a.jpg", "c.txt", ".hidden.png", "d.webp", "e.TIFF")
    (folder / "folder.png").mkdir()
    assert [path.name for path in list_images(folder)] == ["a.jpg", "b.PNG", "d.webp", "e.TIFF"]


def test_list_images_names_what_is_wrong(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere does not exist"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"empty holds no image"):
        list_images(touch(tmp_path / "empty", "readme.txt"))
    with pytest.raises(DatasetError, match=r"readme\.txt is not a folder"):
        list_images(tmp_path / "empty" / "readme.txt")


def test_match_by_name(tmp_path):
    gt = touch(tmp_path / "gt", "b.png", "a.png", "b-2.png")
    blur = touch(tmp_path / "blur", "a.bmp", "b.bmp", "b-2.jpg")
    pairs = match_by_name(gt=gt, blur=blur)
    assert [(pair["gt"].name, pair["blur"].name) for pair in pairs] == [
        ("a.png", "a.bmp"),
        ("b.png", "b.bmp"),
        ("b-2.png", "b-2.jpg"),
    ]
    touch(gt, "zz.png", "c.png")
    with pytest.raises(DatasetError, match=r"blur \(blur\) has no image named c, but .*c\.png exists"):
        match_by_name(gt=gt, blur=blur)
    touch(blur, "aa.png")
    with pytest.raises(DatasetError, match=r"gt \(gt\) has no image named aa"):
        match_by_name(gt=gt, blur=blur)
    touch(gt, "a.jpg")
    with pytest.raises(DatasetError, match=r"holds both a\.jpg and a\.png"):
        match_by_name(gt=gt, blur=blur)


def test_crop_to_multiple_keeps_the_upper_left_corner():
    image = torch.arange(7 * 9).reshape(1, 1, 7, 9)
    assert torch.equal(crop_to_multiple(image, 4), image[..., :4, :8])
    assert torch.equal(crop_to_multiple(image, 1), image)
    with pytest.raises(ImageError, match="7x9 pixels; at least 8x8"):
        crop_to_multiple(image, 8)


@pytest.mark.parametrize(("height", "width", "size"), [(11, 14, 4), (11, 14, 7), (8, 8, 8), (5, 9, 20), (6, 7, 1)])
def test_center_crop(height, width, size):
    image = torch.arange(height * width).reshape(1, 1, height, width)
    crop = center_crop(image, size)
    side = min(size, height, width)
    assert crop.shape == (1, 1, side, side)
    top, left = divmod(int(crop[0, 0, 0, 0]), width)
    assert top % 2 == 0
    assert left % 2 == 0
    assert torch.equal(crop, image[..., top : top + side, left : left + side])
    assert abs((height - side) / 2 - top) < 2
    assert abs((width - side) / 2 - left) < 2


def test_center_crop_refuses_nothing():
    with pytest.raises(ImageError, match="0 pixels"):
        center_crop(torch.zeros(1, 3, 4, 4), 0)
