# %% [markdown]
# # FAIG: the path between two networks
#
# A network that was trained to remove blur *and* noise does both with one set of filters. Which of them do which?
# The paper {cite}`xie2021finding` answers by comparing two networks that differ in little else: a **baseline** $\bar\theta$,
# trained for plain super-resolution, and a **target** $\theta$, fine-tuned from that baseline on blurry and noisy input.
# What the target can do and the baseline cannot is exactly the removal of the degradations. This chapter derives the
# attribution, walks along the path it integrates over, and shows the filters it finds, all on one pair of networks
# ({glue:text}`pair:s`).

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from IPython.display import HTML, display

from faiglib.attribution import path_integral
from faiglib.attribution.path_profile import SOUND
from faiglib.companion.method import measure, report, show
from faiglib.companion.page import style, tables
from faiglib.companion.page.budget import budget
from faiglib.companion.page.glue import glue
from faiglib.companion.workbench import open_workbench
from faiglib.images.degradations import FUNCTIONS

style.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
pair = bench.pair(*bench.main_pair)
scene = measure.scene(bench)
rankings = measure.method_rankings(bench, pair)
named = bench.named(pair.network, pair.seed)
glue(pair=named)
display(HTML(budget(bench)))

# %% [markdown]
# ## From a loss to a filter
#
# How well a network $F(\theta)$ restores an input $x$ is measured against the ground truth $x_{gt}$ by
#
# $$ \mathcal{L}(\theta, x) = \lVert F(\theta, x) - x_{gt} \rVert_2^2 , $$
#
# summed over pixels. Between target and baseline this loss rises, because the baseline leaves the degradation in the
# image. Join the two by the straight line $\gamma(\alpha) = \alpha\,\bar\theta + (1-\alpha)\,\theta$ in parameter space.
# The rise is then the integral of the slope along the line, and the slope is a sum over single weights:
#
# $$ \mathcal{L}(\bar\theta, x) - \mathcal{L}(\theta, x)
#    = \sum_w \underbrace{\int_0^1 \frac{\partial \mathcal{L}(\gamma(\alpha), x)}{\partial \gamma(\alpha)_w}\,
#      (\bar\theta_w - \theta_w)\, d\alpha}_{\text{what weight } w \text{ contributes}} . $$
#
# Nothing is lost or counted twice: the contributions, biases included, add up to the whole difference. FAIG takes the
# absolute value of each weight's contribution *after* integration and sums it over the $K \times K$ weights of a filter
# $i$, that is, of one slice `weight[o, i]` of a convolution:
#
# $$ \mathrm{FAIG}_i(x) = \sum_{w \in i} \Bigl| \int_0^1 \frac{\partial \mathcal{L}}{\partial \gamma(\alpha)_w}
#    (\bar\theta_w - \theta_w)\, d\alpha \Bigr| . $$
#
# A filter that matters for every kind of input is not specific to one degradation. So the attribution for the *other*
# degradation of the same image is subtracted, and the mean taken over images:
#
# $$ \mathrm{FAIG}^{D}_i = \operatorname{mean}_x \bigl( \mathrm{FAIG}_i(x^{D}) - \mathrm{FAIG}_i(x^{\tilde D}) \bigr) , $$
#
# with $x^D$ blurry and $x^{\tilde D}$ noisy for **deblurring filters**, and the reverse for **denoising filters**. The
# best $p$ percent are the discovered filters.
#
# ### Not the same as integrated gradients
#
# Integrated gradients {cite}`sundararajan2017axiomatic` and its use on inner units {cite}`leino2018influence` keep the
# network fixed and move the *input* from a reference to the image. That says which filters respond to the difference of
# two images. FAIG keeps the image fixed and moves the *network*, which says which filters carry the difference of two
# abilities. As the paper uses it, **IG** takes the gradient of the summed output with respect to every weight, averages it
# along the straight line from the clean to the degraded input, takes the absolute value and sums over a filter. It sees
# neither the baseline nor the ground truth, and nothing of the other degradation is subtracted.
# In faiglib the two stand side by side as `faiglib.attribution.parameter_path` and `faiglib.attribution.input_path`.
#
# ## The two inputs of one image

# %% mystnb={"image": {"alt": "Four crops of a cat: ground truth, clean, blurry and noisy network input."}, "figure": {"caption": "One ground truth and the network inputs made from it. Blur: Gaussian, \u03c3 = 2 HR pixels. Noise: white Gaussian, \u03c3 = 0.1 on the scale from 0 to 1. Photograph: scikit-image.", "name": "fig-inputs"}}
show.inputs({"ground truth": scene.ground_truth} | {f"{kind} input": image for kind, image in scene.inputs.items()})
# %% [markdown]
# ## Walking the path
#
# The first picture moves the network from the target to the baseline and restores the blurry and the noisy input at each
# stop. Look whether the abilities fade gradually, and whether each network in between is a sound one: a path through
# nonsense would be a poor choice. The next figure puts numbers to it.

# %% mystnb={"image": {"alt": "Restored crops of a cat at five positions between target and baseline, for blurry and for noisy input."}, "figure": {"caption": "Outputs of the networks \u03b3(\u03b1) of {glue:text}`pair:s` on the straight line from the target (left) to the baseline (right).", "name": "fig-path-frames"}}
show.path_frames(measure.frames(pair, scene, (0.0, 0.25, 0.5, 0.75, 1.0)), named)
# %% [markdown]
# The second picture is what the integral does. On the left, the loss along the path for both inputs. On the right, its
# slope, divided among four groups of parameters: the 1 % deblurring filters, the 1 % denoising filters, all the other
# filters, and the biases. The area of a colour is what that group contributes to the integral.

# %% mystnb={"image": {"alt": "Loss against alpha for blurry and noisy input, and its slope stacked by parameter group."}, "figure": {"caption": "Left: mean squared error along the path. Middle and right: its slope for blurry and for noisy input, stacked by the parameters that cause it.", "name": "fig-along-path"}}
path_table = measure.along_path(bench, pair, scene, rankings)
show.loss_along_path(path_table, named)
# %%
shares = report.shares(path_table)
by_group = shares.set_index(["input", "group"])
for kind, function in (("blurry", "deblurring"), ("noisy", "denoising")):
    glue(**{f"share_{function}": 100 * by_group.loc[(kind, f"1 % {function} filters"), "share"]})
integral = path_integral(
    pair.target, pair.baseline, scene.inputs["blurry"], scene.ground_truth, nodes=bench.profile.nodes
)
glue(
    delta_nodes=bench.profile.nodes,
    delta_percent=100 * abs(integral.convergence_delta) / abs(integral.loss_at_baseline - integral.loss_at_target),
)
tables.plain(
    shares.rename(columns={"integral": "∫ slope dα", "loss_change": "MSE(θ̄) − MSE(θ)"}),
    {"∫ slope dα": "{:.5f}", "share": "{:.1%}", "MSE(θ̄) − MSE(θ)": "{:.5f}"},
    named,
)

# %% [markdown]
# On this image the 1 % deblurring filters alone account for {glue:text}`share_deblurring:.1f` % of what the blurry input
# loses on the way to the baseline, and the 1 % denoising filters for {glue:text}`share_denoising:.1f` % of what the
# noisy input loses. (These are signed sums; the ranking uses absolute values per weight.)
#
# The integral is computed from finitely many gradients. With the {glue:text}`delta_nodes:d` nodes of this run, the sum of
# all contributions for the blurry input misses the true difference of the losses by {glue:text}`delta_percent:.3f` %.
#
# ## Is the path sound?
#
# The integral can say of the ends only what the way between them allows. If the networks half-way restore nothing, not
# even a clean image, filters that matter there need not matter at either end. The figure shows the PSNR on clean input
# along the path of every pair; the *barrier* is its largest depth below the straight line between its ends, as in studies
# of linear mode connectivity {cite}`frankle2020linear`. A path counts as *sound* up to {glue:text}`sound_limit:.0f` dB, as one of *shifted brightness* if
# putting the mean of each colour channel right brings it there, and else as *broken*. `faiglib attribute` says the same of
# your own pair before it starts.

# %% mystnb={"image": {"alt": "PSNR on clean input along the straight path from target to baseline, for every pair of networks."}, "figure": {"caption": "PSNR on clean input along the straight path of every pair; crops of scikit-image's photographs.", "name": "fig-path-profiles"}}
profiles = measure.profiles(bench)
glue(sound_limit=SOUND)
show.profiles(profiles)
# %%
soundness = report.soundness(profiles)
glue(soundness=report.soundness_in_words(soundness))
tables.plain(
    soundness.rename(columns={"barrier": "barrier (dB)", "barrier_level": "barrier, means put right (dB)"}),
    {"barrier (dB)": "{:.2f}", "barrier, means put right (dB)": "{:.2f}"},
)

# %% [markdown]
# {glue:text}`soundness:s`
#
# ## The filters that were found

# %%
top = report.top_filters(rankings, 10)
tables.plain(top, {"score": "{:.4g}"}, named)

# %% mystnb={"image": {"alt": "Grids of 3 by 3 kernels of the ten best deblurring and denoising filters in baseline and target, with their difference."}, "figure": {"caption": "The ten highest-ranked filters of each function: kernel in the baseline, in the target, and what fine-tuning changed. Titles give layer and [output, input]; red is positive, blue negative; baseline and target share a scale, the change has its own.", "name": "fig-kernels"}}
show.kernel_grid(top, report.kernels(pair, top), named)
# %%
concentration = report.concentration(rankings)
for function in FUNCTIONS:
    rows = concentration[concentration["filters"] == function]
    nearest = rows.iloc[(rows["percent"] - 1).abs().argmin()]
    glue(**{f"held_{function}": 100 * nearest["share"]})

# %% [markdown]
# The attribution is concentrated: the best 1 % hold {glue:text}`held_deblurring:.0f` % of all positive attribution for
# deblurring and {glue:text}`held_denoising:.0f` % for denoising.

# %% mystnb={"image": {"alt": "Cumulative share of positive FAIG scores against the percentage of best filters."}, "figure": {"caption": "How much of all positive FAIG the best filters hold.", "name": "fig-concentration"}}
show.concentration(concentration, named)
# %% [markdown]
# ## Do the methods agree?
#
# Four rankings of the same filters: FAIG, IG, the size of the change $|\theta - \bar\theta|$, and chance. The matrices
# show which share of their top 1 % two methods have in common. Whether a method is *right* is not settled by agreement;
# that takes the experiments of the next chapter.

# %% mystnb={"image": {"alt": "Two matrices of overlaps between the top one percent filters of four methods."}, "figure": {"caption": "Overlap of the top 1 % between methods, for deblurring and for denoising filters.", "name": "fig-agreement"}}
show.agreement(report.agreement(rankings), 1, named)

# %% [markdown]
# ## In your own code
#
# Everything above is a call of the library. For two networks of yours, of any architecture made of `nn.Conv2d`:
#
# ```python
# from faiglib import faig
#
# blurry = faig(target, baseline, [(blurry_image, ground_truth), ...])
# noisy = faig(target, baseline, [(noisy_image, ground_truth), ...])
# deblurring_filters = (blurry - noisy).top(percent=1)
# ```
