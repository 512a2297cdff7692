# %% [markdown]
# # Re-training: giving an ability back, one filter in a hundred
#
# Masking took filters away. This chapter goes the other way. It starts from the **baseline**, which removes neither blur
# nor noise, and lets only the discovered 1 % of its filters learn, on blurry images or on noisy ones. All other filters
# and all biases stay as they are. If the locations found by FAIG are the right place for an ability, then learning there
# should bring more of it back than learning in any other 1 %.

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from IPython.display import HTML, Markdown, display

from faiglib.companion import claims, paper, record, verdicts
from faiglib.companion.distribution import measure as distribution_measure
from faiglib.companion.distribution import report as distribution_report
from faiglib.companion.page import style, tables
from faiglib.companion.page.budget import budget, images_in_words
from faiglib.companion.page.glue import glue
from faiglib.companion.retraining import measure as retraining_measure
from faiglib.companion.retraining import report as retraining_report
from faiglib.companion.retraining import show
from faiglib.companion.workbench import open_workbench
from faiglib.networks import TITLES
from faiglib.training.recipe import paper_recipe

style.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
display(HTML(budget(bench)))
glue(
    iterations=bench.profile.retraining_iterations,
    batch=bench.profile.retraining_batch,
    patch=bench.profile.retraining_patch,
    paper_iterations=paper_recipe("srcnn_style", "target").iterations,
    training_set=bench.training_set.title,
    judged_on=images_in_words(bench, bench.test_set, bench.profile.curve_images, bench.profile.discovery_crop),
)

# %% [markdown]
# ## How it is measured
#
# Each run trains for {glue:text}`iterations:d` iterations of {glue:text}`batch:d` patches of {glue:text}`patch:d` pixels a
# side, cut from {glue:text}`training_set:s`, with the trainer that made the
# networks themselves, every patch blurry (to learn deblurring) or every patch noisy (to learn denoising). All runs of a
# pair see the same patches in the same order, so that only the choice of filters differs. PSNR is measured on
# {glue:text}`judged_on:s`, in the degradation that was trained. For reference all filters learn under the same budget, the
# **upper bound** of the paper; where that gains nothing, nothing has a share of it. The paper trains for {glue:text}`paper_iterations:,d` iterations; so few as here show which
# locations learn *fastest*, so that neither size nor order need be the paper's. It shows the experiment for the SRCNN-style
# network only.

# %%
runs = retraining_measure.retraining(bench)
final = retraining_report.final(runs)
record.keep(bench, "retraining", final)
for network in final["network"].unique():
    display(show.retraining_table(final, network))
if bench.test_set not in paper.IMAGE_SETS and (recorded := record.known("retraining")) is not None:
    display(show.recorded_table(recorded))

# %% mystnb={"image": {"alt": "PSNR against iterations for four choices of one percent of the filters, and for all filters."}, "figure": {"caption": "PSNR while 1 % of the filters learn; the dotted line lets all filters learn.", "name": "fig-retraining"}}
show.curves(runs)
# %%
display(Markdown(retraining_report.in_words(final)))
glue(last_layers=distribution_report.last_layers(distribution_report.spread(distribution_measure.shares(bench))))

# %% [markdown]
# How fast a filter learns may depend on where it is, which this comparison does not control for. The last two convolutions
# hold, of the sets of the masking chapter (mean of both functions): {glue:text}`last_layers:s`.
#
# ## As released: never the first layer
#
# The released program re-trains no filter of the first layer, although such filters can be among the chosen ones. The table
# counts them among FAIG's, and compares re-training all chosen filters, as the text says, with re-training them without
# the first layer, for the filters' own function and one pair of each network. (The program does this for the SRCNN-style
# network only; for the other it is what it would do.) Where no chosen filter lies in the first layer, nothing changes.

# %%
difference = retraining_measure.released_difference(bench, runs)
tables.plain(
    difference.assign(
        network=difference["network"].map(TITLES), change=difference["psnr_released"] - difference["psnr"]
    )
    .drop(columns="seed")
    .rename(
        columns={
            "chosen": "chosen filters",
            "first_layer": "of these in the first layer",
            "psnr": "PSNR, as published",
            "psnr_released": "PSNR, as released",
            "change": "change (dB)",
        }
    ),
    {"PSNR, as published": "{:.3f}", "PSNR, as released": "{:.3f}", "change (dB)": "{:+.3f}"},
)

# %%
share = retraining_report.share_of_training(bench.profile)
verdicts.keep(bench, claims.retraining(runs, share, bench.test_set))
verdict = retraining_report.verdict(final)
glue(below_random=verdict.below_random, comparisons=verdict.comparisons, deepest=verdict.deepest)

# %% [markdown]
# ## In short
#
# *Learning at the locations found by FAIG brings more of their own function back than learning anywhere else*. In the
# paper's own setup: {glue:text}`paper_e:s`. Beyond it: {glue:text}`beyond_e:s`. The paper adds that other methods can
# fall below random locations: here they do in {glue:text}`below_random:d` of {glue:text}`comparisons:d` comparisons, by
# {glue:text}`deepest:.3f` dB at most.
