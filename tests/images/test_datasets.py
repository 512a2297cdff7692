from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import http.server
import io
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image

from faiglib.errors import DatasetError, ImageError, IncompleteError
from faiglib.images import downloads
from faiglib.images import registry as images_registry
from faiglib.images.datasets import ImageSet, fetch, find, from_folder
from faiglib.images.files import read_image
from faiglib.images.registry import BASE_URL, RegisteredFile, registered_files
from faiglib.system import environment
from faiglib.system.files import sha256_file

REAL_DATA = os.environ.get("FAIGLIB_DATA")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def image_bytes(seed: int, suffix: str, mode: str = "RGB") -> bytes:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (40, 52) if mode == "L" else (40, 52, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, {"bmp": "BMP", "png": "PNG"}[suffix])
    return file.getvalue()


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """No data folder, an empty cache, and connections to this machine only."""
    monkeypatch.delenv("FAIGLIB_DATA", raising=False)
    monkeypatch.setenv("FAIGLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloads, "RETRIES", 0)


@pytest.fixture
def contents(monkeypatch):
    """Bytes of every file of set5 by its registered path: the real ones where there are any."""
    if REAL_DATA and (Path(REAL_DATA) / "Set5").is_dir():
        return {file.path: (Path(REAL_DATA) / file.path).read_bytes() for file in registered_files("set5")}
    made = {f"Set5/{name}.bmp": image_bytes(seed, "bmp") for seed, name in enumerate("abcde")}
    registry = tuple(
        RegisteredFile(path, hashlib.sha256(data).hexdigest(), len(data), "some/where", COMMIT, f"Test set/{path}")
        for path, data in made.items()
    )
    monkeypatch.setattr(images_registry, "all_files", lambda: registry)
    return made


class Server(http.server.ThreadingHTTPServer):
    """Serves ``bodies`` by address; ``behave`` may answer a request in another way."""

    def __init__(self, bodies):
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies = bodies
        self.requested = []
        self.behave = lambda handler, body: False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requested.append(self.path)
        body = self.server.bodies.get(unquote(self.path))
        if self.server.behave(self, body):
            return
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(contents):
    bodies = {
        f"/{file.repository}/{file.commit}/{file.path_in_repository}": contents[file.path]
        for file in registered_files("set5")
    }
    server = Server(bodies)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def lay_out(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


# the registry


def test_registry_has_the_published_sets():
    sizes = {name: len(registered_files(name)) for name in images_registry.NAMES}
    assert sizes == {
        "set5": 5,
        "set14": 14,
        "bsd100": 100,
        "bsd400": 400,
        "kodak24": 24,
        "div2k_train": 0,
        "div2k_valid": 0,
        "skimage": 0,
    }
    files = [file for name in images_registry.NAMES for file in registered_files(name)]
    assert len({file.path for file in files}) == len({file.sha256 for file in files}) == 543
    assert all(len(bytes.fromhex(file.sha256)) == 32 and len(bytes.fromhex(file.commit)) == 20 for file in files)
    assert all(file.bytes > 1000 and not file.path.startswith("/") for file in files)
    for name in images_registry.NAMES:
        stems = [Path(file.path).stem for file in registered_files(name)]
        assert len(set(stems)) == len(stems)
        assert images_registry.title(name)


def test_address_is_pinned_and_quoted():
    file = RegisteredFile("Set5/a b.bmp", "0" * 64, 1, "some/where", COMMIT, "Test/a b#ä.bmp")
    assert file.url("http://host/") == f"http://host/some/where/{COMMIT}/Test/a%20b%23%C3%A4.bmp"
    assert registered_files("bsd100")[0].url().startswith(f"{BASE_URL}/BIDS/BSDS500/a04b7c6c3a9f0ace74bf205c72a43d32")


@pytest.mark.skipif(not REAL_DATA, reason="FAIGLIB_DATA is not set")
def test_registry_agrees_with_the_real_files():
    with open(images_registry.REGISTRY, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in images_registry.NAMES:
        files = registered_files(name)
        if not files or not (Path(REAL_DATA) / files[0].path).exists():
            continue
        found = find(name, REAL_DATA)
        for path, file in zip(found.paths, files, strict=True):
            row = next(row for row in rows if row["path"] == file.path)
            assert (sha256_file(path), path.stat().st_size) == (row["sha256"], int(row["bytes"]))


def test_unknown_name_lists_the_names():
    for call in (find, fetch, images_registry.title, registered_files):
        with pytest.raises(DatasetError, match=r"no image set named 'set15'; the names are set5, set14, bsd100"):
            call("set15")


# finding


def test_explicit_folder_comes_before_the_environment_and_the_cache(contents, tmp_path, monkeypatch):
    for place in ("given", "environment", "cache"):
        lay_out(tmp_path / place, contents)
    monkeypatch.setenv("FAIGLIB_DATA", str(tmp_path / "environment"))
    given, environment = find("set5", tmp_path / "given"), find("set5")
    monkeypatch.delenv("FAIGLIB_DATA")
    cached = find("set5")
    assert [found.where for found in (given, environment, cached)] == ["folder", "folder", "cache"]
    for found, place in ((given, "given"), (environment, "environment"), (cached, "cache")):
        assert found.paths == tuple(tmp_path / place / name for name in contents)
    assert given.digest == cached.digest
    assert len(given) == 5


def test_incomplete_folder_falls_back_to_a_complete_cache(contents, tmp_path):
    (tmp_path / "given").mkdir()
    lay_out(tmp_path / "cache", contents)
    assert find("set5", tmp_path / "given").where == "cache"


def test_incomplete_sets_are_described(contents, tmp_path):
    names = list(contents)
    lay_out(tmp_path / "given", {name: contents[name] for name in names[:4]})
    (tmp_path / "given" / names[2]).write_bytes(contents[names[2]][:-1])
    with pytest.raises(DatasetError) as caught:
        find("set5", tmp_path / "given")
    assert str(caught.value) == (
        f"Set5 was not found: 2 of its 5 files are missing, cannot be read or have other content "
        f"in {tmp_path / 'given'}, "
        f"the first {names[2]} and it is not in {tmp_path / 'cache'}; `faiglib fetch set5` downloads it"
    )


def test_folder_that_is_missing_is_an_error_of_its_own(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match=r"^data folder \S*/nowhere does not exist"):
        find("set5", tmp_path / "nowhere")
    monkeypatch.setenv("FAIGLIB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match=r"nowhere \(from FAIGLIB_DATA\) does not exist"):
        find("set5")


def test_div2k_is_taken_from_the_users_folder_and_never_fetched(tmp_path):
    folder = tmp_path / "data" / "DIV2K_valid_HR"
    lay_out(folder, {f"{number:04d}.png": b"x" for number in range(801, 900)})
    with pytest.raises(DatasetError, match=r"1 of its 100 files .* first DIV2K_valid_HR/0900\.png.*FAIGLIB_DATA"):
        find("div2k_valid", tmp_path / "data")
    (folder / "0900.png").write_bytes(b"x")
    assert len(find("div2k_valid", tmp_path / "data")) == 100
    with pytest.raises(DatasetError, match=r"DIV2K train is not downloaded by faiglib; download DIV2K_train_HR from"):
        fetch("div2k_train")


def test_embedded_photographs_need_no_network(monkeypatch, tmp_path):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("FAIGLIB_DATA", str(tmp_path / "nowhere"))
    found = find("skimage")
    assert found.where == "embedded"
    assert fetch("skimage") == found
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = dict(found.load(crop=96))
    assert list(images) == ["astronaut", "chelsea", "coffee", "ihc", "rocket"]
    for image in images.values():
        assert image.shape == (1, 3, 96, 96)
        assert image.std() > 0.05
        assert (image[:, 0] - image[:, 2]).abs().mean() > 0.02  # in colour


# loading


def test_load_gives_stems_crops_and_multiples(tmp_path):
    lay_out(tmp_path / "mine", {"b.png": image_bytes(1, "png"), "a.bmp": image_bytes(2, "bmp")})
    mine = from_folder(tmp_path / "mine")
    assert (mine.name, mine.title, mine.where, len(mine)) == ("mine", "mine", "folder", 2)
    whole = dict(mine.load(multiple=1))
    assert list(whole) == ["a", "b"]
    assert torch.equal(whole["b"], read_image(tmp_path / "mine" / "b.png"))
    assert torch.equal(dict(mine.load())["a"], whole["a"][..., :36, :48])
    cropped = dict(mine.load(crop=30))["a"]
    assert torch.equal(cropped, whole["a"][..., 8:32, 14:38])
    assert cropped.is_contiguous()
    assert dict(mine.load(crop=100, multiple=8))["a"].shape == (1, 3, 40, 40)
    with pytest.raises(ImageError, match=r"a\.bmp is used with 40 pixels a side; at least 64"):
        list(mine.load(multiple=64))
    with pytest.raises(ImageError, match=r"a\.bmp is used with 8 pixels"):
        list(mine.load(crop=8))


def test_gray_files_are_reported_only_where_they_are_news(tmp_path):
    lay_out(tmp_path / "Set5", {"a.png": image_bytes(1, "png", "L")})
    paths = (tmp_path / "Set5" / "a.png",)
    with pytest.warns(UserWarning, match="gray"):
        list(from_folder(tmp_path / "Set5").load())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(ImageSet("set5", "Set5", paths, "cache").load())


@pytest.mark.parametrize("count", [1, 2, 5, 14, 100])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 14, 60, 200])
def test_subset_is_evenly_spaced(count, limit):
    paths = tuple(Path(f"{number}.png") for number in range(count))
    indices = [int(path.stem) for path in ImageSet("x", "x", paths, "folder").select(limit)]
    assert len(indices) == min(limit, count) == len(set(indices))
    gaps = np.diff([-indices[0] - 1, *indices, 2 * count - indices[-1] - 1])
    assert max(gaps) - min(gaps) <= 2
    assert all(gap > 0 for gap in gaps)


def test_limit_below_one_is_refused():
    images = ImageSet("x", "My set", (Path("a.png"), Path("b.png")), "folder")
    assert images.select() == images.paths
    with pytest.raises(DatasetError, match="0 images of My set"):
        images.select(0)


def test_digest_follows_names_and_contents_only(tmp_path):
    one = {"a.png": b"1", "b.png": b"2"}
    folders = {
        "x": one,
        "y": one,
        "renamed": {"a.png": b"1", "c.png": b"2"},
        "edited": {"a.png": b"1", "b.png": b"3"},
    }
    for name, contents in folders.items():
        lay_out(tmp_path / name, contents)
    digest = {name: from_folder(tmp_path / name).digest for name in folders}
    assert digest["x"] == digest["y"]
    assert len(set(digest.values())) == 3
    lines = "".join(f"{name} {hashlib.sha256(content).hexdigest()}\n" for name, content in one.items())
    assert digest["x"] == hashlib.sha256(lines.encode()).hexdigest()


def test_folders_of_the_user(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        from_folder(tmp_path / "nowhere")
    lay_out(tmp_path / "twice", {"a.png": b"", "a.bmp": b""})
    with pytest.raises(DatasetError, match=r"both a\.bmp and a\.png"):
        from_folder(tmp_path / "twice")


def test_files_of_the_right_size_and_other_content_are_not_the_set(contents, tmp_path):
    lay_out(tmp_path / "cache", contents)
    path = find("set5").paths[3]
    sound = path.read_bytes()
    path.write_bytes(sound[:100] + bytes([sound[100] ^ 1]) + sound[101:])
    with pytest.raises(IncompleteError, match=rf"1 of its 5 files .* other content .* the first Set5/{path.name}"):
        find("set5")
    path.write_bytes(sound)
    assert len(find("set5")) == 5


@pytest.mark.parametrize("change", ["a folder", "dangling", "loop", "gone", "empty"])
def test_files_that_cannot_be_read_are_not_the_set(contents, tmp_path, change):
    lay_out(tmp_path / "cache", contents)
    path = find("set5").paths[0]
    path.unlink()
    {
        "a folder": path.mkdir,
        "dangling": lambda: path.symlink_to(tmp_path / "nowhere"),
        "loop": lambda: path.symlink_to(path),
        "gone": lambda: None,
        "empty": path.touch,
    }[change]()
    with pytest.raises(IncompleteError, match="1 of its 5 files are missing, cannot be read or have other content"):
        find("set5")


@pytest.mark.parametrize(
    "row",
    [
        "../outside.png,{sha},5,a/b,c,x.png",
        "Set5/../../outside.png,{sha},5,a/b,c,x.png",
        "/etc/passwd,{sha},5,a/b,c,x.png",
        "C:/outside.png,{sha},5,a/b,c,x.png",
        "Set5\\..\\..\\x.png,{sha},5,a/b,c,x.png",
        "Set5/a.png,{sha},5,a/b,c,../../x.png",
        "Set5/a.png,{sha},-5,a/b,c,x.png",
        "Set5/a.png,{sha},5.5,a/b,c,x.png",
        "Set5/a.png,{sha},,a/b,c,x.png",
        "Set5/a.png,{sha},5,a/b",
        ",{sha},5,a/b,c,x.png",
    ],
)
def test_a_registry_that_leads_elsewhere_is_refused(tmp_path, monkeypatch, row):
    path = tmp_path / "registry.csv"
    path.write_text(f"path,sha256,bytes,github_repository,commit,path_in_repository\n{row.format(sha='0' * 64)}\n")
    monkeypatch.setattr(images_registry, "REGISTRY", path)
    with pytest.raises(DatasetError, match="the registry of images"):
        images_registry.all_files.__wrapped__()


# fetching


def test_fetch_brings_every_byte_to_its_place(server, contents, tmp_path, capsys):
    fetched = fetch("set5", base_url=server.url)
    assert fetched == find("set5")
    assert fetched.where == "cache"
    assert files_below(tmp_path / "cache") == set(contents)
    assert all((tmp_path / "cache" / name).read_bytes() == content for name, content in contents.items())
    assert len(server.requested) == 5
    output = capsys.readouterr()
    assert output.out == ""
    assert "Set5: 100%" in output.err
    assert "5/5" in output.err
    fetch("set5", base_url=server.url, progress=False)
    assert len(server.requested) == 5
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_of_a_cache_are_for_all_whom_the_umask_lets(server, contents, mask, mode):
    before = os.umask(mask)
    try:
        fetched = fetch("set5", base_url=server.url, progress=False)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in fetched.paths} == {mode}


def test_fetch_into_a_folder(server, contents, tmp_path):
    fetched = fetch("set5", tmp_path / "mine", server.url, progress=False)
    assert fetched.where == "folder"
    assert files_below(tmp_path / "mine") == set(contents)
    assert not (tmp_path / "cache").exists()


def test_interrupted_fetch_is_resumed_with_what_is_missing_or_damaged(server, contents, tmp_path):
    names = list(contents)
    lay_out(tmp_path / "cache", {name: contents[name] for name in names[:3]})
    (tmp_path / "cache" / names[1]).write_bytes(bytes(len(contents[names[1]])))
    fetch("set5", base_url=server.url, progress=False)
    wanted = {Path(names[index]).name for index in (1, 3, 4)}
    assert {Path(unquote(path)).name for path in server.requested} == wanted
    assert all((tmp_path / "cache" / name).read_bytes() == content for name, content in contents.items())


def truncated(handler, body):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    return True


def wrong(handler, body):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(body[:-1] + bytes([body[-1] ^ 1]))
    return True


def endless(handler, body):
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(bytes(1 << 16))
    return True


def bomb(handler, body):
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(gzip.compress(bytes(1 << 24)))
    return True


def missing(handler, body):
    handler.send_error(404)
    return True


def broken(handler, body):
    handler.send_error(503)
    return True


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (truncated, "the transfer broke off"),
        (wrong, "its content does not have the registered SHA-256"),
        (endless, "it is longer than the "),
        (bomb, "the server sends it compressed, which was not asked for"),
        (missing, "the server answered 404 Not Found"),
        (broken, "the server answered 503 Service Unavailable"),
    ],
)
def test_bad_answers_give_one_sentence_and_leave_nothing_behind(server, contents, tmp_path, behaviour, reason):
    bad = registered_files("set5")[2]
    server.behave = lambda handler, body: handler.path in bad.url(server.url) and behaviour(handler, body)
    with pytest.raises(DatasetError) as caught:
        fetch("set5", base_url=server.url, progress=False)
    assert str(caught.value).startswith(f"{bad.url(server.url)} could not be fetched: {reason}")
    left = files_below(tmp_path / "cache")
    assert left <= set(contents) - {bad.path}
    assert all((tmp_path / "cache" / name).read_bytes() == contents[name] for name in left)
    with pytest.raises(DatasetError, match="was not found"):
        find("set5")
    server.behave = lambda handler, body: False
    assert len(fetch("set5", base_url=server.url, progress=False)) == 5


def test_passing_trouble_is_retried_but_a_missing_file_is_not(server, monkeypatch):
    monkeypatch.setattr(downloads, "RETRIES", 1)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    server.behave = lambda handler, body: server.requested.count(handler.path) == 1 and truncated(handler, body)
    assert len(fetch("set5", base_url=server.url, progress=False)) == 5
    assert len(server.requested) == 10
    server.requested.clear()
    server.bodies.clear()
    for path in find("set5").paths:
        path.unlink()
    server.behave = lambda handler, body: False
    with pytest.raises(DatasetError, match="404"):
        fetch("set5", base_url=server.url, progress=False)
    assert len(server.requested) == len(set(server.requested))


def test_dead_server(contents, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(
        DatasetError,
        match=rf"^{url}/\S+ could not be fetched: the server cannot be reached or stopped answering$",
    ):
        fetch("set5", base_url=url, progress=False)
    assert files_below(tmp_path) == set()


def test_silent_server(contents, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", (0.2, 0.2))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DatasetError, match=r"no answer within 0\.2 s to connect"):
            fetch("set5", base_url=f"http://127.0.0.1:{silent.getsockname()[1]}", progress=False)


def test_address_that_is_none(contents):
    with pytest.raises(DatasetError, match=r"could not be fetched: the address does not start with https://$"):
        fetch("set5", base_url="nonsense", progress=False)


def test_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DatasetError, match=r"could not be fetched: \S+ cannot be written \(\w"):
        fetch("set5", base_url=server.url, progress=False)


def test_cache_is_in_the_users_cache_folder_by_default(monkeypatch):
    pooch = pytest.importorskip("pooch")
    monkeypatch.delenv("FAIGLIB_CACHE")
    assert environment.cache_folder() == Path(pooch.os_cache("faiglib"))


def test_import_loads_nothing_heavy():
    heavy = "{'pandas', 'matplotlib', 'skimage', 'pooch', 'requests'}"
    code = f"import faiglib.images.datasets, faiglib.system.store, sys; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
