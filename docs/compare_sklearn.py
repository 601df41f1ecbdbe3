"""Run scikit-learn and Partwise side by side where they differ.

The page "Coming from scikit-learn" quotes what this prints. Takes about a minute:
``python docs/compare_sklearn.py``.
"""

import warnings

import numpy as np
import sklearn.decomposition
from scipy import sparse

import partwise

BOTH = {"scikit-learn": sklearn.decomposition, "partwise": partwise}


def planted(rows, columns, k, seed=0):
    rng = np.random.default_rng(seed)
    return rng.gamma(0.5, size=(rows, k)) @ rng.gamma(0.5, size=(k, columns))


EXACT = planted(200, 120, 10)
EXACT /= EXACT.mean()
COUNTS = np.random.default_rng(1).poisson(3 * planted(80, 60, 8)).astype(float)


def compare(title, job):
    print(f"\n{title}")
    for name, library in BOTH.items():
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                answer = job(library)
            except Exception as error:  # the comparison shows whatever is raised
                answer = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
        kinds = sorted({warning.category.__name__ for warning in told})
        print(f"  {name:13s} {answer}" + (f"   [warns: {', '.join(kinds)}]" if kinds else ""))


def scaled(c):
    def job(library):
        model = library.NMF(10, random_state=0, max_iter=3000)
        W = model.fit_transform(c * EXACT)
        error = np.linalg.norm(c * EXACT - W @ model.components_)
        return f"{model.n_iter_} iterations, relative {error / np.linalg.norm(c * EXACT):.1e}"

    return job


def kl(x, y):
    positive = np.where(x > 0, x, 1)
    return np.sum(np.where(x > 0, x * np.log(positive / np.maximum(y, 1e-300)), 0) - x + y)


def small(c):
    def job(library):
        model = library.NMF(
            6, solver="mu", beta_loss=1, init="random", random_state=0, max_iter=500
        )
        W = model.fit_transform(c * COUNTS)
        true = np.sqrt(2 * kl(c * COUNTS, W @ model.components_) / c)
        told = model.reconstruction_err_ / np.sqrt(c)
        return f"{model.n_iter_} iterations, error told {told:.4g}, true {true:.4g} (× √c)"

    return job


def explicit_zeros(library):
    X = sparse.csr_array(COUNTS)
    X.data[::7] = 0
    model = library.NMF(4, solver="mu", beta_loss=1, init="random", random_state=0)
    return f"error {model.fit(X).reconstruction_err_:.6g}"


def near_exact(library):
    rng = np.random.default_rng(3)
    W, H = np.abs(rng.normal(size=(300, 5))), np.abs(rng.normal(size=(5, 100)))
    W, H = W * (rng.random(W.shape) < 0.4), H * (rng.random(H.shape) < 0.4)
    X = sparse.csr_array((W @ H).astype(np.float32))
    model = library.NMF(5, init="random", random_state=0, max_iter=3000, tol=1e-8)
    W = model.fit_transform(X).astype(float)
    true = np.linalg.norm(X.toarray() - W @ model.components_.astype(float))
    return f"error told {model.reconstruction_err_:.2e}, true {true:.2e}"


def restart(library):
    first = library.NMF(8, max_iter=5000, random_state=0)
    W = first.fit_transform(COUNTS)
    again = library.NMF(8, init="custom", max_iter=5000)
    again.fit(COUNTS, W=W.copy(), H=first.components_.copy())
    return f"{first.n_iter_} iterations, then {again.n_iter_} from the solution"


def penalized(library):
    alpha, shape = 0.03, (40, 30)
    rng = np.random.default_rng(5)
    X = rng.gamma(0.5, size=(40, 3)) @ rng.gamma(0.5, size=(3, 30)) + 0.1 * rng.random(shape)
    model = library.NMF(
        4, solver="mu", alpha_W=alpha, l1_ratio=1, init="random", random_state=0, max_iter=9999
    )
    W = model.fit_transform(X)
    H = model.components_
    objective = 0.5 * np.linalg.norm(X - W @ H) ** 2
    objective += alpha * (shape[1] * W.sum() + shape[0] * H.sum())
    zeros = int((W == 0).sum() + (H == 0).sum())
    return f"penalized objective {objective:.4f}, {zeros} of {W.size + H.size} are zero"


def ridge(library):
    alpha, shape = 20.0, COUNTS.shape
    rng = np.random.default_rng(6)
    W0, H0 = rng.random((shape[0], 4)), rng.random((4, shape[1]))
    values = []
    for max_iter in range(1, 11):
        model = library.NMF(
            4, solver="mu", beta_loss=1, alpha_W=alpha, init="custom", tol=0, max_iter=max_iter
        )
        W = model.fit_transform(COUNTS, W=W0.copy(), H=H0.copy())
        H = model.components_
        value = kl(COUNTS, W @ H)
        value += alpha / 2 * (shape[1] * np.sum(W**2) + shape[0] * np.sum(H**2))
        values.append(value)
    rises = int((np.diff(values) > 0).sum())
    return f"penalized objective {values[-1]:.1f} after 10 iterations, {rises} of 9 rose"


def locked(library):
    rng = np.random.default_rng(0)
    X = sparse.random(
        80, 60, 0.1, random_state=0, data_rvs=lambda n: rng.integers(1, 9, n).astype(float)
    )
    model = library.NMF(8, solver="mu", beta_loss=1, init="nndsvd", random_state=0, max_iter=2000)
    return f"error {model.fit(X.tocsr()).reconstruction_err_:.4f}"


def strong(library):
    X = COUNTS / COUNTS.sum(axis=1, keepdims=True)
    model = library.NMF(5, alpha_W=0.02, l1_ratio=1, random_state=0)
    W = model.fit_transform(X)
    return f"largest entry of W H {(W @ model.components_).max():.2g}"


def projected(**parameters):
    def job(library):
        model = library.NMF(8, random_state=0, max_iter=2000, **parameters)
        W = model.fit_transform(COUNTS)
        together = model.transform(COUNTS)
        alone = np.vstack([model.transform(COUNTS[i : i + 1]) for i in range(len(COUNTS))])
        far = np.abs(W - together).max() / W.max(), np.abs(together - alone).max() / W.max()
        return f"from fit_transform {far[0]:.1e}, from row by row {far[1]:.1e}"

    return job


def overwritten(library):
    rng = np.random.default_rng(0)
    W, H = rng.random((80, 4)), rng.random((4, 60))
    kept = W.copy(), H.copy()
    library.NMF(4, init="custom", solver="mu").fit(COUNTS, W=W, H=H)
    return f"kept W: {np.array_equal(W, kept[0])}, kept H: {np.array_equal(H, kept[1])}"


def h_only(library):
    H = np.random.default_rng(1).random((4, 60))
    model = library.NMF(4, init="custom", random_state=0)
    return f"{model.fit(COUNTS, H=H).n_iter_} iterations"


def minibatch(library):
    model = library.MiniBatchNMF(8, batch_size=20, random_state=0).fit(COUNTS)
    return f"{model.n_iter_} passes, error {model.reconstruction_err_:.2f}"


def many_components(library):
    return library.NMF(70, init="nndsvd", max_iter=5).fit(COUNTS).n_iter_


def fitted(X, **parameters):
    def job(library):
        model = library.NMF(2, **parameters).fit(X)
        return f"{model.n_iter_} iterations of {getattr(model, 'solver_', model.solver)!r}"

    return job


def lengths_of_steps():
    print("\n'me' and 'mu' from one start, Itakura–Saito")
    X = planted(200, 100, 6) * np.random.default_rng(7).gamma(10, 0.1, size=(200, 100))
    for solver in ("me", "mu"):
        model = partwise.NMF(
            6, solver=solver, beta_loss=0, init="random", random_state=0, max_iter=20000
        ).fit(X)
        rises = int((np.diff(model.objective_history_) > 0).sum())
        print(f"  {solver:13s} {model.n_iter_} iterations, {model.objective_:.3f}, {rises} rose")


def main():
    for c in (1, 100, 1000, 1e12):
        compare(f"X times {c:g}, exact rank 10, defaults", scaled(c))
    for c in (1, 1e-8):
        compare(f"Kullback–Leibler, counts times {c:g}", small(c))
    compare("explicit zeros in a sparse matrix, Kullback–Leibler", explicit_zeros)
    compare("error of a nearly exact fit, sparse float32", near_exact)
    compare("restart at the solution", restart)
    compare("'mu' with an L1 penalty", penalized)
    compare("'mu' with a strong L2 penalty, Kullback–Leibler", ridge)
    compare("'mu' from nndsvd, whose zeros it cannot leave", locked)
    compare("penalties that leave nothing", strong)
    compare("transform, 'cd'", projected())
    compare("transform, 'mu', Kullback–Leibler", projected(solver="mu", beta_loss=1))
    compare("start arrays", overwritten)
    compare("custom start with H only", h_only)
    compare("MiniBatchNMF", minibatch)
    compare("k > min(X.shape) with nndsvd", many_components)
    compare("Kullback–Leibler without solver=", fitted(COUNTS, beta_loss=1))
    compare("Itakura–Saito without solver=", fitted(COUNTS + 1, beta_loss=0))
    compare("Kullback–Leibler with solver='cd'", fitted(COUNTS, beta_loss=1, solver="cd"))
    compare("X of zeros, 'mu'", fitted(np.zeros((5, 4)), solver="mu"))
    compare("one feature", fitted(COUNTS[:, :1]))
    compare("masked entries", fitted(np.ma.masked_array(COUNTS, COUNTS > 9)))
    compare("text that looks like numbers", fitted(COUNTS.astype(str)))
    compare("a Generator as random_state", fitted(COUNTS, random_state=np.random.default_rng(0)))
    lengths_of_steps()


if __name__ == "__main__":
    main()
