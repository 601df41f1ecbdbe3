"""
Topics in a corpus
==================

Counts of words are small, mostly zero, and noisy like a Poisson variable. The
Kullback–Leibler divergence is the matching loss, and with a sparse matrix it costs time
for the stored counts only. Here a corpus is drawn from six planted topics, so that the
topics that come out can be compared with those that went in.
"""

import numpy as np
import pandas as pd
from scipy import sparse

from partwise import NMF
from partwise.plots import plot_factor, plot_parts

TOPICS = {
    "kitchen": "oven flour butter sugar salt recipe bake pan dough spoon stir onion",
    "football": "goal match team coach league pass striker penalty season keeper fans club",
    "sky": "star planet orbit telescope galaxy light comet moon lens night dust sun",
    "garden": "seed soil root water leaf plant bloom spring compost weed sun night",
    "music": "song guitar drum chord band album tune concert pitch stage fans light",
    "money": "bank loan market price interest share fund tax budget trade club season",
}
EVERYWHERE = "time day year people place thing way week"

# %%
# A corpus
# --------
# Each topic takes 85 % of its words from its own list, in falling frequency, and the rest
# from words that every topic uses. "sun", "night", "light", "fans", "club" and "season"
# belong to two topics each. Each of 800 documents mixes a few topics in 20 to 60 words.

rng = np.random.default_rng(3)
common = EVERYWHERE.split()
vocabulary = sorted({word for words in TOPICS.values() for word in words.split()} | {*common})
place = {word: i for i, word in enumerate(vocabulary)}

planted = np.zeros((len(TOPICS), len(vocabulary)))
for topic, words in zip(planted, TOPICS.values(), strict=True):
    for rank, word in enumerate(words.split()):
        topic[place[word]] = 1 / (rank + 3)
    topic *= 0.85 / topic.sum()
    topic[[place[word] for word in common]] = 0.15 / len(common)

mixtures = rng.dirichlet(np.full(len(TOPICS), 0.15), size=800)
lengths = rng.integers(20, 61, size=800)
counts = np.array(
    [rng.multinomial(n, mixture @ planted) for n, mixture in zip(lengths, mixtures, strict=True)]
)
X = sparse.csr_array(counts, dtype=float)
print(f"{X.shape[0]} documents, {X.shape[1]} words, {100 * X.nnz / counts.size:.0f} % stored")

# %%
# The fit
# -------
# Names of columns make the result readable. A data frame of sparse columns carries them
# and stays sparse. ``solver="auto"`` picks ``"mu"`` for this loss.

frame = pd.DataFrame.sparse.from_spmatrix(X, columns=vocabulary)
model = NMF(6, beta_loss="kullback-leibler", max_iter=2000, random_state=0).fit(frame)
model.normalize(by="l1").sort_components(by="usage")

print(f"solver {model.solver_!r}, {model.n_iter_} iterations, {model.stop_reason_}")
for j, words in enumerate(model.top_features(8)):
    print(f"topic {j}: {', '.join(word for word, _ in words)}")

# %%
# After ``normalize(by="l1")`` each topic is a distribution over words, and a row of ``W_``
# says how many words of a document come from each topic.

bars = plot_parts(model)

# %%
# Planted and found
# -----------------
# The cosine between each planted topic and each component that was found.


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


cosine = unit(planted) @ unit(model.components_).T
order = cosine.argmax(axis=1)
for name, row in zip(TOPICS, cosine, strict=True):
    print(f"{name:9s} topic {row.argmax()}, cosine {row.max():.3f}")

agreement = plot_factor(
    cosine[:, order],
    factor="W",
    row_names=list(TOPICS),
    column_names=[f"topic {j}" for j in order],
    title="Cosine of planted and found topics",
).figure
agreement.axes[0].set(xlabel="found", ylabel="planted")

# %%
# Documents
# ---------
# `assign` names the topic that contributes most to each document. It is compared with the
# largest share in the mixture that the document was drawn from.

found = model.assign()
truth = order[mixtures.argmax(axis=1)]
print(f"main topic found for {100 * np.mean(found == truth):.1f} % of the documents")
