"""What a file of weights really is, told from its first bytes and whatever its name ends in."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

from faiglib.errors import WeightsError

#: First bytes of what is taken for weights now and then, and what to say of it.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer and not the file behind it; `git lfs pull` fetches that"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x89HDF", "an HDF5 file (Keras?); PyTorch weights were expected"),
    (b"\x93NUMPY", "a NumPy array; a dictionary of tensors was expected"),
    (b"GGUF", "a GGUF file; PyTorch weights were expected"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
)


def what_is(path: Path) -> str:
    """What a file holds: ``safetensors``, ``pickle`` (of ``torch.save``), or in words what it is instead.

    Raises:
        WeightsError: there is no such file, it cannot be read, or a reader could take its header in two ways.
    """
    if not path.exists():
        if path.is_symlink():
            raise WeightsError(f"weight file {path} is a link to {os.readlink(path)}, which does not exist")
        raise WeightsError(f"weight file {path} does not exist")
    if not path.is_file():
        raise WeightsError(f"weight file {path} is {'a folder' if path.is_dir() else 'no regular file'}")
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(512)
            if _is_safetensors(head, size):
                missing = max(0, int.from_bytes(head[:8], "little") + 8 - len(head))
                _require_sound_header(path, head + file.read(missing))
                return "safetensors"
            if _is_safetensors(head, 100 * 2**20):
                raise WeightsError(f"weight file {path} is not a readable safetensors file: it is cut short")
    except OSError as error:
        raise WeightsError(f"weight file {path} cannot be read: {error.strerror or error}") from None
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if head[:4] == b"PK\x03\x04":
        return _archive(path, size)
    return _named(head)


def _is_safetensors(head: bytes, size: int) -> bool:
    """Whether the bytes begin with the length of a header that fits into the file, and a JSON object."""
    return len(head) > 8 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8


def _require_sound_header(path: Path, head: bytes) -> None:
    """Refuse a header that says two things of one name, which every reader would take in its own way."""
    length = int.from_bytes(head[:8], "little")
    twice: list[str] = []

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        twice.extend(name for name in names if names.count(name) > 1)
        return dict(pairs)

    try:
        json.loads(head[8 : 8 + length], object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise WeightsError(f"weight file {path} is not a readable safetensors file: its header is damaged") from None
    if twice:
        raise WeightsError(f"weight file {path} holds two weights for one name, {twice[0]}")


def _archive(path: Path, size: int) -> str:
    """What a zip archive is: ``torch.save`` writes such ones, and stores its tensors in them as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        return f"a damaged archive ({error})"
    names = {entry.filename.rpartition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        return "a TorchScript program, and no code of a file is run; save its state dict instead"
    if "data.pkl" not in names:
        return "a zip archive without weights of torch.save; unpack it first"
    if sum(entry.file_size for entry in entries) > size:
        return "a compressed archive, which torch.save does not write; unpack it first"
    return "pickle"


def _named(head: bytes) -> str:
    """What a file that is none of weights is, as far as its first bytes tell."""
    if not head:
        return "empty (0 bytes)"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")):
        return "a web page and not the file behind it; download the file itself"
    if text.startswith((b"{", b"[")):
        return "a JSON text"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it, or save the weights again with a newer PyTorch"
    for beginning, what in _OTHERS:
        if head.startswith(beginning):
            return what
    if head[:1] == b"\x08" and (b"pytorch" in head or b"onnx" in head):
        return "an ONNX model; a dictionary of tensors was expected"
    return "neither a safetensors file nor one of torch.save, or it is damaged"
