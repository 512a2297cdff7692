# %% [markdown]
# # Prediction: which degradation does an image show?
#
# If the filters that remove noise are known, then a noisy image should be recognisable by the filters it calls for. The
# paper turns this into a predictor that needs no training: rank the filters on one image by FAIG, take the top 1 %, and
# see how many of them are among the denoising filters. This share is the **overlap score**
#
# $$ \mathrm{OS}(x, D) = \frac{|\mathrm{filter}^D \cap \mathrm{filter}^x|}{|\mathrm{filter}^x|} , $$
#
# and the image is said to be noisy where it exceeds a threshold $T^{noise}$, blurry where the score with the deblurring
# filters exceeds $T^{blur}$. The paper finds that this decides nearly every image rightly.
#
# It leaves open how an image without ground truth gets its filters, since FAIG differentiates a loss that needs one.
# Two ways are tried here. The **blind** one takes the target's own output as ground truth: the loss then starts from
# zero at the target and grows along the path by what the target does to this image and the baseline does not. The
# **oracle** takes the true ground truth, which no user has. In neither is another degradation subtracted, because for a
# single image of unknown kind there is nothing to subtract.

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from IPython.display import HTML, display

from faiglib.companion import claims, paper, record, verdicts
from faiglib.companion.page import style, tables
from faiglib.companion.page.budget import budget
from faiglib.companion.page.glue import glue
from faiglib.companion.prediction import decisions, measure, report, roles, sets_in_words, show
from faiglib.companion.workbench import open_workbench
from faiglib.networks import TITLES

style.style()
bench = roles.widen(open_workbench(profile, device, seed, data_dir, models_dir))
display(HTML(budget(bench)))
parts = roles.roles(bench)
titles = {name: bench.image_set(name).title for name in (parts.discovery, *parts.scored)}
tables.plain(roles.roles_table(bench))

# %%
glue(
    prediction_rule=bench.profile.prediction_rule,
    prediction_nodes=bench.profile.prediction_nodes,
    prediction_sets=sets_in_words.roles_sentence(parts),
    tested_set=titles[parts.tests[0]],
    application=sets_in_words.application(parts),
    scores_caption=sets_in_words.scores_caption(parts, len(bench.seeds(bench.main_pair[0]))),
    accuracy_caption=sets_in_words.accuracy_caption(parts),
    transfer_words=sets_in_words.transfer_words(parts),
    integrals=measure.integrals(bench),
    over_seeds=bench.where_several(" (mean over seeds)"),
)

# %% [markdown]
# {glue:text}`prediction_sets:s` The path integral of a single image is computed from
# {glue:text}`prediction_nodes:d` nodes ({glue:text}`prediction_rule:s`); that of the paper has 100. The paper chooses
# thresholds on BSD100 and measures on DIV2K's validation set, both as whole images.
#
# Beside the blurry and noisy inputs of the paper there are two kinds that it does not test: **clean** inputs, which show
# neither degradation, and **blurry+noisy** ones, which show both.
#
# For comparison there is a **plain rule** on pixels, without any network: for noise the estimate of Immerkær
# {cite}`immerkaer1996fast` of its standard deviation, for blur the variance of the Laplacian
# {cite}`pechpacheco2000diatom`, low in a blurry image. Its thresholds are chosen in the same way on the same images. It
# tells how hard the task is.
#
# ## The scores

# %% mystnb={"image": {"alt": "Overlap scores of images by kind of input, with the threshold chosen here and the one of the paper."}, "figure": {"caption": "{glue:text}`scores_caption:s`", "name": "fig-overlaps"}}
scores = measure.scores(bench)
best = decisions.thresholds(scores)
test_set = parts.tests[0]
show.overlaps(scores[scores["image_set"] == test_set], best[best["image_set"] == parts.thresholds])
# %% [markdown]
# Blind and oracle scores side by side, as means over all images and seeds, with the mean absolute difference between the
# two scores of an image:

# %%
candidates = report.candidates(scores)
glue(
    candidate_difference=candidates["difference"].mean(),
    candidate_largest=candidates["difference"].max(),
)
tables.plain(
    candidates.replace(TITLES).rename(columns={"pseudo": "blind", "difference": "mean |difference|"}),
    {"blind": "{:.3f}", "oracle": "{:.3f}", "mean |difference|": "{:.3f}"},
)

# %%
limits = best[(best["image_set"] == parts.thresholds) & (best["predictor"] == "pseudo") & (best["inputs"] == "two")]
limits = limits.set_index(["network", "seed", "degradation"])["threshold"]
glue(
    nodes_sentence=report.nodes_sentence(
        measure.stability(bench), dict(limits.loc[bench.main_pair]), bench.named(*bench.main_pair)
    )
)

# %% [markdown]
# The two differ by {glue:text}`candidate_difference:.3f` on average, and by at most {glue:text}`candidate_largest:.3f` in
# the mean of a row.
#
# The integral of a single image is computed from {glue:text}`prediction_nodes:d` nodes.
# {glue:text}`nodes_sentence:s` The nodes are so few because every image takes integrals of its own, for each pair of
# networks, kind of input and predictor; {glue:text}`integrals:,d` of them are behind this page.
#
# ## Accuracy
#
# The threshold of each network, seed and degradation is the one with the highest accuracy on the blurry and noisy inputs,
# in the middle of the range that reaches it. {glue:text}`application:s` Half of the inputs show the degradation, so
# guessing gets 50 %.

# %%
decided = decisions.decisions(scores)
cells = decisions.accuracy(decided)
headline = report.headline(cells, parts)
record.keep(bench, "prediction", headline)
glue(
    weakest_cell=report.weakest(headline),
    paper_thresholds=report.paper_thresholds(scores),
)
for degradation, published in paper.PREDICTION.items():
    glue(**{f"paper_threshold_{degradation}": published.threshold})
show.prediction(headline, titles, measure.PREDICTORS)

# %% mystnb={"image": {"alt": "Accuracy against the threshold for blur and noise, for each network."}, "figure": {"caption": "{glue:text}`accuracy_caption:s`", "name": "fig-accuracy-curve"}}
curves = decisions.curves(scores)
show.accuracy_curves(curves, parts.thresholds, test_set, titles)
# %% [markdown]
# Least often right is {glue:text}`weakest_cell:s`. The paper's thresholds ({glue:text}`paper_threshold_blur:g` for blur,
# {glue:text}`paper_threshold_noise:g` for noise) belong to its networks. Of the blind scores here that should exceed them, so many
# do: {glue:text}`paper_thresholds:s`. {glue:text}`transfer_words:s`

# %%
show.prediction_transfer(report.transfer(cells), titles, measure.PREDICTORS)

# %% [markdown]
# ## ROC
#
# A threshold mixes two things: whether the score separates the images, and whether the threshold found on some images suits
# others. The receiver operating characteristic, which the paper does not show, looks at the first alone. The area
# under it (AUC) is the chance that an image with the degradation scores higher than one without. Its interval is a
# bootstrap over images; where no pair of images is in the wrong order, it cannot be wider than a point.

# %% mystnb={"image": {"alt": "ROC curves of the blind overlap score, the oracle and the plain rule for blur and noise."}, "figure": {"caption": "ROC on {glue:text}`tested_set:s`, with the AUC{glue:text}`over_seeds:s`. Left: blur; right: noise. For each network the upper row has blurry and noisy input, as in the paper, the lower one clean and blurry+noisy input besides.", "name": "fig-roc"}}
areas = decisions.areas(scores)
record.keep(bench, "areas", areas)
show.roc_curves(
    decisions.rocs(scores),
    areas,
    test_set,
    {"two": "blurry and noisy", "four": "all four inputs"},
    measure.PREDICTORS,
)
# %%
show.prediction_areas(areas[areas["image_set"].isin(parts.tests)], titles, measure.PREDICTORS)

# %% [markdown]
# ## Clean and doubly degraded inputs
#
# What does the predictor say of an image that is neither blurry nor noisy, or both? Each number is the share of inputs
# said to show the degradation; it should be 100 % in the frames and 0 % elsewhere. In the left column thresholds are
# those of the paper's task, chosen from blurry and noisy inputs; in the right one they are chosen from all four kinds.

# %% mystnb={"image": {"alt": "Matrices of the share of inputs said to be blurry and noisy, for the overlap score and for the plain rule."}, "figure": {"caption": "Share of inputs of each kind that are said to show blur and noise, on {glue:text}`tested_set:s`.", "name": "fig-prediction-rates"}}
rates = decisions.rates(decided)
shown = (rates["image_set"] == test_set) & (rates["thresholds_on"] == parts.thresholds)
show.rates(
    rates[shown & (rates["predictor"] != "oracle")],
    [("two", "thresholds from blurry, noisy"), ("four", "thresholds from all four")],
)
# %%
for name, rate in decisions.blind_rates(rates, parts).items():
    glue(**{name: 100 * rate})
result = report.verdict(scores, parts)
verdicts.keep(bench, claims.prediction(scores, parts))
glue(
    four_overlap=100 * result.four,
    four_plain=100 * result.four_plain,
    comparison_two=report.comparison(result.mean, result.plain),
    comparison_four=report.comparison({"four": result.four}, {"four": result.four_plain}),
    difficulty=report.difficulty(result.plain),
)
for degradation, published in paper.PREDICTION.items():
    glue(**{f"paper_{degradation}": 100 * published.accuracy})

# %% [markdown]
# With the thresholds of the paper's task, {glue:text}`clean_blur:.0f` % of clean inputs are said to be blurry and
# {glue:text}`clean_noise:.0f` % noisy; of blurry+noisy inputs {glue:text}`both_blur:.0f` % are said to be blurry and
# {glue:text}`both_noise:.0f` % noisy (blind, mean over all of this page). A likely
# reason where a second degradation is overlooked: an image has only one top 1 %, and both compete for it.
#
# With thresholds from all four kinds, blur *and* noise are both decided rightly for {glue:text}`four_overlap:.0f` % of the
# inputs by the blind overlap score and for {glue:text}`four_plain:.0f` % by the plain rule; guessing gets 25 %. On this
# harder task {glue:text}`comparison_four:s`.
#
# ## In short
#
# *Blur and noise can be predicted from the overlap of filters, without a label for the image*:
# in the paper's own setup {glue:text}`paper_g:s`, beyond it {glue:text}`beyond_g:s`. The paper has
# {glue:text}`paper_blur:.0f` % for blur and {glue:text}`paper_noise:.0f` % for noise.
#
# Without a label does not mean without knowledge. The filters of each degradation were discovered from images degraded
# on purpose, and the thresholds chosen from images whose degradation is known. As to how hard the paper's task is, to
# tell a Gaussian blur of σ = 2 from noise of σ = 0.1: {glue:text}`comparison_two:s`, and {glue:text}`difficulty:s`.
