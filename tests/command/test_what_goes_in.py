"""Images, folders and numbers as they are found in the wild: used as they are meant, or refused in one sentence."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from faiglib.command import main
from faiglib.errors import DatasetError, FaiglibError, ImageError
from faiglib.images.files import SUFFIXES, read_image
from faiglib.images.folders import images_by_stem, list_images, match_by_name
from faiglib.networks import build
from faiglib.system.files import atomic_write, expanded
from faiglib.system.tensors import save_weights

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (24, 28, 3), dtype=np.uint8)


def write(path: Path, pixels: np.ndarray = PIXELS, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        image = read_image(path)
    return (255 * image[0]).round().byte().permute(1, 2, 0).numpy(), [str(one.message) for one in said]


def tiff(levels: np.ndarray, photometric: int, bits: int, order: str = "<") -> bytes:
    """A gray TIFF of one strip, written from its specification."""
    height, width = levels.shape
    kind = {1: None, 8: "u1", 16: f"{order}u2"}[bits]
    data = np.packbits(levels.astype(bool), axis=1).tobytes() if kind is None else levels.astype(kind).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height, 279: len(data)}
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 4 if tag in (273, 279) else 3, 1)
        + (struct.pack(f"{order}I", value) if tag in (273, 279) else struct.pack(f"{order}HH", value, 0))
        for tag, value in tags.items()
    )
    start = 8 + len(data) + len(data) % 2
    magic = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)
    return magic + struct.pack(f"{order}I", start) + data + bytes(len(data) % 2) + directory


@pytest.mark.parametrize(
    ("photometric", "bits", "order"),
    [
        (0, 1, "<"),
        (0, 8, "<"),
        (0, 16, "<"),
        (1, 1, "<"),
        (1, 8, "<"),
        (1, 16, "<"),
        (0, 1, ">"),
        (0, 8, ">"),
        (1, 16, ">"),
    ],
)
def test_white_is_white_whatever_number_it_has(tmp_path, photometric, bits, order):
    most = 2**bits - 1
    levels = RNG.integers(0, most + 1, (9, 16))
    (tmp_path / "a.tif").write_bytes(tiff(levels, photometric, bits, order))
    brightness = most - levels if photometric == 0 else levels
    expected = brightness * 255 if bits == 1 else brightness >> 8 if bits == 16 else brightness
    found, said = read(tmp_path / "a.tif")
    assert np.array_equal(found, np.repeat(expected[..., None], 3, axis=2))
    assert ("white is zero" in " ".join(said)) == (photometric == 0 and bits == 16)


# ---------------------------------------------------------------- colours


def profile(red: tuple[float, float], green: tuple[float, float], blue: tuple[float, float], gamma: float) -> bytes:
    """An ICC profile (version 2) of three primaries, white D50 and one gamma, written from its specification."""
    white = np.array([0.9642, 1.0, 0.8249])
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (red, green, blue)]).T
    columns = columns * np.linalg.solve(columns, white)

    def fixed(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"wide\0"
    named = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    named += bytes(-len(named) % 4)
    tags = {"desc": named, "wtpt": fixed(*white), "rTRC": curve, "gTRC": curve, "bTRC": curve}
    tags |= {f"{letter}XYZ": fixed(*columns[:, number]) for number, letter in enumerate("rgb")}
    body, table, place = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name.encode() + struct.pack(">II", place + len(body), len(data))
        body += data
    size = place + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ").ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + fixed(*white)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


WIDE = {
    "Adobe RGB": ((0.6484, 0.3309), (0.2302, 0.7016), (0.1559, 0.0660), 2.2),
    "ProPhoto": ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), 1.8),
    "linear": ((0.6484, 0.3309), (0.3212, 0.5979), (0.1559, 0.0660), 1.0),
}


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("primaries", WIDE.values(), ids=WIDE)
def test_colours_of_other_profiles_become_srgb(tmp_path, primaries, ending):
    icc = profile(*primaries)
    options = (
        {"quality": 100, "subsampling": 0} if ending == ".jpg" else {"lossless": True} if ending == ".webp" else {}
    )
    plain, path = (
        write(tmp_path / f"plain{ending}", **options),
        write(tmp_path / f"a{ending}", icc_profile=icc, **options),
    )
    found, said = read(path)
    stored = Image.open(plain).convert("RGB")
    expected = ImageCms.profileToProfile(
        stored, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
    )
    assert np.array_equal(found, np.asarray(expected))
    assert np.abs(found.astype(int) - np.asarray(stored)).max() > 10
    assert "colours of wide to sRGB" in " ".join(said)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
HARMLESS = {
    "sRGB": {"icc_profile": SRGB},
    "a damaged profile": {"icc_profile": SRGB[:200]},
    "no profile at all": {"icc_profile": b"nonsense" * 40},
    "a profile of Lab": {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()},
    "damaged EXIF": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0"},
    "EXIF of nothing": {"exif": b"Exif\0\0" + b"\xff" * 30},
    "an orientation that is none": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0"},
}


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("more", HARMLESS.values(), ids=HARMLESS)
def test_what_is_beside_the_pixels_never_costs_them(tmp_path, more, ending):
    options = {"lossless": True} if ending == ".webp" else {}
    plain = read(write(tmp_path / f"plain{ending}", **options))[0]
    assert np.array_equal(read(write(tmp_path / f"a{ending}", **options, **more))[0], plain)


# ---------------------------------------------------------------- sizes and pages


def test_many_pages_are_not_counted(tmp_path, monkeypatch):
    """Twenty thousand pages that all follow one another: the second one decides."""
    page = tiff(np.zeros((4, 4), int), 1, 8)
    start = struct.unpack("<I", page[4:8])[0]
    body, pages = bytearray(page), 20_000
    directory = page[start:-4]
    for _ in range(1, pages):
        place = len(body)
        body[-4:] = struct.pack("<I", place)
        body += directory + bytes(4)
    (tmp_path / "many.tif").write_bytes(body)
    monkeypatch.setattr(
        "PIL.TiffImagePlugin.TiffImageFile.n_frames", property(lambda _: pytest.fail("pages are counted"))
    )
    with pytest.raises(ImageError, match="holds several pages"):
        read_image(tmp_path / "many.tif")


@pytest.mark.parametrize("ending", [".png", ".tif", ".webp"])
def test_moving_pictures_are_refused(tmp_path, ending):
    frames = [Image.fromarray(np.roll(PIXELS, shift, 0)) for shift in range(3)]
    frames[0].save(tmp_path / f"a{ending}", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="holds several pages"):
        read_image(tmp_path / f"a{ending}")


def test_too_many_pixels_are_refused_with_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
    with pytest.raises(ImageError, match="more than 600 pixels; cut it into parts"):
        read_image(write(tmp_path / "a.png"))


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("ending", sorted(SUFFIXES))
def test_every_ending_that_counts(tmp_path, ending):
    path = tmp_path / f"A{ending.upper()}"
    Image.fromarray(PIXELS).save(path, format={".dib": "DIB", ".jfif": "JPEG", ".jpe": "JPEG"}.get(ending))
    assert list_images(tmp_path) == [path]
    assert read(path)[0].shape == PIXELS.shape


@pytest.mark.parametrize("kind", ["a folder", "a link to a folder"])
def test_a_folder_that_is_named_like_an_image(tmp_path, kind):
    write(tmp_path / "in" / "a.png")
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "in" / "b.png"
    path.mkdir() if kind == "a folder" else path.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match=r"b\.png is a folder, though it is named like an image"):
        assert [one.name for one in list_images(tmp_path / "in")] == ["a.png"]


@pytest.mark.parametrize("kind", ["a link to nothing", "a pipe"])
def test_what_is_named_like_an_image_and_is_none(tmp_path, kind):
    write(tmp_path / "in" / "a.png")
    path = tmp_path / "in" / "b.png"
    os.mkfifo(path) if kind == "a pipe" else path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=r"b\.png is (a link to nothing|no file), though it is named like an image"):
        list_images(tmp_path / "in")


COLLISIONS = [("a.png", "a.jpg"), ("a.png", "A.png"), ("stra\u00dfe.png", "STRASSE.png"), ("\u00e4.png", "a\u0308.png")]


@pytest.mark.parametrize("names", COLLISIONS, ids=ascii)
def test_names_that_would_become_one_file(tmp_path, names):
    for name in names:
        write(tmp_path / name)
    with pytest.raises(DatasetError, match="names without ending must differ"):
        images_by_stem(tmp_path)


PAIRS = {
    "the same": (["baby.png", "bird.png"], ["baby.png", "bird.jpg"], ""),
    "composed and decomposed": (["\u00e4.png"], [unicodedata.normalize("NFD", "\u00e4") + ".png"], ""),
    "a scale": (["baby.png", "bird.png"], ["babyx2.png", "birdx2.png"], "x2"),
    "a scale behind a line": (["0801.png", "0802.png"], ["0801_x2.png", "0802_x2.png"], "_x2"),
    "words on both": (["a_HR.png", "b_HR.png"], ["a_LR.png", "b_LR.png"], "LR"),
    "words on the first": (["a_gt.png", "b_gt.png"], ["a.png", "b.png"], "_gt"),
    "one image": (["baby.png"], ["baby_LRBI_x2.png"], "_LRBI_x2"),
    "names that end alike": (["cat.png", "bat.png"], ["cat2.png", "bat2.png"], "2"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("first", "second", "ending"), PAIRS.values(), ids=PAIRS)
def test_names_that_belong_together(tmp_path, first, second, ending):
    for folder, files in {"gt": first, "lr": second}.items():
        for name in files:
            write(tmp_path / folder / name)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = match_by_name(gt=tmp_path / "gt", lr=tmp_path / "lr")
    assert [(one["gt"].name, one["lr"].name) for one in found] == sorted(zip(first, second, strict=True))
    assert any(repr(ending) in str(one.message) for one in said) == bool(ending)


APART = [
    (["a.png", "b.png"], ["ax2.png", "c.png"]), (["a.png", "b.png"], ["ax2.png", "bx3.png"]), (["a.png"], ["b.png"]),
    (["a.png", "b.png"], ["a.png"]), (["a.png"], ["ax2.png", "bx2.png"]), (["a1.png", "a2.png"], ["b1.png", "b2.png"]),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), APART)
def test_names_that_do_not_belong_together(tmp_path, first, second):
    for folder, files in {"gt": first, "lr": second}.items():
        for name in files:
            write(tmp_path / folder / name)
    with pytest.raises(DatasetError, match="has no image named"):
        match_by_name(gt=tmp_path / "gt", lr=tmp_path / "lr")


# ---------------------------------------------------------------- folder commands


def truncated(path: Path) -> None:
    path.write_bytes(write(path).read_bytes()[:-300])


LAST = {
    "an odd size": lambda path: write(path, PIXELS[:23]),
    "an odd width": lambda path: write(path, PIXELS[:, :27]),
    "too small for the kernel": lambda path: write(path, PIXELS[:10]),
    "truncated": truncated,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no image"),
    "transparent": lambda path: Image.new("RGBA", (24, 24), (1, 2, 3, 4)).save(path),
}


def run(capsys, *arguments) -> tuple[int, str]:
    try:
        main.main([str(one) for one in arguments])
    except SystemExit as end:
        return int(end.code or 0), capsys.readouterr().err
    return 0, capsys.readouterr().err


@pytest.mark.parametrize("make", LAST.values(), ids=LAST)
def test_degrade_writes_everything_or_nothing(tmp_path, capsys, make):
    for name in ("a", "b"):
        write(tmp_path / "in" / f"{name}.png")
    make(tmp_path / "in" / "z.png")
    status, err = run(capsys, "degrade", "--input", tmp_path / "in", "--output", tmp_path / "out", "--blur", 2)
    assert status == 1
    assert "z.png" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_degrade_crops_on_request(tmp_path, capsys):
    write(tmp_path / "in" / "a.png", PIXELS[:23, :27])
    write(tmp_path / "in" / "b.png", PIXELS[:22, :26])
    line = ["degrade", "--input", tmp_path / "in", "--output", tmp_path / "out"]
    status, err = run(capsys, *line)
    assert status == 1
    assert "27x23 pixels does not divide by the scale 2; crop it first" in err
    assert run(capsys, *line, "--crop", tmp_path / "gt")[0] == 0
    assert read(tmp_path / "out" / "a.png")[0].shape == (11, 13, 3)
    for name in ("a", "b"):
        assert np.array_equal(read(tmp_path / "gt" / f"{name}.png")[0], PIXELS[:22, :26]), "what the result is of"
    for folder, told in ((tmp_path / "in", "overwrite none of it"), (tmp_path / "out", "cannot hold both")):
        status, err = run(capsys, *line, "--crop", folder)
        assert (status, told in err) == (1, True)


@pytest.fixture
def weights(tmp_path) -> Path:
    save_weights(tmp_path / "w.safetensors", build("srresnet_s", seed=0).state_dict())
    return tmp_path / "w.safetensors"


@pytest.mark.parametrize("make", [LAST["truncated"], LAST["text"], LAST["empty"], LAST["transparent"]])
def test_restore_writes_everything_or_nothing(tmp_path, capsys, weights, make):
    write(tmp_path / "in" / "a.png")
    make(tmp_path / "in" / "z.png")
    status, err = run(
        capsys,
        "restore",
        "--network",
        "srresnet_s",
        "--weights",
        weights,
        "--input",
        tmp_path / "in",
        "--output",
        tmp_path / "out",
    )
    assert (status, (tmp_path / "out").exists()) == (1, False)
    assert "z.png" in err.splitlines()[-1]


def test_restoring_in_little_memory_gives_the_same(tmp_path, capsys, weights):
    write(tmp_path / "in" / "a.png", RNG.integers(0, 256, (120, 120, 3), dtype=np.uint8))
    common = ("restore", "--network", "srresnet_s", "--weights", weights, "--input", tmp_path / "in", "--output")
    assert run(capsys, *common, tmp_path / "whole")[0] == 0
    assert run(capsys, *common, tmp_path / "tiles", "--memory", 20e6 / 2**30)[0] == 0
    whole, tiles = (read(tmp_path / name / "a.png")[0].astype(int) for name in ("whole", "tiles"))
    assert np.abs(whole - tiles).max() <= 1
    status, err = run(capsys, *common, tmp_path / "none", "--memory", 1e-6)
    assert status == 1
    assert "a.png" in err.splitlines()[-1]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "0", "-1", "1e300", "-0.0"])
def test_amounts_of_memory_that_are_none(tmp_path, capsys, weights, value):
    write(tmp_path / "in" / "a.png")
    options = (
        "--network",
        "srresnet_s",
        "--weights",
        weights,
        "--input",
        tmp_path / "in",
        "--output",
        tmp_path / "out",
    )
    status, err = run(capsys, "restore", *options, f"--memory={value}")
    assert status == 1
    assert "--memory is a positive number of GiB" in err


@pytest.mark.parametrize("option", ["--blur", "--noise"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "-inf", "two"])
def test_strengths_that_are_none(tmp_path, capsys, option, value):
    write(tmp_path / "in" / "a.png")
    status, err = run(capsys, "degrade", "--input", tmp_path / "in", "--output", tmp_path / "out", f"{option}={value}")
    assert (status, (tmp_path / "out").exists()) == (2, False)
    assert err.startswith(f"faiglib: Invalid value for '{option}'")


# ---------------------------------------------------------------- names and terminals

NAMES = {
    "no UTF-8": b"caf\xe9",
    "62 emoji": ("\U0001f600" * 62).encode(),
    "terminal escapes": b"a\x1b[31mred\x1b]0;title\x07",
    "a line break": b"two\nlines",
    "right to left": "a\u202egnp".encode(),
    "a blank at the end": b"a ",
}


@pytest.mark.parametrize(("name", "encoding"), [*((name, "ascii") for name in NAMES.values()), (b"a", "cp1252")])
def test_names_of_any_bytes(tmp_path, name, encoding):
    folder, out = os.fsencode(tmp_path) + b"/in", os.fsencode(tmp_path) + b"/" + name[:100]
    os.mkdir(folder)
    os.replace(write(tmp_path / "a.png"), folder + b"/" + name + b".png")
    command = [
        sys.executable,
        "-m",
        "faiglib",
        "degrade",
        "--input",
        folder,
        "--output",
        out,
        "--blur",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    assert os.listdir(out) == [name + b".png"]
    assert not {0x1B, 0x07} & set(done.stdout + done.stderr)
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_of_any_bytes_in_a_sentence(tmp_path, capsys, name):
    path = os.fsencode(tmp_path / "in") + b"/" + name + b".png"
    (tmp_path / "in").mkdir()
    with open(path, "wb"):
        pass
    status, err = run(capsys, "degrade", "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert status == 1
    assert "is empty (0 bytes)" in err.splitlines()[-1]
    assert not {"\x1b", "\x07", "\u202e"} & set(err)


@pytest.mark.parametrize("length", [64, 200, 255])
def test_temporary_names_fit(tmp_path, length):
    for letter in ("a", "\u00e4", "\U0001f600"):
        path = tmp_path / (letter * (length // len(letter.encode())))
        with atomic_write(path) as file:
            file.write(b"x")
        assert path.read_bytes() == b"x"


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "~nobody-of-that-name"])
def test_homes_that_are_not_known(path):
    with pytest.raises(FaiglibError, match="the home folder that ~nobody"):
        expanded(path)
    assert expanded("~") == Path.home()
    assert torch.is_tensor(torch.zeros(1))
