# %% [markdown]
# # Where the filters are
#
# FAIG names one filter in a hundred for deblurring and another one for denoising. Do they sit together, and where? The
# paper draws them in a map (its Fig. 7) and describes it in one sentence: deblurring filters lie towards the back of the network,
# denoising filters are spread evenly, with a cluster in the last layers. This chapter draws the same map and puts numbers
# to the sentence: shares per layer against an even spread, the mean depth with an interval, how many filters would have
# to move for the spread to be even, and what the last layers hold.

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from IPython.display import HTML, Markdown, display

from faiglib.companion import claims, record, verdicts
from faiglib.companion.distribution import measure, report, show
from faiglib.companion.page import interactive, style, tables
from faiglib.companion.page.budget import budget
from faiglib.companion.page.glue import glue
from faiglib.companion.workbench import open_workbench
from faiglib.networks import TITLES

style.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
display(HTML(budget(bench)))

# %% [markdown]
# ## The map
#
# Every dot is a filter of the 1 % sets found by FAIG, drawn at its place: a layer is a column, and within it the outputs go
# from top to bottom and the inputs from left to right. A horizontal streak is a feature map that is put together anew;
# a vertical streak is one that many others read.

# %% mystnb={"image": {"alt": "Maps of the networks with a dot for each deblurring and each denoising filter, layer by layer."}, "figure": {"caption": "Places of the 1 % deblurring and denoising filters (main Fig. 7), for the first trained pair of each network.", "name": "fig-filter-map"}}
shares = measure.shares(bench)
locations = measure.locations(bench)
show.filter_map(locations, shares)
# %%
for network, found in locations.groupby("network", sort=False):
    found = found[found["seed"] == found["seed"].iloc[0]]
    layers = shares.loc[shares["network"] == network, "layer"].unique()
    caption = f"{TITLES[network]}: point at a filter, or walk along the ranking with the arrow keys."
    display(interactive.filter_map(found, layers, caption))
# %% [markdown]
# ## Layer by layer
#
# Layers differ in size, so a count alone says little: if filters were drawn at random, a layer would get as many as
# its size allows. That even spread is the line across the bars.

# %% mystnb={"image": {"alt": "Bars of the share of deblurring and denoising filters in each layer, with the share of an even spread."}, "figure": {"caption": "Share of each set in each layer{glue:text}`over_seeds:s`; line: even spread.", "name": "fig-layer-shares"}}
glue(over_seeds=bench.where_several(", mean over seeds with the range between them"))
show.layer_bars(shares)
# %% [markdown]
# The same counted from the front: how much of a set has been met when so much of the network has been passed. A curve
# below the diagonal belongs to a set at the back; a curve along the diagonal to an even one; a steep end to a cluster
# in the last layers.

# %% mystnb={"image": {"alt": "Cumulative share of the discovered filters against the share of the network passed."}, "figure": {"caption": "Filters of the sets met on the way from the first to the last layer, a line per seed and a point per layer.", "name": "fig-depth-curves"}}
show.depth_curves(shares)
# %% [markdown]
# ## Mean depth
#
# Depth runs from 0, the first convolution, to 1, the last. The mean depth of a set is compared with that of an even
# spread. Where there are several training runs of a network, the interval (95 %, Student's t) is over them; it does not
# cover another baseline where they share one ([](10_training.ipynb)). Where there is one run, it is a bootstrap over the filters of the set and says nothing about what another training run would give. The other
# ways of choosing filters are shown for comparison: the random ones must meet the even spread, and a method that looks
# at the size of changes alone has one set for both functions.

# %% mystnb={"image": {"alt": "Mean depth of deblurring and denoising filters chosen by four methods, with intervals, and of an even spread."}, "figure": {"caption": "Mean depth of the 1 % sets of four methods with 95 % intervals; dashed: even spread.", "name": "fig-centroids"}}
centroids = report.centroids(shares)
record.keep(bench, "centroids", centroids)
show.centroids(centroids)
# %%
show.depths(centroids[centroids["method"] == "faig"])

# %% [markdown]
# ## The last layers
#
# *Uneven* is the share of a set, leaving out the last two convolutions, that would have to move to another layer to lie
# evenly. Even chance does not give exactly 0 %; the random filters show how much it gives. The last two convolutions are
# the one at full resolution and the output layer; what they hold is set in relation to what an even spread would put
# there. The output layer alone has few filters, so the last column says which part of them is in the set.

# %%
spread = report.spread(shares)
record.keep(bench, "layers", spread)
first_layer = shares[(shares["method"] == "faig") & (shares["number"] == 0)]["share"]
glue(first_layer=100 * first_layer.max())
show.layer_spread(spread)

# %% [markdown]
# ## Do the two sets overlap?
#
# With gradient elimination they cannot, apart from ties: the score for deblurring is the attribution of the blurry image
# minus that of the noisy one, and the score for denoising is the same with the sign turned round. The top of one ranking is
# the bottom of the other. The question becomes meaningful without elimination, or with IG, which ranks each degradation by
# itself. *Layers in common* is 100 % when both sets divide among the layers in the same way, whichever filters they
# take there.

# %%
overlaps = measure.overlaps(bench)
tables.plain(
    overlaps.assign(network=overlaps["network"].map(TITLES)).rename(
        columns={"overlap": "filters in common", "layer_overlap": "layers in common"}
    ),
    {"filters in common": "{:.1%}", "layers in common": "{:.0%}"},
)
# %%
raw = overlaps[overlaps["ranking"] == "FAIG without elimination"]["overlap"]
glue(
    raw_overlap_least=100 * raw.min(),
    raw_overlap_most=100 * raw.max(),
)
own = overlaps[overlaps["ranking"] == "FAIG"]["overlap"]
glue(
    overlap_most=100 * own.max(),
    percent=measure.PERCENT,
    largest_layer=report.largest_layer(shares),
)

# %% [markdown]
# With elimination the sets share {glue:text}`overlap_most:.1f` % of their filters. Without it,
# {glue:text}`raw_overlap_least:.0f` to {glue:text}`raw_overlap_most:.0f` % of the top {glue:text}`percent:g` % for blurry
# input are also in the top {glue:text}`percent:g` % for noisy input (chance: {glue:text}`percent:g` %): many filters
# matter for both, and elimination is what tells the functions apart.
#
# ## Differences from the paper
#
# The paper shows one map and judges it by eye; it has no number to compare with. "Towards the back", "evenly" and
# "cluster" are therefore given limits in the code of `faiglib.companion.distribution.report`, set when only trial runs were
# known: at the back means that the whole interval lies behind the even spread; even, that no more than a quarter of the filters would
# have to move; a cluster, that the last two convolutions hold at least twice an even spread. Two things may play a
# part where a network disagrees; neither is tested here. The shipped networks were trained for a small part of the paper's
# iterations. And the even spread itself depends on how filters divide among the layers. {glue:text}`largest_layer:s`
#
# ## In short
#
# The paper: deblurring filters sit towards the back of the network, denoising filters are spread evenly with a cluster in
# the last layers (claim f). Here:

# %%
display(Markdown(report.in_words(report.verdict(shares))))
verdicts.keep(bench, claims.distribution(shares, bench.test_set))

# %% [markdown]
# Taken together, in the paper's own setup: {glue:text}`paper_f:s`. Beyond it: {glue:text}`beyond_f:s`.
