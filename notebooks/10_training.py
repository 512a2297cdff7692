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
from IPython.display import HTML, Markdown, display

from faiglib.companion import criteria
from faiglib.companion.page import style, tables
from faiglib.companion.page.budget import budget
from faiglib.companion.page.glue import glue
from faiglib.companion.page.words import number, percent
from faiglib.companion.weights import milestones, report, show
from faiglib.companion.workbench import open_workbench

style.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
display(HTML(budget(bench)))
budgets = report.budgets(bench.models)
quality = report.quality(bench.models)
glue(
    shared_baselines=report.shared_baselines(bench.models),
    unequal_budgets=report.unequal_budgets(bench.models),
)

# %% [markdown]
# ## Budget
#
# What is as in the paper: L1 loss, Adam with β = (0.9, 0.99), an exponential moving average of the weights as the result,
# random crops with flips and rotations, blur and noise each with probability one half for the target. What differs: the
# length, the size of batch and patch, the learning rate (one or two cycles with a higher peak instead of cosine restarts), an
# average that forgets its start sooner, half-precision arithmetic, and the images (BSDS500 instead of DIV2K).
# {glue:text}`shared_baselines:s` {glue:text}`unequal_budgets:s` The paper's rows stand below the shipped ones. The last column says how many pixels were
# seen, as a share of the paper's.

# %%
tables.plain(
    budgets.assign(role=budgets["role"].map(report.ROLES)).drop(columns=["gpu", "pixels"]),
    {"peak_lr": "{:.0e}", "minutes": "{:.0f}", "share": "{:.2%}", "iterations": "{:,}"},
)

# %% [markdown]
# The curves below are on a few crops of scikit-image's photographs. The crops were changed after the first runs (SRResNet,
# seed 0), so that levels should be compared in the table further down, which is on whole images.

# %% mystnb={"image": {"alt": "PSNR of the averaged weights against training iterations for clean, blurry and noisy validation crops."}, "figure": {"caption": "PSNR on a few validation crops while training. Targets start from their baselines.", "name": "fig-training"}}
show.training_curves(report.logs(bench.models))

# %% [markdown]
# ## Quality
#
# PSNR in dB on whole images, RGB, with a border of two pixels left out. The target should gain on blurry and noisy input
# and lose little on clean input.

# %%
tables.plain(quality, dict.fromkeys(("baseline", "target"), "{:.2f}") | {"gain": "{:+.2f}"})

# %% [markdown]
# ## The pairs
#
# Every pair in a row: its target's recipe, what it gains on Set14, how far it moved from its baseline, and how deep the
# straight path between both falls on clean input (the *barrier*, on crops of scikit-image's photographs; 0 dB where the path
# never falls below the line between its ends). The last columns say what share of the drop each input loses when 1 % of
# FAIG's filters are masked, found and measured on the same crops: much on the own input and little on the other is what the
# paper claims. A recipe is good enough by three limits that were declared before the runs: the floor of the shipped weights
# ({glue:text}`floor:s` of Set14), a barrier of at most {glue:text}`barrier_limit:.0f` dB, and at most
# {glue:text}`spill_limit:s` lost on the other input.

# %%
glue(
    floor=report.floor(),
    barrier_limit=report.BARRIER,
    spill_limit=percent(criteria.SPILLED),
)
pairs = report.pairs(bench.models)
display(show.pairs_table(pairs))
display(Markdown(report.by_limits(pairs, criteria.SPILLED)))

# %% [markdown]
# ## The budget as an axis
#
# While a target trains, the moving average of its weights is kept at 1, 2, 5, 10, 20 and 50 % of its iterations. Each of
# these snapshots is examined as if it were the result: its filters are found anew, and masked. The points are not results
# of shorter trainings, for the learning rate of a run falls to zero at its end only. Rivals are IG, |θ − θ̄| and chance.

# %% mystnb={"image": {"alt": "PSNR, distance, barrier, shares of the drop, rivals and overlap against the training seen, mean and range over pairs."}, "figure": {"caption": "What changes while targets are trained: mean and range over the pairs of a network, against the pixels seen as a share of the paper's.", "name": "fig-milestones"}}
rows = milestones.rows(bench.models)
changes = milestones.trends(rows)
glue(budget_headline=milestones.headline(changes))
show.milestone_curves(rows, milestones.followed(rows))
# %%
if not changes.empty:
    display(show.trends_table(changes))
    display(Markdown("\n".join(f"- {milestones.expectation(changes, claim)}" for claim in "bcd")))

# %%
on_set14 = quality[quality["image_set"] == "set14"].groupby("input")["gain"]
for kind in ("clean", "blurry", "noisy"):
    glue(**{f"least_gain_{kind}": number(on_set14.min()[kind], "+.2f")})
glue(
    least_share=100 * budgets[(budgets["role"] == "target") & (budgets["seed"] != "paper")]["share"].min(),
    least_share_baseline=100 * budgets[(budgets["role"] == "baseline") & (budgets["seed"] != "paper")]["share"].min(),
)

# %% [markdown]
# ## What the shortfall means
#
# On Set14 the targets gain at least {glue:text}`least_gain_blurry:s` dB on blurry and
# {glue:text}`least_gain_noisy:s` dB on noisy input over their baselines, and change clean input by
# {glue:text}`least_gain_clean:s` dB at worst. They have seen {glue:text}`least_share:.1f` % or more of the pixels that
# the paper's targets saw, the baselines {glue:text}`least_share_baseline:.1f` % or more. Absolute drops depend on how much a target removes and on how
# its abilities are divided among the filters, and both change with training, so they need not be the paper's; nor need be
# comparisons between methods, though they are made on one pair, as the sentences on claims above show. `nox -s train -- --network srresnet --seed 0 --profile paper --data div2k_train` trains
# by the paper's budget where DIV2K is at hand.
