# %% [markdown]
# # The trained networks behind the numbers
#
# Every finding of this book rests on pairs of networks: a baseline that only enlarges, and a target that was trained
# further to remove blur and noise. This page shows how the pairs in `models/` were trained, how that compares with the
# paper, and how good they are.

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from myst_nb import glue

from faiglib import figures, tables
from faiglib.experiments import open_workbench, weights
from faiglib.figures import training as training_figures

figures.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
budgets = weights.budgets(bench.models)
quality = weights.quality(bench.models)

# %% [markdown]
# ## Budget
#
# The recipe is the paper's in all but length: L1 loss, Adam with β = (0.9, 0.99), exponential moving average of the
# weights with decay 0.999, random crops with flips and rotations, blur (σ = 2) and noise (σ = 0.1) each with probability
# one half for the target. The paper trains on 800 images of DIV2K, for a million iterations (baseline) and a hundred
# thousand (target), with batches of 16 patches of 64×64 pixels; here it is the 400 images of BSDS500's train and test
# parts. The last column says how many pixels were seen, as a share of the paper's.

# %%
tables.plain(
    budgets.drop(columns=["gpu", "pixels"]),
    {"peak_lr": "{:.0e}", "minutes": "{:.0f}", "share": "{:.2%}", "iterations": "{:,}"},
)

# %% mystnb={"image": {"alt": "PSNR of the averaged weights against training iterations for clean, blurry and noisy validation crops."}, "figure": {"caption": "PSNR on validation crops while training (photographs of scikit-image or crops of Set14). Targets start from their baselines.", "name": "fig-training"}}
training_figures.training_curves(weights.logs(bench.models))

# %% [markdown]
# ## Quality
#
# PSNR in dB on whole images, RGB, with a border of two pixels left out. The target should gain on blurry and noisy input
# and lose little on clean input.

# %%
tables.plain(quality, dict.fromkeys(("baseline", "target"), "{:.2f}") | {"gain": "{:+.2f}"})

# %%
on_set14 = quality[quality["image_set"] == "set14"].groupby("input")["gain"]
for kind in ("clean", "blurry", "noisy"):
    glue(f"least_gain_{kind}", float(on_set14.min()[kind]), display=False)
glue("least_share", float(100 * budgets[budgets["role"] == "target"]["share"].min()), display=False)

# %% [markdown]
# ## What the shortfall means
#
# On Set14 the targets gain at least {glue:text}`least_gain_blurry:+.2f` dB on blurry and
# {glue:text}`least_gain_noisy:+.2f` dB on noisy input over their baselines, and change clean input by
# {glue:text}`least_gain_clean:+.2f` dB at worst. They have seen {glue:text}`least_share:.1f` % or more of the pixels that
# the paper's targets saw. Two consequences for the tables: absolute drops are smaller than in the paper, since a target
# that removes less has less to lose; and comparisons between methods, which are made on one pair, are affected less.
# `nox -s train -- --network srresnet --seed 0 --profile paper` trains by the paper's budget.
