"""What every experiment starts from: budget, device, trained pairs, image sets, and the store of results."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from faiglib.companion import spending
from faiglib.companion.cache import Cache
from faiglib.companion.places import Places
from faiglib.companion.profiles import Profile
from faiglib.companion.profiles import get as get_profile
from faiglib.errors import DatasetError, PlaceError
from faiglib.images import datasets, registry
from faiglib.images.datasets import ImageSet
from faiglib.images.degradations import INPUTS, noise_generator
from faiglib.networks import TITLES, zoo
from faiglib.networks.zoo import Pair
from faiglib.system.devices import choose_device

if TYPE_CHECKING:
    import pandas as pd


Item = TypeVar("Item")
Result = TypeVar("Result")


#: The set that networks are trained on where it is there.
TRAINED_ON = "bsd400"


@dataclass(frozen=True, eq=False)
class Sample:
    """One image in all its degradations.

    Attributes:
        name: file name without its ending.
        ground_truth: (1, 3, H, W) in [0, 1].
        inputs: by name of :data:`faiglib.images.degradations.INPUTS`, each (1, 3, H/2, W/2), 8-bit values in [0, 1].
    """

    name: str
    ground_truth: Tensor
    inputs: dict[str, Tensor]


@dataclass(frozen=True)
class Workbench:
    """The common arguments of all experiments.

    Attributes:
        profile: the budget.
        device: where networks run.
        seed: of the test noise and of the random ranking.
        data_dir: explicit data folder, or None for the usual places.
        models: folder of the trained weights.
        places: where the book keeps what it makes.
    """

    profile: Profile
    device: torch.device
    seed: int
    data_dir: Path | None
    models: Path
    places: Places

    @cached_property
    def store(self) -> Cache:
        """Computed results."""
        return Cache(self.places.store)

    @cached_property
    def image_sets(self) -> dict[str, ImageSet]:
        """The profile's image sets that are on this machine, scikit-image's photographs where none is."""
        wanted = [name for name in self.profile.image_sets if self._is_here(name)] or ["skimage"]
        return {name: datasets.find(name, self.data_dir) for name in wanted}

    def image_set(self, name: str) -> ImageSet:
        """An image set, whether it is one of the profile's or not.

        Raises:
            DatasetError: it is not on this machine.
        """
        return self.image_sets.get(name) or datasets.find(name, self.data_dir)

    @property
    def missing(self) -> list[str]:
        """Titles of the profile's image sets that are not on this machine."""
        wanted = (*self.profile.image_sets, *self.profile.other_sets)
        return [registry.title(name) for name in dict.fromkeys(wanted) if not self._is_here(name)]

    def _is_here(self, name: str) -> bool:
        try:
            datasets.find(name, self.data_dir)
        except PlaceError:
            raise
        except DatasetError:
            return False
        return True

    @property
    def test_set(self) -> str:
        """The set that experiments on one set use: Set14, or the first of :attr:`image_sets` where that is not here."""
        return "set14" if "set14" in self.image_sets else next(iter(self.image_sets))

    @cached_property
    def training_set(self) -> ImageSet:
        """The set that networks are trained on: BSD400, or scikit-image's photographs where that is not here."""
        return datasets.find(TRAINED_ON if self._is_here(TRAINED_ON) else "skimage", self.data_dir)

    def training_images(self, limit: int | None) -> list[Tensor]:
        """Ground truth to train on, at most ``limit`` images."""
        return [image for _, image in self.training_set.load(limit)]

    @cached_property
    def pair_names(self) -> list[tuple[str, int]]:
        """(network, seed) of the trained pairs that the profile uses, its number of seeds of each of its networks."""
        chosen: dict[str, list[int]] = {}
        wanted = self.profile.networks
        for network, seed in zoo.pairs_available(self.models):
            if wanted is not None and network not in wanted:
                continue
            seeds = chosen.setdefault(network, [])
            if self.profile.seeds is None or len(seeds) < self.profile.seeds:
                seeds.append(seed)
        return [(network, seed) for network, seeds in chosen.items() for seed in seeds]

    @property
    def first_pairs(self) -> list[tuple[str, int]]:
        """(network, seed) of the first of :attr:`pair_names` of every network."""
        first: dict[str, int] = {}
        for network, seed in self.pair_names:
            first.setdefault(network, seed)
        return list(first.items())

    @property
    def main_pair(self) -> tuple[str, int]:
        """(network, seed) of the pair that a chapter follows when it follows one, SRResNet's first if there is one."""
        names = self.pair_names
        return next((name for name in names if name[0] == "srresnet"), names[0])

    def seeds(self, network: str) -> list[int]:
        """Seeds of :attr:`pair_names` of a network."""
        return [seed for name, seed in self.pair_names if name == network]

    @property
    def independent_pairs(self) -> dict[str, int]:
        """How many of :attr:`pair_names` share no baseline, by title of the network."""
        baselines: dict[str, set[int]] = {}
        for network, seed in self.pair_names:
            found = zoo.pair_entries(self.models, network, seed)["baseline"]
            baselines.setdefault(TITLES[network], set()).add(found.seed)
        return {title: len(seeds) for title, seeds in baselines.items()}

    @property
    def barriers(self) -> dict[tuple[str, int], float]:
        """Depth in dB of each pair's straight path on clean input, as the manifest has it; NaN where it has none."""
        found = {}
        for network, seed in self.pair_names:
            known = zoo.pair_entries(self.models, network, seed)["target"].barrier
            found[network, seed] = known["psnr"] if known else math.nan
        return found

    def named(self, network: str, seed: int) -> str:
        """A pair in words: its network as printed, and its seed where several of that network are used."""
        title = TITLES.get(network, network)
        return f"{title}, seed {seed}" if len(self.seeds(network)) > 1 else title

    def where_several(self, words: str) -> str:
        """The words where a network is used with several seeds, else nothing: there is no mean over one."""
        return words if len(self.pair_names) > len(self.first_pairs) else ""

    def pair(self, network: str, seed: int) -> Pair:
        """Load a trained pair onto the device."""
        return zoo.load_pair(self.models, network, seed, self.device)

    def pairs(self) -> Iterator[Pair]:
        """The trained pairs, one after the other."""
        for network, seed in self.pair_names:
            yield self.pair(network, seed)

    def in_parallel(self, compute: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """The results for some items, in their order; on a CPU several at once, which share its cores out evenly.

        The convolutions of small images gain less from more cores than several pairs of networks side by side do. A
        GPU gets one item after the other.
        """
        wanted, threads = list(items), torch.get_num_threads()
        workers = min(threads, len(wanted))
        if self.device.type != "cpu" or workers < 2:
            return [compute(item) for item in wanted]
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,))
        try:
            return list(pool.map(compute, wanted))
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)

    def over_pairs(self, compute: Callable[[Pair], Result]) -> list[Result]:
        """The results for all trained pairs, in their order; several at once, see :meth:`in_parallel`."""
        return self.in_parallel(compute, self.pairs())

    def samples(self, image_set: str, limit: int | None, crop: int | None) -> list[Sample]:
        """Images of a set in all degradations, on the device.

        Args:
            image_set: its name.
            limit: number of images, evenly spaced; None is all.
            crop: side of the central crop in HR pixels; None is the whole image.
        """
        samples = []
        for number, (name, image) in enumerate(self.image_set(image_set).load(limit, crop)):
            inputs = {}
            for kind, degradation in INPUTS.items():
                inputs[kind] = degradation(image, noise_generator(self.seed, number)).to(self.device)
            samples.append(Sample(name, image.to(self.device), inputs))
        return samples

    def table_per_pair(
        self, name: str, image_sets: Iterable[str], compute: Callable[[Pair, str], pd.DataFrame], **key: object
    ) -> pd.DataFrame:
        """One table of all trained pairs and some image sets, each part from the store or computed and stored.

        Args:
            name: kind of result in the store.
            image_sets: names of :attr:`image_sets`.
            compute: makes the part of a pair and an image set.
            key: what the parts depend on besides the pair, the images and the profile.

        Returns:
            The parts below each other, after columns ``network``, ``seed``, ``baseline`` (its seed) and ``image_set``.
        """
        import pandas as pd

        def part(item: tuple[Pair, str]) -> pd.DataFrame:
            pair, image_set = item
            whole = self.key(pair, image_set, profile=self.profile, **key)
            found = self.store.table(name, whole, partial(compute, pair, image_set))
            return found.assign(network=pair.network, seed=pair.seed, baseline=pair.baseline_seed, image_set=image_set)

        parts = self.in_parallel(part, itertools.product(self.pairs(), image_sets))
        table = pd.concat(parts, ignore_index=True)
        first = ["network", "seed", "baseline", "image_set"]
        return table[[*first, *(column for column in table.columns if column not in first)]]

    def key(self, pair: Pair, image_set: str, **more: object) -> dict[str, object]:
        """Store key of a result: the weights, the images, the seed, the kind of device, and what is added."""
        return {
            "pair": pair.digest,
            "images": self.image_set(image_set).digest,
            "seed": self.seed,
            "device": self.device.type,
            **more,
        }


def open_workbench(
    profile: str = "standard",
    device: str = "auto",
    seed: int = 0,
    data_dir: str | None = None,
    models_dir: str | None = None,
) -> Workbench:
    """Make a workbench from a notebook's parameters.

    Args:
        profile: ``quick``, ``standard`` or ``paper``.
        device: ``auto`` (a CUDA GPU when there is one), ``cpu``, ``cuda``, ``cuda:1``.
        seed: of the test noise and of the random ranking.
        data_dir: data folder; by default FAIGLIB_DATA, then the cache of downloads.
        models_dir: folder of weights; by default the shipped ones.

    Raises:
        FaiglibError: the profile is unknown or there are no weights.
    """
    places = Places.of_environment()
    spending.note_after_cells(places)
    return Workbench(
        profile=get_profile(profile),
        device=choose_device(device),
        seed=seed,
        data_dir=Path(data_dir) if data_dir else None,
        models=zoo.models_dir(models_dir),
        places=places,
    )
