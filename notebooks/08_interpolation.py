# %% [markdown]
# # A knob for each ability
#
# Masking takes an ability away all at once. The paper's last experiment (supplementary Figs. 10 and 11) turns it down
# step by step: on the discovered filters, and on them alone, the weights are
#
# $$ \theta_\lambda = (1-\lambda)\,\bar\theta + \lambda\,\theta . $$
#
# At λ = 1 the network is the target; at λ = 0 the discovered filters are the baseline's, as in the chapter on
# masking. In between, so the paper says, λ controls how strongly the network deblurs or denoises. The paper shows this
# in pictures. This chapter shows them again, measures sharpness and noise along the way, goes beyond λ = 1, and turns both
# knobs at once.

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from IPython.display import HTML, Markdown, display

from faiglib.companion import claims, record, verdicts
from faiglib.companion.interpolation import measure as interpolation_measure
from faiglib.companion.interpolation import report, show
from faiglib.companion.method import measure as method_measure
from faiglib.companion.page import interactive, style
from faiglib.companion.page.budget import budget, images_in_words
from faiglib.companion.page.glue import glue
from faiglib.companion.page.words import counted
from faiglib.companion.workbench import open_workbench

style.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
scene = method_measure.scene(bench, crop=240)
display(HTML(budget(bench)))

# %% [markdown]
# ## To the eye
#
# The input, then the restorations from λ = 0 on, then the ground truth. λ from 0 to 1 are the paper's eight; larger ones
# go on past the target in the direction in which fine-tuning moved the filters. First the denoising filters on a
# noisy input (supplementary Fig. 10), then the deblurring filters on a blurry one (supplementary Fig. 11).

# %% mystnb={"image": {"alt": "A noisy picture of a cat, restored with the denoising filters at rising lambda."}, "figure": {"caption": "Denoising filters of {glue:text}`pair:s` from the baseline's (\u03bb = 0) over the target's (\u03bb = 1) and beyond (supp. Fig. 10). Photograph: scikit-image.", "name": "fig-strip-denoising"}}
pair, named = bench.pair(*bench.main_pair), bench.named(*bench.main_pair)
glue(pair=named)
strips = {
    function: interpolation_measure.strip(bench, pair, function, scene) for function in ("denoising", "deblurring")
}
show.strip(strips["denoising"], f"{named}, noisy input, 1 % denoising filters")
# %% mystnb={"image": {"alt": "A blurry picture of a cat, restored with the deblurring filters at rising lambda."}, "figure": {"caption": "Deblurring filters of {glue:text}`pair:s` from the baseline's (\u03bb = 0) over the target's (\u03bb = 1) and beyond (supp. Fig. 11). Photograph: scikit-image.", "name": "fig-strip-deblurring"}}
show.strip(strips["deblurring"], f"{named}, blurry input, 1 % deblurring filters")
# %%
for function, images in strips.items():
    turned = {(name.removeprefix("λ = "),): image for name, image in images.items() if name.startswith("λ")}
    caption = f"{named}, the knob of the {function} filters: λ = 0 is the baseline’s filters, 1 the target’s."
    alt = f"The cat restored with the {function} filters at λ"
    display(interactive.frames(turned, [f"λ of the {function} filters"], ("1",), caption, alt))
# %% [markdown]
# ## What the knob changes
#
# *Sharpness* is the mean gradient magnitude of the gray output. *Residual noise* is estimated from the output alone, by the
# median of its finest diagonal details {cite}`donoho1994ideal`; fine texture counts as noise, so the value to reach is
# that of the ground truth, not 0. Both are in 8-bit levels. PSNR is given for both inputs: the knob's own, and the one that
# it ought to leave alone. Filters are discovered and the knob is measured on one image set, as in the chapter on masking:
# {glue:text}`sweep_on:s`, cropped as for discovery.

# %% mystnb={"image": {"alt": "Sharpness or residual noise, and PSNR of both inputs, against lambda for each network and set of filters."}, "figure": {"caption": "For each network, upper row: sharpness with the deblurring knob and residual noise with the denoising knob, on the knob's own input. Lower row: PSNR of both inputs against that of the target. Thin lines are single images ({glue:text}`sweep_on:s`), thick ones the mean; the shaded part lies beyond the target.", "name": "fig-lambda-curves"}}
sweep = interpolation_measure.sweep(bench)
glue(sweep_on=images_in_words(bench, bench.test_set, bench.profile.interpolation_images, bench.profile.discovery_crop))
show.curves(sweep)
# %% [markdown]
# ## Is the control continuous?
#
# A network depends continuously on its weights, so the output cannot jump in the strict sense. What makes a usable knob is
# that every step goes the right way and that none of them does all the work. *Steps the right way* counts the steps
# between neighbouring λ, image by image; right is up for sharpness and down for noise, even where the noise has fallen
# below the ground truth's. The *largest step* is its share of the whole change from λ = 0 to 1, *steepest ÷
# even* the steepest slope in relation to one that is the same everywhere, *half at λ* the place where half of the change is
# done, and *10 to 90 % at λ* the range in which the knob does most of its work. The last column is the price: how far the
# PSNR of the other input moves while the knob is turned.

# %%
control = report.control(sweep)
record.keep(bench, "control", control)
glue(
    starts_least=control["started"].min(),
    starts_most=control["started"].max(),
)
show.control(control)

# %% [markdown]
# The paper spaces its λ by 0.2 up to 0.6 and by 0.1 from there. A tenth of the change is reached at a λ between
# {glue:text}`starts_least:.2f` and {glue:text}`starts_most:.2f` here, depending on network and filters. Where that is far
# above 0.1, the knob has a dead stretch at its lower end. A likely reason is that the filters lie in layers that follow each
# other, so that the function appears only when all of them are about right.
#
# ## The λ that is best for an image
#
# The target is trained to be best on average. For a single image another λ may do better. To know which, one needs the ground
# truth, so this is a bound on what a user with a good eye could gain. The last bar stands for its λ or more, since the sweep
# ends there.

# %% mystnb={"image": {"alt": "Bars of the number of images whose PSNR is highest at each lambda."}, "figure": {"caption": "Number of images with their highest PSNR at each \u03bb, on the knob's own input; dashed: the target.", "name": "fig-best-lambda"}}
best = report.best(sweep)
show.best(best, interpolation_measure.LAMBDAS)
# %%
summary = report.best_summary(best)
glue(
    best_gain_mean=best["gain"].mean(),
    best_gain_largest=best["gain"].max(),
    best_at_target=100 * (best["lambda"] == 1.0).mean(),
)
show.best_lambda(summary)

# %% [markdown]
# λ = 1 itself is best for {glue:text}`best_at_target:.0f` % of the images. Choosing λ image by image gains
# {glue:text}`best_gain_mean:.3f` dB on average and {glue:text}`best_gain_largest:.2f` dB at most.
#
# ## Both knobs at once
#
# An input that is blurry *and* noisy needs both abilities. No filter is on both knobs, so that each can be turned by itself;
# how far one moves what is the other's is the last column of the table of control above. The paper does not show this.

# %% mystnb={"image": {"alt": "A grid of restorations of a blurry and noisy cat with rising lambda of the deblurring and of the denoising filters."}, "figure": {"caption": "A blurry and noisy input with both knobs of {glue:text}`pair:s`: deblurring rises to the right, denoising upwards. Photograph: scikit-image.", "name": "fig-both-knobs"}}
close_up = method_measure.scene(bench, crop=192)
sheet = interpolation_measure.contact_sheet(bench, pair, close_up)
show.contact_sheet(sheet, f"{named}, blurry and noisy input")
# %%
interactive.frames(
    {(f"{first:g}", f"{second:g}"): image for (first, second), image in sheet.items()},
    ["λ of the deblurring filters", "λ of the denoising filters"],
    ("1", "1"),
    f"{named}: the same blurry and noisy input with both knobs in your hands.",
    "A blurry and noisy picture of a cat, restored",
)
# %% mystnb={"image": {"alt": "Heat maps of PSNR, sharpness and residual noise over both lambdas."}, "figure": {"caption": "PSNR, sharpness and residual noise over both knobs on blurry and noisy input, mean over images{glue:text}`and_seeds:s`. Solid frame: the target; dashed frame: the highest PSNR.", "name": "fig-both-knobs-maps"}}
grid = interpolation_measure.grid(bench)
glue(grid_images=counted(grid["image"].nunique(), "image"), and_seeds=bench.where_several(" and seeds"))
show.heatmaps(grid)
# %%
separation = report.separation(grid)
show.both_knobs(separation)

# %% [markdown]
# These are means over {glue:text}`grid_images:s` of the sweep. The best setting is given as λ of the deblurring filters / λ of the denoising filters: PSNR. Where the gain of both knobs
# is more than the sum of the single gains, each ability needs the other: noise that is left in hides what deblurring
# could win, and the reverse. Read sharpness with the noise beside it, since noise has gradients, too.
#
# ## Differences from the paper
#
# The paper has pictures of λ between 0 and 1 for one knob at a time and no numbers, so nothing stands beside the measured
# values here. The curves, the values beyond 1, the choice per image and the two knobs together are additions. "Continuous"
# is given limits in the code of `faiglib.companion.interpolation.report`, set when only trial runs were known: at least nine steps in
# ten go the right way, and no step is steeper than five times an even slope, which is half of the change within a tenth of λ.
#
# ## In short
#
# The paper: λ gives continuous control over each ability (claim j). Here:

# %%
display(Markdown(report.in_words(control)))
verdicts.keep(bench, claims.interpolation(control, bench.test_set))

# %% [markdown]
# Taken together, in the paper's own setup: {glue:text}`paper_j:s`. Beyond it: {glue:text}`beyond_j:s`.
