# %% [markdown]
# # Two choices taken away: the baseline and the elimination
#
# FAIG rests on two choices. The path of the integral ends in a **baseline** that was trained for the same task without
# the degradations; the paper writes $\bar\theta_{bilinear}$ for it. And the attribution of the *other* degradation is
# subtracted. What if the path ended somewhere else? What if nothing were subtracted? Supplementary Fig. 8 of the paper
# answers the first question in pictures; neither answer comes with numbers there. Here both do.

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from IPython.display import HTML, Markdown, display

from faiglib.companion import claims, discovery, record, verdicts
from faiglib.companion.baseline_ablation import measure, report, show
from faiglib.companion.masking import measure as masking_measure
from faiglib.companion.masking import report as masking_report
from faiglib.companion.page import style, tables
from faiglib.companion.page.budget import budget, images_in_words, means_in_words
from faiglib.companion.page.glue import glue
from faiglib.companion.page.words import begun
from faiglib.companion.workbench import open_workbench
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import TITLES

style.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
pair = bench.pair(*bench.main_pair)
glue(main_network=TITLES[pair.network])
budgets = bench.profile
found_on = images_in_words(bench, bench.test_set, budgets.ablation_images, budgets.ablation_crop)
measured_on = images_in_words(bench, bench.test_set, budgets.ablation_images, budgets.evaluation_crop)
means = means_in_words(bench, bench.test_set, budgets.ablation_images, budgets.evaluation_crop)
glue(found_on=found_on, measured_on=measured_on, means=means)
display(HTML(budget(bench)))

# %% [markdown]
# ## Three baselines, two uses
#
# A baseline is used twice: to **find** filters, as the end of the path, and to **replace** them, as the source of the
# filters that take their place when they are masked. Three networks are tried in both roles:
#
# - $\bar\theta_{bilinear}$, the trained baseline that comes with the target;
# - $\bar\theta_{random}$, a network of the same architecture with freshly drawn weights (seeded);
# - $\bar\theta_{zero}$, all parameters zero, the usual reference of attribution methods. (SRResNet without parameters
#   still enlarges its input bilinearly, since its skip connection has none; the plain network returns black. For the same reason replaced filters can upset the brightness of
#   SRResNet less: the skip carries most of it past them.)
#
# Biases move along the path as always; masking replaces weights only. In this chapter filters are found on
# {glue:text}`found_on:s`, the same for all three baselines, and masking is measured on the same images, but on
# {glue:text}`measured_on:s`. One percent of the filters is masked. The paper uses whole images.
#
# ## To the eye
#
# First the deblurring filters on blurry input, then the denoising filters on noisy input. A good choice of both (the
# first of the nine) makes the output look like the trained baseline's: blurry, or noisy, and otherwise intact.

# %%
order = sorted(bench.first_pairs, key=lambda pair: list(TITLES).index(pair[0]))  # the paper's picture first
names = {bench.named(*name): bench.pair(*name) for name in order}
galleries = {
    function: {name: measure.gallery(bench, one, function) for name, one in names.items()} for function in FUNCTIONS
}
first, *_ = names
for function, (kind, _) in FUNCTIONS.items():
    galleries[function][f"{first}, another photograph"] = measure.gallery(bench, names[first], function, "rocket")
    glue(**{f"caption_{function}": report.gallery_caption(list(galleries[function]), kind, function)})

# %% mystnb={"image": {"alt": "For each network three by three crops of a cat from blurry input, rows by the baseline that found the deblurring filters, columns by the baseline that replaced them."}, "figure": {"caption": "{glue:text}`caption_deblurring:s`", "name": "fig-baseline-deblurring"}}
show.gallery(galleries["deblurring"])
# %% mystnb={"image": {"alt": "For each network three by three crops of a cat from noisy input, rows by the baseline that found the denoising filters, columns by the baseline that replaced them."}, "figure": {"caption": "{glue:text}`caption_denoising:s`", "name": "fig-baseline-denoising"}}
show.gallery(galleries["denoising"])
# %% [markdown]
# ## In numbers
#
# Four quantities, means over images and seeds. The *drop* on the own input says how much the filters mattered; it is only
# comparable within a column, because any replacement that wrecks the image raises it. The PSNR lost on the own input says
# the same with respect to the ground truth. The PSNR lost on the *other* input should be zero: those filters are not meant
# for it. The *brightness shift* (mean over images of its absolute value, in 8-bit levels) shows whether the network still
# computes an image.

# %% mystnb={"image": {"alt": "Matrices of drop, PSNR lost and brightness shift by the baseline that finds and the one that replaces."}, "figure": {"caption": "Cost of masking 1 % of the filters by finding baseline (rows) and replacing baseline (columns): {glue:text}`means:s`.", "name": "fig-baseline-matrices"}}
ablated = measure.ablation(bench)
cells = report.summary(ablated)
record.keep(bench, "baselines", cells)
show.matrices(cells)
# %% tags=["hide-output"]
shown = cells.assign(network=cells["network"].map(TITLES)).rename(
    columns={
        "found_with": "found with θ̄",
        "replaced_by": "replaced by θ̄",
        "drop_own": "drop, own",
        "drop_other": "drop, other",
        "lost_own": "PSNR lost, own (dB)",
        "lost_other": "PSNR lost, other (dB)",
        "shift_own": "|brightness shift|, own",
        "shift_other": "|brightness shift|, other",
        "signed_own": "brightness shift, own",
    }
)
number_formats = {name: "{:.2f}" for name in shown.columns if name.startswith(("drop", "PSNR", "|b", "bright"))}
tables.plain(shown.drop(columns="selectivity"), number_formats, begun(means))
# %%
baselines = report.baseline_verdict(cells)
display(Markdown(f"**Finding.** {baselines.finding_sentence}"))
display(Markdown(f"**Replacing.** {baselines.replacing_sentence}"))

# %% [markdown]
# A possible reason for differences between the networks, not tested here: SRResNet adds its output to the enlarged input, so
# that every network on the way to random or zero weights still returns a picture, while the SRCNN-style network has
# nothing but its own output. The comparison is made on {glue:text}`measured_on:s`.
#
# Whatever the baseline, a path must be followed finely enough. The farther the baseline is from the target, the more the
# network changes on the way, and the fewer of its stops are sound networks. The error of completeness tells: by how much
# the sum of all contributions misses the change of the loss, with the nodes of this run.

# %%
errors = measure.completeness(bench)
errors = errors.groupby(["network", "found_with", "input"], sort=False)["error_percent"].mean().reset_index()
tables.plain(
    errors.assign(network=errors["network"].map(TITLES)).rename(
        columns={"found_with": "path to θ̄", "error_percent": "completeness error (%)"}
    ),
    {"completeness error (%)": "{:.2f}"},
)

# %% [markdown]
# ## With and without elimination
#
# Without elimination, the deblurring filters are simply those with the largest FAIG on blurry input. Some of these
# matter for any input. Do the two rankings share their best filters, and does masking one function then hurt the other?
# The trained baseline finds and replaces; the scores are those of the chapter on masking.

# %% mystnb={"image": {"alt": "Bars of the drop on own and other input for filters found with and without elimination."}, "figure": {"caption": "Drop on the input that the filters are for (blue) and on the other one (orange), with and without elimination, at 1 and 5 %: {glue:text}`means:s`.", "name": "fig-elimination"}}
eliminated = report.elimination_summary(measure.elimination(bench))
record.keep(bench, "elimination", eliminated)
show.elimination(eliminated)
# %%
common = measure.common_filters(bench)
common = common.groupby(["network", "percent", "method"], sort=False)["overlap"].mean().reset_index()
joined = eliminated.merge(common, on=["network", "percent", "method"])
tables.plain(
    joined.assign(network=joined["network"].map(TITLES), percent=joined["percent"].map("{:g} %".format))[
        [
            "network",
            "filters",
            "percent",
            "method",
            "drop_own",
            "drop_other",
            "selectivity",
            "lost_own",
            "lost_other",
            "overlap",
        ]
    ].rename(
        columns={
            "percent": "masked",
            "method": "elimination",
            "drop_own": "drop, own",
            "drop_other": "drop, other",
            "selectivity": "own ÷ other",
            "lost_own": "PSNR lost, own (dB)",
            "lost_other": "PSNR lost, other (dB)",
            "overlap": "in both sets",
        }
    ),
    {
        "drop, own": "{:.2f}",
        "drop, other": "{:.2f}",
        "own ÷ other": "{:.1f}",
        "PSNR lost, own (dB)": "{:.2f}",
        "PSNR lost, other (dB)": "{:.2f}",
        "in both sets": "{:.0%}",
    },
    means,
)
# %%
elimination = report.elimination_verdict(eliminated)
display(Markdown(elimination.sentence))

# %%
in_masking = masking_report.selectivity(masking_measure.drops(bench)).set_index(
    ["network", "image_set", "percent", "filters", "input"]
)
row = in_masking.loc[(pair.network, bench.test_set, 1, "deblurring", "blurry")]
chosen = eliminated.set_index(["network", "filters", "percent", "method"])
matrix = cells.set_index(["network", "filters", "found_with", "replaced_by"])
of_masking = [
    images_in_words(bench, bench.test_set, limit, side)
    for limit, side in (
        (budgets.discovery_images, budgets.discovery_crop),
        (budgets.evaluation_images, budgets.evaluation_crop),
    )
]
below = chosen.loc[(pair.network, "deblurring", 1, "with"), "lost_own"]
costs = [
    report.Cost("the chapter on masking", row["psnr_target"] - row["psnr"], *of_masking),
    report.Cost("the table above", below, of_masking[0], measured_on),
    report.Cost("the chapter beyond the paper", below, of_masking[0], measured_on),
    report.Cost(
        "the matrices of baselines",
        matrix.loc[(pair.network, "deblurring", "bilinear", "bilinear"), "lost_own"],
        found_on,
        measured_on,
    ),
]
what = f"What masking the 1 % deblurring filters of {pair.title} costs on blurry input"
display(Markdown(report.reconciled(costs, what, bench.seeds(pair.network))))

# %% [markdown]
# With elimination the scores for deblurring are the negative of those for denoising, so that no filter can be in both sets.
#
# ## In short
#
# What claims (h) and (i) of the paper look like here. The paper supports (h) by pictures and gives no number for either.

# %%
glue(
    baseline_cells=baselines.cells,
    baseline_finding_won=baselines.finding_won,
    baseline_finding_median=baselines.finding_median,
)
for name in discovery.BASELINES:
    glue(
        **{f"shift_{name}": baselines.shifts[name]},
        **{f"baseline_broken_{name}": baselines.broken[name]},
    )
glue(
    elimination_cells=elimination.cells,
    elimination_won=elimination.more_selective,
    elimination_gain=elimination.gain,
    elimination_kept=elimination.kept,
)
for verdict in (claims.baseline(cells, bench.test_set), claims.elimination(eliminated, bench.test_set)):
    verdicts.keep(bench, verdict)

# %% [markdown]
# - *(h) The trained baseline is the right one.* In the paper's own setup: {glue:text}`paper_h:s`. Beyond it:
#   {glue:text}`beyond_h:s`. As the end of the path it finds the filters with the largest drop in
#   {glue:text}`baseline_finding_won:d` of {glue:text}`baseline_cells:d` cells, {glue:text}`baseline_finding_median:.1f`
#   times the drop of the better alternative in the median cell. As the source of replacements it shifts the brightness by
#   {glue:text}`shift_bilinear:.1f` levels on average, against {glue:text}`shift_random:.1f` with random and
#   {glue:text}`shift_zero:.1f` with zero weights; the brightness is broken in {glue:text}`baseline_broken_bilinear:d`,
#   {glue:text}`baseline_broken_random:d` and {glue:text}`baseline_broken_zero:d` of the cells.
# - *(i) Elimination helps.* In the paper's own setup: {glue:text}`paper_i:s`. Beyond it: {glue:text}`beyond_i:s`. It makes
#   the filters more selective in {glue:text}`elimination_won:d` of
#   {glue:text}`elimination_cells:d` cells, by a factor of {glue:text}`elimination_gain:.1f` in the median cell, and leaves
#   {glue:text}`elimination_kept:.2f` times the drop on the own input.
