"""What the sharing out of the image sets means for the numbers and figures of the chapter, in words."""

from __future__ import annotations

from faiglib.companion.page.words import counted, listed, typeset
from faiglib.companion.prediction.roles import Roles
from faiglib.images import registry


def source(parts: Roles) -> str:
    """Where the thresholds come from, in words: a set, or the other images of the only one."""
    if parts.alone:
        return f"the other images of {registry.title(parts.thresholds)}"
    return registry.title(parts.thresholds)


@typeset
def application(parts: Roles) -> str:
    """A sentence on which images a threshold is applied to."""
    if parts.alone:
        return (
            "There is one set here, so the threshold for an image is chosen on all other images of it and applied to "
            "that image alone."
        )
    tested = listed(registry.title(name) for name in parts.tests)
    return f"It is chosen on {registry.title(parts.thresholds)} and applied to {tested}."


@typeset
def scores_caption(parts: Roles, runs: int) -> str:
    """What the figure of the overlap scores shows, for so many training runs of a network."""
    mean = f" (mean over {counted(runs, 'training run')})" if runs > 1 else ""
    line = "threshold that is best on these images" if parts.alone else f"threshold chosen on {source(parts)}"
    return (
        f"Blind overlap scores of the images of {registry.title(parts.tests[0])}. Coloured dots show the degradation, "
        f"gray crosses do not. Solid line: {line}{mean}; dotted: the paper's."
    )


@typeset
def accuracy_caption(parts: Roles) -> str:
    """What the figure of accuracy against the threshold shows."""
    tested = registry.title(parts.tests[0])
    lines = (
        f"Lines: {tested}"
        if parts.alone
        else f"Dashed: {source(parts)}, which thresholds are chosen on; solid: {tested}, which accuracy is measured on"
    )
    return (
        "Accuracy against the threshold (supp. Fig. 9), blind predictor, blurry and noisy input. "
        f"{lines}. Stars: threshold and accuracy in the paper."
    )


@typeset
def transfer_words(parts: Roles) -> str:
    """What the table of thresholds from elsewhere has."""
    if parts.alone:
        return "The table has their accuracy, and that of thresholds from the other images:"
    if len(parts.scored) == 2:
        return "The table has their accuracy, and that of thresholds from the other set, in either direction:"
    return "The table has their accuracy, and thresholds carried from every set to every other:"


@typeset
def roles_sentence(parts: Roles) -> str:
    """What the sharing out of the sets means for the numbers, and which sets are missing."""
    if parts.independent:
        text = "No image serves twice."
    elif parts.discovery != parts.tests[0]:
        text = (
            "Filters and thresholds come from one set, for want of a third; the accuracy is measured on other images."
        )
    else:
        text = (
            "Only scikit-image's photographs are on this machine. Filters are discovered on them too, and the "
            "threshold for each photograph is chosen on the others: read the numbers as a trial of the code, not as a "
            "measurement."
        )
    return text + (f" Not on this machine: {', '.join(parts.missing)}." if parts.missing else "")
