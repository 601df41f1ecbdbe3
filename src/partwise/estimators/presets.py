"""Variants of the literature that are a model or a choice of penalties."""

from __future__ import annotations

import inspect
from numbers import Real
from typing import Any

from sklearn.utils._param_validation import Interval

from partwise._errors import explain
from partwise.estimators.nmf import NMF
from partwise.models import NonSmooth

__all__ = ["NonSmoothNMF"]


def _with_parameters_of_nmf(cls: type[NMF]) -> Any:
    # The signature tells scikit-learn, and whoever reads it, of the parameters that are passed on.
    own, others = (inspect.signature(c.__init__).parameters for c in (cls, NMF))
    merged = {**own, **others, **own}.values()
    named = [p for p in merged if p.kind is not inspect.Parameter.VAR_KEYWORD]
    signature = inspect.Signature(sorted(named, key=lambda p: p.kind))
    cls.__init__.__signature__ = signature  # type: ignore[attr-defined]
    return cls


@_with_parameters_of_nmf
class NonSmoothNMF(NMF):
    """Non-smooth NMF, X ≈ W S H with a smoothing matrix S: both factors are sparse.

    Minimizes the objective of `NMF` with W S H in the place of W H, where
    ``S = (1 − θ) I + θ/k 1 1ᵀ``.

    Parameters
    ----------
    n_components : int, 'auto' or None, default='auto'
        Number of components k.
    theta : float in [0, 1), default=0.5
        θ: how smooth S is, and so how sparse W and H become. 0 is `NMF`.
    init, solver, beta_loss, tol, max_iter, random_state, alpha_W, alpha_H, l1_ratio, penalty_W, \
penalty_H, verbose, shuffle, n_init, n_jobs, max_time, unstored, allow_negative
        As for `NMF`.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        H, without S.
    W_ : ndarray of shape (n_samples, n_components)
        W of the training data, without S.

    Further attributes are those of `NMF`.

    See Also
    --------
    NMF : The same without S.

    Notes
    -----
    Cost per iteration that of `NMF` and O((n_samples + n_features) · k). `transform`,
    `inverse_transform`, `score` and `explained_variance` are of W S H. Components cannot be
    scaled against each other: `normalize` is refused for θ > 0.

    References
    ----------
    Pascual-Montano, Carazo, Kochi, Lehmann & Pascual-Marqui (2006), IEEE Transactions on
    Pattern Analysis and Machine Intelligence 28, 403-415.

    Examples
    --------
    >>> from partwise import NonSmoothNMF
    >>> X = [[1, 1, 0], [2, 2, 0], [0, 0, 3], [1, 1, 3]]
    >>> NonSmoothNMF(2, theta=0.2, max_iter=2000).fit(X).inverse_transform([[1.0, 0.0]]).shape
    (1, 3)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **NMF._parameter_constraints,
        "theta": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        n_components: int | str | None = "auto",
        *,
        theta: float = 0.5,
        **parameters: Any,
    ) -> None:
        super().__init__(n_components, **parameters)
        self.theta = theta

    def _model(self, n_components: int) -> NonSmooth:
        return NonSmooth(n_components, self.theta)

    def normalize(self, by: str = "l1") -> NMF:
        """Scale components as `NMF` does, for ``theta=0`` alone.

        Parameters
        ----------
        by : {"l1", "l2", "max"}
            The norm.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For ``theta > 0``, where W S H changes if a component of H is scaled and that of W
            the other way round.
        """
        if self.theta > 0:
            todo = "Scale W S, or S H, outside of the model."
            raise ValueError(explain("normalize", f"theta={self.theta:g}", "theta=0", todo))
        super().normalize(by)
        return self
