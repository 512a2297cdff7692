"""What tests share: one thread, small networks, random images, and a workbench with a tiny trained pair."""

from __future__ import annotations

import copy
import dataclasses
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import Tensor, nn
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from bookmaker.checks.browser import Browser, find
from faiglib.companion import profiles
from faiglib.companion.places import Places
from faiglib.companion.workbench import Workbench
from faiglib.networks import build, zoo
from tests.helpers.manifests import DESCRIPTION
from tests.helpers.srresnet import small_srresnet

torch.set_num_threads(int(os.environ.get("FAIGLIB_TEST_THREADS", "1")))
settings.register_profile("faiglib", derandomize=True, deadline=None, database=None)  # the same examples everywhere
settings.load_profile("faiglib")

Make = Callable[[], nn.Module]


#: Files whose tests compare what torch computes with references, for ``nox -s portability``.
NUMERIC = {
    Path(__file__).parent / f"{room}/test_{name}.py"
    for room, names in {
        "attribution": (
            "averaging",
            "input_path",
            "parameter_path",
            "path_profile",
            "published",
            "quadrature",
            "slopes",
            "waypoints",
            "weight_change",
        ),
        "filters": ("substitution",),
        "images": ("blind_degradations", "degradations", "metrics"),
        "networks": ("dan", "dasr", "networks"),
        "race": ("recipes",),
    }.items()
    for name in names
}

#: Files whose tests start from one thing that takes long to make: one process runs all of such a file.
TOGETHER = ("tests/attribution/test_published.py", "tests/training/test_runs.py")
#: Parts of the names of tests in them that take long and are about something else, or in double precision throughout.
NOT_NUMERIC = ("interrupted", "is_the_published_algorithm", "learns_to_tell", "processes", "progress", "random_basis")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let all random numbers be moved by one unit in the last place."""
    parser.addoption("--ulp-seed", type=int, default=None, help="move random numbers by one unit, in a way of many")


class Together(LoadScopeScheduling):
    """Shares single tests out over processes, and the files of :data:`TOGETHER` as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    """Of xdist's own schedulers, the one for groups of tests does not see them from pytest 9.2 on."""
    return Together(config, log)


def pytest_configure() -> None:
    """Refuse a list with a file that is not there, whose tests would be left out, or shared out, without a word."""
    for path in (*NUMERIC, *(Path(__file__).parents[1] / name for name in TOGETHER)):
        if not path.is_file():
            raise pytest.UsageError(f"{path}, which tests/conftest.py names, does not exist")


@pytest.fixture
def _interruptions() -> Iterator[None]:
    """Python's own SIGINT handler: for what a script starts in the background the signal is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def _moved_by_one_unit(request: pytest.FixtureRequest) -> Iterator[None]:
    """Move whatever is drawn at random by one unit in the last place: a test that then fails is fitted to one machine.

    The direction follows from the value and the seed, so that equal draws stay equal.
    """
    seed = request.config.getoption("--ulp-seed")
    if seed is None:
        yield
        return

    def moved(value: Tensor) -> Tensor:
        if not value.is_floating_point() or value.dtype not in (torch.float32, torch.float64):
            return value
        bits = value.detach().contiguous().view(torch.int32 if value.dtype == torch.float32 else torch.int64)
        up = ((bits.long() * 2654435761 + seed * 40503) >> 13) % 2 == 0
        towards = torch.where(up, torch.inf, -torch.inf).to(value)
        return torch.where(value == 0, value, torch.nextafter(value.detach(), towards))

    def drawing(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def draw(*arguments: object, **options: object) -> Tensor:
            drawn = function(*arguments, **options)
            with torch.no_grad():
                return drawn.copy_(moved(drawn)) if isinstance(drawn, nn.Parameter) else moved(drawn)

        return draw

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rand", "randn", "randn_like", "rand_like"):
            patch.setattr(torch, name, drawing(getattr(torch, name)))
        for name in ("kaiming_normal_", "kaiming_uniform_", "uniform_", "normal_"):
            patch.setattr(nn.init, name, drawing(getattr(nn.init, name)))
        from_numpy = torch.from_numpy
        patch.setattr(torch, "from_numpy", lambda array: moved(from_numpy(array)))
        yield


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Read no other files where only numeric tests are wanted: importing all takes longer than many of them."""
    others = collection_path.name.startswith("test_") and collection_path not in NUMERIC
    return True if config.getoption("-m") == "numeric" and others else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the numeric tests; skip what needs a GPU where there is none."""
    for item in items:
        if item.path in NUMERIC and not any(part in item.name for part in NOT_NUMERIC):
            item.add_marker("numeric")
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


class Small(nn.Module):
    """A small super-resolution network with any kernel sizes, groups, scale and activation."""

    def __init__(
        self,
        scale: int = 2,
        kernels: tuple[int, ...] = (3, 3),
        groups: int = 1,
        width: int = 4,
        activation: Make = nn.LeakyReLU,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for kernel in kernels:
            shared = groups if channels % groups == 0 else 1
            layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2, groups=shared), activation()]
            channels = width
        layers += [nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.fixture(scope="session")
def largest_file() -> Callable[[int], AbstractContextManager[None]]:
    """Let every write beyond a size fail, as on a full disk, in this process and those that it starts."""

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


@pytest.fixture(scope="session")
def small() -> type[Small]:
    """The class of small networks."""
    return Small


@pytest.fixture(scope="session")
def make_pair() -> Callable[..., tuple[nn.Module, nn.Module]]:
    """Make (target, baseline): a seeded network and a slightly moved copy of it, float64 unless told otherwise."""

    def make(
        factory: Make, seed: int = 0, step: float = 0.05, dtype: torch.dtype = torch.float64
    ) -> tuple[nn.Module, nn.Module]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            baseline = factory().to(dtype).eval()
            target = copy.deepcopy(baseline)
            with torch.no_grad():
                for parameter in target.parameters():
                    parameter += step * parameter.abs().mean().clamp(min=0.05) * torch.randn_like(parameter)
        return target, baseline

    return make


@pytest.fixture(scope="session")
def random_image() -> Callable[..., Tensor]:
    """Make a random image (1, 3, H, W) in [0, 1] from a seed."""

    def make(height: int, width: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
        values = np.random.default_rng(seed).random((1, 3, height, width))
        return torch.from_numpy(values).to(dtype)

    return make


@pytest.fixture(scope="session")
def random_pairs(random_image: Callable[..., Tensor]) -> Callable[..., list[tuple[Tensor, Tensor]]]:
    """Make pairs of network input (1, 3, h, w) and ground truth (1, 3, scale·h, scale·w)."""

    def make(
        count: int = 1, size: int = 6, scale: int = 2, seed: int = 0, dtype: torch.dtype = torch.float64
    ) -> list[tuple[Tensor, Tensor]]:
        return [
            (
                random_image(size, size + number, 1000 * seed + 2 * number, dtype),
                random_image(scale * size, scale * (size + number), 1000 * seed + 2 * number + 1, dtype),
            )
            for number in range(count)
        ]

    return make


@pytest.fixture(scope="session")
def bits() -> Callable[[nn.Module], dict[str, bytes]]:
    """Every value of a network's state, as bytes."""

    def read(network: nn.Module) -> dict[str, bytes]:
        return {name: tensor.detach().cpu().numpy().tobytes() for name, tensor in network.state_dict().items()}

    return read


#: A budget of a second or two for an experiment.
TINY = dataclasses.replace(
    profiles.PROFILES["quick"],
    image_sets=("skimage", "div2k_train"),
    nodes=2,
    discovery_images=1,
    discovery_crop=24,
    evaluation_images=2,
    evaluation_crop=24,
    percents=(1, 5),
    curve_percents=(0, 100),
    curve_images=1,
)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one pair, a small SRResNet whose target differs from the baseline by a little noise."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        small_srresnet(patch)
        baseline = {name: 5 * value for name, value in build("srresnet", seed=0).state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    target = {
        name: value + 0.1 * value.abs().mean() * torch.randn(value.shape, generator=generator)
        for name, value in baseline.items()
    }
    for role, state in (("baseline", baseline), ("target", target)):
        parent = None if role == "baseline" else "srresnet-baseline-seed0.safetensors"
        zoo.add(folder, state, {"role": role, "seed": 0, "parent": parent, **DESCRIPTION})
    return folder


@pytest.fixture
def bench(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A workbench on the CPU with the tiny pair, scikit-image's photographs only, and a store of its own."""
    small_srresnet(monkeypatch)
    monkeypatch.delenv("FAIGLIB_DATA", raising=False)
    monkeypatch.setenv("FAIGLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FAIGLIB_BUILD", str(tmp_path / "build"))
    return Workbench(TINY, torch.device("cpu"), 0, None, models, Places(tmp_path / "build", tmp_path / "store"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser without a screen; tests that need one are left out where there is none."""
    program = find()
    if program is None:
        pytest.skip("no Chromium or Chrome on this machine")
    with Browser(program) as opened:
        yield opened
