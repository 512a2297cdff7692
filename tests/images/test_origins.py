"""Mirrors, second origins and archives, asked over HTTP on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest

from faiglib.errors import DatasetError
from faiglib.images import bundles, downloads, origins, registry
from faiglib.images.datasets import fetch
from faiglib.images.origins import Origin
from faiglib.images.registry import RegisteredFile, registered_files

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {f"Set5/{number:02d}.png": bytes([number]) * (100 + number) for number in range(60)}


@pytest.fixture(autouse=True)
def a_set_of_sixty_files(tmp_path, monkeypatch):
    listed = tuple(
        RegisteredFile(path, hashlib.sha256(data).hexdigest(), len(data), "some/where", COMMIT, f"Test set/{path}")
        for path, data in FILES.items()
    )
    monkeypatch.setattr(registry, "all_files", lambda: listed)
    monkeypatch.setenv("FAIGLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloads, "RETRIES", 1)


class Served:
    """What a server has by address, what it was asked for, and what it answers once before anything else."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self.bodies, self.asked, self.busy = dict(bodies), [], 0
        served = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                served.asked.append(unquote(self.path))
                body = served.bodies.get(unquote(self.path))
                if served.busy:
                    served.busy -= 1
                    self.send_response(429)
                    self.send_header("Retry-After", "0")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif body is None:
                    self.send_error(404)
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    with contextlib.suppress(OSError):
                        self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextlib.contextmanager
def serving(bodies: Mapping[str, bytes]) -> Iterator[Served]:
    served = Served(bodies)
    thread = threading.Thread(target=served.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.server.shutdown()
        served.server.server_close()
        thread.join()


def as_origin() -> dict[str, bytes]:
    return {f"/some/where/{COMMIT}/Test set/{path}": data for path, data in FILES.items()}


def brought(tmp_path: Path) -> bool:
    return all((tmp_path / "cache" / path).read_bytes() == data for path, data in FILES.items())


def archive(files: Mapping[str, bytes]) -> bytes:
    """As GitHub makes one: everything below a folder of the repository's name and the commit."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, data in {
            "README.md": b"of no use",
            **{f"Test set/{name}": body for name, body in files.items()},
        }.items():
            member = tarfile.TarInfo(f"where-{COMMIT}/{path}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def test_the_addresses_of_the_registered_origins():
    file = registered_files("set5")[0]
    assert [one.of(file) for one in origins.REGISTERED] == [
        f"https://raw.githubusercontent.com/some/where/{COMMIT}/Test%20set/Set5/00.png",
        f"https://archive.softwareheritage.org/api/1/content/sha256:{file.sha256}/raw/",
    ]
    assert origins.GITHUB.bundle(file) == f"https://codeload.github.com/some/where/tar.gz/{COMMIT}"


def test_a_mirror_is_asked_first_and_the_origin_for_what_it_lacks(monkeypatch, tmp_path):
    mirrored = {f"/images/{path}": data for path, data in list(FILES.items())[1:]}
    mirrored["/images/Set5/02.png"] = b"something else"
    with serving(mirrored) as mirror, serving(as_origin()) as origin:
        monkeypatch.setenv("FAIGLIB_MIRROR", f"{mirror.url}/images/")
        monkeypatch.setattr(origins, "REGISTERED", (origins.at(origin.url),))
        fetch("set5", progress=False)
        assert brought(tmp_path)
        assert set(mirror.asked) == {f"/images/{path}" for path in FILES}
        wanted = {f"/some/where/{COMMIT}/Test set/Set5/{name}.png" for name in ("00", "02")}
        assert set(origin.asked) == wanted


def test_a_mirror_that_does_not_answer_is_left_alone(monkeypatch, tmp_path):
    with serving({}) as gone:
        address = gone.url
    with serving(as_origin()) as origin:
        monkeypatch.setenv("FAIGLIB_MIRROR", address)
        monkeypatch.setattr(origins, "REGISTERED", (origins.at(origin.url),))
        servers = origins.to_ask()
        monkeypatch.setattr(origins, "to_ask", lambda base_url: servers)
        fetch("set5", progress=False)
        assert brought(tmp_path)
        assert [server.lost for server in servers] == [True, False]


def test_a_mirror_that_is_no_address_is_refused(monkeypatch):
    monkeypatch.setenv("FAIGLIB_MIRROR", "/srv/images")
    with pytest.raises(DatasetError, match=r"^FAIGLIB_MIRROR is '/srv/images', which does not start with https://"):
        fetch("set5", progress=False)


def test_the_second_origin_gives_what_the_first_has_lost(monkeypatch, tmp_path):
    lost = registered_files("set5")[3]
    bodies = as_origin()
    kept = {f"/api/1/content/sha256:{lost.sha256}/raw/": bodies.pop(f"/some/where/{COMMIT}/{lost.path_in_repository}")}
    with serving(bodies) as first, serving(kept) as second:
        by_content = Origin("second", lambda file: f"{second.url}/api/1/content/sha256:{file.sha256}/raw/")
        monkeypatch.setattr(origins, "REGISTERED", (origins.at(first.url), by_content))
        fetch("set5", progress=False)
        assert brought(tmp_path)
        assert second.asked == list(kept)
        (tmp_path / "cache" / lost.path).unlink()
        second.bodies.clear()
        with pytest.raises(DatasetError) as caught:
            fetch("set5", progress=False)
        assert [part.split(" ")[0] for part in str(caught.value).split("; ")] == [
            lost.url(first.url),
            f"{second.url}{next(iter(kept))}",
        ]


@pytest.mark.parametrize("busy", [0, 1])
def test_many_files_come_in_one_archive(monkeypatch, tmp_path, busy):
    """Which is asked for again where the server says 429 and when."""
    with serving({"/all.tar.gz": archive(FILES)}) as server:
        server.busy = busy
        one = Origin("one", lambda file: file.url(server.url), lambda file: f"{server.url}/all.tar.gz")
        monkeypatch.setattr(origins, "REGISTERED", (one,))
        fetch("set5", progress=False)
        assert brought(tmp_path)
        assert server.asked == ["/all.tar.gz"] * (1 + busy)


def test_few_files_are_fetched_one_by_one(monkeypatch, tmp_path):
    for path, data in list(FILES.items())[bundles.MANY - 1 :]:
        (tmp_path / "cache" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / path).write_bytes(data)
    with serving(as_origin()) as server:
        one = Origin("one", lambda file: file.url(server.url), lambda file: f"{server.url}/all.tar.gz")
        monkeypatch.setattr(origins, "REGISTERED", (one,))
        fetch("set5", progress=False)
        assert brought(tmp_path)
        assert len(server.asked) == bundles.MANY - 1
        assert "/all.tar.gz" not in server.asked


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (None, "the server answered 404 Not Found"),
        (b"no archive at all", "it is no sound archive"),
        (archive(FILES)[:-200], "it is no sound archive"),
        (archive({**FILES, "Set5/07.png": bytes(107)}), "has not all files of some/where: 1 missing"),
        (archive({**FILES, "Set5/07.png": bytes(9999)}), "has not all files of some/where: 1 missing"),
    ],
    ids=["missing", "none", "cut off", "other content", "too long"],
)
def test_what_an_archive_does_not_give_comes_file_by_file(monkeypatch, tmp_path, capsys, packed, why):
    with serving(as_origin() | ({"/all.tar.gz": packed} if packed else {})) as server:
        one = Origin("one", lambda file: file.url(server.url), lambda file: f"{server.url}/all.tar.gz")
        monkeypatch.setattr(origins, "REGISTERED", (one,))
        fetch("set5", progress=False)
        assert brought(tmp_path)
        assert server.asked.count("/all.tar.gz") == 1
        assert why in capsys.readouterr().out


def test_an_archive_without_an_end_is_given_up(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bundles, "LONGEST", 4000)
    with serving(as_origin() | {"/all.tar.gz": archive(FILES)}) as server:
        one = Origin("one", lambda file: file.url(server.url), lambda file: f"{server.url}/all.tar.gz")
        monkeypatch.setattr(origins, "REGISTERED", (one,))
        fetch("set5", progress=False)
        assert brought(tmp_path)
        assert 1 < len(server.asked) <= 61
        assert "has not all files of some/where" in capsys.readouterr().out
