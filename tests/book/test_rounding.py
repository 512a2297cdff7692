"""Other kernels: which there are, how far numbers and rankings move, and what the comparison with the record allows."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from bookmaker.layout import Layout
from bookmaker.pages import differs
from bookmaker.records import kernels, rounding
from bookmaker.records.kernels import NUMBERS, RANKINGS, RUN, SETTINGS, Setting
from bookmaker.records.remeasure import SCORES
from faiglib.companion import record
from faiglib.companion.page.escaping import as_markdown
from faiglib.filters.index import FilterIndex
from faiglib.networks import build
from faiglib.system.tensors import save_weights

ROOT = Path(__file__).resolve().parents[2]
PSNR, SHARE = record.QUANTITIES["psnr"].title, record.QUANTITIES["share"].title


def test_what_a_processor_lacks_is_read_from_its_flags(tmp_path):
    described = tmp_path / "cpuinfo"
    described.write_text("processor\t: 0\nflags\t\t: fpu sse4_1 avx2 amx_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    able = kernels.abilities(described)
    assert able == {"fpu", "sse4_1", "avx2", "amx_bf16"}
    lacking = {one.name: kernels.lacking(one, able) for one in SETTINGS if kernels.lacking(one, able)}
    assert lacking == {"bfloat16 by AVX-512": ("avx512_bf16",)}
    assert kernels.abilities(tmp_path / "nowhere") == frozenset()


def test_settings_are_different_and_the_first_is_repeated():
    assert len({one.name for one in SETTINGS}) == len(SETTINGS)
    first, again = ({**vars(one), "name": ""} for one in SETTINGS[:2])
    assert first == again
    assert len({json.dumps({**vars(one), "name": ""}) for one in SETTINGS}) == len(SETTINGS) - 1


def test_a_setting_does_not_inherit_kernels_of_the_shell(monkeypatch, tmp_path):
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    made = rounding._environment(Setting("two", {"ONEDNN_MAX_CPU_ISA": "SSE41"}, threads=2), tmp_path)
    assert "MKL_CBWR" not in made
    assert (made["ONEDNN_MAX_CPU_ISA"], made["OMP_NUM_THREADS"]) == ("SSE41", "2")
    assert made["FAIGLIB_STORE"].startswith(str(tmp_path))


def test_rankings_are_compared_as_by_hand(tmp_path):
    total = FilterIndex.of(build("srresnet_s")).total
    generator = torch.Generator().manual_seed(0)
    usual = torch.randn(total, generator=generator, dtype=torch.float64)
    other = usual + 0.3 * torch.randn(total, generator=generator, dtype=torch.float64)
    measured = []
    for setting, values in zip(SETTINGS, (usual, other), strict=False):
        folder = tmp_path / str(len(measured))
        folder.mkdir()
        save_weights(folder / SCORES, {"srresnet_s/faig/deblurring": values})
        measured.append(rounding.Measured(setting, folder))
    (row,) = rounding.rankings(measured).to_dict("records")
    for share in (1, 5):
        count = total * share // 100
        best = [set(values.argsort(descending=True)[:count].tolist()) for values in (usual, other)]
        assert row[f"common_{share}"] == pytest.approx(len(best[0] & best[1]) / count)
    assert row["spearman"] == pytest.approx(spearmanr(usual, other).statistic)
    assert row["moved"] == pytest.approx(float((usual - other).abs().max() / usual.abs().max()))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A record of three numbers in five settings."""
    folder = tmp_path / "results" / "rounding"
    folder.mkdir(parents=True)
    settings = [
        {"name": name, "variables": variables, "threads": 1, "arithmetic": arithmetic, "needs": []}
        for name, variables, arithmetic in (
            ("usual", {}, "float32"),
            ("again", {}, "float32"),
            ("kernel A", {"A": "1"}, "float32"),
            ("kernel B", {"B": "1"}, "float32"),
            ("half", {}, "bfloat16"),
        )
    ]
    made_on = {"faiglib": "0", "commit": None, "dirty": None, "torch": "2", "gpu": None, "cpu": "CPU"}
    run = {"profile": "standard", "image_sets": {"set14": "0"}, "pairs": [["srresnet", 0]], "settings": settings}
    (folder / RUN).write_text(json.dumps({**run, "lacking": {"kernel C": ["amx"]}, "made_on": made_on}))
    numbers = pd.DataFrame(
        {"table": "selectivity", "quantity": [PSNR, PSNR, SHARE], "where": ["a", "b", "c"], "usual": [30.0, 20.0, 0.5]}
    )
    numbers["again"] = numbers["usual"]
    numbers["kernel A"] = [30.0, 20.0012, 0.5]
    numbers["kernel B"] = [30.0003, 20.0, 0.5]
    numbers["half"] = [31.0, float("nan"), 0.6]
    numbers.to_csv(folder / NUMBERS, index=False)
    row = {"network": "srresnet", "method": "faig", "filters": "deblurring", "common_5": 1.0, "moved": 0.0}
    pd.DataFrame(
        [
            {**row, "setting": name, "common_1": common, "spearman": common}
            for name, common in (("again", 1.0), ("kernel A", 0.999), ("kernel B", 0.98), ("half", 0.7))
        ]
    ).to_csv(folder / RANKINGS, index=False)
    return Layout(tmp_path)


def test_tolerances_are_twice_the_largest_change_by_kernels(layout):
    """0.0012 dB, twice, rounded up to one digit; bfloat16 does not count, nor does what was not measured.

    The share did not move; one of the 1,519 filters in 1 % of SRResNet may. PSNR of 30 dB is kept to the fourth digit.
    """
    found = differs.tolerances(layout)
    assert found["psnr"].absolute == 0.003
    assert found["share"].absolute == 0.0007
    folder = layout.root / "results" / "rounding"
    (folder / NUMBERS).write_text((folder / NUMBERS).read_text().replace("20.0012", "20.0").replace("30.0003", "30.0"))
    assert differs.tolerances(layout)["psnr"].absolute == 0.0006
    assert found["share"].relative == found["psnr"].relative == differs.KEPT
    assert found["retrained"] == record.QUANTITIES["retrained"]
    assert differs.tolerances(Layout(layout.root / "elsewhere")) == dict(record.QUANTITIES)


@pytest.mark.parametrize(("value", "expected"), [(0.012, 0.02), (0.01, 0.01), (3.0001, 4.0), (0.95, 1.0)])
def test_rounding_up(value, expected):
    assert differs._rounded_up(value) == pytest.approx(expected)


def test_the_page_says_what_the_record_holds(layout):
    found = differs.read(layout)
    text = "\n".join(differs.settings(layout, found))
    assert "| again | nothing | 0 of 3 | 0 |" in text
    assert "| kernel A | `A=1` | 1 of 3 | 0.4 |" in text
    assert "| half | bfloat16 | 2 of 2 |" in text
    assert r"lacks what they need: kernel C \(amx\). Not in this record: usual kernels" in text
    assert "| float32 | SRResNet | FAIG | 98.0 % | 100.0 % | 0.980000 |" in "\n".join(differs.order(layout, found))
    assert f"| {as_markdown(PSNR)} | 0.0012 | 1 | 0.003 or " in "\n".join(differs.allowed(layout, found))


def test_the_comparison_with_the_record_uses_them(layout, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    made_by = {"seed": 0, "weights": {"srresnet": {"0": "a"}}, "image_sets": {"set14": "b"}}
    (kept / "selectivity.json").write_text(json.dumps(made_by))
    head = "network,image_set,percent,input,filters,psnr,psnr_target,psnr_baseline,luminance_shift\n"
    (kept / "selectivity.csv").write_text(f"{head}srresnet,set14,1,blurry,deblurring,20.0,30,25,1\n")
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "selectivity.json").write_text(json.dumps(made_by))
    for value, within in (("20.0029", True), ("20.0032", False)):
        (moved / "selectivity.csv").write_text(f"{head}srresnet,set14,1,blurry,deblurring,{value},30,25,1\n")
        found = record.compare(moved, kept, ("selectivity",), differs.tolerances(layout))
        assert found["within"].all() == within


def test_the_shipped_record_is_whole():
    """Its columns are its settings, and no change by kernels is outside of what follows from it."""
    layout = Layout(ROOT)
    found = differs.read(layout)
    assert found is not None
    assert list(found.numbers.columns) == ["table", "quantity", "where", *found.names]
    assert set(found.names) | set(found.run["lacking"]) <= {one.name for one in SETTINGS}
    limits = {one.title: one for one in differs.tolerances(layout).values()}
    for name in found.others("float32"):
        allowed = found.numbers["quantity"].map(lambda title: limits[title].absolute)
        changes = found.changes(name)
        assert changes.notna().any()
        assert (changes.dropna() <= allowed[changes.notna()]).all()
    assert set(found.rankings["setting"]) == set(found.names[1:])
