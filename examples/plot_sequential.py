"""
A disk beside a star, and how many components
=============================================

Images of a star hide what is beside it. Images of other stars, references, have no disk: their
components model the light of the star, and what is left of the target is the disk. Three things
help with that: components that are built one by one and tell how many of them are worth having,
a mask for the disk, and a search for the factor by which a model without a mask is too bright.
"""

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from partwise import SequentialNMF, best_factor
from partwise.plots import plot_residual_variance

# %%
# Simulated images
# ----------------
# Sixty references of 60 × 60 pixels. Each is a mixture of the same four halos, full of speckles,
# with noise that grows with the light. The target is another mixture, and has an inclined
# ring that is as bright as the star is there.

rng = np.random.default_rng(0)
size, count = 60, 60
y, x = np.mgrid[:size, :size] - (size - 1) / 2
halo = (1 + (np.hypot(x, y) / 8) ** 2) ** -1.5
speckles = [gaussian_filter(rng.standard_normal((size, size)), 1.2) ** 2 for _ in range(4)]
parts = np.array([(halo * (0.3 + 8 * s)).ravel() for s in speckles])
clean = rng.gamma(11, 0.09, size=(count + 1, 4)) @ parts
noise = 0.03 * np.sqrt(clean * clean.mean())
images = np.maximum(clean + noise * rng.standard_normal(clean.shape), 0)

ring = np.exp(-(((np.hypot(x, y / 0.5) - 18) / 1.5) ** 2) / 2).ravel()
ring *= clean[-1][ring > 0.5].mean()
references, target = images[:-1], images[-1:] + ring

# %%
# Components one by one
# ---------------------
# Every rank starts from the one before. The residual variance falls until there is noise alone
# to fit. Principal components, which may be negative and have a mean beside them, leave a little
# less with each; they agree about where the curve becomes flat.

model = SequentialNMF(10, max_iter=1000, random_state=0).fit(references)
print("suggested number of components:", model.suggested_n_components_)
print("components stay as they are:   ", model.persistence_.round(2))
figure = plot_residual_variance(model, references).figure

# %%
# The target, three times
# -----------------------
# The model of the target with the disk in it takes the disk's light for that of the star, and
# subtracts too much. The best factor makes up for it where only the brightness of the model is
# wrong. With the pixels of the disk hidden it has no influence at all.

model = model.at_rank(model.suggested_n_components_)
fitted = model.model_target(target)
factor = best_factor(target, fitted)
hidden = model.model_target(target, hidden=ring > 0.02 * ring.max())
left = {
    "as fitted": target - fitted,
    f"best factor, {factor:.3f}": target - factor * fitted,
    "disk hidden": target - hidden,
}
disk = ring > 0.5 * ring.max()
print("flux of the disk that is found:")
for name, rest in left.items():
    print(f"  {name:20} {rest[0, disk].sum() / ring[disk].sum():.3f}")

# %%
# Pictures of what is left, all on one scale: blue where too much was subtracted.

figure = Figure(figsize=(9.6, 2.7), facecolor="white", layout="constrained")
shown = {"the disk": ring[None], **left}
for ax, (name, image) in zip(figure.subplots(1, 4), shown.items(), strict=True):
    top = ring.max()
    ax.imshow(image.reshape(size, size), cmap="RdBu_r", vmin=-top, vmax=top)
    ax.set_title(name, fontsize=9, loc="left")
    ax.set_axis_off()

# %%
# Source: Ren, Pueyo, Zhu, Debes & Duchêne (2018), The Astrophysical Journal 852, 104; Ren et al.
# (2020), The Astrophysical Journal 892, 74, for the mask.
