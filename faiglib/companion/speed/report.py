"""What the recorded benchmark (``nox -s bench``) says: the page on speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE
from faiglib.companion.discovery import RELEASED, TOLERANCE
from faiglib.companion.page.escaping import as_markdown
from faiglib.companion.page.words import counted, typeset
from faiglib.companion.places import recorded_results
from faiglib.errors import FaiglibError
from faiglib.networks import TITLES
from faiglib.system import provenance
from faiglib.system.documents import DocumentError, MadeOn, read_json

#: Goals of the project: times faster than the published algorithm at its fidelity, share of the machine's convolution
#: peak, times faster in training.
GOAL_RATIO, GOAL_SHARE, GOAL_TRAINING = 40.0, 0.7, 1.5

#: Exponent up to which cost counts as growing no faster than the work.
LINEAR = 1.1

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Recorded:
    """A recorded run of ``nox -s bench``; what the measurements hold is described beside each of them."""

    size: str
    note: str
    settings: dict[str, Any]
    results: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    made_on: MadeOn


def load(path: Path | None = None) -> Recorded:
    """The recorded benchmark, by default the checkout's.

    Raises:
        FaiglibError: there is none, or it is no such file.
    """
    path = path or recorded_results() / "bench" / "bench.json"
    try:
        found = read_json(path, Recorded)
    except FileNotFoundError:
        raise FaiglibError(f"there is no recorded benchmark at {path}; nox -s bench -- --out {path}") from None
    except (OSError, DocumentError) as error:
        raise FaiglibError(f"{path} is not a recorded benchmark: {error}") from None
    return found


def rows(results: Results, measurement: str) -> pd.DataFrame:
    """The rows of a measurement as a table."""
    return pd.DataFrame(results[measurement]["rows"])


@typeset
def machine(recorded: Recorded) -> str:
    """On what the recorded run was made, in one sentence."""
    made = recorded.made_on
    small = "" if recorded.size == "full" else " **This is a quick run on tiny images, which says little.**"
    minutes = sum(recorded.seconds.values()) / 60
    host = f"{counted(made['cores'], 'core')}, {counted(made['torch_threads'], 'thread')}"
    sentence = (
        f"Recorded with {provenance.in_words(made)}, {host}, on "
        f"{made['time_utc'][:10]}; size {recorded.size}, {minutes:.0f} minutes."
    )
    return f"{as_markdown(sentence)}{small}{f' **{as_markdown(recorded.note)}**' if recorded.note else ''}"


@dataclass(frozen=True)
class Accounting:
    """Where the factor between the published algorithm and faiglib's default comes from; times are of one image.

    Attributes:
        ratio: time of the published algorithm over faiglib's.
        passes_published, passes: forward-backward passes.
        pass_published, pass_own: seconds of one, without rebuilding.
        rebuilt: seconds that the published algorithm spends on building networks.
        bound: ratio if every pass of faiglib's ran at the machine's convolution peak.
        passes_for_goal: passes that the goal leaves room for, at the speed of faiglib's.
        overlap_published, overlap: of the top 1 % with the reference, on the whole data set.
        images: of the data set.
        fastest: name of the fastest scheme whose overlap on the data set is at most :data:`TOLERANCE` below the
            published algorithm's; empty if there is none.
        fastest_ratio, fastest_overlap: of it.
    """

    ratio: float
    passes_published: int
    passes: int
    pass_published: float
    pass_own: float
    rebuilt: float
    bound: float
    passes_for_goal: float
    overlap_published: float
    overlap: float
    images: int
    fastest: str
    fastest_ratio: float
    fastest_overlap: float

    @property
    def fewer_passes(self) -> float:
        """Factor from the number of passes."""
        return self.passes_published / self.passes

    @property
    def faster_passes(self) -> float:
        """Factor from the time of a pass."""
        return self.pass_published / self.pass_own

    @property
    def no_rebuilding(self) -> float:
        """Factor from not building networks."""
        return 1 + self.rebuilt / (self.passes_published * self.pass_published)

    @property
    @typeset
    def sentence(self) -> str:
        """The goal, and what stands in its way."""
        start = (
            f"faiglib's default is {self.ratio:.1f} times as fast as the published algorithm: {self.fewer_passes:.1f} "
            f"from fewer passes ({self.passes} instead of {self.passes_published} for an image), "
            f"× {self.faster_passes:.2f} from faster ones, × {self.no_rebuilding:.2f} from not building networks. On "
            f"{self.images} images its top 1 % agree with the reference's to {self.overlap:.2%}, the published "
            f"algorithm's to {self.overlap_published:.2%}. "
            + (
                f"The fastest that is as faithful on them (to {TOLERANCE:.1%} of the set) is {self.fastest}: "
                f"{self.fastest_ratio:.1f} times as fast, {self.fastest_overlap:.2%} in common."
                if self.fastest
                else "Nothing measured is as faithful."
            )
        )
        if self.fastest_ratio >= GOAL_RATIO:
            return f"{start} The goal of {GOAL_RATIO:.0f} is **reached**."
        return (
            f"{start} The goal of {GOAL_RATIO:.0f} is **not reached**. At the speed measured it leaves room for "
            f"{self.passes_for_goal:.0f} passes, {self.passes_for_goal / 2:.1f} nodes for each degradation, where the "
            f"default takes {self.passes // 2}. If every pass ran at the measured peak of the convolutions, the factor "
            f"would be {self.bound:.1f}; more than that needs fewer nodes, at the price of fidelity, or arithmetic of "
            "lower precision."
        )


def accounting(results: Results) -> Accounting:
    """Take the factor of the attribution benchmark apart."""
    found, table = results["attribution"], rows(results, "attribution")
    plain, own = table.iloc[0], table.iloc[1]
    rebuilt = plain["passes"] / 2 * found["rebuild_seconds"]
    per_image, own_image = plain["seconds"], own["seconds"]
    faithful = table.iloc[1:][table["overlap"].iloc[1:] >= plain["overlap"] - TOLERANCE]
    fastest = faithful.loc[faithful["ratio"].idxmax()] if len(faithful) else None
    peak = results["throughput"]["peak"]["best"]["32-true"]
    pass_own = own_image / own["passes"]
    return Accounting(
        ratio=float(per_image / own_image),
        passes_published=int(plain["passes"]),
        passes=int(own["passes"]),
        pass_published=float((per_image - rebuilt) / plain["passes"]),
        pass_own=float(pass_own),
        rebuilt=float(rebuilt),
        bound=float(per_image / (own["passes"] * found["gflop_per_pass"] / peak)),
        passes_for_goal=float(per_image / GOAL_RATIO / pass_own),
        overlap_published=float(plain["overlap"]),
        overlap=float(own["overlap"]),
        images=int(found["images"]),
        fastest="" if fastest is None else str(fastest["name"]),
        fastest_ratio=0.0 if fastest is None else float(fastest["ratio"]),
        fastest_overlap=0.0 if fastest is None else float(fastest["overlap"]),
    )


@typeset
def averaging_in_words(averaging: pd.DataFrame) -> str:
    """How the default rule's distance to the published one changes with the number of images, by network.

    Args:
        averaging: ``network``, ``scheme``, ``images`` and ``overlap`` (0 to 1), as recorded by the benchmark.
    """
    wide = averaging.pivot_table(index=["network", "images"], columns="scheme", values="overlap", sort=False)
    ahead = 100 * (wide[" ".join(map(str, RELEASED))] - wide[f"{DEFAULT_RULE} {DEFAULT_NODES}"])
    told = []
    for network, cells in ahead.groupby(level="network", sort=False):
        counts = cells.droplevel("network").sort_index()
        first, last = counts.index[0], counts.index[-1]
        told.append(f"{TITLES[network]} {counts[first]:+.2f} with {first} and {counts[last]:+.2f} with {last} images")
    return (
        f"The published rule is ahead of the default here by, in percentage points: {'; '.join(told)} (negative: "
        "behind)."
    )


@typeset
def in_short(results: Results) -> str:
    """The goals and what came out, as a list in Markdown."""
    account, throughput = accounting(results), rows(results, "throughput")
    exact = throughput[throughput["precision"] == "32-true"]
    best = {work: float(exact.loc[exact["work"] == work, "share"].max()) for work in ("attribution", "training")}
    memory = rows(results, "memory").set_index("name")["mib"]
    exponents = results["scaling"]["exponents"]
    training = rows(results, "training").set_index("name")["ratio"]

    def told(reached: bool) -> str:
        return "reached" if reached else "not reached"

    same, mixed = training["faiglib, 32-true"], training["faiglib, bf16-mixed"]
    return "\n".join(
        (
            f"- At least {GOAL_RATIO:.0f} times as fast as the published algorithm at its fidelity on a data set: "
            f"{account.fastest_ratio:.1f} times ({account.fastest or 'nothing is as faithful'}), "
            f"{told(account.fastest_ratio >= GOAL_RATIO)}; {account.ratio:.1f} times by default.",
            f"- At least {GOAL_SHARE:.0%} of the machine's convolution peak, in single precision at the best size: "
            f"{best['attribution']:.0%} in attribution, {told(best['attribution'] >= GOAL_SHARE)}; "
            f"{best['training']:.0%} in training, {told(best['training'] >= GOAL_SHARE)}.",
            f"- No more memory than the published algorithm: {memory['faiglib']:.0f} MiB against "
            f"{memory['published']:.0f} MiB, {told(memory['faiglib'] <= memory['published'])}; "
            f"{memory['faiglib, memory_limit']:.0f} MiB with a limit of {results['memory']['limit_mib']:.0f} MiB on "
            "the activations.",
            "- Cost that grows with exponents of about one or less: "
            + ", ".join(f"{what} {value:.2f}" for what, value in exponents.items())
            + f", {told(max(exponents.values()) <= LINEAR)}.",
            f"- Training at least {GOAL_TRAINING:g} times as fast as the plain loop: {same:.2f} times in the same "
            f"precision, {told(same >= GOAL_TRAINING)}; {mixed:.2f} times with bfloat16, "
            f"{told(mixed >= GOAL_TRAINING)}.",
        )
    )
