# %% [markdown]
# # Networks we did not train
#
# Every number of the other chapters rests on networks that were trained here, for a few per cent of the paper's budget. A
# reader would ask first what FAIG says of networks that others trained, and trained fully. waifu2x, an open program that
# enlarges pictures, has them: a network that only enlarges, and four that were fine-tuned from it to remove noise and
# the traces of JPEG compression besides, each more strongly than the one before. This is the setting that FAIG was made
# for. Are the paths between these networks sound? What becomes of the paper's claims on the strongest pair, by the limits
# that our own were judged by? And could the path have told the outcome beforehand?

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from IPython.display import HTML, Markdown, display

from faiglib.companion import criteria, public_claims, verdicts
from faiglib.companion.page import style
from faiglib.companion.page.budget import budget
from faiglib.companion.page.glue import glue
from faiglib.companion.public_pairs import kept, pairs, pictures, report, show, words
from faiglib.companion.workbench import open_workbench

style.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
found = kept.measured(bench)
tables = found.tables
glue(
    public_noise=pairs.NOISE,
    public_quality=pairs.QUALITY,
    public_filters=pairs.filters(),
    public_origin=words.origin(found),
    **{f"public_on_{name}": words.measured_on(found, name) for name in words.IMAGES},
)
display(HTML(budget(bench)))
display(Markdown(words.origin(found)))

# %% [markdown]
# ## The ground that FAIG would walk on
#
# Networks of waifu2x of the kind upconv_7 have six plain convolutions with {glue:text}`public_filters:,` filters, and a
# transposed one that enlarges. They come in two styles, trained on photographs and on drawings. Before anything is
# attributed, the straight line between two of them is walked on clean input. FAIG adds up gradients of the networks on
# it. (k) *The straight path is sound* up to one decibel of depth below the line between the ends. A dashed line has
# the means of the colour channels put right, so that what it falls is not brightness.

# %% mystnb={"image": {"alt": "PSNR on clean input along the path from target to baseline, a panel per kind of public pair, and one for other ways between the strongest pair."}, "figure": {"caption": "PSNR on clean input on the way from target to baseline (dashed: means of the channels put right), {glue:text}`public_on_profiles:s`.", "name": "fig-public-paths"}}
show.profiles(tables["profiles"])

# %%
glue(public_profiles=words.profiles(tables["profiles"]), public_distances=words.distances(tables["profiles"]))
show.depths(tables["profiles"], words.measured_on(found, "profiles"))

# %% [markdown]
# {glue:text}`public_profiles:s`
#
# {glue:text}`public_distances:s`
#
# The networks on drawings are a natural *wrong baseline*: it seems that the one that only enlarges was trained anew after
# the others, and the cosine of the weights says the same. The training script for photographs starts each noise model
# from the one that only enlarges, as FAIG wants it; the path shows how far a long training went from there.
#
# ## What the targets can do
#
# The inputs are those that the targets were trained for: noise of σ = {glue:text}`public_noise:d` ÷ 255, and JPEG of the quality
# {glue:text}`public_quality:d`. Blur, which none of them removes, is a negative control: filters that FAIG finds *for* it
# are there for nothing.

# %%
glue(public_abilities=words.abilities(tables["abilities"]))
show.abilities(tables["abilities"], f"PSNR in dB, means over {words.measured_on(found, 'abilities')}")

# %% [markdown]
# {glue:text}`public_abilities:s` From here on, this strongest pair stands for all.
#
# ## Masking
#
# As in [](03_masking.ipynb), 1 % of the target's filters become the baseline's. Filters are ranked for noise with JPEG
# eliminated, for JPEG with noise eliminated, and for blur with both eliminated. Large values on the diagonal and small
# ones off it would mean that the filters are specific.

# %% mystnb={"image": {"alt": "Two matrices of the PSNR lost by clean, noisy, compressed and blurry input when 1 % of the filters are masked for denoising, deblocking and, as a control, deblurring."}, "figure": {"caption": "PSNR in dB that masking FAIG\u2019s 1 % costs, as it is and with the means of the channels put right, {glue:text}`public_on_drops:s`. Deblurring is the control.", "name": "fig-public-masking"}}
show.selectivity(tables["drops"])

# %%
glue(public_masking=words.masking(tables["drops"]))
show.methods(tables["drops"], f"Own and other input, means over {words.measured_on(found, 'drops')}")

# %% [markdown]
# {glue:text}`public_masking:s`
#
# **Matched controls** are other filters of the same layers that training changed as much ([](13_faithfulness.ipynb)).

# %%
show.controls(report.against(tables["controls"]), words.measured_on(found, "controls"))

# %%
if found.recorded:
    display(Markdown("The photographs of this place need the networks, which are not here."))
else:
    display(show.pictures(pictures.pictures(bench, "chelsea")))

# %% [markdown]
# ## A knob, and a prediction
#
# At λ = 0 the found filters are the baseline's, at λ = 1 the target's, as in [](08_interpolation.ipynb). A knob for one
# degradation would move the own input and leave the other. (Where masking costs both inputs most of their brightness, a
# smooth curve from there to the target says little.)

# %% mystnb={"image": {"alt": "PSNR against \u03bb on own and other input, a panel for the knob of denoising and one for that of deblocking."}, "figure": {"caption": "PSNR against \u03bb on either input, means over {glue:text}`public_on_sweep:s`.", "name": "fig-public-knobs"}}
show.knobs(tables["sweep"])

# %%
glue(
    public_evenness=words.evenness(tables["layers"]),
    public_prediction=words.prediction(tables["overlaps"]),
    public_ways=words.ways(tables["everywhere"], criteria.SELECTIVE),
)

# %% [markdown]
# {glue:text}`public_prediction:s` {glue:text}`public_evenness:s`
#
# ## Is it the path?
#
# Two other ways lead from the strongest target to its baseline: by a waypoint that was trained to keep the loss low, as
# in [](13_faithfulness.ipynb); and through networks of the straight line whose channels have, convolution by
# convolution, means and variances between those of the ends {cite}`jordan2023repair`. {glue:text}`public_ways:s`
#
# Masking itself leaves any path: it puts single filters of one network among those of the other. That a way is sound does not
# make the masked network a sound one.
#
# ## Could the path have told it beforehand?
#
# All pairs, the public ones and those trained here, are asked with the same small budget ({glue:text}`public_on_everywhere:s`): how
# deep is the straight path on clean input, and how selective are the filters that FAIG finds? (n) *The path tells beforehand
# where FAIG is selective*: {glue:text}`beyond_n:s`.

# %% mystnb={"image": {"alt": "Selectivity of FAIG's filters against the depth of the path, both logarithmic, a point per pair, public ones and those trained here."}, "figure": {"caption": "Drop on the own over the other input when 1 % is masked, against the depth of the path on clean input. Dashed: the limits of a sound path and of selective filters.", "name": "fig-public-relation"}}
by_pair = report.by_pair(tables["everywhere"])
show.relation(by_pair, criteria.SELECTIVE)

# %%
verdicts.keep(bench, public_claims.foretold(tables["everywhere"], words.recorded(found)))
glue(
    public_relation=words.relation(tables["everywhere"]),
    public_control=words.control(tables["everywhere"], criteria.SELECTIVE),
)
show.pairs(by_pair, words.measured_on(found, "everywhere"))

# %% [markdown]
# {glue:text}`public_relation:s`
#
# Three things might pass for the path here. Pairs of one network are no independent cases, and the public ones are all of one
# network. Some pairs have little to be selective about: from one noise model to the next, the target gains little. And noise
# and JPEG might be harder to tell apart than noise and blur. For this last one there is a control, which was added when the
# first numbers were known and does not count for (n): a pair trained here that knows noise, blur and JPEG, asked for noise and
# JPEG like the public ones. {glue:text}`public_control:s`
#
# ## The claims
#
# The limits are those of the front page. Beside the verdicts on the public pair stand those on the pairs trained here, as
# the recorded run has them; a dash where these are judged by another measure: (f) in four parts, (g) and (j) beyond the
# paper.

# %%
judged = public_claims.verdicts(tables)
ours = {one.claim: verdicts.of_record(one.claim) for one in judged}
show.verdicts(public_claims.tabulated(judged, ours), f"Verdicts on {pairs.MAIN.title}, and on the pairs trained here")

# %%
display(Markdown(public_claims.in_short(judged)))

# %% [markdown]
# (g) and (j) do not ask that filters be specific: where masking costs every input, a knob that undoes it still leads to the
# target step by step, and images still excite filters of their own.
#
# ## In short
#
# - (n) *The path tells beforehand where FAIG is selective*: {glue:text}`beyond_n:s`.
#
# Look at the path before you attribute. `faiglib report` does so for any pair and says whether it is sound; the function
# is {py:func}`faiglib.attribution.path_profile.path_profile`.
