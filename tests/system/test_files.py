from __future__ import annotations

import errno
import hashlib
import os
import stat

import pytest

from faiglib.errors import StoreError
from faiglib.system.files import atomic_write, sha256_file, write_rows_atomic, write_text_atomic


def test_bytes_and_folders_appear(tmp_path):
    path = tmp_path / "a" / "b" / "c.bin"
    with atomic_write(path) as file:
        file.write(b"\x00\r\n\xff")
        assert not path.exists()
    assert path.read_bytes() == b"\x00\r\n\xff"
    assert os.listdir(path.parent) == ["c.bin"]


def test_text_is_utf8_with_line_ends_untouched(tmp_path):
    write_text_atomic(tmp_path / "t.txt", "θ̄\r\nλ\n")
    assert (tmp_path / "t.txt").read_bytes() == "θ̄\r\nλ\n".encode()


def test_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_text_atomic(tmp_path / "atomic", "x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")}
    assert len(modes) == 1


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_failure_keeps_the_earlier_file_and_leaves_nothing_else(tmp_path, interruption):
    path = tmp_path / "kept.txt"
    path.write_text("earlier")
    with pytest.raises(interruption), atomic_write(path, "w") as file:  # noqa: PT012
        file.write("half")
        raise interruption
    assert path.read_text() == "earlier"
    assert os.listdir(tmp_path) == ["kept.txt"]


def test_full_disk_becomes_one_sentence(tmp_path):
    path = tmp_path / "big.bin"
    with pytest.raises(StoreError) as caught, atomic_write(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(caught.value) == f"{path} cannot be written: No space left on device"
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_device_is_noticed_when_the_file_is_closed(tmp_path, monkeypatch):
    import builtins

    original = builtins.open
    monkeypatch.setattr("builtins.open", lambda path, *rest, **options: original("/dev/full", *rest, **options))
    with pytest.raises(StoreError, match="No space left on device"), atomic_write(tmp_path / "x") as file:
        file.write(b"x")


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/x\.txt cannot be written: "):
        write_text_atomic(tmp_path / "file" / "x.txt", "")


def test_sha256_file(tmp_path):
    content = os.urandom(300_000)
    (tmp_path / "x").write_bytes(content)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()
    with pytest.raises(StoreError, match=r"absent cannot be read: No such file"):
        sha256_file(tmp_path / "absent")


def test_rows_have_the_columns_of_all_of_them(tmp_path):
    rows = [{"step": 1, "loss": 0.5}, {"step": 2, "psnr": 20.25, "name": "a,b"}]
    write_rows_atomic(tmp_path / "log.csv", rows)
    text = (tmp_path / "log.csv").read_bytes().decode()
    assert text == 'step,loss,psnr,name\n1,0.5,,\n2,,20.25,"a,b"\n'
