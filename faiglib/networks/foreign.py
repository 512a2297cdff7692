"""Networks that are told from their weights: those of this library, and by spandrel many others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from faiglib.errors import NetworkError, WeightsError
from faiglib.networks import TITLES, build, recognised
from faiglib.networks.weights import fit, load_network
from faiglib.system.tensors import State, load_weights

#: Attribute of a network that :func:`in_unit_range` has changed.
PEAK = "faiglib_peak"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network with its weights.

    Attributes:
        network: in evaluation mode.
        title: of its architecture.
        scale: by which it enlarges.
    """

    network: nn.Module
    title: str
    scale: int

    @property
    def in_words(self) -> str:
        """Architecture and scale."""
        return f"{self.title} ×{self.scale}"


def load(path: Path, name: str | None = None, scale: int | None = None, peak: float = 1.0) -> Loaded:
    """Load weights into the network that they are of.

    Args:
        path: of the weights.
        name: registry name of the network; without it, it is told from the weights.
        scale: of the network; without it, it is told from the weights where ``name`` is not given, and else 2.
        peak: value of white that the network works with, see :func:`in_unit_range`.

    Raises:
        NetworkError: the network is unknown, or enlarges by another factor than ``scale``.
        WeightsError: the weights cannot be read, do not fit, or nobody knows what network they are of.
    """
    if name is not None:
        enlarges = 2 if scale is None else scale
        return Loaded(in_unit_range(load_network(path, name, scale=enlarges), peak), TITLES[name], enlarges)
    state = load_weights(path)
    known = recognised(state)
    if known is not None:
        found = Loaded(fit(build(known[0], scale=known[1]), state, f"weight file {path}"), TITLES[known[0]], known[1])
    else:
        found = _by_spandrel(state, path)
    if scale not in (None, found.scale):
        raise NetworkError(f"weight file {path} is of {found.in_words}, not of a network of scale {scale}")
    in_unit_range(found.network, peak)
    return found


def in_unit_range(network: nn.Module, peak: float) -> nn.Module:
    """Let a network that works with values from 0 to ``peak``, such as 255 of EDSR and RCAN, take and give [0, 1].

    Args:
        network: gets hooks that multiply what goes in and divide what comes out; its parameters keep their names.
        peak: value of white; 1 changes nothing.

    Returns:
        The network itself.
    """
    if peak != 1:
        setattr(network, PEAK, peak)
        network.register_forward_pre_hook(lambda _, inputs: (inputs[0] * peak, *inputs[1:]))
        network.register_forward_hook(lambda _, __, output: output / peak if isinstance(output, Tensor) else output)
    return network


def peak_of(network: nn.Module) -> float:
    """White in the values that a network works with, see :func:`in_unit_range`."""
    return float(getattr(network, PEAK, 1.0))


def load_pair(
    target: Path, baseline: Path, name: str | None = None, scale: int | None = None, peak: float = 1.0
) -> tuple[nn.Module, nn.Module, int]:
    """Target and baseline of one architecture, see :func:`load`, and by which they enlarge.

    Raises:
        NetworkError: they are of different architectures or scales; and see :func:`load`.
        WeightsError: see :func:`load`.
    """
    first, second = (load(path, name, scale, peak) for path in (target, baseline))
    if (first.title, first.scale) != (second.title, second.scale):
        raise NetworkError(
            f"the target {target} is of {first.in_words}, the baseline {baseline} of {second.in_words}; a path leads "
            "between networks of one architecture only"
        )
    return first.network, second.network, first.scale


def _by_spandrel(state: State, path: Path) -> Loaded:
    """Let spandrel tell the architecture from the names and shapes of the weights.

    Raises:
        WeightsError: it cannot be imported, or does not know them.
    """
    nobody = f"the weights of {path} are of no network that faiglib has"
    try:
        import spandrel
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "spandrel":
            raise WeightsError(
                f"{nobody}; spandrel knows many more: pip install 'faiglib[spandrel]' (in Python, faiglib.faig "
                "takes any)"
            ) from None
        raise WeightsError(
            f"{nobody}, and spandrel, which knows many more, cannot be imported without {missing}"
        ) from None
    try:
        found: Any = spandrel.ModelLoader("cpu").load_from_state_dict(dict(state))
    except Exception as error:  # whatever an architecture makes of weights that are not quite its own
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise WeightsError(f"{nobody}, and spandrel cannot tell what they are of: {reason}") from None
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise WeightsError(f"{nobody}; spandrel calls them {found.architecture.name}, which does not restore one image")
    return Loaded(found.model.float().eval(), str(found.architecture.name), int(found.scale))
