"""The page about any pair: its numbers done again, its sentences, and the whole of it once."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from faiglib.attribution import faig
from faiglib.command import main
from faiglib.command import report as command
from faiglib.companion.cache import Cache
from faiglib.companion.pair import __main__ as maker
from faiglib.companion.pair import measure, show, study
from faiglib.errors import DatasetError, ImageError
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterSet, read_ranking
from faiglib.filters.substitution import substitute
from faiglib.images.files import save_image
from faiglib.images.metrics import gradient_error, psnr
from faiglib.images.restoration import restore
from faiglib.networks import zoo

pytestmark = pytest.mark.filterwarnings("ignore:the filters of the convolutions")


@pytest.fixture
def asked(small, make_pair, random_image, tmp_path):
    """A study of a small pair on three images of two inputs."""
    target, baseline = make_pair(lambda: small(width=8), dtype=torch.float32)
    scenes = []
    for number in range(3):
        low = {
            kind: random_image(12, 10, seed=10 * number + n).float() for n, kind in enumerate(("clean", "rain", "haze"))
        }
        with torch.no_grad():
            truth = target(low["rain"]).clamp(0, 1)
        scenes.append(study.Scene(f"image{number}", truth, low))
    return study.Study(target, baseline, 2, "filters", scenes, Cache(tmp_path / "store"))


def test_scores_are_faigs_image_by_image(asked):
    for kind in ("rain", "haze"):
        for number, pair in enumerate(asked.pairs(kind)):
            expected = faig(asked.target, asked.baseline, [pair], nodes=study.NODES).values
            assert torch.equal(asked.by_image[kind][number], expected)
    difference = (asked.by_image["rain"] - asked.by_image["haze"]).mean(0)
    assert torch.allclose(asked.scores()["rain"].values, difference)


def test_layers_hold_all_of_the_integral(asked):
    table = measure.layers(asked)
    assert table["units"].sum() == asked.index.total
    for kind in asked.kinds:
        assert table[kind].sum() == pytest.approx(1)
        assert (table[f"{kind}, signed"].abs() <= table[kind] + 1e-12).all()
    first = [dict(network.named_parameters())["layers.0.weight"].detach() for network in (asked.target, asked.baseline)]
    assert table["changed"][0] == pytest.approx(float((first[0] - first[1]).norm() / first[1].norm()))


def test_masking_is_measured_as_it_says(asked):
    table = measure.masking(asked)
    chosen = asked.scores()["haze"].top(10)
    every = FilterSet(asked.index, torch.arange(asked.index.total))
    for kind in asked.kinds:
        lows = [low for low, _ in asked.pairs(kind)]
        drops = [
            np.mean([float(gradient_error(restore(one, low), restore(asked.target, low))) for low in lows])
            for one in (substitute(asked.target, asked.baseline, filters) for filters in (chosen, every))
        ]
        row = table[(table["filters"] == "haze") & (table["kind"] == "faig") & (table["input"] == kind)]
        assert float(row.loc[row["percent"] == 10, "drop"].iloc[0]) == pytest.approx(drops[0] / drops[1], rel=1e-6)
        assert float(row.loc[row["percent"] == 100, "drop"].iloc[0]) == pytest.approx(1)
    controls = table[table["kind"] != "faig"]
    assert set(controls["kind"]) == {"matched", "random"}
    assert (controls["input"] == controls["filters"]).all()
    show.masking(table)


def test_quality_and_stability(asked):
    table = measure.quality(asked).set_index("input")
    outputs = [restore(asked.baseline, low) for low, _ in asked.pairs("haze")]
    expected = np.mean([float(psnr(one, scene.truth)) for one, scene in zip(outputs, asked.scenes, strict=True)])
    assert table.loc["haze", "baseline"] == pytest.approx(expected)
    assert list(table.index) == ["clean", "rain", "haze"]
    halves = [(asked.by_image["rain"][part] - asked.by_image["haze"][part]).mean(0) for part in ([0, 2], [1])]
    count = asked.index.total // 100
    tops = [set(half.sort(descending=True, stable=True).indices[:count].tolist()) for half in halves]
    shared = measure.stability(asked).set_index("filters")["shared"]
    assert shared["rain"] == len(tops[0] & tops[1]) / count


def test_found_filters_and_rankings(asked, tmp_path):
    table = measure.found(asked)
    assert table.groupby("filters")[["share", "uniform"]].sum().to_numpy() == pytest.approx(1)
    measure.write_rankings(asked, str(tmp_path))
    ranking = read_ranking(tmp_path / "rain_index.txt", asked.index)
    assert torch.equal(ranking, asked.scores()["rain"].ranking())
    show.found(table)


@pytest.mark.parametrize(
    ("own", "spill", "words"),
    [(0.8, 0.05, "turned down alone"), (0.8, 0.4, "other work as well"), (0.2, 0.05, "spread out")],
)
def test_advice_goes_by_the_numbers(asked, own, spill, words):
    rows = [(a, "faig", 0, 1.0, b, own if a == b else spill) for a in asked.kinds for b in asked.kinds]
    table = pd.DataFrame(rows, columns=["filters", "kind", "draw", "percent", "input", "drop"])
    halves = pd.DataFrame({"filters": asked.kinds, "shared": [0.9, 0.3]})
    quality = pd.DataFrame({"input": asked.kinds, "gain": [1.0] * len(asked.kinds)})
    text = show.advice(asked, quality, table, halves)
    assert text.count(words) == 2
    first, second = asked.kinds
    nothing = show.advice(asked, quality.assign(gain=[-0.1, 1.0]), table, halves)
    assert nothing.count(words) == 1, "no advice on what was not learned"
    assert f"**{first}**: the target has not learned to remove it" in nothing
    assert f"**{second}**: masking 1 %" in nothing
    assert "30 % of the top 1 %" in text
    assert show.gains(pd.DataFrame({"input": ["rain"], "gain": [-0.5]})).count("−0.50 dB") == 1
    assert show.gains(pd.DataFrame({"input": ["clean", "rain"], "gain": [-0.5, 1.0]})) == ""


# ---------------------------------------------------------------- from files


@pytest.fixture
def folders(tmp_path, random_image):
    """Ground truth of three sizes, and one set of inputs."""
    for number, (height, width) in enumerate([(40, 44), (41, 40), (64, 40)]):
        image = random_image(height, width, seed=number).float()
        save_image(tmp_path / "gt" / f"{number}.png", image)
        save_image(tmp_path / "rain" / f"{number}.png", image[..., ::2, ::2][..., : height // 2, : width // 2])
    return tmp_path


def shipped(role: str) -> str:
    return str(zoo.models_dir() / f"srresnet_s-{role}-seed0.safetensors")


def opened(folder, inputs, **options):
    return study.open_study(shipped("target"), shipped("baseline"), str(folder / "gt"), inputs, str(folder), **options)


def test_inputs_are_made_where_none_are_given(folders):
    found = opened(folders, {}, images=2, crop=32)
    assert [scene.name for scene in found.scenes] == ["0", "1"]
    assert found.kinds == ["blurry", "noisy"]
    assert {tuple(scene.truth.shape) for scene in found.scenes} == {(1, 3, 32, 32)}
    assert {tuple(low.shape) for scene in found.scenes for low in scene.inputs.values()} == {(1, 3, 16, 16)}
    assert found.index == FilterIndex.of(found.target)


def test_given_inputs_are_cut_where_the_truth_is(folders):
    found = opened(folders, {"rain": str(folders / "rain")}, crop=24)
    assert found.kinds == ["rain"]
    for scene in found.scenes:
        assert torch.allclose(scene.inputs["rain"], scene.truth[..., ::2, ::2], atol=1e-6)


def test_what_is_refused(folders, random_image):
    with pytest.raises(DatasetError, match="an input called clean"):
        opened(folders, {"clean": str(folders / "rain")})
    save_image(folders / "rain" / "1.png", random_image(9, 9).float())
    with pytest.raises(ImageError, match=r"9x9 pixels, which is not 1/2 of the size"):
        opened(folders, {"rain": str(folders / "rain")})
    save_image(folders / "gt" / "0.png", random_image(10, 10).float())
    with pytest.raises(ImageError, match="is too small"):
        opened(folders, {})


# ---------------------------------------------------------------- the command


def command_line(folder, *more):
    return ["report", "--baseline", shipped("baseline"), "--target", shipped("target"), "--gt", str(folder / "gt"),
            "--out", str(folder / "out"), *more]  # fmt: skip


def test_without_the_extra_it_says_what_to_install(folders, monkeypatch, capsys):
    monkeypatch.setattr(command, "NEEDED", ("no_such_package",))
    with pytest.raises(SystemExit):
        main.main(command_line(folders))
    assert "pip install 'faiglib[book]'" in capsys.readouterr().err


def test_the_page_is_made_and_what_it_computed_stays(folders, capfd):
    main.main(command_line(folders, "--images", "1", "--crop", "24"))
    page = folders / "out" / "html" / "index.html"
    assert f"The page is {page}." in capfd.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "Is the straight path sound?" in text
    assert "srresnet_s-target-seed0.safetensors" in text
    assert "Traceback" not in text
    assert "Author name" not in text
    assert text.count('class="scrolls plot"') == len(list((page.parent / "_images").glob("*.png"))) > 4
    assert "With one image there are no halves" in text
    notebook = json.loads((folders / "out" / "report.ipynb").read_text())
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    stored = {path: path.stat().st_mtime_ns for path in (folders / "out" / "store").rglob("*") if path.is_file()}
    assert stored
    assert read_ranking(folders / "out" / "noisy_index.txt", FilterIndex.of(opened(folders, {}).target)).numel()
    assert {path.name for path in (folders / "out").iterdir()} >= {"html", "store", "report.ipynb"}
    assert not [path.name for path in (folders / "out").iterdir() if path.name.startswith(".")]


def test_what_is_wrong_with_the_images_is_one_sentence(folders, capfd, random_image):
    save_image(folders / "gt" / "0.png", random_image(10, 10).float())
    with pytest.raises(SystemExit) as exit_:
        main.main(command_line(folders))
    assert exit_.value.code == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("faiglib: ")]
    assert len(lines) == 1
    assert "is too small" in lines[0]


def test_the_style_is_the_books():
    assert all((maker.assets() / name).is_file() for name in maker.ASSETS)
