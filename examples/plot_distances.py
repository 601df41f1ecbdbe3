"""
Internet distances from few measurements
========================================

N hosts have N² distances to each other, such as round-trip times, and nobody wants to measure all
of them. They are not those of points in space: routes make detours, and the way back may be
longer. But many rows look alike, since hosts of one region share most of their way. The
matrix is near a product of two thin non-negative factors, and a few measurements of each host are
enough to find its row in both.
"""

import numpy as np
from matplotlib.figure import Figure

from partwise.recipes import IDES, Phoenix, relative_errors

# %%
# A network
# ---------
# This one is made up, as no file of measurements comes with the examples; how well distances
# measured between the 490 hosts of PlanetLab are predicted tells :ref:`distances`. Hosts lie in a
# few regions. A distance is that between the regions, longer one way than the other, plus the last
# mile of both hosts, and every pair has a detour of its own. One measurement in fifty is wrong by
# far.

rng = np.random.default_rng(0)
n, regions = 200, 8
region = rng.integers(regions, size=n)
between = rng.uniform(10, 150, size=(regions, regions)) + 5
last_mile = rng.gamma(2, 6, size=n)
detour = np.exp(0.08 * rng.standard_normal((n, n)))
truth = (between[np.ix_(region, region)] + last_mile[:, None] + last_mile) * detour
np.fill_diagonal(truth, 0)
measured = truth * np.where(rng.random((n, n)) < 0.02, rng.uniform(3, 10, (n, n)), 1)

# %%
# Landmarks
# ---------
# IDES: 25 hosts are landmarks, whose distances are factorized. All others measure those to and from
# the landmarks, and find their two vectors by non-negative least squares.

landmarks, hosts = np.arange(25), np.arange(25, n)
ides = IDES(9, random_state=0).fit(measured[np.ix_(landmarks, landmarks)])
to, back = measured[np.ix_(hosts, landmarks)], measured[np.ix_(landmarks, hosts)].T
rest = truth[np.ix_(hosts, hosts)]
errors = {"IDES": relative_errors(rest, ides.locate(to, back).distances())}
plain = IDES(9, confidence=None, random_state=0).fit(measured[np.ix_(landmarks, landmarks)])
errors["IDES, all alike"] = relative_errors(rest, plain.locate(to, back).distances())

# %%
# Neighbours
# ----------
# Phoenix does without landmarks: hosts join one after another, and each measures 25 random ones
# that are there already. Measurements whose relative error is large beside others of the same host
# weigh less; without that, wrong ones spoil the vectors of hosts, and those of their neighbours.

for label, confidence in (("Phoenix", 3.0), ("Phoenix, all alike", None)):
    model = Phoenix(9, n_neighbours=25, confidence=confidence, random_state=0).fit(measured)
    unseen = np.where(model.measured_, np.nan, truth)
    errors[label] = relative_errors(unseen, model.coordinates_.distances())
print(f"measured: {model.measured_.mean():.0%} of all distances")
for label, found in errors.items():
    print(f"{label:20s} median {np.median(found):.1%}, 90 % below {np.quantile(found, 0.9):.1%}")

# %%
# The share of the distances that nobody measured whose relative error is at most that.

figure = Figure(figsize=(6.4, 3.8), facecolor="white", layout="constrained")
ax = figure.subplots()
for (label, found), colour in zip(
    errors.items(), ("#0072b2", "#0072b2", "#d55e00", "#d55e00"), strict=True
):
    stroke = "--" if "alike" in label else "-"
    shares = np.arange(1, found.size + 1) / found.size
    ax.plot(np.sort(found), shares, stroke, color=colour, linewidth=1.6, label=label)
ax.set_xscale("log")
ax.set_xlim(0.005, 2)
ax.set_xlabel("relative error")
ax.set_ylabel("share of distances")
ax.spines[["top", "right"]].set_visible(False)
ax.grid(color="#d9dce3", linewidth=0.6)
ax.legend(frameon=False)
