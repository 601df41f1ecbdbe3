"""What an estimator offers to be judged by entries of X that a fit did not see."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from partwise._arrays import check_kind
from partwise._errors import explain
from partwise.estimators._runs import both_penalized
from partwise.losses import as_loss

__all__ = ["Judged"]


class Judged:
    """An estimator that `partwise.cross_val_loss` can fit to some entries of X and judge at others.

    Asked in this order, of a clone that is not fitted: `_entries` for what to share out, once, and
    then of a clone for every fit `_fit_to` and `_losses_at`. An estimator that does not take
    ``weights`` in `fit` has an own `_entries` and `_fit_to`.
    """

    # Whether W of new rows and H of new columns are found by `transform`, for X that is known.
    _folds = False

    @property
    def _unstored(self) -> str:
        """What entries are that sparse X does not store, "zero" or "missing"."""
        return getattr(self, "unstored", "zero")

    @property
    def _loss_name(self) -> str:
        """The loss, in words."""
        return as_loss(self.beta_loss).name  # type: ignore[attr-defined]

    @property
    def _judged_converged(self) -> bool:
        """Whether the fit converged."""
        return bool(self.converged_)  # type: ignore[attr-defined]

    def _least_known(self, n_components: int) -> int:
        """Return how many entries of a row or a column determine what is fitted there."""
        return 1 if both_penalized(self) else n_components

    def _entries(self, X: Any, weights: Any, uncertainty: Any) -> tuple[Any, Any, dict[str, Any]]:
        """Return checked X and weights, which say what can be held out, and more for a fit."""
        self._no_uncertainty(uncertainty)
        check_kind(X, "X")
        floats = [np.float64, np.float32]
        X = check_array(X, accept_sparse="csr", dtype=floats, ensure_all_finite=False)
        return X, weights, {}

    def _no_uncertainty(self, uncertainty: Any) -> None:
        if uncertainty is not None:
            wanted = f"None for {type(self).__name__}"
            todo = "Pass weights=1 / uncertainty**2, 0 where X is missing."
            raise ValueError(explain("uncertainty", "an array", wanted, todo))

    def _fit_to(self: Any, X: Any, known: Any, **more: Any) -> None:
        """Fit the entries that have weights above zero in ``known``."""
        self.fit(X, weights=known, **more)

    def _losses_at(self, X: Any, known: Any, held: Any, **more: Any) -> tuple[float, float]:
        """Return the mean loss, without penalties, at ``held`` entries and at those of the fit."""
        raise NotImplementedError
