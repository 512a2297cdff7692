# %% [markdown]
# # Beyond the paper
#
# Questions that the paper does not ask. Has the integral converged with a hundred points, and does it need so many?
# Does it matter whether the absolute value is taken before or after the integration? What do the details change in which
# the released program differs from the text? And do we find the same filters from other images, other crops, other noise,
# other training runs? And what if a network has learnt three degradations?

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from IPython.display import HTML, Markdown, display

from faiglib.companion.beyond import agreement, integration, measure, report, sampling, show, threefold
from faiglib.companion.discovery import RELEASED
from faiglib.companion.page import style, tables
from faiglib.companion.page.budget import budget, images_in_words, means_in_words
from faiglib.companion.page.glue import glue
from faiglib.companion.page.words import begun
from faiglib.companion.workbench import open_workbench
from faiglib.networks import TITLES

style.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
variants_on = means_in_words(bench, bench.test_set, bench.profile.ablation_images, bench.profile.evaluation_crop)
glue(
    reference_nodes=bench.profile.reference_nodes,
    most_nodes=max(bench.profile.most_nodes, RELEASED[1]),
    convergence_on=images_in_words(
        bench, bench.test_set, bench.profile.convergence_images, bench.profile.convergence_crop
    ),
    variants_on=variants_on,
)
display(HTML(budget(bench)))

# %% [markdown]
# ## How many gradients does the integral need?
#
# The paper approximates the path integral by 100 equidistant points; the released program takes the left end of each
# step, from the target at α = 0 to α = 0.99. Here five rules with 1 to {glue:text}`most_nodes:d` points are compared with a Gauss-Legendre
# quadrature of {glue:text}`reference_nodes:d` nodes, on
# {glue:text}`convergence_on:s`. Averages over more images converge sooner, because the errors of single images average out.
#
# Three things are measured. What a user of FAIG cares about is the *choice*: which share of the reference's top 1 % a rule
# misses. The *rank correlation* (Spearman) looks at all filters. The *completeness error* needs no reference: all
# contributions, biases included, must add up to the change of the loss between target and baseline. A small
# completeness error is necessary for a good integral and not sufficient for a good ranking, since errors of single
# weights may cancel in the sum.

# %% mystnb={"image": {"alt": "Missed filters, rank correlation and completeness error against the number of gradients for five quadrature rules."}, "figure": {"caption": "Convergence of the path integral by rule on {glue:text}`convergence_on:s` (both axes logarithmic, lower is better). Circles mark faiglib's default and the released rule. Values below 0.000001 are drawn there.", "name": "fig-convergence"}}
converged = integration.convergence(bench)
show.convergence(converged)
# %%
verdict = report.default_verdict(converged)
display(Markdown(verdict.sentence))
glue(reference_error=verdict.error_reference)

# %% [markdown]
# The reference itself has a completeness error of {glue:text}`reference_error:.4f` %. The next table shows for each
# rule the fewest points among those tried from which on its top 1 % is as faithful as the released rule's.

# %%
tables.nodes_needed(report.nodes_needed(converged))

# %% [markdown]
# ## As published, as released
#
# [](../paper_versus_code.md) lists where the released program departs from the text. Three of these details could move
# the paper's tables: the metric, the measure of change, and the rule of the integral. Each is computed both ways.
#
# **Gray or blue.** The text measures the drop on gray images, the program in effect on the blue channel. The table has
# the drop of 1 % masked filters on their own input, {glue:text}`variants_on:s`. The two need not agree: gray weighs green most and blue least, and
# averages over errors that differ between the channels.

# %%
varied = report.variant_summary(measure.variants(bench))
tables.plain(
    varied.assign(network=varied["network"].map(TITLES), method=varied["method"].map(measure.VARIANTS)).rename(
        columns={
            "drop": "drop, gray (as published)",
            "drop_blue": "drop, blue (as released)",
            "blue_over_gray": "blue ÷ gray",
            "lost": "PSNR lost (dB)",
        }
    ),
    {
        "drop, gray (as published)": "{:.2f}",
        "drop, blue (as released)": "{:.2f}",
        "blue ÷ gray": "{:.2f}",
        "PSNR lost (dB)": "{:.2f}",
    },
    begun(variants_on),
)
# %%
metric = report.metric_verdict(varied)
glue(
    metric_cells=metric.cells,
    metric_same_best=metric.same_best,
    metric_same_order=metric.same_order,
    metric_faig_gray=metric.faig_best_gray,
    metric_faig_blue=metric.faig_best_blue,
    metric_least=metric.least,
    metric_median=metric.median,
    metric_largest=metric.largest,
)

# %% [markdown]
# FAIG's drop on the blue channel is {glue:text}`metric_median:.2f` times that on gray in the median cell (network ×
# function), from {glue:text}`metric_least:.2f` to {glue:text}`metric_largest:.2f`. Of the paper's four methods both
# metrics put the same one first in {glue:text}`metric_same_best:d` of {glue:text}`metric_cells:d` cells, and all four in
# the same order in {glue:text}`metric_same_order:d`. FAIG is first in {glue:text}`metric_faig_gray:d` of them on gray and
# in {glue:text}`metric_faig_blue:d` on blue.
#
# **The change of a filter.** Text: Σ|θ − θ̄|; program: the same divided by Σ|θ̄|. **The integral.** Default rule here,
# left 100 in the program. **The absolute value.** FAIG takes it per weight *after* the integration, so that pushes and
# pulls along the path cancel and the contributions stay complete. Taken *before*, it measures how much a weight is
# worked on along the way. This last one is no difference between text and program; both say *after*. For each detail the
# table tells how much of the top 1 % the two variants have in common, how their rankings correlate, and the drop that
# masking by the one or the other causes. (The scores for the last two details come from the convergence images
# alone.)

# %%
detail_table = measure.details(bench, varied)
tables.plain(
    detail_table.assign(network=detail_table["network"].map(TITLES)).rename(
        columns={
            "overlap": "top 1 % in common",
            "spearman": "rank correlation",
            "drop": "drop, first",
            "drop_other": "drop, second",
        }
    ),
    {
        "top 1 % in common": "{:.1%}",
        "rank correlation": "{:.4f}",
        "drop, first": "{:.2f}",
        "drop, second": "{:.2f}",
    },
)
# %%
by_detail = detail_table.groupby("detail", sort=False)[["overlap", "drop", "drop_other"]].mean()
for name, (_, _, detail) in zip(("change", "rule", "absolute"), measure.DETAILS, strict=True):
    glue(
        **{f"detail_{name}": 100 * by_detail.loc[detail, "overlap"]},
        **{f"detail_{name}_ratio": by_detail.loc[detail, "drop_other"] / by_detail.loc[detail, "drop"]},
    )

# %% [markdown]
# On average over cells, absolute and relative change share {glue:text}`detail_change:.0f` % of their top 1 %, and the mean
# drop of the relative variant is {glue:text}`detail_change_ratio:.2f` times that of the absolute one. The default rule and
# left 100 share {glue:text}`detail_rule:.1f` %, with {glue:text}`detail_rule_ratio:.2f` times the drop. Taking the
# absolute value first keeps {glue:text}`detail_absolute:.1f` % of the filters, with
# {glue:text}`detail_absolute_ratio:.2f` times the drop.
#
# ## Would other images have found the same filters?
#
# A set of filters is worth naming only if it is not an accident of the images that it was found on. The top 1 % of
# FAIG is compared between rankings that should agree: from the same images with other noise; from two halves of a handful
# of images; from two places in one image; from two different images; from two image sets with the number of images in
# the budget above; and from two training runs of the same network. By chance two sets share one percent.
#
# The last comparison depends on where the runs start. Runs from one baseline ([](10_training.ipynb) says which do) keep
# the numbering of its filters, so that an overlap far above chance is expected; it says how much of the choice is
# fine-tuning's. Runs from different random weights put the same ability into differently numbered filters, so that chance
# is expected, which says nothing against FAIG. *Where* in the network they sit can be compared over any runs, which is
# the matter of the chapter on distribution.

# %% mystnb={"image": {"alt": "Overlap of the top one percent filters between rankings from different noise, halves, places, images, image sets and training runs."}, "figure": {"caption": "Share of the top 1 % that two rankings have in common: mean, least and largest. Dotted: chance.", "name": "fig-stability"}}
stable = agreement.stability_summary(measure.stability(bench))
show.stability(stable)
# %%
tables.plain(
    stable.assign(network=stable["network"].map(TITLES), comparison=stable["comparison"].map(measure.COMPARISONS))[
        ["network", "comparison", "filters", "overlap", "least", "largest", "spearman", "comparisons"]
    ].rename(columns={"overlap": "in common", "spearman": "rank correlation", "comparisons": "number"}),
    {"in common": "{:.0%}", "least": "{:.0%}", "largest": "{:.0%}", "rank correlation": "{:.3f}"},
)
# %%
ranking = agreement.stability_verdict(stable)
halves = 100 * stable.loc[stable["comparison"] == "halves", "overlap"]
glue(halves_least=halves.min(), halves_most=halves.max())
display(Markdown(ranking.sentence))

# %% [markdown]
# ## How many images, and how large?
#
# The ranking from {glue:text}`sampling_images:d` central crops of {glue:text}`sampling_crop:d` pixels is the reference. It is
# compared with rankings from fewer of these images, which are part of it, and from all images at smaller crops. (One pair
# of each network; {glue:text}`sampling_nodes:d` midpoint nodes, whose error is small beside these differences.) What this
# costs in time is the matter of [](11_speed.ipynb).

# %% mystnb={"image": {"alt": "Share of the top one percent in common with the reference, and rank correlation, against number of images and crop size."}, "figure": {"caption": "Agreement with the ranking from all images at the largest crop: top 1 % of either function, and rank correlation of all filters (the same for both).", "name": "fig-sampling"}}
sampled = sampling.sampling(bench)
show.sampling(sampled)

# %%
glue(
    sampling_images=sampled.loc[sampled["varied"] == "images", "amount"].max(),
    sampling_crop=bench.profile.sampling_crops[-1],
    sampling_nodes=sampling.SAMPLING_NODES,
)

# %% [markdown]
# ## Three degradations at once
#
# The paper separates two degradations, and takes from the scores for one those for the other. The same works for any number
# of them: the scores for one, less the mean of those for all others. A small target was trained on blur, noise *and* JPEG
# compression (after the noise, with the codec of JPEG files). Which of its filters are there for which, and what does it
# cost each of the three inputs to mask them?

# %% mystnb={"image": {"alt": "Two matrices of three by three: the share of the drop by masked filters and input, and the filters that two sets have in common."}, "figure": {"caption": "{glue:text}`threefold_caption:s`", "name": "fig-threefold"}}
triple = threefold.pair_of(bench)
threefold_on = images_in_words(bench, bench.test_set, bench.profile.evaluation_images, bench.profile.evaluation_crop)
if triple is None:
    glue(threefold_caption="There is no pair here that was trained on three degradations.")
    display(Markdown("Among the weights of this run is no target that was trained on three degradations."))
else:
    matrix = threefold.costs(bench, triple)
    glue(threefold_caption=threefold.caption(triple, threefold_on))
    display(show.threefold(matrix, threefold.described(triple)))
# %%
if triple is not None:
    display(Markdown(threefold.in_words(matrix)))
    display(show.threefold_table(matrix, f"{threefold.described(triple)}; PSNR in dB, {threefold_on}"))

# %% [markdown]
# ## In short
#
# This chapter tests none of the paper's claims (a) to (j) by itself. It says how far the numbers behind them depend on
# choices that the paper does not discuss, in particular for claim (d), that FAIG leads in drop: with the metric as published
# it is first in {glue:text}`metric_faig_gray:d` of {glue:text}`metric_cells:d` cells of this page, as released in
# {glue:text}`metric_faig_blue:d`.

# %%
display(Markdown(report.in_short(verdict, metric, detail_table, ranking)))
