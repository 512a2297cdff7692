"""Images between files and tensors: float32, shape (1, 3, H, W), RGB, values in [0, 1]."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from faiglib.errors import DatasetError, ImageError
from faiglib.files import atomic_write

SUFFIXES = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})
"""Endings, in lower case, of the files that count as images."""

_FORMATS = ("PNG", "BMP", "JPEG", "TIFF", "WEBP")
_RAW_GRAY_16 = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})


def read_image(path: str | os.PathLike[str], *, warn: bool = True) -> Tensor:
    """Read an image file as a tensor.

    8-bit RGB is read as it is, palettes are looked up, and an orientation in the EXIF data is applied.
    Converted with a warning: gray (repeated to three channels), 16 bits per channel (the upper 8 are kept),
    and an alpha channel that is opaque everywhere (dropped).

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
            f"image {path} is refused because it has more than {Image.MAX_IMAGE_PIXELS:,} pixels"
        ) from error
    except Exception as error:  # decoders meet damaged files with errors of any kind
        raise ImageError(f"image {path} cannot be read: {str(error).rstrip('.') or repr(error)}") from error
    if warn and conversions:
        warnings.warn(f"image {path} was converted: {', '.join(conversions)}", UserWarning, stacklevel=2)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous().float() / 255


#: Held while the filters of warnings are changed, which all threads share.
_FILTERING = Lock()


def _decode(path: Path) -> tuple[np.ndarray, list[str]]:
    """Pixels (H, W, 3) in 8 bits, and what had to be converted to get them."""
    conversions = []
    with _FILTERING, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=_FORMATS) as opened:
            if getattr(opened, "n_frames", 1) > 1 and opened.format != "MPO":
                raise ImageError(f"image {path} holds several pages; one was expected")
            raw_mode = _raw_mode(opened)
            image = ImageOps.exif_transpose(opened)
        if raw_mode in _RAW_GRAY_16 and not image.has_transparency_data:
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
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
        return np.array(image.convert("RGB")), conversions


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


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files of a folder (not of its subfolders), sorted by name; hidden files are ignored.

    Raises:
        DatasetError: The folder is missing, is not a folder, or holds no image.
    """
    folder = Path(folder)
    if not folder.exists():
        raise DatasetError(f"folder {folder} does not exist")
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder")
    try:
        paths = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise DatasetError(f"folder {folder} cannot be read: {error.strerror or error}") from error
    if not paths:
        raise DatasetError(f"folder {folder} holds no image (png, bmp, jpg, tif or webp)")
    return paths


def images_by_stem(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """The images of a folder by their name without ending, sorted by that name.

    Raises:
        DatasetError: As :func:`list_images`, or two images differ in nothing but their ending.
    """
    stems: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in stems:
            raise DatasetError(
                f"folder {folder} holds both {stems[path.stem].name} and {path.name}; names without ending must differ"
            )
        stems[path.stem] = path
    return dict(sorted(stems.items()))


def match_by_name(**folders: str | os.PathLike[str]) -> list[dict[str, Path]]:
    """Pair the images of several folders that have the same name without its ending.

    Args:
        **folders: The folders, each under the keyword that the result uses for it.

    Returns:
        One dictionary, keyword to path, per name, sorted by name.

    Raises:
        DatasetError: A folder is missing or empty, or a name is not in all of the folders.
    """
    stems = {keyword: images_by_stem(folder) for keyword, folder in folders.items()}
    for stem in sorted(set().union(*stems.values())):
        for keyword, found in stems.items():
            if stem not in found:
                having = next(other[stem] for other in stems.values() if stem in other)
                raise DatasetError(
                    f"folder {folders[keyword]} ({keyword}) has no image named {stem}, but {having} exists"
                )
    return [{keyword: found[stem] for keyword, found in stems.items()} for stem in next(iter(stems.values()), {})]


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
