"""What kill -9 and a full disk leave behind, and what the next run makes of it.

A workload runs in a process that kills itself before its n-th change of the file system, for every n, or in the middle
of a write, at the byte where a limit on the size of files strikes with its default action: no handler, no cleaning up.
Nothing half-written may be believed afterwards, nothing that was there before may be lost, and the same workload, run
again, has to end as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import itertools
import json
import multiprocessing
import multiprocessing.forkserver
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from bookmaker import driver, execute, html
from bookmaker.layout import Layout
from faiglib import networks
from faiglib.command import main
from faiglib.companion.cache import Cache
from faiglib.errors import DatasetError, StoreError, WeightsError
from faiglib.images import datasets, registry
from faiglib.images.degradations import Degradation, noise_generator
from faiglib.networks import zoo
from faiglib.system.files import write_text_atomic
from faiglib.system.tensors import load_weights, save_weights
from faiglib.training.checkpoint import sessions
from faiglib.training.recipe import Recipe
from faiglib.training.trainer import train
from tests.helpers.manifests import DESCRIPTION

ROOT = Path(__file__).resolve().parents[2]
FORKS = multiprocessing.get_context("forkserver")
CHANGES = {"open": 1, "os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.truncate": 1}
"""Audit events of a change of the file system, with the number of their arguments that are paths."""

Work = Callable[[Path], object]


def in_a_child(work: Work, folder: Path, point: int | None, size: int | None) -> None:
    """Does the work, and dies before the change number ``point`` in the folder or at the byte ``size`` of a file."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    tqdm.set_lock(threading.RLock())  # its own belongs to several processes, and a kill would leave it behind
    torch.set_num_threads(1)
    done = itertools.count(1)

    def watch(event: str, arguments: tuple) -> None:
        if event not in CHANGES or (event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
        paths = [os.fsdecode(one) for one in arguments[: CHANGES[event]] if isinstance(one, str | bytes | os.PathLike)]
        if any(path.startswith(str(folder)) for path in paths) and next(done) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    if point is not None:
        sys.addaudithook(watch)
    if size is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    work(folder)


@functools.cache
def start_server_of_forks() -> None:
    """Starts the process whose forks do the work, with all that they import; multiprocessing forgets its sys.path."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        FORKS.set_forkserver_preload([__name__, "papermill", "jupytext", "lightning_fabric"])
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def killed(work: Work, folder: Path, *, point: int | None = None, size: int | None = None) -> bool:
    """Does the work in a process of its own; whether that was killed, and did not end by itself."""
    start_server_of_forks()
    process = FORKS.Process(target=in_a_child, args=(work, folder, point, size))
    process.start()
    process.join(150)
    assert process.exitcode in (0, -signal.SIGKILL, -signal.SIGXFSZ), process.exitcode
    return process.exitcode != 0


def kills(work: Work, folder: Path, before: Path | None = None) -> Iterator[str]:
    """Kills the work in every place, in a folder that is as ``before`` (or empty) each time."""

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if before is not None:
            shutil.copytree(before, folder)

    for point in itertools.count(1):
        prepare()
        if not killed(work, folder, point=point):
            break
        yield f"before change {point}"
    assert point > 3, "the work changes the file system"
    for size in sorted({path.stat().st_size // 2 for path in folder.rglob("*") if path.is_file()}):
        prepare()
        if killed(work, folder, size=size):
            yield f"at byte {size}"


def content(folder: Path) -> dict[str, bytes]:
    """Every file under a name that is believed; half-written ones are hidden."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


class Tiny(nn.Module):
    """A network of a few hundred weights."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def tiny_state(seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Tiny().state_dict()


# ---------------------------------------------------------------- kill -9 in every place


def train_tiny(folder: Path, seed: int = 0) -> dict[str, Tensor]:
    networks.NETWORKS["tiny"] = Tiny
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (1, 3, 20, 24), generator=generator) / 255]
    recipe = Recipe("tiny", "target", seed=seed, iterations=4, batch=1, patch=16, peak_lr=1e-2)
    return train(recipe, images, run_dir=folder, checkpoint_seconds=0, log_every=2, progress=False).state


@pytest.fixture
def _tiny_network(monkeypatch):
    monkeypatch.setitem(networks.NETWORKS, "tiny", Tiny)


@pytest.mark.usefixtures("_tiny_network")
@pytest.mark.slow
def test_a_training_killed_anywhere_ends_with_the_same_bits(tmp_path):
    expected = train_tiny(tmp_path / "undisturbed")
    for where in kills(train_tiny, tmp_path / "run"):
        again = train_tiny(tmp_path / "run")
        assert all(torch.equal(again[name], value) for name, value in expected.items()), where
        weights = load_weights(tmp_path / "run" / "weights.safetensors")
        assert all(torch.equal(weights[name], value) for name, value in expected.items()), where
        steps = [line.split(",")[0] for line in (tmp_path / "run" / "log.csv").read_text().splitlines()]
        assert steps == ["step", "2", "4"], where
        began = [one["step"] for one in sessions(tmp_path / "run")]
        assert began[0] == 0, where
        assert began in ([0], [0, began[-1]]), where


def attribute(out: Path, material: Path) -> None:
    networks.NETWORKS["srresnet"] = Tiny
    names = ("baseline", "target", "gt", "blur", "noise")
    options = [part for name in names for part in (f"--{name}", str(next(material.glob(f"{name}*"))))]
    main.main(["attribute", "--network", "srresnet", *options, "--out", str(out), "--nodes", "1", "--device", "cpu"])


@pytest.fixture
def material(tmp_path) -> Path:
    """Weights of a tiny pair, and two matched images."""
    folder = tmp_path / "material"
    for seed, role in enumerate(("baseline", "target")):
        save_weights(folder / f"{role}.safetensors", tiny_state(seed))
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
        made = {"gt": image, "blur": Degradation(blur_sigma=2)(image)}
        made["noise"] = Degradation(noise_sigma=0.1)(image, noise_generator(0, number))
        for kind, one in made.items():
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray((one[0].permute(1, 2, 0) * 255).round().byte().numpy()).save(
                folder / kind / f"{number}.png"
            )
    return folder


@pytest.mark.slow
def test_an_attribution_killed_anywhere_ends_with_the_same_files(tmp_path, material, monkeypatch, capsys):
    monkeypatch.setitem(networks.NETWORKS, "srresnet", Tiny)
    attribute(tmp_path / "undisturbed", material)
    expected = content(tmp_path / "undisturbed")
    assert len(expected) == 6
    attribute_here = functools.partial(attribute, material=material)
    for where in kills(attribute_here, tmp_path / "out"):
        for name, data in content(tmp_path / "out").items():
            assert name == "partial.safetensors" or data == expected[name], where
        attribute_here(tmp_path / "out")
        assert content(tmp_path / "out") == expected, where


def fill_store(root: Path) -> tuple[dict[str, Tensor], pd.DataFrame]:
    store = Cache(root)
    return (
        store.tensors("scores", {"seed": 1}, lambda: {"x": torch.arange(999.0)}),
        store.table("rows", {"seed": 1}, lambda: pd.DataFrame({"x": range(99), "y": "z"})),
    )


def test_a_store_killed_anywhere_believes_whole_entries_only(tmp_path):
    scores, rows = fill_store(tmp_path / "undisturbed")
    for where in kills(fill_store, tmp_path / "store"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a payload without a record is computed anew, and said so
            found = fill_store(tmp_path / "store")
        assert torch.equal(found[0]["x"], scores["x"]), where
        assert found[1].equals(rows), where
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            store = Cache(tmp_path / "store")
            assert torch.equal(store.tensors("scores", {"seed": 1}, dict)["x"], scores["x"]), where


def publish(folder: Path, role: str = "target", seed: int = 1) -> None:
    zoo.add(folder, tiny_state(seed), {"role": role, "seed": 0, "parent": None, **DESCRIPTION})


@pytest.mark.slow
def test_publishing_killed_anywhere_leaves_weights_that_are_whole_or_refused(tmp_path):
    before = tmp_path / "before"
    publish(before, "baseline")
    publish(before, "target", seed=2)
    baseline = content(before)["srresnet-baseline-seed0.safetensors"]
    for where in kills(publish, tmp_path / "models", before):
        folder = tmp_path / "models"
        assert content(folder)["srresnet-baseline-seed0.safetensors"] == baseline
        for entry in zoo.entries(folder):
            with contextlib.suppress(WeightsError):  # the new file under the old manifest
                state = zoo.load_entry(folder, entry)
                assert any(
                    torch.equal(state["layers.0.bias"], tiny_state(s)["layers.0.bias"].half().float()) for s in (1, 2)
                )
        publish(folder)
        assert [entry.role for entry in zoo.entries(folder)] == ["baseline", "target"], where
        for entry in zoo.entries(folder):
            zoo.load_entry(folder, entry)


FILES = {f"Set5/{name}.bmp": name.encode() * 200_000 for name in "ab"}
REGISTRY = tuple(
    registry.RegisteredFile(path, hashlib.sha256(data).hexdigest(), len(data), "some/where", "0" * 40, path)
    for path, data in FILES.items()
)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = FILES["/".join(unquote(self.path).split("/")[-2:])]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the other side was killed
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[str]:
    """The address of a server with the files of a small set."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(registry, "all_files", lambda: REGISTRY)
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    served.server_close()
    thread.join()


def download(folder: Path, url: str) -> None:
    registry.all_files = lambda: REGISTRY
    datasets.fetch("set5", folder, url, progress=False)


@pytest.mark.slow
def test_a_download_killed_anywhere_is_completed(tmp_path, server):
    folder = tmp_path / "data"
    download_here = functools.partial(download, url=server)
    for where in kills(download_here, folder):
        there = {name: data for name, data in content(folder).items() if name in FILES} if folder.exists() else {}
        assert all(data == FILES[name] for name, data in there.items()), where
        if len(there) < len(FILES):
            with pytest.raises(DatasetError, match="was not found"):
                datasets.find("set5", folder if folder.exists() else tmp_path)
        download_here(folder)
        assert all((folder / name).read_bytes() == data for name, data in FILES.items()), where
        assert len(datasets.find("set5", folder)) == len(FILES)


# ---------------------------------------------------------------- the book


TEXT = '# %% tags=["parameters"]\nseed = 0\n\n# %%\nprint("seed", seed)\n'


class Papermill:
    """Writes what papermill would, without a kernel."""

    @staticmethod
    def execute_notebook(input_path: str, output_path: str, parameters: dict, **_: object) -> None:
        given, partial = Path(input_path), Path(output_path)
        partial.write_text(json.dumps({"was": "half"}))
        partial.write_text(given.read_text().replace('"seed = 0"', f'"seed = {parameters["seed"]}"'))


def make_pages(build: Path) -> None:
    """Executes a notebook, remembers it, and puts a book in the place of an earlier one."""
    execute_notebook(build.parent)
    html.subprocess.run = built
    html.build(Layout(build.parent), strict=True)


def execute_notebook(root: Path) -> None:
    import papermill

    papermill.execute_notebook = Papermill.execute_notebook
    layout = Layout(root)
    made_of = driver.staleness.with_notebook({}, layout.notebook("01_one"))
    if driver.staleness.reason_to_execute(layout, "01_one", made_of):
        execute.execute(layout, "01_one", {"seed": 7})
        driver.staleness.remember(
            layout, "01_one", made_of, driver.staleness.Cost(1.0, None, 0, 0, "now"), {}, "quick", {}
        )


def built(command: list[str], **_: object) -> subprocess.CompletedProcess:
    pages = Path(command[command.index("--path-output") + 1]) / "_build" / "html"
    pages.mkdir(parents=True)
    (pages / "index.html").write_text("the new book")
    return subprocess.CompletedProcess(command, 0)


def failing(command: list[str], **_: object) -> subprocess.CompletedProcess:
    return subprocess.CompletedProcess(command, 1)


def test_a_book_killed_anywhere_keeps_a_whole_one_and_is_made_again(tmp_path, monkeypatch):
    import papermill

    for module, name in ((papermill, "execute_notebook"), (html.subprocess, "run")):
        monkeypatch.setattr(module, name, getattr(module, name))  # put back at the end
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "_toc.yml").write_text("root: index\n")
    (tmp_path / "book" / "index.md").write_text("# Tiny\n")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_one.py").write_text(TEXT)
    layout = Layout(tmp_path)
    before = tmp_path / "before"
    (before / "html").mkdir(parents=True)
    (before / "html" / "index.html").write_text("the old book")
    for where in kills(make_pages, layout.build, before):
        record = driver.staleness.read_execution(layout, "01_one")
        if record is not None:
            assert "seed = 7" in (layout.executed / "01_one.ipynb").read_text(), where
        monkeypatch.setattr(html.subprocess, "run", failing)
        with pytest.raises(driver.BookError, match="could not be built"):
            html.build(layout, strict=True)
        assert (layout.html / "index.html").read_text() in ("the old book", "the new book"), where
        make_pages(layout.build)
        assert "seed = 7" in (layout.executed / "01_one.ipynb").read_text(), where
        assert driver.staleness.read_execution(layout, "01_one") is not None
        assert (layout.html / "index.html").read_text() == "the new book"


# ---------------------------------------------------------------- full disks


def test_a_download_on_a_full_disk(tmp_path, server, largest_file):
    """One sentence; what was there stays, and the next run fetches the rest."""
    with largest_file(100_000), pytest.raises(DatasetError, match=r"could not be fetched: .+ \(File too large\)$"):
        datasets.fetch("set5", tmp_path, server, progress=False)
    assert content(tmp_path) == {}
    assert len(datasets.fetch("set5", tmp_path, server, progress=False)) == 2


def test_publishing_on_a_full_disk(tmp_path, largest_file):
    publish(tmp_path, "baseline")
    before = content(tmp_path)
    with largest_file(500), pytest.raises(StoreError, match="cannot be written: File too large"):
        publish(tmp_path, "target")
    assert content(tmp_path) == before
    publish(tmp_path, "target")
    assert len(zoo.entries(tmp_path)) == 2


def test_a_store_on_a_full_disk(tmp_path, largest_file):
    with (
        largest_file(500),
        pytest.raises(StoreError, match=r"scores/\w+\.safetensors cannot be written: File too large"),
    ):
        fill_store(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    fill_store(tmp_path)


TMPFS = """
set -e
mount -t tmpfs -o size={size} tmpfs "$1"
cd "$1"
shift
status=0
"$@" > out 2> err || status=$?
rm -f filler
cp -r "$PWD" "$KEPT"
exit $status
"""


@pytest.fixture(scope="session")
def own_mounts() -> list[str]:
    """The start of a command that runs a shell script with mounts of its own."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*command, "mount -t tmpfs tmpfs /tmp"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no user namespaces with mounts: {error}")
    return command


def faiglib(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "faiglib", *arguments]


ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("FAIGLIB_")},
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
}


def test_a_disk_without_a_free_byte(tmp_path, own_mounts, material):
    """A file system of its own, as ``df`` would call full: the last sums on it stay, and the run goes on from them."""
    (tmp_path / "disk").mkdir()
    line = faiglib(["degrade", "--input", str(material / "gt"), "--output", "results"])
    script = TMPFS.format(size="64k").replace(
        "status=0", "dd if=/dev/zero of=filler bs=4k count=13 2> dd || true\nstatus=0"
    )
    environment = ENVIRONMENT | {"KEPT": str(tmp_path / "kept")}
    for number in range(40):  # more than the rest of the disk holds
        shutil.copy(material / "gt" / "0.png", material / "gt" / f"x{number}.png")
    done = subprocess.run([*own_mounts, script, "sh", str(tmp_path / "disk"), *line], env=environment, check=False)
    kept = tmp_path / "kept"
    assert done.returncode == 1
    assert (kept / "err").read_text().endswith("cannot be written: No space left on device\n")
    results = sorted((kept / "results").iterdir())
    assert 0 < len(results) < 42
    for path in results:
        assert path.suffix == ".png"
        Image.open(path).load()


# ---------------------------------------------------------------- read-only trees, unusual homes


READ_ONLY = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
cd "$1"
shift
exec "$@"
"""


@pytest.fixture
def tree(tmp_path) -> Path:
    """A copy of what a checkout needs to compute, without what was generated."""
    tree = tmp_path / "tree"
    for name in ("faiglib", "models", "book", "notebooks"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "mathjax", "_models"))
    shutil.copy(ROOT / "_config.yml", tree)
    return tree


@pytest.mark.slow
def test_a_read_only_source_tree(tmp_path, own_mounts, material, tree):
    """The commands write where they are told to only, and the book, whose place is in the tree, says so."""
    environment = ENVIRONMENT | {"PYTHONPATH": str(tree), "FAIGLIB_CACHE": str(tmp_path / "cache")}
    before = content(tree)
    pair = [f"--{role}={tree}/models/srresnet-{role}-seed0.safetensors" for role in ("baseline", "target")]
    images = [f"--{kind}={material}/{kind}" for kind in ("gt", "blur", "noise")]
    out = tmp_path / "out"
    line = faiglib(["attribute", "--network=srresnet", *pair, *images, f"--out={out}", "--nodes=1", "--device=cpu"])
    start = [*own_mounts, READ_ONLY, "sh", str(tree)]
    subprocess.run([*start, *line], env=environment, check=True, capture_output=True)
    assert sorted(path.name for path in out.iterdir()) == [
        f"{kind}_{what}" for kind in ("blur", "noise") for what in ("index.txt", "scores.safetensors", "totals.csv")
    ]
    line = [sys.executable, "book/tools/reproduce.py", "--profile", "quick", "--offline"]
    failed = subprocess.run([*start, *line], env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.strip() == f"reproduce: {tree / 'build'} could not be read or written: Read-only file system"
    assert content(tree) == before


@pytest.mark.slow
def test_a_home_with_a_space_and_other_letters(tmp_path, material, server):
    home = tmp_path / "Zoë Ångström 数"
    shutil.copytree(material, home / "my images")
    code = "import sys; from tests.project.test_faults import main, download\n"
    code += "download(None, sys.argv[1]); main.main(sys.argv[2:])"
    places = [f"--{kind}={home}/my images/{kind}" for kind in ("gt", "blur", "noise")]
    pair = [f"--{role}={ROOT}/models/srresnet-{role}-seed0.safetensors" for role in ("baseline", "target")]
    line = ["attribute", "--network=srresnet", *pair, *places, "--out=results é", "--nodes=1", "--device=cpu"]
    environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith(("XDG_", "LC_"))}
    environment |= {"HOME": str(home), "LC_ALL": "C", "no_proxy": "*"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(ROOT / "book" / "tools")])
    done = subprocess.run(
        [sys.executable, "-c", code, server, *line], env=environment, cwd=home, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(list((home / "results é").iterdir())) == 6
    found = [path.relative_to(home).as_posix() for path in home.rglob("*.bmp")]
    assert sorted(found) == [f".cache/faiglib/{name}" for name in sorted(FILES)]


# ---------------------------------------------------------------- files that mean harm


def test_a_weight_file_that_names_files_elsewhere_writes_none(tmp_path):
    """A .pth is a zip; entries with ../ in their names stay inside it."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = folder / "weights.pth"
    torch.save({"params_ema": tiny_state(0)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("../../escaped", "weights/../../../escaped", "/escaped"):
            archive.writestr(name, b"harm")
    with contextlib.suppress(WeightsError):
        load_weights(path)
    with zipfile.ZipFile(folder / "other.pth", "w") as archive:
        archive.writestr("../escaped/data.pkl", b"harm")
    with pytest.raises(WeightsError, match=r"other\.pth cannot be read as weights only: "):
        load_weights(folder / "other.pth")
    assert sorted(content(tmp_path)) == ["a/b/other.pth", "a/b/weights.pth"]
    assert not Path("/escaped").exists()


@pytest.mark.parametrize("file", ["../target.safetensors", "/target.safetensors", "a/b.safetensors", ""])
def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path, file):
    publish(tmp_path)
    path = tmp_path / zoo.MANIFEST
    listed = json.loads(path.read_text())
    listed["models"][0]["file"] = file
    path.write_text(json.dumps(listed))
    with pytest.raises(WeightsError, match=r"manifest\.json cannot be read: .*names no file of this folder"):
        zoo.entries(tmp_path)


def test_a_pickle_with_code_among_the_models_is_not_run(tmp_path):
    class Attack:
        def __reduce__(self):
            return Path.touch, (tmp_path / "mark",)

    publish(tmp_path)
    path = tmp_path / "srresnet-target-seed0.safetensors"
    listed = json.loads((tmp_path / zoo.MANIFEST).read_text())
    torch.save({"params_ema": Attack()}, path)
    listed["models"][0]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_text_atomic(tmp_path / zoo.MANIFEST, json.dumps(listed))
    with pytest.raises(WeightsError, match="no code of a file is run"):
        zoo.load_entry(tmp_path, zoo.entries(tmp_path)[0])
    assert not (tmp_path / "mark").exists()
