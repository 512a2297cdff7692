# %% [markdown]
# # FAIG on your own network
#
# Nothing in FAIG is about super-resolution. It needs three things: a network before and after it learned to do
# something, images with and without what it learned to remove, and a loss. This page asks the question of a network that
# is not from the paper: a small residual one that mends pictures in which every third **row** or
# every fourth **column** is too dark. It is trained here, in this page's own run. Which filters mend the rows, which the
# columns?

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %% [markdown]
# ## A network, two degradations, and its training
#
# This part stands for your own: any `torch.nn.Module` made of `nn.Conv2d` will do.

# %% tags=["show-input"]
import copy
from itertools import pairwise

import torch
from torch import nn

from faiglib.images import datasets
from faiglib.system.devices import choose_device

torch.manual_seed(seed)
where = choose_device(device)
random = torch.Generator().manual_seed(seed)
photos = dict(datasets.find("skimage", data_dir).load())


class Cleaner(nn.Module):
    def __init__(self, width=16, depth=4):
        super().__init__()
        widths = [3] + depth * [width]
        layers = [nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.ReLU()) for i, o in pairwise(widths)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, image):
        return image + self.body(image)


def rows(image):
    darker = torch.ones(image.shape[-2], 1)
    darker[::3] = 0.6
    return image * darker


def columns(image):
    darker = torch.ones(image.shape[-1])
    darker[::4] = 0.6
    return image * darker


def train(network, degradations, steps, size=24, batch=8):
    images = list(photos.values())
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for _ in range(steps):
        patches = []
        for choice in torch.randint(len(images), (batch,), generator=random):
            top, left = (int(torch.randint(n - size, (1,), generator=random)) for n in images[choice].shape[-2:])
            patches.append(images[choice][..., top : top + size, left : left + size])
        choices = torch.randint(len(degradations), (batch,), generator=random)
        inputs = torch.cat([degradations[choice](patch) for choice, patch in zip(choices, patches, strict=True)])
        loss = nn.functional.l1_loss(network(inputs.to(where)), torch.cat(patches).to(where))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


clean = torch.clone
steps = 800 if profile == "quick" else 2400
baseline = train(Cleaner().to(where), [clean], steps // 6)
target = train(copy.deepcopy(baseline), [clean, rows, columns, lambda image: rows(columns(image))], steps)

# %%
from faiglib.companion.page.glue import glue

glue(
    steps=steps,
    filters=sum(m.in_channels * m.out_channels for m in target.modules() if isinstance(m, nn.Conv2d)),
)

# %% [markdown]
# The *baseline* has seen clean photographs only, the *target* was trained further from it, for {glue:text}`steps:d` steps, on
# photographs with dark rows, with dark columns, with both, and with neither. They have {glue:text}`filters:d` filters each.
#
# ## The question, in one cell
#
# `faig` takes both networks and pairs of an input and what it should have become. Attributing the input with columns and
# subtracting it leaves the filters that matter for the rows *alone* (the elimination of the paper). `substitute` then puts
# the best 3 % of them back to the baseline's.

# %% tags=["show-input"]
import pandas as pd

from faiglib import faig, random_scores, substitute
from faiglib.images.metrics import psnr
from faiglib.images.restoration import restore

crops = {name: photo[..., 60:156, 120:216] for name, photo in photos.items()}
pairs = {make.__name__: [(make(crop).to(where), crop.to(where)) for crop in crops.values()] for make in (rows, columns)}

scores = {name: faig(target, baseline, pairs[name]) for name in pairs}
row_filters = (scores["rows"] - scores["columns"]).top(3)
column_filters = (scores["columns"] - scores["rows"]).top(3)
chance = random_scores(row_filters.index, seed).top(3)

networks = {"target": target, "baseline": baseline}
for name, found in {"row": row_filters, "column": column_filters, "random": chance}.items():
    networks[f"target without 3 % {name} filters"] = substitute(target, baseline, found)

quality = pd.DataFrame(
    {
        f"PSNR with {kind} (dB)": {
            title: sum(float(psnr(restore(network, x), truth)) for x, truth in pairs[kind]) / len(crops)
            for title, network in networks.items()
        }
        for kind in pairs
    }
)

# %%
from faiglib.companion.page import style, tables

style.style()
tables.plain(quality.rename_axis("network").reset_index(), dict.fromkeys(quality.columns, "{:.2f}"))

# %% mystnb={"image": {"alt": "A photograph with dark rows and one with dark columns, restored by the target, without its row filters, without its column filters and without random ones, and the ground truth."}, "figure": {"caption": "A network that is not from the paper, with some of its filters put back to those of before it learned to clean. Photograph: scikit-image.", "name": "fig-own-network"}}
from faiglib.companion.masking import show

cat = list(crops).index("chelsea")
shown = {
    kind: {f"with {kind}": given[cat][0]}
    | {title: restore(network, given[cat][0]) for title, network in networks.items()}
    for kind, given in pairs.items()
}
for images in shown.values():
    del images["baseline"]
show.gallery(
    {
        kind: {title.replace("target without", "without"): image for title, image in images.items()}
        for kind, images in shown.items()
    },
    pairs["rows"][cat][1],
)

# %%
lost = quality.loc["target"] - quality.drop(index="target")
gained = quality.loc["target"] - quality.loc["baseline"]
share = 100 * lost / gained
for name in ("row", "column", "random"):
    for kind in pairs:
        column = f"PSNR with {kind} (dB)"
        glue(**{f"{name}_{kind}": share.loc[f"target without 3 % {name} filters", column]})

# %% [markdown]
# Without the row filters the target loses {glue:text}`row_rows:.0f` % of what it gained on rows, and
# {glue:text}`row_columns:.0f` % of what it gained on columns. Without the column filters it loses
# {glue:text}`column_columns:.0f` % on columns and {glue:text}`column_rows:.0f` % on rows; without as many random ones
# {glue:text}`random_rows:.0f` % and {glue:text}`random_columns:.0f` %. (More than 100 % is worse than the baseline.) The first
# number of a pair says whether the found filters carry the function, the second whether they carry something else as well:
# a network as small as this one has few filters to spare. [](03_masking) has the same numbers for the paper's networks.
#
# ## With yours
#
# - Images go in one by one, `(1, channels, height, width)`; the squared error can be replaced by
#   another loss, see {py:func}`faiglib.attribution.parameter_path.faig`.
# - `baseline` must have the same layers and be what `target` was trained from. A randomly initialised one need
#   not find the same filters; [](07_baseline_ablation) shows when it finds worse ones.
# - Rankings can be saved and read as text, or made from the command line: [](../reading.md).
