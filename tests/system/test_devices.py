"""Devices by name: what is here works, everything else is one sentence."""

from __future__ import annotations

import pytest
import torch

from faiglib.errors import FaiglibError
from faiglib.system.devices import choose_device


def test_auto_is_the_first_gpu_or_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


def test_the_cpu_is_always_here():
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    "name", ["graphics", "", "cuda:x", "cpu:-1", "cuda:99", "meta", "xla", "opencl", "privateuseone"]
)
def test_a_device_that_is_not_here_is_one_short_sentence(name):
    with pytest.raises(FaiglibError) as info:
        choose_device(name)
    message = str(info.value)
    assert message.startswith(f"the device {name!r} cannot be used here: ")
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.gpu
def test_a_gpu_by_number():
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:0") == torch.device("cuda:0")
