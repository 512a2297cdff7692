# %% [markdown]
# # Speed and its limits
#
# The published algorithm takes {glue:text}`published_seconds:.0f` seconds for an image of
# {glue:text}`published_crop:d`×{glue:text}`published_crop:d` pixels here. How much faster can the same ranking be had, what
# limits it, and what does it cost on larger images and networks? This page shows one recorded run of `nox -s bench`,
# which measures both sides on the same images, weights and machine; run it to have the figures of yours. Whether few
# gradients are enough is the matter of [](09_beyond_the_paper.ipynb).

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
import pandas as pd
from IPython.display import Markdown, display

from faiglib.attribution.resamples import MOVED_NODES
from faiglib.companion.beyond import report as beyond_report
from faiglib.companion.beyond import show as beyond_show
from faiglib.companion.page import style, tables
from faiglib.companion.page.glue import glue
from faiglib.companion.page.words import counted, listed, percent
from faiglib.companion.speed import recorded as speed_recorded
from faiglib.companion.speed import report as speed_report
from faiglib.companion.speed import show as speed_show
from faiglib.companion.speed import words as speed_words
from faiglib.companion.speed.passes import STUDIES
from faiglib.images import registry
from faiglib.networks import TITLES

style.style()
recorded = speed_report.load()
results = recorded.results
attribution, memory, masking, training = (results[name] for name in ("attribution", "memory", "masking", "training"))
display(Markdown(speed_report.machine(recorded)))

# %% [markdown]
# ## The published algorithm and ours
#
# The other side of the comparison is a plain transcription: for every image and each of the two rankings a hundred
# steps, at every step a new network with the interpolated weights, and a forward and backward pass for the blurry and
# for the noisy version, in PyTorch's usual memory layout. That makes 100 × 2 × 2 passes for an image, half of which
# repeat the other half. faiglib moves the weights of one network in place, computes FAIG of the blurry and of the noisy
# input once each and subtracts both ways, takes gradients of convolution weights only, and keeps tensors in the
# layout that the convolutions prefer.
#
# Fidelity is the share of the top 1 % that a ranking has in common with a Gauss-Legendre quadrature of many nodes, mean
# of the two functions: once on average over rankings from single images, once for the ranking from the mean over all
# images of the data set, which is what the paper makes. The published algorithm is timed on
# {glue:text}`published_images:d` of them, and its top 1 % there have {glue:text}`agreement:.2f` % in common with those of
# faiglib's own left rule, from which its fidelity is taken.

# %%
tables.plain(
    speed_report.rows(results, "attribution").rename(
        columns={
            "name": "algorithm",
            "passes": "passes an image",
            "ratio": "times as fast",
            "seconds": "seconds an image",
            "overlap": "in common, data set",
            "overlap_single": "in common, single images",
        }
    ),
    {
        "seconds an image": "{:.2f}",
        "times as fast": "{:.1f}",
        "in common, data set": "{:.2%}",
        "in common, single images": "{:.2%}",
    },
    caption=f"{attribution['images']} images of {attribution['crop']}×{attribution['crop']} pixels; "
    f"reference of {attribution['reference_nodes']} nodes",
)

# %%
glue(
    published_images=attribution["published_images"],
    published_seconds=speed_report.rows(results, "attribution")["seconds"].iloc[0],
    published_crop=attribution["crop"],
    agreement=100 * attribution["agreement"],
    resolution=100 * attribution["resolution"],
    gflop_per_pass=attribution["gflop_per_pass"],
)

# %% [markdown]
# The reference and the trapezoid rule with one node more, which are both well resolved and share no inner nodes, differ
# in {glue:text}`resolution:.2f` % of their top 1 %; smaller differences say little.
#
# ## Averaging over images
#
# Along the path, units switch on and off, and every switch is a kink in the gradient that no rule foresees. What an image
# lacks for want of nodes is therefore mostly noise, which averages out over images. The left rule errs by a bias besides:
# it sees the target's end of every step, whatever the image. If that is so, then the more images a ranking is made from,
# the fewer nodes it takes to match the hundred of the published algorithm.

# %% mystnb={"image": {"alt": "Share of the top one percent that a ranking misses, against the number of images that it averages over, for the published rule and for midpoint and Gauss-Legendre rules of few nodes."}, "figure": {"caption": "Missed share of the reference's top 1 % (lower is better) by the number of images averaged over.", "name": "fig-averaging"}}
averaging = pd.DataFrame(attribution["averaging"])
glue(averaging=speed_report.averaging_in_words(averaging))
speed_show.averaging(averaging)

# %% [markdown]
# {glue:text}`averaging:s`
#
# How a single image converges is shown by the same comparison as in [](09_beyond_the_paper.ipynb), here with a reference of
# {glue:text}`convergence_reference:,d` nodes and rules of up to {glue:text}`convergence_most:d`.

# %% mystnb={"image": {"alt": "Missed filters, rank correlation and completeness error against the number of gradients for five quadrature rules, one image, both networks."}, "figure": {"caption": "Convergence of the path integral of one image by rule, a row per network (lower is better).", "name": "fig-convergence-recorded"}}
converged = speed_report.rows(results, "convergence")
beyond_show.convergence(converged)

# %%
glue(
    convergence_reference=results["convergence"]["reference_nodes"],
    convergence_most=results["convergence"]["most_nodes"],
)
tables.nodes_needed(
    beyond_report.nodes_needed(converged),
    "Fewest points tried from which on a rule is as faithful on one image as the published one, mean of the networks",
)

# %% [markdown]
# ## Where passes count
#
# The ranking that matters is that of a data set, and two halves of its images do not agree on it. So the question is not
# how exactly an image is integrated, but what to spend a number of passes on: few nodes or many, few crops or many, small
# ones or large. One recorded run (`nox -s passes`) takes up to {glue:text}`study_images:d` images each of
# {glue:text}`study_sets:s`, in crops of {glue:text}`study_side:d` pixels a side and with {glue:text}`study_nodes:d`
# Gauss-Legendre nodes, as the reference. Rankings from random crops of all *other* images, half of them mirrored, are held
# against it: few crops in many ways, then, with {glue:text}`study_moved:s` that move from crop to crop, as many crops of
# each of {glue:text}`study_larger:s` pixels as a hundredth of the published program's pixels pays, and of the best size
# several times as many, for several rankings. The other half of the images, integrated as carefully as the reference, is
# the yardstick; it is no bound, since the crops come from more images. The square stands for the published budget: as many
# images of the other half as the paper has, integrated as carefully, drawn at what the published program differentiates
# for one of the two rankings, whole images at a hundred points.

# %% mystnb={"image": {"alt": "Share of the reference's top one percent that rankings of random crops have, against the pixels they differentiate, by number of nodes, a panel per network."}, "figure": {"caption": "Agreement with the ranking of a data set (higher is better) by the pixels that are differentiated, for crops of {glue:text}`study_sides:s` pixels a side (larger dots for larger crops); mean of both functions.", "name": "fig-passes"}}
study = speed_recorded.load()
tried = study.facts.study
glue(
    study_sets=listed([registry.title(name) for name in study.facts.sets]),
    study_nodes=tried["nodes"],
    study_side=tried["side"],
    study_images=tried["images"],
    study_moved=counted(MOVED_NODES, "node"),
    study_larger=listed(str(side) for side, _ in STUDIES["hundredth"].crops),
    study_sides=listed(map(str, sorted(study.table["side"].unique()))),
    study_words=speed_words.spending_in_words(study),
    study_misfit=percent(speed_recorded.misfit(study.table)),
    nodes_words=speed_words.nodes_in_words(study),
)
speed_show.spending(study.table, study.facts)

# %% [markdown]
# {glue:text}`study_words:s` {glue:text}`nodes_words:s`
#
# %%
tables.plain(
    speed_words.best_ways(study)
    .replace({"rule": speed_words.PLACED})
    .rename(columns={"share": "pixels, at most", "cost": "pixels", **TITLES}),
    {"pixels, at most": "{:.1%}", "pixels": "{:.2%}", **dict.fromkeys(TITLES.values(), "{:.1%}")},
    caption="The best of what was tried within a share of the published pixels, and its part of the reference's top 1 %",
)

# %% [markdown]
# Why: the distance from the reference, 1 − cos² of the two lists of scores, is described by a variance that falls as one
# over the number of crops, and a bias, which more crops do not mend, to {glue:text}`study_misfit:s` in the median. The bias
# is that of too few nodes and of too small crops.

# %%
biases = speed_words.biases(study).replace({"rule": speed_words.PLACED})
sides = {side: f"{side} pixels" for side in biases.columns[2:]}
tables.plain(
    biases.rename(columns=sides),
    dict.fromkeys(sides.values(), "{:.2f}"),
    caption=f"Bias by nodes and side of at least {speed_words.ENOUGH_CROPS} crops, mean of networks and functions",
)

# %% [markdown]
# `faiglib attribute --until 0.95` does not ask for a number of crops: it adds random ones until resamples of them agree in
# that share of the best 1 %.
#
# ## Counting operations
#
# A pass takes {glue:text}`gflop_per_pass:.2f` GFLOP here, whoever makes it: the forward convolutions, and twice as much
# backwards, for the gradients of activations and of weights. So the factor is the product of three: how many passes, how
# fast each is, and what is spent besides.

# %%
display(Markdown(speed_report.accounting(results).sentence))

# %% [markdown]
# Reduced precision (`precision="bf16-mixed"`) rounds the operands of the convolutions, which disturbs every gradient. The
# table above says what is gained and what is lost; since the ranking suffers, it has to be asked for.
#
# ## Share of the hardware's speed
#
# The yardstick is the fastest 3×3 convolution of this machine among shapes as they occur in the networks, measured in
# the same run. Attribution is one gradient; training is a whole step with patches, degradations, optimiser and average.

# %% mystnb={"image": {"alt": "Achieved GFLOP per second of attribution by image size and of training, in float32 and bfloat16, with lines for the convolution peak and the goal."}, "figure": {"caption": "Achieved speed, with its share of the convolution peak (dashed) of the precision; dotted: the goal.", "name": "fig-throughput"}}
speed_show.throughput(speed_report.rows(results, "throughput"), results["throughput"]["peak"]["best"])

# %% [markdown]
# ## One image at a time
#
# FAIG takes the absolute value for every image, so a batch needs the weight gradients of each of its images. There are
# several ways to these; the bars show their time per image beside that of the plain loop over images. The last one sums
# over the batch, which is not what FAIG needs; since a way to single gradients has to do at least that work, it is a
# bound. Where no way is clearly below one there is nothing to be gained by batches, and the library has none.

# %% mystnb={"image": {"alt": "Time per image of five ways to per-image weight gradients and of the summed gradient, relative to a loop over images, by image size."}, "figure": {"caption": "Time per image relative to one image at a time (one is as fast, lower is better). Gray: the bound.", "name": "fig-per-image"}}
speed_show.per_image_gradients(speed_report.rows(results, "per_image_gradients"))

# %% [markdown]
# ## Memory
#
# What the gradients of one image add to a fresh process, which is more than activations: copies of the weights and the
# libraries' workspace. Freed tensors go back to the system at once here; by default glibc keeps some, in holes of its heap,
# which adds up to a half on either side, depending on the order of allocations. With `memory_limit` (`faiglib attribute --memory`), which bounds the
# activations, faiglib cuts an image into tiles with margins as wide as the network looks; the gradient is the same, at
# the price of computing the margins several times.

# %%
tables.plain(
    speed_report.rows(results, "memory").rename(columns={"name": "algorithm", "mib": "MiB"}),
    {"MiB": "{:.0f}"},
    caption=f"One image of {memory['crop']}×{memory['crop']} pixels; limit {memory['limit_mib']:.0f} MiB",
)

# %% [markdown]
# ## How the cost grows

# %% mystnb={"image": {"alt": "Seconds for a ranking against pixels, images, nodes and filters on logarithmic axes, with fitted power laws."}, "figure": {"caption": "Time of one ranking against what it depends on, with fitted power laws. Filters: SRResNet with 4 to 32 blocks.", "name": "fig-scaling"}}
speed_show.scaling(speed_report.rows(results, "scaling"), results["scaling"]["exponents"])

# %%
for name in ("masks", "inputs", "naive_passes", "faiglib_passes"):
    glue(**{f"sweep_{name}": masking[name]})
glue(
    sweep_ratio=masking["ratio"],
    sweep_fewer=masking["naive_passes"] / masking["faiglib_passes"],
    workers=training["workers"],
)

# %% [markdown]
# ## Masking and training
#
# A sweep over {glue:text}`sweep_masks:d` sets of masked filters on {glue:text}`sweep_inputs:d` inputs needs the outputs of
# target and baseline once; a naive run computes them again for every set. {glue:text}`sweep_faiglib_passes:d` forward
# passes instead of {glue:text}`sweep_naive_passes:d`, {glue:text}`sweep_fewer:.2f` times fewer, make faiglib
# {glue:text}`sweep_ratio:.2f` times as fast; for the rest of it, the naive run builds and loads a network for every pass.
#
# The plain training loop is a data loader with {glue:text}`workers:d` worker processes that degrades whole photographs, one
# per sample, and crops them afterwards; faiglib cuts patches first and degrades them with a margin, as a batch. Network,
# batch, patch and images are the same.

# %%
tables.plain(
    speed_report.rows(results, "training").rename(
        columns={"name": "trainer", "it_per_s": "steps a second", "ratio": "times as fast"}
    ),
    {"steps a second": "{:.2f}", "times as fast": "{:.2f}"},
    caption=f"SRResNet, batch {training['batch']}, patch {training['patch']}, images of "
    + ", ".join(training["image_sizes"]),
)

# %% [markdown]
# ## In short

# %%
display(Markdown(speed_report.in_short(results)))
