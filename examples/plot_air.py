"""
Sources of air pollution, and how far to trust them
===================================================

Positive matrix factorization finds the sources of what is measured in the air: their profiles and
what they contribute to every day. Here the measurements are simulated, so that the answer is known.
"""

import numpy as np

from partwise import PositiveMatrixFactorization
from partwise.apportionment import bootstrap, displacement, rotations
from partwise.plots import plot_contributions, plot_profiles, plot_q

# %%
# A year of measurements
# ----------------------
# Four sources: traffic, which rests on Sundays, wood smoke in winter, sea salt on windy days, and
# soil. Uncertainties are a tenth of the value and a detection limit; a few values are missing,
# and a few are wrong altogether.

species = ["EC", "OC", "K", "NO3", "SO4", "Na", "Cl", "Mg", "Si", "Al", "Fe", "Ca", "Cu", "Zn"]
profiles = {
    "traffic": [0.9, 1.2, 0.02, 0.5, 0.1, 0, 0.02, 0, 0.03, 0.02, 0.25, 0.05, 0.04, 0.05],
    "wood": [0.3, 2.5, 0.45, 0.3, 0.2, 0.02, 0.15, 0.01, 0, 0, 0, 0.03, 0, 0.03],
    "sea": [0, 0.05, 0.03, 0.1, 0.25, 1.0, 1.5, 0.12, 0, 0, 0, 0.04, 0, 0],
    "soil": [0, 0.2, 0.06, 0, 0.05, 0.03, 0, 0.05, 0.9, 0.35, 0.3, 0.4, 0, 0],
}
F = np.array(list(profiles.values()))
rng = np.random.default_rng(0)
days = np.datetime64("2024-01-01") + np.arange(366)
weekday = (np.arange(366) % 7 != 6) * 0.9 + 0.1
winter = 0.5 + 0.5 * np.cos(2 * np.pi * np.arange(366) / 366)
wind = np.repeat(rng.gamma(0.6, size=123), 3)[:366]
dry = (rng.random(366) < 0.6) * rng.gamma(1.5, size=366)
G = np.column_stack(
    [weekday * rng.gamma(3, 1 / 3, 366), winter**2 * rng.gamma(2, size=366), wind, dry]
)
true = G @ F
s = np.sqrt((0.1 * true) ** 2 + (0.05 * F.max(axis=0) / 3) ** 2)
X = true + s * rng.standard_normal(true.shape)
X[rng.random(X.shape) < 0.02] = np.nan
wrong = rng.random(X.shape) < 0.003
X[wrong] *= 3

# %%
# How many sources
# ----------------
# Q over what is expected falls steeply up to the right number, and slowly afterwards.

options = {"n_init": 5, "random_state": 0}
models = {k: PositiveMatrixFactorization(k, **options).fit(X, uncertainty=s) for k in range(2, 7)}
ax = plot_q(list(models.values()))
figure = ax.figure

# %%
# The fit is robust: values that are wrong altogether count for less in Q(robust).

model = models[4]
print(f"Q(true)   {model.q_true_:.0f}")
print(f"Q(robust) {model.q_robust_:.0f}")
print(f"expected  {model.q_expected_:.0f}")

# %%
# Contributions over time, with mean 1:

figure = plot_contributions(model, days)

# %%
# How far profiles can be trusted
# -------------------------------
# Displacement asks of every entry how far it can go before Q has risen by 4, whatever all others
# do. Where a line is long the factors can be turned into each other.

displaced = displacement(model, dq_max=[4])
figure = plot_profiles(
    displaced.profiles, (displaced.lower[0], displaced.upper[0]), species=species,
    note="bars: the model; lines: as far as Q rises by 4",
)  # fmt: skip

# %%
# Away from zero a rise of 4 would be two standard deviations. Here many entries of the truth are
# zero, and noise around zero can only push them up, which turns a factor as a whole: the truth is
# inside fewer of the intervals than that. They are about noise, and not about bias.

order = [int(np.argmax([np.corrcoef(w, g)[0, 1] for w in model.W_.T])) for g in G.T]
mean = G.mean(axis=0)[:, None] * F
inside = (displaced.lower[0][order] <= mean) & (mean <= displaced.upper[0][order])
print(f"{inside.mean():.0%} of the entries")

# %%
# The bootstrap asks what hangs on single days: every factor is found again.

drawn = bootstrap(model, 30, random_state=0)
print(f"blocks of {drawn.block_size} days")
print(drawn.mapping)

# %%
# And rotations: sharper profiles, and what they cost.

for row in rotations(model, [-0.1, -0.05, 0.05, 0.1]).table():
    print(f"strength {row['strength']:5.2f}: Q rises by {row['dq']:.1f}, {row['percent']:.1f} %")
