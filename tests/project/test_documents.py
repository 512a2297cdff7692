"""Documents that others wrote: each is read as what it should be, or refused in one sentence."""

import copy
import json
import math
import shutil
import zlib
from pathlib import Path

import pytest

from faiglib.companion import record
from faiglib.companion.one_versus_two import measure
from faiglib.companion.speed import report as speed_report
from faiglib.companion.weights import report as weights_report
from faiglib.errors import FaiglibError
from faiglib.filters.scores import FilterScores
from faiglib.networks import zoo
from faiglib.race import record as race_record
from faiglib.system.documents import LONGEST, DocumentError, parse_csv, parse_json, read_json, read_text
from faiglib.training.checkpoint import sessions
from faiglib.training.publishing import publish
from faiglib.training.runs import plan_of

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
RESULTS = ROOT / "results"
#: What stands in place of a value, of a list or of a mapping.
STRANGE = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "x",
    "<img src=x onerror=alert(1)>",
    "../../../outside/s",
    [],
    {},
    [[1]],
    {"a": {}},
)


def places(value: object, at: tuple = ()) -> list[tuple]:
    """Where something stands in a document, from the root down; of long lists the first item."""
    found = [at]
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, one in items:
        found += places(one, (*at, key))
    return found


def changed(document: object, at: tuple, value: object, remove: bool = False) -> object:
    """The document with something else in one place, or nothing."""
    if not at:
        return value
    document = copy.deepcopy(document)
    inner = document
    for key in at[:-1]:
        inner = inner[key]
    if remove:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return document


def mutations(document: object, most: int) -> list[str]:
    """So many texts of the document with something wrong in them, the same ones every time."""
    cases = [changed(document, at, value) for at in places(document) for value in STRANGE]
    cases += [changed(document, at, None, remove=True) for at in places(document) if at]
    texts = [json.dumps(case) for case in cases]
    whole = json.dumps(document)
    texts += [whole[: len(whole) * part // 20] for part in range(20)]
    texts += [
        whole.replace("{", '{"a": 1, "a": 2, ', 1),
        whole + "]",
        "[" * 100_000,
        "NaN",
        '{"a": Infinity}',
        "\ufeff{}",
    ]
    return sorted(texts, key=lambda text: zlib.crc32(text.encode()))[:most]


def only_sentences(action) -> bool:
    """Whether an action was refused; any other error fails."""
    with _Caught() as caught:
        action()
    return caught.refused


class _Caught:
    """Lets sentences pass, and nothing else."""

    refused = False

    def __enter__(self) -> "_Caught":
        return self

    def __exit__(self, kind: object, error: object, _traceback: object) -> bool:
        self.refused = isinstance(error, FaiglibError) and "\n" not in str(error)
        return self.refused


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The shipped manifest and logs, without weights."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(MODELS / "logs", folder / "logs")
    return folder


def test_manifests(models):
    """Whatever a manifest says, everything that reads it works or is one sentence."""
    document = json.loads((MODELS / zoo.MANIFEST).read_text())
    document["models"] = document["models"][:2]
    refused = 0
    for text in mutations(document, 250):
        (models / zoo.MANIFEST).write_text(text)
        if only_sentences(lambda: zoo.entries(models)):
            refused += 1
            continue
        for action in (
            lambda: weights_report.logs(models),
            lambda: weights_report.budgets(models),
            lambda: weights_report.quality(models),
            lambda: plan_of("standard", "srcnn_style", "target", 0, models),
            lambda: zoo.load_pair(models, "srcnn_style", 0),
        ):
            only_sentences(action)
    assert refused > 150
    (models / zoo.MANIFEST).write_text(json.dumps(document))
    assert len(weights_report.budgets(models)) > 2


@pytest.mark.parametrize("seed", ["/../../../outside/s", "0", -1, 1.0, True, None, [], 10**30])
def test_a_seed_is_a_number(models, seed):
    document = json.loads((MODELS / zoo.MANIFEST).read_text())
    document["models"][1]["recipe"]["seed"] = seed
    (models / zoo.MANIFEST).write_text(json.dumps(document))
    with pytest.raises(FaiglibError, match=r"recipe of|models\.1\.recipe"):
        plan_of("standard", "srcnn_style", "target", 0, models)


def test_descriptions_of_runs(tmp_path):
    entry = json.loads((MODELS / zoo.MANIFEST).read_text())["models"][0]
    kept = ("recipe", "data", "data_digest", "precision", "parent", "seconds", "made_on", "continued_on")
    document = {name: entry[name] for name in kept}
    shutil.copy(MODELS / "logs" / "srcnn_style-baseline-seed0.csv", tmp_path / "log.csv")
    for text in mutations(document, 300):
        (tmp_path / "run.json").write_text(text)
        assert only_sentences(lambda: publish(tmp_path, [], tmp_path / "models"))  # at the latest for want of weights


def test_sessions(tmp_path):
    document = [{"step": 3, "made_on": {"cpu": "x"}}]
    refused = 0
    for text in mutations(document, 150):
        (tmp_path / "sessions.json").write_text(text)
        refused += only_sentences(lambda: sessions(tmp_path))
    assert refused > 50


def test_races(tmp_path):
    for name in ("psnr.csv", "curves.csv"):
        lines = (RESULTS / "race" / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[:5]))
    document = json.loads((RESULTS / "race" / "race.json").read_text())
    document["seconds"] = dict(list(document["seconds"].items())[:1])
    document["preset"]["entrants"] = document["preset"]["entrants"][:1]
    refused = 0
    for text in mutations(document, 300):
        (tmp_path / "race.json").write_text(text)
        refused += only_sentences(lambda: measure.load(tmp_path))
    assert refused > 150


def test_benchmarks(tmp_path):
    document = json.loads((RESULTS / "bench" / "bench.json").read_text())
    document |= {"results": {}, "settings": {}}
    path = tmp_path / "bench.json"
    for text in mutations(document, 300):
        path.write_text(text)
        only_sentences(lambda: speed_report.machine(speed_report.load(path)))


@pytest.mark.parametrize("name", sorted(record.TABLES))
def test_recorded_tables(tmp_path, name):
    """Cells, lines and columns of a recorded table that are not what they should be."""
    lines = (RESULTS / "quick" / f"{name}.csv").read_text().splitlines()[:5]
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.csv").write_text("\n".join(lines))
        shutil.copy(RESULTS / "quick" / f"{name}.json", tmp_path / folder)
    path = tmp_path / "theirs" / f"{name}.csv"
    cells = lines[1].split(",")
    cases = ["", "\n", lines[0], "\0", "a,b\n1,2", "\n".join([lines[0].replace(",", ";"), *lines[1:]])]
    cases += ["\n".join([lines[0], lines[1] + ",1"]), "\n".join([lines[0], lines[1], lines[1]])]
    cases += [
        "\n".join([lines[0], f'"{lines[1]}']),
        "\n".join([lines[0] + "," + lines[0].split(",")[0], lines[1] + ",x"]),
    ]
    for place in range(len(cells)):
        for value in ("", "x", "<b>", "|", "1e999", "nan", "../x", "\x1b[31m"):
            cases.append("\n".join([lines[0], ",".join([*cells[:place], value, *cells[place + 1 :]]), *lines[2:]]))
        cases.append("\n".join([lines[0], ",".join(cells[:place] + cells[place + 1 :]), *lines[2:]]))
    for case in cases:
        path.write_text(case)
        only_sentences(lambda: record.drift(record.compare(tmp_path / "ours", tmp_path / "theirs")))
    path.write_text("\n".join(lines))
    assert not record.compare(tmp_path / "ours", tmp_path / "theirs").empty
    for text in mutations(json.loads((RESULTS / "quick" / f"{name}.json").read_text()), 100):
        (tmp_path / "theirs" / f"{name}.json").write_text(text)
        only_sentences(lambda: record.compare(tmp_path / "ours", tmp_path / "theirs"))


def test_rows_of_a_race(tmp_path):
    path = tmp_path / "psnr.csv"
    head = "entrant,seed,image,rgb\n"
    for rows in ("a,0,b,1,2\n", "a,0\n", "a,x,b,1\n", "a,0,b,x\n", "a,0.5,b,1\n", 'a,0,"b,1\n', "\0"):
        path.write_text(head + rows)
        with pytest.raises(FaiglibError, match="cannot be read"):
            race_record.read_csv(path)
    path.write_text(head + "a,0,b,\n")
    assert race_record.read_csv(path) == [{"entrant": "a", "seed": 0, "image": "b"}]


@pytest.mark.parametrize(
    "layers",
    [
        "",
        "{}",
        "[",
        "[" * 50_000,
        '[["a", 1, 1, 1]]',
        '[["a", 1, 1, 1, 0]]',
        '[["a", 1, 1, 1, 1.5]]',
        "[[1, 1, 1, 1, 1]]",
        '[["a", true, 1, 1, 1]]',
        '[["a", 1, 1, 1, 1], ["b", 1, 1, 1, 1]]',
        '{"a": 1, "a": 2}',
        '[{"a": 1}]',
        "NaN",
    ],
)
def test_layers_of_a_file_of_scores(tmp_path, layers):
    import torch

    from faiglib.system.tensors import save_weights

    path = tmp_path / "scores.safetensors"
    save_weights(path, {"scores": torch.ones(1)}, {"layers": layers})
    with pytest.raises(FaiglibError, match="is not a file of filter scores"):
        FilterScores.load(path)


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ('{"a": 1, "a": 2}', dict[str, int], "'a' is there twice"),
        ('{"a": NaN}', dict[str, float], "NaN is no number"),
        ('{"a": -Infinity}', dict[str, float], "-Infinity is no number"),
        ('{"a": true}', dict[str, int], "a: "),
        ('{"a": "1"}', dict[str, int], "a: "),
        ('{"a": 1.0}', dict[str, int], "a: "),
        ('[[1], [2], ["x"]]', list[list[int]], "2.0: "),
        ("[" * 100_000, list[int], "nested too deeply|no JSON"),
        ('"\\ud800"', str, "Invalid JSON"),
        ("", int, "no JSON"),
        ("1" * 5000, int, "no JSON"),
    ],
)
def test_what_json_leaves_open_is_closed(text, kind, told):
    with pytest.raises(DocumentError, match=told):
        parse_json(text, kind)


def test_sound_documents():
    assert parse_json('{"a": [1, 2]}', dict[str, tuple[int, int]]) == {"a": (1, 2)}
    assert parse_csv("a,b,c\nx,1,\n", {"a": str, "b": int}) == [{"a": "x", "b": 1}]
    assert parse_csv('a\n"x,\ny"\n', {"a": str}) == [{"a": "x,\ny"}]
    (row,) = parse_csv("a,b\n1,\n")
    assert row["a"] == 1
    assert math.isnan(row["b"])


def test_long_documents_and_other_bytes(tmp_path):
    path = tmp_path / "long.json"
    with path.open("wb") as file:
        file.truncate(LONGEST + 1)
    with pytest.raises(DocumentError, match="67,108,865 bytes"):
        read_json(path, int)
    path.write_bytes(b'"\xff"')
    with pytest.raises(DocumentError, match=r"no text in UTF-8 \(byte 1\)"):
        read_text(path)
    with pytest.raises(FileNotFoundError):
        read_text(Path(tmp_path / "none"))
