"""Driver and kernels see the same folders, a record vouches for what it names, and nothing optional costs the work."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import faiglib
from bookmaker import driver, execute, staleness
from bookmaker.checks import browser
from bookmaker.layout import Layout
from bookmaker.pages import colophon, drift
from bookmaker.records import crate
from faiglib.command import main
from faiglib.companion import kernel, profiles
from faiglib.companion.places import Places
from faiglib.companion.workbench import open_workbench
from faiglib.errors import DatasetError, FaiglibError, PlaceError
from faiglib.images import datasets
from faiglib.system import environment, provenance
from tests.book import test_reproduce
from tests.book.test_reproduce import keep_table, reproduce, runs, write_notebook

TOOLS = Path(driver.__file__).parents[1]
root, _no_html = test_reproduce.root, test_reproduce._no_html
executed, _executed_once = test_reproduce.executed, test_reproduce._executed_once
pytestmark = pytest.mark.usefixtures("_no_html")


def recorded(root: Path) -> dict[str, str]:
    """The recorded tables; what a run cost, and when it was, is another one each time."""
    folder = root / "results" / "quick"
    files = folder.iterdir() if folder.is_dir() else ()
    return {file.name: file.read_text() for file in files if file.name not in (drift.COSTS, crate.FILE)}


# ---------------------------------------------------------------- what is recorded


def test_a_partial_run_leaves_other_records(root, capsys):
    keep_table(root, 1.0)
    keep_table(root, 0.5, "02_two", "centroids")
    assert reproduce(root, "--record") == 0
    whole = recorded(root)
    assert set(whole) == {"masking.csv", "masking.json", "centroids.csv", "centroids.json"}
    keep_table(root, 9.0)
    keep_table(root, 0.9, "02_two", "centroids")
    assert reproduce(root, "--only", "02", "--record") == 0
    after = recorded(root)
    assert {name: text for name, text in after.items() if name.startswith("masking")} == {
        name: text for name, text in whole.items() if name.startswith("masking")
    }
    assert "0.9" in after["centroids.csv"]


def test_a_complete_run_drops_tables_that_no_chapter_measures_any_more(root):
    keep_table(root, 1.0)
    keep_table(root, 0.5, "02_two", "centroids")
    assert reproduce(root, "--record") == 0
    write_notebook(root, "02_two")
    assert reproduce(root, "--record") == 0
    assert set(recorded(root)) == {"masking.csv", "masking.json"}


def test_a_fresh_clone_does_not_record_what_it_has_not_measured(root, capsys):
    keep_table(root, 1.0)
    keep_table(root, 0.5, "02_two", "centroids")
    assert reproduce(root, "--record") == 0
    whole = recorded(root)
    shutil.rmtree(root / "build")
    assert reproduce(root, "--only", "02", "--record") == 0
    assert recorded(root) == whole
    shutil.rmtree(root / "build")
    (root / "build" / "results" / "quick").mkdir(parents=True)
    (root / "build" / "results" / "quick" / "masking.csv").write_text("left by an older run")
    assert reproduce(root, "--no-execute", "--record") == 1
    assert "there is nothing to record" in capsys.readouterr().err
    assert recorded(root) == whole


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_tables_that_were_changed_are_not_recorded(root, capsys, change):
    keep_table(root, 1.0)
    assert reproduce(root) == 0
    table = root / "build" / "results" / "quick" / "masking.csv"
    table.write_text(table.read_text().replace("1.0", "7.0")) if change == "edited" else table.unlink()
    assert reproduce(root, "--record") == 1
    assert "masking.csv is not what 01_one measured" in capsys.readouterr().err
    assert not recorded(root)


@pytest.mark.parametrize("store", [None, "elsewhere/store", "absolute"])
def test_notebooks_and_driver_agree_on_the_folder(tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    if store:
        monkeypatch.setenv("FAIGLIB_STORE", str(tmp_path / "far" / "store") if store == "absolute" else store)
    layout = Layout(Path(faiglib.__file__).resolve().parents[1])
    monkeypatch.delenv("FAIGLIB_BUILD", raising=False)
    bench = open_workbench("quick", "cpu")
    assert bench.places.measured("quick") == layout.measured("quick")
    assert bench.store.root.is_absolute()


# ---------------------------------------------------------------- folders that variables name

ASKING = """
import os
from faiglib.images import datasets
from faiglib.system import environment
seen = [str(environment.folder(name)) for name in ("FAIGLIB_DATA", "FAIGLIB_CACHE", "FAIGLIB_STORE", "FAIGLIB_BUILD")]
Path("../seen.txt").write_text("\\\\n".join([os.getcwd(), *seen]))
"""


def test_relative_folders_mean_the_same_to_the_kernels(root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("data", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("FAIGLIB_DATA", "data")
    monkeypatch.setenv("FAIGLIB_CACHE", "./cache")
    monkeypatch.setenv("FAIGLIB_STORE", "../" + tmp_path.name + "/store")
    write_notebook(root, "01_one", code=ASKING.replace("\\\\", "\\"))
    assert reproduce(root) == 0
    where, *seen = (root / "seen.txt").read_text().splitlines()
    assert where == str(root / "notebooks")
    assert seen == [
        str(tmp_path / "data"),
        str(tmp_path / "cache"),
        str(tmp_path / "store"),
        str(root / "build/running/01_one"),
    ]
    assert os.environ["FAIGLIB_DATA"] == "data", "the shell's own environment stays"


@pytest.mark.parametrize("variable", list(environment.FOLDERS))
@pytest.mark.parametrize("value", ["relative", "./a/../b", "/absolute", "~", ""])
def test_folders_are_absolute(variable, value, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    expected = {
        "relative": tmp_path / "relative",
        "./a/../b": tmp_path / "b",
        "/absolute": Path("/absolute"),
        "~": Path.home(),
    }
    assert environment.folder(variable) == expected.get(value)


def test_the_folders_that_are_made_of_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIGLIB_CACHE", "cache")
    monkeypatch.setenv("FAIGLIB_STORE", "store")
    monkeypatch.setenv("FAIGLIB_BUILD", "build")
    assert environment.cache_folder() == tmp_path / "cache"
    assert Places.of_environment() == Places(tmp_path / "build", tmp_path / "store")


@pytest.mark.parametrize("where", ["driver", "workbench", "training", "library", "info", "fetch of a list"])
@pytest.mark.parametrize("named", ["missing", "a file"])
def test_a_folder_that_was_named_and_is_missing_is_an_error_everywhere(
    root, monkeypatch, tmp_path, capsys, where, named
):
    folder = tmp_path / "nowhere"
    if named == "a file":
        folder.write_text("")
    monkeypatch.setenv("FAIGLIB_DATA", str(folder))
    if where == "driver":
        assert reproduce(root) == 1
        assert f"FAIGLIB_DATA {folder} is not a folder" in capsys.readouterr().err
    elif where == "info":
        main.main(["info"])
        assert f"the data folder {folder} does not exist" in capsys.readouterr().out
    else:
        bench = open_workbench("quick", "cpu")
        ask = {
            "workbench": lambda: bench.image_sets,
            "training": lambda: bench.training_set,
            "library": lambda: datasets.find("set14"),
            "fetch of a list": lambda: bench.missing,
        }[where]
        with pytest.raises(PlaceError, match="does not exist or is not a folder"):
            ask()


@pytest.mark.parametrize("variable", list(environment.FOLDERS))
def test_homes_that_are_not_known_are_one_sentence(root, monkeypatch, capsys, variable):
    monkeypatch.setenv(variable, "~nobody-of-that-name/images")
    with pytest.raises(FaiglibError, match="the home folder that ~nobody-of-that-name/images begins with is not known"):
        environment.folder(variable)
    assert reproduce(root) == 1
    assert "the home folder that ~nobody" in capsys.readouterr().err


def test_no_home_at_all(monkeypatch):
    monkeypatch.delenv("FAIGLIB_CACHE", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: Path("~/.cache") / name)
    with pytest.raises(DatasetError, match="there is no home folder for a cache of images; let FAIGLIB_CACHE name one"):
        environment.cache_folder()


# ---------------------------------------------------------------- keys of what is stored


DECIDING = (
    "companion/paper.py",
    "companion/claims.py",
    "companion/profiles.py",
    "companion/retraining/measure.py",
    "images/metrics.py",
    "networks/dan.py",
)
SHOWING = (
    "command/main.py",
    "companion/page/tables.py",
    "companion/page/source.py",
    "companion/masking/show.py",
    "companion/masking/report.py",
    "companion/masking/captions.py",
    "companion/speed/words.py",
)


def digests(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The digest of the sources before and after a change of one of them."""
    package = folder / "faiglib"
    shutil.copytree(provenance._PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "_PACKAGE", package)
    before = provenance.source_digest.__wrapped__()
    (package / name).write_text((package / name).read_text() + "\n# changed\n")
    return before, provenance.source_digest.__wrapped__()


@pytest.mark.parametrize("name", DECIDING)
def test_sources_that_decide_results_are_in_every_key(tmp_path, monkeypatch, name):
    before, after = digests(name, tmp_path, monkeypatch)
    assert after != before


@pytest.mark.parametrize("name", SHOWING)
def test_sources_that_only_show_are_in_none(tmp_path, monkeypatch, name):
    before, after = digests(name, tmp_path, monkeypatch)
    assert after == before
    assert set(profiles.PROFILES) >= {"quick", "standard", "paper"}


# ---------------------------------------------------------------- records of executions

DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "empty": lambda path: path.write_bytes(b""),
    "edited": lambda path: path.write_bytes(path.read_bytes().replace(b"seed is 0", b"seed is 1")),
    "gone": lambda path: path.unlink(),
}


def believed(root: Path) -> bool:
    """Whether the first notebook of a project counts as executed, which the driver and the comparison ask alike."""
    layout = Layout(root)
    record = staleness.read_execution(layout, "01_one")
    assert drift.measured(layout) is None, "it measured no tables, or none that are believed"
    again = staleness.reason_to_execute(layout, "01_one", record["made_of"] if record else {})
    assert again == (None if record else "not executed yet")
    return record is not None


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_notebook_that_is_not_what_its_record_says_is_not_believed(executed, damage):
    assert believed(executed)
    damage(executed / "build" / "notebooks" / "01_one.ipynb")
    assert not believed(executed)


def test_what_is_not_believed_is_executed_again(executed):
    DAMAGES["edited"](executed / "build" / "notebooks" / "01_one.ipynb")
    assert reproduce(executed) == 0
    assert runs(executed) == ["01"]
    assert believed(executed)


RECORDS = {
    "of an older version": lambda record: {key: record[key] for key in ("made_of", "seconds", "finished", "made_with")},
    "without tables": lambda record: {key: value for key, value in record.items() if key != "tables"},
    "without its sha256": lambda record: {key: value for key, value in record.items() if key != "sha256"},
    "another sha256": lambda record: record | {"sha256": "0" * 64},
    "a list": lambda record: [record],
    "a number": lambda record: 3,
    "nothing": lambda record: None,
    "made of a list": lambda record: record | {"made_of": []},
    "tables of numbers": lambda record: record | {"tables": {"masking.csv": 3}},
    "time in words": lambda record: record | {"seconds": "long"},
    "profile of null": lambda record: record | {"profile": None},
}


@pytest.mark.parametrize("change", RECORDS.values(), ids=RECORDS)
def test_records_of_another_kind_are_not_believed(executed, change):
    path = executed / "build" / "notebooks" / "01_one.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    assert not believed(executed)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\udcff"])
def test_records_that_are_no_json(executed, text):
    (executed / "build" / "notebooks" / "01_one.json").write_text(text, errors="surrogateescape")
    assert not believed(executed)


# ---------------------------------------------------------------- what is optional


@pytest.mark.parametrize("name", ["{braces}", "{0}", "a{b}c{}", "100%", "#hash", "it's", 'say "so"', "{{", "}"])
def test_folders_of_any_name(tmp_path, name):
    layout = Layout(tmp_path / name)
    (layout.root / "notebooks").mkdir(parents=True)
    write_notebook(layout.root, "01_one")
    with kernel.of_this_python(layout.build / "jupyter"):
        execute.execute(
            layout, "01_one", {"profile": "quick", "device": "cpu", "seed": 0, "data_dir": None, "models_dir": None}
        )
    assert (layout.executed / "01_one.ipynb").is_file()


@pytest.mark.parametrize("why", ["no git", "git fails", "git hangs", "no repository"])
def test_git_is_optional(root, monkeypatch, tmp_path, why):
    tools = tmp_path / "bin"
    tools.mkdir()
    if why == "git fails":
        (tools / "git").write_text("#!/bin/sh\necho fatal: detected dubious ownership >&2\nexit 128\n")
    elif why == "git hangs":
        (tools / "git").write_text("#!/bin/sh\nexec sleep 60\n")
        monkeypatch.setattr(subprocess, "run", timing_out(subprocess.run))
    for program in tools.iterdir():
        program.chmod(0o755)
    if why != "no repository":
        monkeypatch.setenv("PATH", str(tools) if why == "no git" else f"{tools}:/usr/bin:/bin")
    monkeypatch.setattr(provenance, "_git_state", provenance._git_state.__wrapped__)
    made = provenance.collect()
    if why != "no repository":
        assert made["commit"] is None
    assert provenance.git("status", folder=tmp_path) is None
    assert "Provenance of this page" in colophon.of_page(Layout(root), "index")
    assert "mybinder" not in colophon.of_chapter(Layout(root), "01_one", {}, {"made_with": made | {"commit": "a" * 40}})


def timing_out(genuine):
    def run(command, **options):
        return genuine(command, **(options | {"timeout": 0.2} if command[0] == "git" else options))

    return run


# ---------------------------------------------------------------- signals


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_with_its_own_status(root, number, status):
    write_notebook(root, "01_one", code="import time\nPath('../started').touch()\ntime.sleep(60)")
    command = [sys.executable, str(TOOLS / "reproduce.py"), "--root", str(root), "--profile", "quick", "--offline"]
    child = subprocess.Popen(
        command, preexec_fn=signals_as_usual, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: (root / "started").exists() or child.poll() is not None, 60)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == status, err
    assert "Interrupted" in err


def signals_as_usual() -> None:
    """What a program that a script starts in the background has ignored is as usual again."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)


def wait_for(reached, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_removing_the_build_folder_does_not_let_a_second_run_in(root, capsys):
    code = "import shutil, time\nshutil.rmtree('../build/results', ignore_errors=True)\n"
    write_notebook(root, "01_one", code=code)
    layout = Layout(root)
    import filelock

    with filelock.FileLock(layout.lock, timeout=0):
        shutil.rmtree(root / "build", ignore_errors=True)
        assert reproduce(root) == 1
    assert "another run is making this book" in capsys.readouterr().err
    assert layout.build not in layout.lock.parents
    assert Layout(root.parent).lock != layout.lock


BROWSING = """
import sys, time
from bookmaker.checks import browser
from faiglib.system import interruption

def main():
    with browser.Browser(browser.find()) as opened:
        print(opened._process.pid, flush=True)
        time.sleep(60)
    return 0

sys.exit(interruption.ended_by_signals(main))
"""


@pytest.mark.skipif(browser.find() is None, reason="no browser here")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_no_browser_stays_behind(number):
    environment_ = os.environ | {"PYTHONPATH": os.pathsep.join([str(TOOLS), str(TOOLS.parents[1])])}
    child = subprocess.Popen(
        [sys.executable, "-c", BROWSING],
        preexec_fn=signals_as_usual,
        stdout=subprocess.PIPE,
        text=True,
        env=environment_,
    )
    pid = int(re.match(r"\d+", child.stdout.readline())[0])
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_both_programs_of_the_book_end_by_signals():
    for name in ("check_book.py", "print_book.py"):
        assert "interruption.ended_by_signals(main)" in (TOOLS / name).read_text()
