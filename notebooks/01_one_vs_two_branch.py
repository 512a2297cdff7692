# %% [markdown]
# # One branch or two
#
# An image may be blurred by a kernel that nobody knows. The usual answer is a network of **two branches**: one estimates
# the degradation, the other restores the image with that estimate in hand. The paper starts with a doubt. It trains a
# plain network of **one branch**, which is told nothing, on the same data and with the same budget, and finds that it
# does as well. If so, such a network must have found out about the degradation by itself, and the rest of the paper asks
# where in its filters that knowledge sits.
#
# The released code holds nothing of this experiment. Here both two-branch networks are built from their
# descriptions, counted exactly, and raced against the one-branch network under rules that were declared before.

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from IPython.display import HTML, Markdown, display

from faiglib.companion import claims, paper, verdicts
from faiglib.companion.one_versus_two import measure, report, show, table_1
from faiglib.companion.one_versus_two import spending as one_versus_two_spending
from faiglib.companion.page import style, tables
from faiglib.companion.page.glue import glue
from faiglib.companion.workbench import open_workbench
from faiglib.race import presets

style.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
record = measure.open_race(bench)
display(HTML(show.race_box(bench, record)))

# %% [markdown]
# ## The designs
#
# **DAN** {cite}`luo2020unfolding` goes round in a loop. A restorer makes an image from the input and a guess of the
# blur kernel, ten numbers; an estimator improves the guess by looking at the input and that image. Both are used four
# times with the same weights, and only the last round is in the loss. **DASR** {cite}`wang2021unsupervised` never names
# the kernel. An encoder turns the input into a vector that is alike for two patches with one degradation and unlike for
# others, which is learnt by momentum contrast {cite}`he2020momentum`; the vector makes the kernels of small
# convolutions in the other branch. **SRResNet** {cite}`ledig2017photo` is a chain of residual blocks.

# %% mystnb={"image": {"alt": "Box diagrams of DAN, DASR and SRResNet. In DAN and DASR a lower box estimates the degradation and steers the upper one; SRResNet has one box only."}, "figure": {"caption": "Two branches and one (main Fig. 1). Blue restores, orange estimates; what is dashed exists in training only.", "name": "fig-designs"}}
show.designs()

# %% [markdown]
# ## What they cost
#
# Supplementary Table 1 compares budgets. Reproduced here: {glue:text}`table_1:s`, if operations are
# counted as the tool counts them that the authors used: multiply-accumulates (MACs) of layers, plus biases, activations
# and normalisation that are modules, and nothing that is a function call. {py:mod}`faiglib.networks.cost` says what counts
# as what. The last column holds true MACs: all convolutions and matrix products, and nothing else.

# %%
rows = table_1.table_1()
by_title = {row.title: row for row in rows}
alike, figures_in_all = table_1.printed_alike(rows)
glue(table_1=f"{alike} of {figures_in_all} figures to the printed digit")
show.complexity(rows)

# %%
training, inference = by_title["DASR with both encoders"], by_title["DASR, inference"]
dan, long_rival = by_title["DAN"], by_title["SRResNet, 54 blocks"]
short, shorter = by_title["SRResNet, 27 blocks"], by_title["SRResNet, 25 blocks"]
for name, value in {
    "training_parameters": training.parameters / 1e6,
    "inference_parameters": inference.parameters / 1e6,
    "inference_gmacs": inference.true / 1e9,
    "short_gmacs": short.true / 1e9,
    "shorter_gmacs": shorter.true / 1e9,
    "shorter_parameters": shorter.parameters / 1e6,
    "dan_share": 100 * long_rival.true / dan.true,
    "dasr_share": 100 * short.parameters / training.parameters,
}.items():
    glue(**{name: value})

# %% [markdown]
# Two things are worth knowing about these rows. DASR's include the **key encoder**, which exists in training only:
# what restores an image has {glue:text}`inference_parameters:.2f` million parameters rather than
# {glue:text}`training_parameters:.2f`, and {glue:text}`inference_gmacs:.1f` billion MACs. The fair match is therefore
# 25 residual blocks ({glue:text}`shorter_gmacs:.1f` billion, {glue:text}`shorter_parameters:.2f` million parameters)
# rather than 27 ({glue:text}`short_gmacs:.1f` billion). And no rival matches in both: DAN's has its parameters, but since DAN
# uses its weights four times, SRResNet spends {glue:text}`dan_share:.0f` % of DAN's MACs; DASR's has its MACs and
# {glue:text}`dasr_share:.0f` % of its parameters. Either choice is to the disadvantage of one branch.
#
# ## The race
#
# The networks are smaller than the paper's, and they are trained for a small part of its iterations, on one core. Within
# a contest everything is equal: crops, kernels, noise and their order, the number of steps, the optimiser and its
# schedule. DASR's encoder has its first phase in addition. All are trained on blur of a width drawn from 0.2 to 4 pixels
# and ÷4 antialiased bicubic downsampling, and judged on eight widths from 1.8 to 3.2 (DAN's test) and on 1.2 (DASR's).
#
# The rules, declared in {py:mod}`faiglib.companion.one_versus_two.report` before anything was trained:
#
# - The lead of one branch over two is taken image by image and averaged over the widths. Its interval is over
#   seeds and images, as wide as Student's t is for so few seeds. (At first it was made of a bootstrap's percentiles, which
#   over three seeds reach from the least to the largest.)
# - One branch is **not inferior** if the 95 % interval lies above −{glue:text}`margin:.2f` dB, and **equivalent** if the
#   90 % interval lies within ±{glue:text}`margin:.2f` dB. If neither this nor the contrary can be said, the race is
#   **inconclusive**.
# - **Control:** half of the one-branch network must come out worse than the whole. A race that cannot tell these two
#   apart could not tell one branch from two, either, and counts as *not tested*.

# %%
comparisons = report.comparisons(record)
verdict = report.verdict(record, comparisons)
verdicts.keep(bench, claims.one_branch(verdict))
glue(
    margin=report.MARGIN,
)
beside = report.beside_the_paper(record)
glue(head_start=report.head_start(beside))
show.race(beside)

# %% [markdown]
# PSNR on each contest's own test, mean ± standard deviation over seeds; the paper's column is supplementary Table 2,
# blur only, RGB as printed. The levels cannot be compared with the paper's, whose networks are larger and
# trained far longer on other images; the differences between rows can.

# %%
show.race_leads(comparisons, measure.TEST_TITLES)

# %% mystnb={"image": {"alt": "Leads of the one-branch networks over the two-branch ones and over their own halves, with intervals, against a shaded margin around zero."}, "figure": {"caption": "Leads with 95 % (thin) and 90 % (thick) intervals. Blue: one branch over two; green: the control, the whole one-branch network over its half. Shaded: the margin. A star marks the test that decides.", "name": "fig-race-leads"}}
show.leads(comparisons, report.MARGIN, measure.TEST_TITLES)

# %% mystnb={"image": {"alt": "PSNR against multiply-accumulates and against parameters for the networks of both contests."}, "figure": {"caption": "What the PSNR of the race costs, in MACs (above) and in parameters (below), on the test that decides each contest. Bars reach from the worst seed to the best.", "name": "fig-race-budgets"}}
budgets = one_versus_two_spending.race_budgets(record)
show.budgets(budgets)

# %% mystnb={"image": {"alt": "PSNR while training for the networks of both contests."}, "figure": {"caption": "PSNR while training, on crops of scikit-image's photographs with blur of one width. Thin lines are seeds, thick ones their means.", "name": "fig-race-curves"}}
show.curves(record.curves, {name: vars(contest) for name, contest in presets.CONTESTS.items()})

# %% [markdown]
# The curves show what a short race is about. SRResNet starts as bilinear upsampling, because its output is added to it
# and its initial weights are small; DAN and DASR have to learn from nothing what an enlarged image is. Then again, small
# initial weights keep SRResNet there for a while. {glue:text}`head_start:s`
#
# ### Is the record right?
#
# The weights of the first seed are kept with the record. They are measured again here, on a few of the images.

# %%
again = measure.remeasured(bench, record)
if len(again):
    display(
        tables.plain(again, {"recorded": "{:.3f}", "now": "{:.3f}", "largest difference": "{:.4f}"}, "PSNR, RGB (dB)")
    )
else:
    display(Markdown("The images that the race was judged on are not on this machine, so nothing was measured again."))

# %% [markdown]
# ## What the paper's own race would cost
#
# Counted: two operations per MAC, a backward pass twice as expensive as the forward pass, no backward pass for DAN's
# first three rounds and for the key encoder. DASR's epochs are taken as {glue:text}`epoch:d` steps each, which the
# supplement does not say.

# %%
cost = one_versus_two_spending.full_cost()
spending = one_versus_two_spending.spending(record)
for name, value in {
    "race_tflop": spending.race / 1e12,
    "race_minutes": spending.minutes,
    "race_speed": spending.speed / 1e9,
    "full_eflop": spending.full / 1e18,
    "core_years": spending.core_years,
    "gpu_days": spending.gpu_days,
    "gpu_speed": one_versus_two_spending.GPU_SPEED / 1e12,
    "share": 100 * verdict.share,
}.items():
    glue(**{name: value})
glue(epoch=paper.STEPS_PER_EPOCH)
tables.plain(cost, {"iterations": "{:,}", "pflop": "{:,.0f}"}, "What one training run takes")

# %% [markdown]
# The race of this page took {glue:text}`race_tflop:,.1f`·10¹² operations in {glue:text}`race_minutes:.1f` minutes, at
# {glue:text}`race_speed:.0f`·10⁹ a second. The paper's, three runs of four networks, takes
# {glue:text}`full_eflop:.0f`·10¹⁸: {glue:text}`core_years:.0f` years at the speed of here, or
# {glue:text}`gpu_days:.1f` days of a GPU that sustains {glue:text}`gpu_speed:.0f`·10¹² a second. `faiglib race --preset full`
# trains the full-size networks for a part of that.
#
# ## Anomalies of the paper's tables

# %%
anomalies = report.anomalies()
for name, value in anomalies.items():
    glue(**{name: value})

# %% [markdown]
# - DASR's PSNR on blur, {glue:text}`dasr_rgb:.3f` dB, is headed RGB, but equals the {glue:text}`dasr_y:.2f` dB that the
#   text gives for the Y channel. In the race here, PSNR on Y is {glue:text}`y_above:.1f` dB above that on RGB (DASR, its own
#   test), so equal values of both are implausible; the column is probably Y.
# - DAN is {glue:text}`dan_noise_gain:.1f` dB *better* with blur and noise than with blur alone. Noise cannot help;
#   the two columns must come from different images, kernels or channels.
# - The kernels that DASR was tested on with blur and noise are not stated, so that column cannot be repeated. The race
#   here is on blur alone.
# - The gaps between one and two branches in the paper reach {glue:text}`largest_gap:.3f` dB at most; its standard
#   deviations over three runs reach {glue:text}`largest_std:.3f` dB.

# %%
by_branch = beside.set_index(["contest", "branches"])
glue(y_above=by_branch.loc[("dasr", "two"), "y"] - by_branch.loc[("dasr", "two"), "rgb"])

# %% [markdown]
# ## In short
#
# *One branch matches two at equal budget*. In the paper's own setup: {glue:text}`paper_a:s`. Beyond it:
# {glue:text}`beyond_a:s`. A race of
# {glue:text}`share:.2g` % of the paper's iterations compares how fast networks learn, not how good they become in the
# end; that is why no outcome of it could be more than *partly*. What is certain are the budgets: the table of the paper
# is right as counted, but it matches each contest in operations or in parameters only, and counts more of DASR than
# restores an image.
