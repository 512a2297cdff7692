"""Other kernels for the same numbers: what makes the libraries choose them, and which this processor has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

#: The folder of the record below ``results``, and its files; see :mod:`bookmaker.records.rounding`.
FOLDER, RUN, NUMBERS, RANKINGS = "rounding", "run.json", "numbers.csv", "rankings.csv"
#: Proportions of the best filters that are compared, in percent.
PERCENTS = (1, 5)

Arithmetic = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Setting:
    """A way to compute the same.

    Attributes:
        name: In words.
        variables: Of the environment, which make a library choose kernels.
        threads: That one operation is shared out to.
        arithmetic: Of the convolutions and their gradients.
        slow: Whether it takes so many times as long that the smallest network alone is measured.
        needs: Names of abilities of the processor, as Linux has them, without which this would be another setting.
    """

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    arithmetic: Arithmetic = "float32"
    slow: bool = False
    needs: tuple[str, ...] = ()


#: With which of them a processor computes in bfloat16; others imitate it, which takes many times as long.
KNOWS_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})

#: The first is what all others are held against; the second is the first again.
SETTINGS = (
    Setting("usual kernels"),
    Setting("usual kernels, again"),
    Setting("two threads", threads=2),
    Setting("oneDNN as with AVX2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}, needs=("avx2",)),
    Setting("PyTorch’s own without vectors", {"ATEN_CPU_CAPABILITY": "default"}),
    Setting("MKL for any processor", {"MKL_CBWR": "COMPATIBLE"}),
    Setting("bfloat16", arithmetic="bfloat16"),
    Setting("PyTorch’s own with AVX2", {"ATEN_CPU_CAPABILITY": "avx2"}, needs=("avx2",)),
    Setting("MKL as with AVX2", {"MKL_CBWR": "AVX2"}, needs=("avx2",)),
    Setting("oneDNN as with SSE4.1", {"ONEDNN_MAX_CPU_ISA": "SSE41"}, slow=True, needs=("sse4_1",)),
    Setting(
        "bfloat16 by AVX-512", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, arithmetic="bfloat16", needs=("avx512_bf16",)
    ),
    Setting("bfloat16 by AMX", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, arithmetic="bfloat16", needs=("amx_bf16",)),
)


def abilities(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the processor can do, by Linux's names; nothing where the system does not tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def on_smallest(setting: Setting, able: frozenset[str]) -> bool:
    """Whether a setting is so slow on a processor that the smallest network alone is measured."""
    return setting.slow or (setting.arithmetic == "bfloat16" and not KNOWS_BFLOAT16 & able)


def lacking(setting: Setting, able: frozenset[str]) -> tuple[str, ...]:
    """Which of the abilities that a setting needs a processor does not have."""
    return tuple(name for name in setting.needs if name not in able)
