"""Rotations (FPEAK): other factors that fit nearly as well, with sharper or fuller profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from partwise._errors import explain
from partwise._tables import Tabular
from partwise._threads import one_pool
from partwise.apportionment._base import Base, labels
from partwise.apportionment._profiled import Place, Pull
from partwise.estimators._runs import warn
from partwise.estimators._scaled_residuals import q_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Rotations", "rotations"]

# Of Q, what Newton's method may leave.
LEFT = 1e-9


@dataclass
class Rotations(Tabular):
    """What `rotations` found.

    Attributes
    ----------
    strengths : ndarray of shape (rotations,)
        φ of each rotation.
    dq : ndarray of shape (rotations,)
        By how much Q is above that of the model, with its weights of outliers.
    q_true, q_robust : ndarray of shape (rotations,)
        Q(true) and Q(robust).
    profiles : ndarray of shape (rotations, p, n_features)
        In the unit of X, for contributions with mean 1.
    contributions : ndarray of shape (rotations, n_samples, p)
        With mean 1.
    matrices : ndarray of shape (rotations, p, p)
        T for which the contributions of the model times T are nearest to the rotated ones: what
        the rotation has become.
    q_of_model : float
        What ``dq`` is counted from.
    species : list
        Names of the columns, or their numbers.
    """

    strengths: np.ndarray
    dq: np.ndarray
    q_true: np.ndarray
    q_robust: np.ndarray
    profiles: np.ndarray
    contributions: np.ndarray
    matrices: np.ndarray
    q_of_model: float
    species: list[Any] = field(repr=False)

    def table(self) -> list[dict[str, float]]:
        """Return a row for every strength, as dicts.

        Returns
        -------
        list of dict
            "strength", "dq", "percent" (of Q of the model), "q_true" and "q_robust".
        """
        base = self.q_of_model
        return [
            {
                "strength": float(strength),
                "dq": float(self.dq[number]),
                "percent": float(100 * self.dq[number] / base) if base > 0 else np.nan,
                "q_true": float(self.q_true[number]),
                "q_robust": float(self.q_robust[number]),
            }
            for number, strength in enumerate(self.strengths)
        ]

    def plot(self, strength: float) -> Figure:
        """Draw the profiles of one rotation.

        Parameters
        ----------
        strength : float
            The nearest of those that were asked for is drawn.

        Returns
        -------
        matplotlib.figure.Figure
            What `partwise.plots.plot_profiles` makes.
        """
        from partwise.plots import plot_profiles

        number = int(np.argmin(np.abs(self.strengths - strength)))
        note = f"strength {self.strengths[number]:g}: Q rises by {self.dq[number]:.4g}"
        return plot_profiles(self.profiles[number], species=self.species, note=note)


def rotations(
    model: Any, strengths: Sequence[float] = (-0.1, -0.05, 0.05, 0.1), *, pull: float = 0.01
) -> Rotations:
    r"""Pull profiles towards sharper or fuller ones, and see what that costs in Q (FPEAK).

    A rotation T turns G F into (G T) (T⁻¹ F) at no cost, as long as nothing becomes negative. With
    T = I + φ E, where E is one but for zeros on the diagonal, contributions of other factors are
    added to those of each factor, and, to first order in φ, profiles of other factors are
    subtracted: profiles become sharper for φ > 0, and contributions fuller; for φ < 0 the other
    way round. Done here is this: with F and G of the model, contributions with mean 1, and the
    targets ``F* = max(0, F − φ E F)``, minimized over profiles ≥ 0 and contributions, which are as
    low as the model lets them be, is

    .. math::

        Q + \kappa \sum_{kj} \left(\sum_i g_{ik}^2 / s_{ij}^2\right)\, (f_{kj} - f^*_{kj})^2,

    with κ = ``pull``. At κ = 1 the pull on an entry would be as strong as the data hold it when all
    others are held; at a hundredth of that only directions go far in which the model can be
    rotated cheaply.

    Parameters
    ----------
    model : PositiveMatrixFactorization
        Fitted. Outliers keep the weights that they have in it.
    strengths : sequence of float, default=(-0.1, -0.05, 0.05, 0.1)
        φ. They are not those of the program EPA PMF, whose unit is another.
    pull : float, default=0.01
        κ > 0.

    Returns
    -------
    Rotations

    Raises
    ------
    ValueError
        Strengths that are not finite, a pull that is not positive; a factor without contributions
        in a model with contributions below zero.
    TypeError
        Another model.

    Warns
    -----
    ConvergenceWarning
        Some minima were not reached.

    Notes
    -----
    By Newton's method on the profiles, from the model. Cost O(n m² p³ + (m p)³) per step.

    References
    ----------
    Paatero (1997), Chemometrics and Intelligent Laboratory Systems 37, 23-35 (the rotation).
    Paatero, Hopke, Song & Ramadan (2002), Chemometrics and Intelligent Laboratory Systems 60,
    253-264 (how to judge it). Paatero & Hopke (2009), Journal of Chemometrics 23, 91-100 (pulling
    towards targets).

    Examples
    --------
    >>> import numpy as np
    >>> from partwise import PositiveMatrixFactorization
    >>> from partwise.apportionment import rotations
    >>> rng = np.random.default_rng(0)
    >>> X = rng.gamma(1, size=(60, 2)) @ rng.gamma(1, size=(2, 5))
    >>> s = 0.1 * X + 0.01
    >>> X = X + s * rng.standard_normal(X.shape)
    >>> model = PositiveMatrixFactorization(2, n_init=2).fit(X, uncertainty=s)
    >>> found = rotations(model, [-0.2, 0.2])
    >>> bool(np.all(found.dq >= 0))
    True
    """
    given = np.asarray(strengths, np.float64).reshape(-1)
    if given.size == 0 or not np.isfinite(given).all():
        raise ValueError(explain("strengths", repr(strengths), "finite numbers"))
    if not 0 < pull < np.inf:
        raise ValueError(explain("pull", f"{pull:g}", "a number > 0"))
    with one_pool(share=False):
        base = Base.of(model, "rotations")
        place = base.refined(LEFT * base.half_q())
        places = [_rotated(base, place, float(strength), pull) for strength in given]
        found = _collected(base, place, given, places)
    left = sum(not place.converged for place in places)
    if left:
        warn(f"rotations: {left} of {len(places)} minima were not reached.", ConvergenceWarning)
    return found


def _rotated(base: Base, place: Place, strength: float, pull: float) -> Place:
    means = place.W.mean(axis=0)
    means = np.where(means > 0, means, 1.0)
    W, H = place.W / means, place.H * means[:, None]
    others = H.sum(axis=0) - H
    targets = np.maximum(0, H - strength * others)
    weights = pull * (W * W).T @ base.V
    surface = base.surface(pull=Pull(weights, targets))
    return surface.minimize(surface.at(H, W), tol=LEFT * place.half_q)


def _collected(base: Base, place: Place, strengths: np.ndarray, places: list[Place]) -> Rotations:
    model, measured = base.model, base.model._measured_of_fit
    shape = len(places), *model.W_.shape
    contributions, qs, matrices = np.zeros(shape), [], []
    profiles = np.array([base.profiles(one) for one in places])
    for number, one in enumerate(places):
        means = one.W.mean(axis=0)
        contributions[number, base.rows] = one.W / np.where(means > 0, means, 1.0)
        z = measured.scaled_residuals(contributions[number] @ profiles[number])
        qs.append(q_values(z, model.outlier_distance))
        matrices.append(np.linalg.lstsq(model.W_, contributions[number], rcond=None)[0])
    q_true, q_robust = np.array(qs).T
    return Rotations(
        strengths=strengths,
        dq=2 * np.array([one.half_q - place.half_q for one in places]),
        q_true=q_true,
        q_robust=q_robust,
        profiles=profiles,
        contributions=contributions,
        matrices=np.array(matrices),
        species=labels(model),
        q_of_model=2 * place.half_q,
    )
