from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import yaml

from bookmaker import crew, data, driver, execute, html, stage, staleness
from bookmaker.checks import check
from bookmaker.errors import BookError
from bookmaker.layout import Layout
from bookmaker.pages import api, drift
from bookmaker.sphinx import docstrings
from faiglib.companion import kernel
from faiglib.system import provenance

PROJECT = Path(__file__).resolve().parents[2]

NOTEBOOK = """# %% [markdown]
# # Chapter {number}

# %% tags=["parameters"]
profile = "none"
device = "none"
seed = -1
data_dir = "none"
models_dir = "none"

# %%
from pathlib import Path

with Path("../runs.txt").open("a") as file:
    file.write("{number} {{}} {{}} {{}} {{}}\\n".format(profile, device, seed, data_dir))

# %%
import sys

print("to stderr: " + "se" + "cret", file=sys.stderr)
print("seed is " + str(seed))
{code}
"""

CONFIG = """title: Tiny
author: nobody
only_build_toc_files: true
execute:
  execute_notebooks: "off"
sphinx:
  recursive_update: true
  config:
    nb_output_stderr: remove
    html_theme_options:
      navbar_persistent: []
"""

ROOT = Path(__file__).resolve().parents[2]


class Sets:
    """Image sets as a test wants them."""

    def __init__(self, here: dict[str, str] | None = None, remote: dict[str, str] | None = None) -> None:
        self.here = {"skimage": "s", "set14": "a"} if here is None else here
        self.remote = remote or {}
        self.fetched: list[str] = []

    def find(self, name: str, /) -> tuple[str, str]:
        if name not in self.here:
            raise data.SetMissing(f"{name} is nowhere.")
        return name.title(), self.here[name]

    def fetch(self, name: str, /) -> tuple[str, str]:
        self.fetched.append(name)
        if name not in self.remote:
            raise data.SetMissing(f"{name} cannot be fetched.")
        return name.title(), self.remote[name]


def write_notebook(root: Path, name: str, code: str = "") -> None:
    (root / "notebooks" / f"{name}.py").write_text(NOTEBOOK.format(number=name[:2], code=code), encoding="utf-8")


#: Not a plain name of a folder.
FOLDER = "Zoë's books 数"


def project(folder: Path) -> Path:
    """A small project."""
    for name in ("book", "notebooks", "faiglib", "models"):
        (folder / name).mkdir(parents=True)
    (folder / "_config.yml").write_text(CONFIG)
    (folder / "book" / "index.md").write_text("# Tiny\n\nHello.\n")
    (folder / "book" / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n  - file: notebooks/01_one\n  - file: notebooks/02_two\n"
    )
    (folder / "faiglib" / "module.py").write_text("")
    write_notebook(folder, "01_one")
    write_notebook(folder, "02_two")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small project in which nothing was executed yet."""
    return project(tmp_path / FOLDER)


@pytest.fixture(scope="module")
def _executed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project(tmp_path_factory.mktemp("executed") / FOLDER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "build", lambda layout, *, strict: None)
        assert reproduce(folder) == 0
    return folder


@pytest.fixture
def executed(_executed_once: Path, tmp_path: Path) -> Path:
    """A small project whose notebooks have been executed, to be changed at will."""
    folder = shutil.copytree(_executed_once, tmp_path / FOLDER)
    assert runs(folder) == ["01", "02"]
    return folder


@pytest.fixture
def _no_html(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "build", lambda layout, *, strict: None)


def reproduce(root: Path, *arguments: str, sets: Sets | None = None) -> int:
    return driver.main(["--root", str(root), "--profile", "quick", *arguments], sets=sets or Sets())


def runs(root: Path) -> list[str]:
    path = root / "runs.txt"
    found = sorted(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else []
    path.unlink(missing_ok=True)
    return found


@pytest.mark.usefixtures("_no_html")
def test_executes_once_and_again_only_what_has_changed(root, capsys):
    assert reproduce(root, "--device", "cpu", "--data-dir", str(root / "models")) == 0
    assert f"01 quick cpu 0 {root / 'models'}" in (root / "runs.txt").read_text().splitlines()
    assert runs(root) == ["01", "02"]
    executed = nbformat.read(root / "build/notebooks/01_one.ipynb", as_version=4)
    assert "seed is 0" in json.dumps(executed)
    assert "executing (not executed yet)" in capsys.readouterr().out

    first = ["--device", "cpu", "--data-dir", str(root / "models")]
    assert reproduce(root, *first) == 0
    assert runs(root) == []
    assert capsys.readouterr().out.count("up to date") == 2

    write_notebook(root, "02_two", code="print('more')")
    assert reproduce(root, *first) == 0
    assert runs(root) == ["02"]
    assert "[2/2] 02_two: executing (changed: notebook)" in capsys.readouterr().out


@pytest.mark.usefixtures("_no_html")
@pytest.mark.parametrize("part", ["parameters", "faiglib", "models", "images", "recorded results"])
def test_every_ingredient_counts(executed, monkeypatch, part):
    asked: list[crew.Job] = []
    monkeypatch.setattr(crew.Crew, "execute", lambda self, jobs, remember: asked.extend(jobs))
    assert reproduce(executed) == 0
    assert asked == []
    arguments, sets = [], Sets()
    if part == "parameters":
        arguments = ["--seed", "7"]
    elif part == "faiglib":
        (executed / "faiglib" / "module.py").write_text("x = 1\n")
    elif part == "models":
        (executed / "models" / "net.safetensors").write_bytes(b"weights")
    elif part == "images":
        sets = Sets({"skimage": "s", "set14": "other bytes"})
    else:
        (executed / "results" / "race").mkdir(parents=True)
        (executed / "results" / "race" / "run.csv").write_text("a,b\n")
    assert reproduce(executed, *arguments, sets=sets) == 0
    assert {(job.name, job.reason) for job in asked} == {(name, f"changed: {part}") for name in ("01_one", "02_two")}


MEASURING = """
import json, os
from pathlib import Path
folder = Path(os.environ["FAIGLIB_BUILD"]) / "results" / "quick"
folder.mkdir(parents=True, exist_ok=True)
header, values = {table!r}
(folder / "{name}.csv").write_text(header + "\\n" + values.format({drop}) + "\\n")
made_by = dict(seed=0, weights=dict(srresnet={{"0": "a"}}), image_sets=dict(set14="b"))
(folder / "{name}.json").write_text(json.dumps(made_by))
"""
CELLS = {
    "masking": ("network,image_set,input,percent,method,measured", "srresnet,set14,blurry,1,faig,{}"),
    "centroids": ("network,method,filters,centroid", "srresnet,faig,deblurring,{}"),
}


def keep_table(root: Path, drop: float, notebook: str = "01_one", name: str = "masking") -> None:
    """Let a chapter measure something."""
    write_notebook(root, notebook, code=MEASURING.format(table=CELLS[name], drop=drop, name=name))


@pytest.mark.usefixtures("_no_html")
def test_a_run_is_recorded_and_the_next_one_compared(root, capsys):
    (root / "book" / "record.md").write_text(f"# Record\n\n{drift.PLACE}\n")
    page = root / "build" / "source" / "record.md"
    assert reproduce(root, "--record") == 1
    assert "there is nothing to record" in capsys.readouterr().err
    assert reproduce(root) == 0
    assert "nothing to compare" in page.read_text()
    keep_table(root, 2.0)
    assert reproduce(root) == 0
    assert "There is no record of the profile `quick`" in page.read_text()
    assert reproduce(root, "--record") == 0
    assert (root / "results" / "quick" / "masking.csv").is_file()
    costs = json.loads((root / "results" / "quick" / drift.COSTS).read_text())
    assert all(costs[name]["seconds"] > 0 for name in ("01_one", "02_two"))
    assert "all 1 numbers are within their tolerance" in page.read_text()
    keep_table(root, 3.0)
    capsys.readouterr()
    assert reproduce(root) == 0
    out = capsys.readouterr().out
    assert "0 of 1 numbers are within" in out
    assert "up to date" in out, "a record of a run makes no notebook stale"
    assert "srresnet, set14, blurry, 1, faig, measured" in page.read_text()


@pytest.mark.usefixtures("_no_html")
def test_failing_cell_is_named_and_the_earlier_result_stays(root, capsys):
    assert reproduce(root) == 0
    before = (root / "build/notebooks/02_two.ipynb").read_bytes()
    write_notebook(root, "02_two", code="\n# %%\n# a comment\nweights = {}\nweights['theta']\n")
    capsys.readouterr()
    assert reproduce(root) == 1
    out, err = capsys.readouterr()
    line = (root / "notebooks/02_two.py").read_text().splitlines().index("# a comment") + 1
    assert "02_two: executing (changed: notebook)" in out
    assert "02_two: FAILED after " in out
    assert f"notebooks/02_two.py, cell [5] at line {line} failed." in err
    assert "\n  # a comment\n  KeyError: 'theta'\n" in err
    assert len(err.splitlines()) < 40
    assert "\x1b" not in err
    assert (root / "build/notebooks/02_two.ipynb").read_bytes() == before
    failed = nbformat.read(root / "build/notebooks/02_two.failed.ipynb", as_version=4)
    assert "seed is 0" in json.dumps(failed)

    write_notebook(root, "02_two")
    runs(root)
    assert reproduce(root) == 0
    assert not (root / "build/notebooks/02_two.failed.ipynb").exists()


@pytest.mark.usefixtures("_no_html")
def test_a_dying_kernel_is_one_sentence(root, capsys):
    write_notebook(root, "01_one", code="import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert reproduce(root) == 1
    error = capsys.readouterr().err.strip()
    assert "notebooks/01_one.py: its Python process died" in error
    assert "Traceback" not in error


MEETING = """
import time
from pathlib import Path
Path("../{own}.here").touch()
end = time.monotonic() + 60
while not Path("../{other}.here").exists():
    assert time.monotonic() < end, "the other one does not run"
    time.sleep(0.02)
"""


@pytest.mark.usefixtures("_no_html")
def test_notebooks_run_side_by_side_and_each_keeps_its_own_tables(root, monkeypatch, capsys):
    monkeypatch.setattr(crew, "workers", lambda notebooks, device: notebooks)
    meeting = [MEETING.format(own=own, other=other) for own, other in (("01", "02"), ("02", "01"))]
    measuring = [MEASURING.format(table=CELLS[name], drop=1, name=name) for name in ("masking", "centroids")]
    write_notebook(root, "01_one", code=measuring[0] + meeting[0] + "print(os.environ['OMP_NUM_THREADS'])")
    write_notebook(root, "02_two", code=meeting[1] + measuring[1])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(provenance, "cores", lambda: 6)
    assert reproduce(root) == 0
    layout = Layout(root)
    tables = {name: list(staleness.read_execution(layout, name)["tables"]) for name in layout.notebooks()}
    assert tables == {"01_one": ["masking.csv", "masking.json"], "02_two": ["centroids.csv", "centroids.json"]}
    assert sorted(file.name for file in layout.measured("quick").iterdir()) == sorted(
        [*tables["01_one"], *tables["02_two"]]
    )
    assert "3\n" in json.dumps(outputs(root, "01_one")).replace("\\n", "\n"), "half of six cores"
    record = staleness.read_execution(layout, "01_one")
    assert 0.01 < record["memory_gib"] < 8
    assert record["made_with"]["torch_threads"] == 3, "the chapter's, not the driver's"
    assert not list((root / "build" / "running").iterdir())


ATTRIBUTING = """
import torch
from faiglib.attribution import faig
from faiglib.companion import spending
from faiglib.companion.places import Places
spending.note_after_cells(Places.of_environment())
target, baseline = (torch.nn.Conv2d(1, 1, 3, padding=1) for _ in range(2))
faig(target, baseline, [(torch.ones(1, 1, 40, 50), torch.zeros(1, 1, 40, 50))] * 5, nodes=6)
"""


def test_what_executes_a_notebook_does_not_wait_for_torch(root):
    """The notebook's own process imports it; the one that watches it would take as long once more."""
    code = "import sys; from bookmaker import worker; worker.main(); print('torch' in sys.modules, file=sys.stderr)"
    asked = {"root": str(root), "notebook": {"name": "01_one", "parameters": {"seed": 7}}}
    crew_of = crew.Crew(Layout(root), {}, 1)
    with kernel.of_this_python(root / "kernels"), subprocess.Popen(
        [sys.executable, "-c", code], env=crew_of._environment(root / "own"), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        said = [json.loads(line) for line in process.stdout]
        assert process.stderr.read().split() == ["False"]
    assert said[-1]["gradients"] == 0
    assert runs(root) == ["01"]


@pytest.mark.usefixtures("_no_html")
def test_gradients_are_counted_by_notebook_and_told(root, capsys):
    write_notebook(root, "01_one", code=ATTRIBUTING)
    assert reproduce(root, "--only", "01") == 0
    out = capsys.readouterr().out
    assert re.search(r"01_one: done, .*s, 30 gradients \(0\.1 megapixels\)", out)
    assert "attribution: 30 gradients (0.1 megapixels) in all" in out
    record = staleness.read_execution(Layout(root), "01_one")
    assert (record["gradients"], record["pixels"]) == (30, 30 * 40 * 50)
    cost = drift.of_executions(Layout(root), "quick", ["01_one"])["01_one"]
    assert (cost["gradients"], cost["pixels"]) == (30, 30 * 40 * 50)
    assert reproduce(root) == 0
    assert re.search(r"02_two: done, .*s, no gradients", capsys.readouterr().out)


@pytest.mark.usefixtures("_no_html")
def test_where_one_fails_the_others_end_at_once_and_run_again(root, monkeypatch, capsys):
    monkeypatch.setattr(crew, "workers", lambda notebooks, device: notebooks)
    write_notebook(root, "01_one", code="import time\nif not Path('../go').exists():\n    time.sleep(300)")
    write_notebook(root, "02_two", code="while not Path('../runs.txt').read_text().startswith('0'): pass\n1 / 0")
    start = time.monotonic()
    assert reproduce(root) == 1
    assert time.monotonic() - start < 120
    out, error = capsys.readouterr()
    assert "ZeroDivisionError" in error
    assert "01_one: FAILED" not in out
    assert not (root / "build/notebooks/01_one.ipynb").exists()
    runs(root)
    (root / "go").touch()
    write_notebook(root, "02_two")
    assert reproduce(root) == 0
    assert runs(root) == ["01", "02"]


def test_as_many_notebooks_as_cores_and_memory_allow(monkeypatch):
    monkeypatch.setattr(provenance, "cores", lambda: 8)
    monkeypatch.setattr(provenance, "ram_gib", lambda: 23.6)
    assert [crew.workers(notebooks, "cpu") for notebooks in (0, 1, 3, 13)] == [1, 1, 3, 5]
    monkeypatch.setattr(provenance, "ram_gib", lambda: 1.5)
    assert crew.workers(13, "cpu") == 1
    monkeypatch.setattr(provenance, "ram_gib", lambda: None)
    assert crew.workers(13, "cpu") == 1


@pytest.mark.usefixtures("_no_html")
def test_the_longest_of_the_recorded_run_starts_first(root, capsys, monkeypatch):
    monkeypatch.setattr(crew, "workers", lambda notebooks, device: 1)
    folder = root / "results" / "quick"
    folder.mkdir(parents=True)
    cost = {"memory_gib": 0.1, "finished": "2026-11-27T12:00:00+00:00"}
    costs = {name: cost | {"seconds": seconds} for name, seconds in (("01_one", 1.0), ("02_two", 2.0))}
    (folder / drift.COSTS).write_text(json.dumps(costs))
    assert reproduce(root) == 0
    out = capsys.readouterr().out
    assert out.index("02_two: executing") < out.index("01_one: executing")


def outputs(root: Path, name: str) -> list[list[object]]:
    notebook = nbformat.read(root / f"build/notebooks/{name}.ipynb", as_version=4)
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
def test_kill_leaves_a_state_to_go_on_from_and_the_lock_keeps_others_out(root, capsys, monkeypatch):
    """Killed in papermill: the next run ends as one that nobody disturbed, and no kernel is left behind."""
    monkeypatch.setattr(html, "build", lambda layout, *, strict: None)
    monkeypatch.setenv("FAIGLIB_DATA", "")
    monkeypatch.setenv("FAIGLIB_CACHE", str(root / "cache"))
    code = "import os, time\nfrom pathlib import Path\nif not Path('../go').exists():\n"
    code += "    while not Path('../build/notebooks/01_one.json').exists():\n        time.sleep(0.05)\n"
    code += "    Path('../in').write_text(str(os.getpid()))\n    time.sleep(60)\nprint('the end')"
    write_notebook(root, "02_two", code=code)
    command = [sys.executable, str(PROJECT / "book/tools/reproduce.py"), "--root", str(root), "--offline"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen([*command, "--profile", "quick"], stdout=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + 120
        while not (root / "in").exists() or not (root / "in").read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert reproduce(root) == 1
        assert capsys.readouterr().err.strip() == (
            "reproduce: another run is making this book at the moment; wait until it has ended"
        )
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert runs(root) == ["01", "02"]
    assert not (root / "build/notebooks/02_two.json").exists()
    assert not (root / "build/notebooks/02_two.ipynb").exists()
    kernel = Path("/proc", (root / "in").read_text())
    while kernel.exists() and "Z" not in (kernel / "stat").read_text().split(")")[1].split()[0]:
        assert time.monotonic() < deadline, "the kernel outlives the run that was killed"
        time.sleep(0.1)
    (root / "go").touch()
    again = ["--root", str(root), "--profile", "quick", "--offline"]
    assert driver.main(again) == 0
    assert runs(root) == ["02"]
    disturbed = outputs(root, "02_two")
    (root / "build/notebooks/02_two.json").unlink()
    assert driver.main(again) == 0
    assert runs(root) == ["02"]
    assert outputs(root, "02_two") == disturbed
    assert "the end" in json.dumps(disturbed)


@pytest.mark.usefixtures("_no_html")
def test_a_notebook_without_its_record_is_executed_again(root):
    assert reproduce(root) == 0
    runs(root)
    (root / "build/notebooks/01_one.json").unlink()
    (root / "build/notebooks/02_two.json").write_text('{"made_of": {"noteb')
    assert reproduce(root) == 0
    assert runs(root) == ["01", "02"]


def test_only_leaves_the_others_alone(root, capsys, monkeypatch):
    strictness = []
    monkeypatch.setattr(html, "build", lambda layout, *, strict: strictness.append(strict))
    assert reproduce(root, "--only", "2") == 0
    assert runs(root) == ["02"]
    out = capsys.readouterr().out
    assert "01_one: left as it is (not executed yet)" in out
    assert "with warnings allowed" in out
    staged = (root / "build/source/notebooks/01_one.ipynb").read_text()
    assert "Not executed" in staged
    assert "--only 01" in staged
    assert "Not executed" not in (root / "build/source/notebooks/02_two.ipynb").read_text()
    assert reproduce(root) == 0
    assert runs(root) == ["01"]
    assert reproduce(root, "--no-execute") == 0
    assert strictness == [False, True, True]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "09"], "reproduce: there is no notebook '09' in the book; it has 01_one, 02_two"),
        (["--profile", "huge"], "reproduce: there is no profile 'huge'; choose one of quick, standard, paper"),
        (["--data-dir", "/nowhere"], "reproduce: --data-dir /nowhere is not a folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(root, capsys, arguments, sentence):
    assert reproduce(root, *arguments) == 1
    assert capsys.readouterr().err.strip() == sentence


def test_a_page_that_is_not_there_is_one_sentence(root, capsys):
    (root / "notebooks/02_two.py").unlink()
    assert reproduce(root) == 1
    assert "names the page 'notebooks/02_two', which does not exist" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence(root, capsys, monkeypatch):
    def build(layout, *, strict):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file")

    monkeypatch.setattr(html, "build", build)
    assert reproduce(root, "--no-execute") == 1
    assert capsys.readouterr().err.strip() == (
        "reproduce: /some/file could not be read or written: No space left on device"
    )


@pytest.mark.usefixtures("_no_html")
def test_notebooks_on_a_full_disk_are_one_sentence_and_the_earlier_ones_stay(root, capsys, largest_file):
    assert reproduce(root) == 0
    before = (root / "build/notebooks/02_two.ipynb").read_bytes()
    write_notebook(root, "02_two", code="print('x' * 50_000)")
    for size in (20_000, 1_000):  # while papermill writes, and before it starts
        capsys.readouterr()
        with largest_file(size):
            assert reproduce(root, "--only", "02") == 1
        error = capsys.readouterr().err.strip()
        assert error.startswith("reproduce: ")
        assert "02_two" in error
        assert error.endswith("File too large")
        assert "\n" not in error
        assert (root / "build/notebooks/02_two.ipynb").read_bytes() == before
        assert not list((root / "build/notebooks").glob("*02_two*partial*"))
    assert reproduce(root, "--only", "02") == 0
    assert "x" * 50_000 in (root / "build/notebooks/02_two.ipynb").read_text()


@pytest.mark.usefixtures("_no_html")
def test_staging_on_a_full_disk_is_one_sentence(root, capsys, largest_file):
    (root / "book" / "index.md").write_text("# Tiny\n" + "x" * 9_000)
    (root / "book" / "more.md").write_text("# More\n" + "x" * 9_000)
    with largest_file(5_000):
        assert reproduce(root, "--no-execute") == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("reproduce: ")
    assert error.endswith("File too large")
    assert "\n" not in error
    assert ".md could not be read or written" in error


def test_missing_sets_are_fetched_once_or_said_loudly(capsys):
    sets = Sets({"skimage": "s"}, remote={"set14": "b"})
    assert data.prepare(["skimage", "set14", "bsd100"], sets, offline=False) == {"skimage": "s", "set14": "b"}
    assert sets.fetched == ["set14", "bsd100"]
    assert "MISSING BSD100: the pages will show the sets that were found. (bsd100 cannot" in capsys.readouterr().out
    sets = Sets({"skimage": "s"}, remote={"set14": "b"})
    assert data.prepare(["skimage", "set14"], sets, offline=True) == {"skimage": "s"}
    assert sets.fetched == []
    assert "MISSING SET14: the pages will show scikit-image's own photos only." in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_way_to_html(root, capsys):
    assert reproduce(root) == 0
    out = capsys.readouterr().out
    index = root / "build/html/index.html"
    assert out.splitlines()[-1] == f"The book is ready: {index.as_uri()}"
    assert "total: " in out
    page = (root / "build/html/notebooks/01_one.html").read_text()
    assert "seed is 0" in page
    assert "secret" not in page
    assert str(root) not in page
    assert "data_dir = " not in page

    (root / "book/index.md").write_text("# Tiny\n\nBroken: {ref}`nothing-here`.\n")
    assert reproduce(root, "--no-execute") == 1
    assert "nothing-here" in capsys.readouterr().err
    assert "Hello." in index.read_text()


def test_a_missing_page_is_noticed(tmp_path):
    (tmp_path / "index.html").write_text("x")
    (tmp_path / "other.html").touch()
    html.check_pages(tmp_path, ["index"])
    with pytest.raises(BookError, match=r"other\.html is missing or empty"):
        html.check_pages(tmp_path, ["other"])


def test_staged_pages_say_nothing_of_their_execution():
    notebook = nbformat.v4.new_notebook(metadata={"papermill": {"output_path": "/somewhere"}})
    notebook.cells = [
        nbformat.v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"], "papermill": {"duration": 1}}),
        nbformat.v4.new_code_cell("data_dir = '/somewhere'", metadata={"tags": ["injected-parameters"]}),
    ]
    warning = nbformat.v4.new_output("stream", name="stderr", text="/somewhere/faiglib.py:3: UserWarning")
    notebook.cells.append(nbformat.v4.new_code_cell("1", outputs=[warning]))
    page = stage.as_page(notebook)
    assert "/somewhere" not in json.dumps(page)
    assert page.cells[0].metadata == {"tags": ["parameters", "remove-cell"]}


def test_api_page_has_the_public_modules(tmp_path):
    package = tmp_path / "faiglib"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").write_text("def __getattr__(name): ...\n")
    (package / "command").mkdir()
    (package / "command" / "main.py").write_text("def main(): ...\n")
    (package / "errors.py").write_text("class Wrong(Exception): ...\n")
    (package / "_private.py").write_text("def f(): ...\n")
    (package / "numbers.py").write_text("TABLE = {}\n")
    (package / "sub" / "__init__.py").write_text('"""Second."""\n\nfrom faiglib.sub.one import f\n')
    (package / "sub" / "one.py").write_text("def f(): ...\n")
    (tmp_path / "build/source").mkdir(parents=True)
    (tmp_path / "build/source/api").mkdir()
    page, room = tmp_path / "build/source/api.md", tmp_path / "build/source/api/sub.md"
    place = "# API\n\n<!-- modules of {}: book/tools/bookmaker/pages/api.py -->\n"
    page.write_text(f"{place.format('faiglib')}\n{api.ROOMS}\n")
    room.write_text(place.format("faiglib.sub"))
    api.fill(Layout(tmp_path))
    assert page.read_text().count("automodule") == 1
    assert ".. automodule:: faiglib.errors\n" in page.read_text()
    assert "| [`sub`](api/sub.md) | Second. |" in page.read_text()
    assert room.read_text().count("automodule") == 1
    assert ".. automodule:: faiglib.sub.one\n" in room.read_text()


def test_every_room_has_its_page_of_the_api():
    listed = {page.removeprefix("api/") for page in Layout(ROOT).pages() if page.startswith("api/")}
    assert listed == {path.parent.name for path in (ROOT / "faiglib").glob("*/__init__.py")}
    for name in listed:
        assert f"<!-- modules of faiglib.{name}: " in (ROOT / "book" / "api" / f"{name}.md").read_text()


def test_bars_are_escaped_outside_of_literals():
    assert docstrings.escape_bars("|a| and ``b | c``") == r"\|a\| and ``b | c``"
    assert docstrings.escape_bars("    >>> 1 | 2") == "    >>> 1 | 2"


def test_signatures_have_types_without_what_typer_makes_of_them():
    option = "<typer.models.OptionInfo object at 0x7f37f651c4d0>"
    written = (
        f"(gt: ~pathlib.Annotated[~pathlib.Path, {option}], memory: ~types.Annotated[float | None, {option}] = None)"
    )
    assert docstrings.ANNOTATED.sub(r"\g<type>", written) == "(gt: ~pathlib.Path, memory: float | None = None)"


def test_check_finds_addresses_of_objects(tmp_path):
    page = tmp_path / "page.html"
    policy = '<meta http-equiv="Content-Security-Policy">'
    page.write_text(policy + "<p>at 0x10, <span>an object</span> <span>at</span> <span>0x7f37f651c4d0</span></p>")
    assert [line.split(": ", 1)[1] for line in check.page_complaints(page)] == [
        "'an object at 0x7f37f651c4d0' is an address in the memory of the machine that built the book"
    ]


def test_check_finds_network_and_undescribed_pictures(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="canonical" href="https://a.example/"><link rel="stylesheet" href="https://b.example/x.css">'
        '<script src="x.js"></script><img src="a.png" alt="A curve"><img src="b.png" alt="_images/b.png">'
        '<img src="c.png">'
        '<a href="https://d.example/">fine</a>'
    )
    found = list(check.page_complaints(page))
    assert [line.split(": ", 1)[1] for line in found] == [
        "<link> loads https://b.example/x.css from the network",
        "no Content-Security-Policy",
        "the picture b.png has no alt text",
        "the picture c.png has no alt text",
    ]


def test_an_item_of_the_paper_that_a_page_does_not_show_is_named(tmp_path):
    layout = Layout(tmp_path)
    layout.html.mkdir(parents=True)
    (layout.html / "page.html").write_text('<figure id="fig-here"></figure>')
    (tmp_path / "book").mkdir()
    entries = [("Fig. 1", "page", 'id="fig-here"'), ("Fig. 2", "page", 'id="fig-there"'), ("Fig. 3", "other", "x")]
    (tmp_path / "book" / "items.yml").write_text(
        "".join(f"- item: {item}\n  page: {page}\n  shows: {shows}\n" for item, page, shows in entries)
    )
    missing = list(check.missing_items(layout))
    assert [name in line for name, line in zip(("Fig. 2", "Fig. 3"), missing, strict=True)] == [True, True]


def test_every_item_of_the_paper_points_to_a_page_of_the_book():
    entries = yaml.safe_load((Path(__file__).parents[2] / "book" / "items.yml").read_text(encoding="utf-8"))
    pages = Layout(Path(__file__).parents[2]).pages()
    assert len(entries) >= 12
    assert [entry["page"] for entry in entries if entry["page"] not in pages] == []


@pytest.mark.parametrize("times", [1, execute.STARTS])
def test_a_process_that_finds_its_ports_taken_is_started_again(root, monkeypatch, times):
    """As jupyter_client words it, whose ports are free when looked for and may be another process's a moment later."""
    import papermill

    run, left = papermill.execute_notebook, [RuntimeError("Kernel died before replying to kernel_info")] * times

    def busy(*arguments, **options):
        if left:
            raise left.pop()
        return run(*arguments, **options)

    monkeypatch.setattr(papermill, "execute_notebook", busy)
    layout, parameters = Layout(root), {"profile": "quick"}
    if times == execute.STARTS:
        with pytest.raises(BookError, match=r"notebooks/01_one\.py: its Python process ended 4 times before it began"):
            execute.execute(layout, "01_one", parameters)
        assert not list(layout.executed.glob("*01_one*"))
    else:
        execute.execute(layout, "01_one", parameters)
        assert (layout.executed / "01_one.ipynb").is_file()


def test_a_process_that_does_not_answer_is_one_sentence(root, monkeypatch):
    monkeypatch.setattr(execute, "PATIENCE", 1)
    layout = Layout(root)
    with kernel.of_this_python(layout.build / "jupyter"):
        (spec,) = (layout.build / "jupyter").rglob("kernel.json")
        silent = [sys.executable, "-c", "import time; time.sleep(100)"]
        spec.write_text(json.dumps({"argv": silent, "display_name": "", "language": "python"}))
        with pytest.raises(
            BookError, match=r"notebooks/01_one\.py: its Python process did not answer within 1 seconds"
        ):
            execute.execute(layout, "01_one", {"profile": "quick"})
    assert not list(layout.executed.glob("*01_one*"))
