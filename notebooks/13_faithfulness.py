# %% [markdown]
# # How good is the choice?
#
# The paper holds FAIG's filters against those of three other methods, by one measure: what is lost when they are masked.
# Work on attribution to the parts of a network has harder tests since. This chapter asks four questions that the paper
# does not. Is the path sound that FAIG adds up gradients on? Do its filters beat others that lie in the same layers and
# that training changed as much? How do methods do that cost a tenth of it, or that walk another path? And how near does it
# come to the best choice that can be found by training for it?

# %% tags=["parameters"]
profile = "standard"
device = "auto"
seed = 0
data_dir = None
models_dir = None

# %%
from IPython.display import HTML, Markdown, display

from faiglib.companion import questions, record, verdicts
from faiglib.companion.faithfulness import measure, rankings, report, show, trajectories
from faiglib.companion.page import style
from faiglib.companion.page.budget import budget, images_in_words
from faiglib.companion.page.glue import glue
from faiglib.companion.workbench import open_workbench

style.style()
bench = open_workbench(profile, device, seed, data_dir, models_dir)
measured = images_in_words(bench, bench.test_set, bench.profile.curve_images, bench.profile.discovery_crop)
controlled = images_in_words(bench, bench.test_set, bench.profile.control_images, bench.profile.discovery_crop)
discovered = images_in_words(bench, bench.test_set, bench.profile.discovery_images, bench.profile.discovery_crop)
verdicts.keep(bench, questions.soundness(bench.barriers))
glue(
    controls_measured=controlled,
    faithfulness_discovered=discovered,
    control_draws=bench.profile.control_draws,
    mask_steps=bench.profile.mask_steps,
)
display(HTML(budget(bench)))

# %% [markdown]
# ## The ground that FAIG walks on
#
# FAIG adds up gradients of networks on the straight line between target and baseline. They mean what they should only if
# those networks are about as good as the ends. [](02_faig.ipynb) shows the path of every pair, [](03_masking.ipynb) what
# its depth has to do with how selective the filters are. (k) *The straight path is sound*: {glue:text}`beyond_k:s`.
#
# ## Controls that are matched
#
# A set of random filters is easily beaten: most filters hardly moved when the target was trained, and lie in layers that
# matter less. A **matched control** takes for each of FAIG's filters one that was not chosen, of the same layer and of
# the same tenth of |θ − θ̄| in it. {glue:text}`control_draws:d` such sets are drawn for each function. (Of a first or last
# layer more than half of which FAIG chose there are not as many others; the control then shares filters with FAIG's choice,
# which counts for the control.) Measured on {glue:text}`controls_measured:s`.

# %% mystnb={"image": {"alt": "Drops of FAIG's filters, of matched controls and of random filters for every trained pair, a panel per function."}, "figure": {"caption": "What masking 1 % of the filters costs their own input: FAIG's, and each control by itself (drop \u00d710\u00b3, logarithmic).", "name": "fig-controls"}}
drawn = measure.controls(bench)
show.controls(drawn)

# %%
against = report.against(drawn)
record.keep(bench, "controls", against)
verdicts.keep(bench, questions.controls(against))
display(Markdown(report.controls_in_words(against)))
show.against(against, "drop", controlled)

# %% [markdown]
# (l) *FAIG's filters beat matched controls*: {glue:text}`beyond_l:s`.
#
# **Re-training.** Published work on where to fine-tune found random places to do as well as localised ones. So FAIG's
# locations in a baseline are re-trained as in [](04_retraining.ipynb), and beside them matched controls, all from the same
# patches; for the pair with the fewest filters.

# %%
retrained = report.against(measure.trainings(bench), "gain")
record.keep(bench, "controls_retrained", retrained)
display(Markdown(report.training_in_words(retrained)))
show.against(retrained, "gain (dB)", measured)

# %% [markdown]
# ## More rivals, a bound, and both directions
#
# Masking asks what is *necessary*: put the baseline's filters into the target, and see what is left (**deletion**). The
# other direction asks what is *sufficient*: graft the target's filters into the baseline, and see what is brought
# (**insertion**). Both are told by the same number,
#
# $$f(k) = \frac{m(k) - m(\text{baseline})}{m(\text{target}) - m(\text{baseline})},$$
#
# where $m(k)$ is the PSNR of the network with $k$ % of its filters exchanged, after the means of its channels were put
# right. A perfect choice falls to 0 at once when it is deleted, and rises to 1 at once when it is inserted; on the input
# of the other degradation it changes nothing. Even with all filters exchanged f does not quite reach the other end, since
# biases and slopes are no filters and stay.
#
# The rivals, on {glue:text}`faithfulness_discovered:s` each:
#
# - *Gradients at one end or both*: FAIG with a single node at the target, or one at either end.
# - *Taylor* and *Fisher*: what a gradient at the target says of setting a filter to zero, and how sharp the loss is there;
#   *magnitude*: no gradient at all.
# - *FAIG by a low-loss waypoint*: a path in two straight pieces whose middle was trained to keep the loss low on the way.
# - *Helpful filters alone*: FAIG, without filters whose contributions, with their signs, raise the loss.
# - *Learned masks*: a share of the way from baseline to target for every filter, trained for the ability itself,
#   against the other one and for few filters, in stages of {glue:text}`mask_steps:d` steps of rising sparsity. For every
#   proportion the best of the masks counts. This is the **bound** for insertion, which (m) is about; at deletion, for which
#   nothing was trained by itself, other methods can do better.

# %%
curves = measure.curves(bench)
display(Markdown(report.origin_in_words(curves, measure.check(bench, curves))))

# %% mystnb={"image": {"alt": "Fraction of the target's advantage left against the proportion of deleted filters, by method, network and function."}, "figure": {"caption": "Deletion: what is left of the target\u2019s advantage on the own input when its best filters become the baseline\u2019s (0 is best; below \u22121.1 not drawn).", "name": "fig-deletion"}}
fractions = report.fractions(curves)
show.curves(fractions, "deletion")

# %% mystnb={"image": {"alt": "Fraction of the target's advantage brought against the proportion of inserted filters, by method, network and function."}, "figure": {"caption": "Insertion: what the best filters bring of the target\u2019s advantage on the own input when they are grafted into the baseline (1 is best; below \u22121.1 not drawn).", "name": "fig-insertion"}}
show.curves(fractions, "insertion")

# %% [markdown]
# The tables have mean heights of curves over the logarithm of the proportion, from 0.1 to 100 %. Deleted: |f| on the own
# input, and |1 − f| on the other. Inserted: f and |1 − f| on the own input, and |f| on the other. Only of what is
# *brought* 1 is best, of all others 0; so a network that becomes worse than the baseline gains nothing by it. Seconds: gradients an
# image times what one takes on this machine.

# %%
areas = report.areas(curves)
record.keep(bench, "faithfulness", areas)
cost = rankings.gradients(bench.profile, len(bench.image_set(bench.test_set).select(bench.profile.discovery_images)))
seconds = measure.seconds_per_gradient(bench)
display(Markdown(report.winners_in_words(areas)))
for network, _ in bench.first_pairs:
    display(show.areas(areas, cost, seconds, network, "psnr", measured))

# %% [markdown]
# The same with the drop against the target's output as $m$ (with its sign turned):

# %%
by_drop = report.areas(curves, "drop")
display(Markdown(report.winners_in_words(by_drop)))
for network, _ in bench.first_pairs:
    display(show.areas(by_drop, cost, seconds, network, "drop", measured))

# %%
verdicts.keep(bench, questions.bound(report.of_bound(areas)))
display(Markdown(report.signs_in_words(measure.signs(bench), areas)))

# %% [markdown]
# (m) *FAIG comes near to what a learned mask reaches*: {glue:text}`beyond_m:s`.
#
# ## The way that training took
#
# Nobody trained a network along the straight line. The targets' runs kept what they were at some steps ([](10_training.ipynb));
# from the target back to the baseline by way of these, the integral is just as complete. Are the filters found along the
# way that training took better ones? Measured once, when a target was published, on the crops of scikit-image's
# photographs; trajectory less straight line, over pairs that share nothing.

# %%
ways = trajectories.compared(bench.models)
apart = trajectories.differences(ways) if not ways.empty else ways
display(Markdown(trajectories.in_words(apart)))
if not apart.empty:
    display(trajectories.shown(apart))

# %% [markdown]
# ## In short
#
# - (k) *The straight path is sound*: {glue:text}`beyond_k:s`.
# - (l) *FAIG's filters beat matched controls*: {glue:text}`beyond_l:s`.
# - (m) *FAIG comes near to the bound*: {glue:text}`beyond_m:s`.
#
# Deletion and insertion need not agree. A filter without which an ability fails is necessary for it; it is not thereby
# enough, since it works on what the rest of the target hands to it.
