"""
Unmixing spectra, with one profile known
========================================

A spectrum of a mixture is the sum of the spectra of its substances, each times its
amount. Factorizing many mixtures finds spectra and amounts together. When the spectrum of
one substance is known, ``fixed_H`` keeps it and finds the others.
"""

import numpy as np
from matplotlib.figure import Figure

from partwise import NMF

# %%
# Simulated mixtures
# ------------------
# Three substances with overlapping bands on 200 wavelengths, 60 mixtures, and noise of 0.3 %
# of the largest value. A is made from B, so it never appears without at least twice as much B.

rng = np.random.default_rng(0)
wavelength = np.linspace(400, 800, 200)


def bands(*peaks):
    return sum(
        height * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)
        for centre, width, height in peaks
    )


spectra = np.array(
    [
        bands((480, 30, 1.0), (640, 30, 0.60)),
        bands((540, 35, 0.9), (690, 28, 0.50)),
        bands((600, 35, 0.8), (450, 20, 0.35)),
    ]
)
names = ["A", "B", "C"]
b, c = rng.dirichlet([1.0, 1.0], size=60).T
amounts = np.column_stack([b * rng.uniform(0, 0.5, size=60), b, c])
clean = amounts @ spectra
X = np.maximum(clean + 0.003 * clean.max() * rng.standard_normal(clean.shape), 0)

# %%
# Blind and with a known profile
# ------------------------------
# With ``init="custom"`` start values for H alone are enough. Row 0 starts from the
# spectrum of substance A and ``fixed_H`` keeps it to the bit; the other rows start from
# random values. Five starts are made of each kind, and the best one is kept.

blind = NMF(3, n_init=5, init="random", max_iter=5000, tol=1e-5, random_state=0).fit(X)

best = None
for seed in range(5):
    start = np.random.default_rng(seed).uniform(size=spectra.shape)
    start[0] = spectra[0]
    fixed = np.zeros(spectra.shape, dtype=bool)
    fixed[0] = True
    model = NMF(3, init="custom", max_iter=5000, tol=1e-5, random_state=seed)
    model.fit(X, H=start, fixed_H=fixed)
    if best is None or model.objective_ < best.objective_:
        best = model
informed = best
print("row 0 is kept:", np.array_equal(informed.components_[0], spectra[0]))
print(f"unexplained share, blind:    {1 - blind.explained_variance():.2e}")
print(f"unexplained share, A known:  {1 - informed.explained_variance():.2e}")

# %%
# What was found
# --------------
# Components are matched to substances by their cosine. Both fits describe the data about
# equally well, but a factorization need not be unique. Since A comes with B in every sample,
# the blind fit counts some of B's spectrum as A's. The known spectrum rules that out. It
# helps where the ambiguity is in the known part; it cannot resolve one between the others.


def matched(model):
    unit = [F / np.linalg.norm(F, axis=1, keepdims=True) for F in (spectra, model.components_)]
    cosine = unit[0] @ unit[1].T
    return cosine.argmax(axis=1), cosine.max(axis=1)


figure = Figure(figsize=(8.4, 4.6), facecolor="white", layout="constrained")
rows = figure.subplots(2, 3, sharex=True, sharey=True)
for axes, title, model in zip(rows, ("blind", "A known"), (blind, informed), strict=True):
    order, cosine = matched(model)
    for ax, name, truth, j, value in zip(axes, names, spectra, order, cosine, strict=True):
        found = model.components_[j]
        ax.fill_between(wavelength, truth / truth.max(), color="#cfe0ee", label="true")
        ax.plot(wavelength, found / found.max(), color="#1f5fa8", label="found")
        ax.set_title(f"{name}, {title}: cosine {value:.3f}", fontsize=9, loc="left")
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
rows[0, 0].legend(frameon=False, fontsize=8, loc="upper right")
for ax in rows[1]:
    ax.set_xlabel("wavelength (nm)", fontsize=9)

# %%
# Amounts
# -------
# W holds the amounts, once each spectrum is scaled to the height of the true one. Amounts
# are between 0 and 1, those of A below 0.5.

for title, model in (("blind", blind), ("A known", informed)):
    order, _ = matched(model)
    heights = model.components_[order].max(axis=1) / spectra.max(axis=1)
    error = np.abs(model.W_[:, order] * heights - amounts).mean(axis=0)
    listed = ", ".join(f"{name} {value:.3f}" for name, value in zip(names, error, strict=True))
    print(f"{title}: mean error of the amounts {listed}")
