"""Images between files and tensors: float32, shape (1, 3, H, W), RGB, values in [0, 1]."""

from __future__ import annotations

import os
import warnings
from io import BytesIO
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from faiglib.errors import ImageError
from faiglib.system.files import atomic_write

SUFFIXES = frozenset({".png", ".bmp", ".dib", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp"})
"""Endings, in lower case, of the files that count as images."""

_FORMATS = ("PNG", "BMP", "DIB", "JPEG", "TIFF", "WEBP")
_RAW_GRAY_16 = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a tag of TIFF

#: Levels by which a colour profile may move a colour and still count as sRGB, whose profiles differ in rounding.
SAME_COLOURS = 2


def read_image(path: str | os.PathLike[str], *, warn: bool = True) -> Tensor:
    """Read an image file as a tensor.

    8-bit RGB is read as it is, palettes are looked up, and an orientation in the EXIF data is applied.
    Converted with a warning: gray (repeated to three channels), 16 bits per channel (the upper 8 are kept), an alpha
    channel that is opaque everywhere (dropped), the colours of another profile than sRGB. Damaged EXIF data or colour
    profiles are left out, with a warning.

    Args:
        path: A PNG, BMP, JPEG, TIFF or WebP file.
        warn: Whether a conversion is reported, in one ``UserWarning`` per file.

    Returns:
        RGB image, float32, (1, 3, H, W), in [0, 1]: the 8-bit values divided by 255.

    Raises:
        ImageError: The file is missing, damaged, no image, of a kind whose meaning is not plain (transparent
            pixels, CMYK, floating point, several pages), or has more pixels than Pillow's limit.
    """
    path = Path(path)
    if not path.exists():
        if path.is_symlink():
            raise ImageError(f"image {path} is a link to {os.readlink(path)}, which does not exist")
        raise ImageError(f"image {path} does not exist")
    if not path.is_file():
        raise ImageError(f"image {path} is not a file")
    try:
        if path.stat().st_size == 0:
            raise ImageError(f"image {path} is empty (0 bytes)")
        pixels, conversions = _decode(path)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is not a PNG, BMP, JPEG, TIFF or WebP image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"image {path} is refused because it has more than {Image.MAX_IMAGE_PIXELS:,} pixels; cut it into parts"
        ) from error
    except Exception as error:  # decoders meet damaged files with errors of any kind
        raise ImageError(f"image {path} cannot be read: {str(error).rstrip('.') or repr(error)}") from error
    if warn and conversions:
        warnings.warn(f"image {path} was converted: {', '.join(conversions)}", UserWarning, stacklevel=2)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous().float().div_(255)


#: Held while the filters of warnings are changed, which all threads share.
_FILTERING = Lock()


def _decode(path: Path) -> tuple[np.ndarray, list[str]]:
    """Pixels (H, W, 3) in 8 bits, and what had to be converted to get them."""
    conversions: list[str] = []
    with _FILTERING, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=_FORMATS) as opened:
            if _has_pages(path, opened):
                raise ImageError(f"image {path} holds several pages; one was expected")
            raw_mode = _raw_mode(opened)
            profile = opened.info.get("icc_profile")
            negative = opened.format == "TIFF" and opened.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # type: ignore[attr-defined]
            opened.load()
            image = _upright(opened, conversions)
        if raw_mode in _RAW_GRAY_16 and not image.has_transparency_data:
            levels = np.asarray(image)
            if negative:  # Pillow turns 8 bits the right way round, and 16 not
                levels = 65535 - levels
                conversions.append("white is zero in it")
            image = Image.fromarray((levels >> 8).astype(np.uint8))
        if image.mode not in _MODES:
            raise ImageError(
                f"image {path} has pixels of the kind {image.mode}; 8-bit or 16-bit RGB or gray was expected"
            )
        if ";16" in raw_mode:
            conversions.append("16 bits per channel reduced to 8")
        if image.mode in {"1", "L", "LA"} or raw_mode.startswith("LA"):
            conversions.append("gray repeated to three channels")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            if image.getchannel("A").getextrema() != (255, 255):
                raise ImageError(f"image {path} has transparent pixels; an opaque image was expected")
            conversions.append("opaque alpha channel dropped")
        gray = image.mode in {"1", "L", "LA"}
        return np.array(_in_srgb(image.convert("RGB"), gray, profile, conversions)), conversions


def _has_pages(path: Path, image: Image.Image) -> bool:
    """Whether there is a second page; a TIFF is not searched for all of its pages, which may be thousands."""
    if image.format == "MPO":  # a phone's photo, whose first picture counts
        return False
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1) > 1
    with Image.open(path, formats=_FORMATS) as other:
        try:
            other.seek(1)
        except EOFError:
            return False
    return True


def _upright(image: Image.Image, conversions: list[str]) -> Image.Image:
    """The image turned as its EXIF data say; as it is where these are damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # whatever the data hold, the pixels are sound
        conversions.append("damaged EXIF data left out")
        return image.copy()


def _in_srgb(image: Image.Image, gray: bool, data: bytes | None, conversions: list[str]) -> Image.Image:
    """An RGB image in sRGB, which a file without a profile is in."""
    if not data:
        return image
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        if gray and profile.profile.xcolor_space.strip() == "GRAY":
            levels = np.asarray(image)[..., 0]
            moved = ImageCms.profileToProfile(Image.fromarray(levels), profile, _SRGB, outputMode="RGB")
            ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
            moved_ramp = ImageCms.profileToProfile(ramp, profile, _SRGB, outputMode="RGB")
            same = _near(moved_ramp, ramp.convert("RGB"))
        else:
            moved = ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB")
            same = _near(ImageCms.profileToProfile(_COLOURS, profile, _SRGB, outputMode="RGB"), _COLOURS)
    except Exception:  # whatever the profile holds, the pixels are sound
        conversions.append("damaged or unsuitable colour profile left out")
        return image
    if moved is None or same:
        return image
    name = " ".join((profile.profile.profile_description or "an unnamed profile").split())
    conversions.append(f"colours of {name[:60]} to sRGB")
    return moved


def _near(first: Image.Image | None, second: Image.Image) -> bool:
    """Whether two images differ by no more than the rounding of colour profiles."""
    if first is None:
        return False
    difference = np.asarray(first).astype(np.int16) - np.asarray(second).astype(np.int16)
    return int(np.abs(difference).max()) <= SAME_COLOURS


_SRGB = ImageCms.createProfile("sRGB")
#: 729 colours, spread evenly.
_COLOURS = Image.fromarray(np.stack(np.meshgrid(*[np.linspace(0, 255, 9).astype(np.uint8)] * 3), -1).reshape(27, 27, 3))


def _raw_mode(image: Image.Image) -> str:
    """Layout of the stored pixels, such as ``RGB;16B``; Pillow's mode alone hides 16-bit colour."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return image.mode
    arguments = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else image.mode


def to_uint8(image: Tensor) -> Tensor:
    """Clip to [0, 1], scale to 255 and round to the nearest 8-bit value.

    Args:
        image: Floating-point image of any shape.

    Returns:
        Tensor of the same shape, uint8.

    Raises:
        ImageError: A value is NaN or infinite.
    """
    if not torch.isfinite(image).all():
        raise ImageError("the image has values that are NaN or infinite")
    return (image.detach().clamp(0, 1) * 255).round().to(torch.uint8)


def save_image(path: str | os.PathLike[str], image: Tensor) -> None:
    """Save an image as an 8-bit RGB PNG, whatever the ending of the name.

    Args:
        path: The file to write; its folder is created if needed.
        image: (3, H, W) or (1, 3, H, W), in [0, 1]; values outside are clipped.

    Raises:
        ImageError: The tensor has another shape, or values that are NaN or infinite.
        StoreError: The file cannot be written.
    """
    shape = tuple(image.shape)
    if image.ndim == 4 and shape[0] == 1:
        image = image[0]
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise ImageError(f"an image of shape {shape} cannot be saved as {path}; (1, 3, H, W) was expected")
    try:
        pixels = to_uint8(image).permute(1, 2, 0).cpu().numpy()
    except ImageError as error:
        raise ImageError(f"the image to be saved as {path} has values that are NaN or infinite") from error
    with atomic_write(path) as file:
        Image.fromarray(pixels).save(file, format="PNG")


def crop_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Cut off rows at the bottom and columns at the right until both sizes are multiples of ``multiple``.

    Args:
        image: (..., H, W).
        multiple: At least 1.

    Returns:
        A view of ``image``, from its upper left corner.

    Raises:
        ImageError: The image is smaller than ``multiple``.
    """
    height, width = image.shape[-2:]
    if min(height, width) < multiple:
        raise ImageError(f"the image has {height}x{width} pixels; at least {multiple}x{multiple} were expected")
    return image[..., : height - height % multiple, : width - width % multiple]


def center_crop(image: Tensor, size: int) -> Tensor:
    """The central square of at most ``size`` pixels a side.

    The square starts at an even row and column, so that the 2x2 blocks of a halved image stay blocks.

    Args:
        image: (..., H, W).
        size: Largest side in pixels, at least 1; smaller images give a square of their shorter side.

    Returns:
        A view of ``image``, (..., S, S) with S = min(size, H, W).

    Raises:
        ImageError: ``size`` is less than 1.
    """
    if size < 1:
        raise ImageError(f"a crop of {size} pixels is not possible; at least 1 was expected")
    height, width = image.shape[-2:]
    side = min(size, height, width)
    top = (height - side) // 4 * 2
    left = (width - side) // 4 * 2
    return image[..., top : top + side, left : left + side]
