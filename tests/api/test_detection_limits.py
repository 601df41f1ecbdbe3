"""Uncertainties by the rule of detection limits."""

from __future__ import annotations

import numpy as np
import pytest

from partwise.apportionment import uncertainty_from_detection_limits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entry_by_entry(dtype):
    rng = np.random.default_rng(0)
    X = rng.gamma(1, size=(20, 4)).astype(dtype)
    X[2, 1] = np.nan
    X[3, 1] = 0.3
    limits, fractions = np.array([0.2, 0.3, 0.4, 2.0]), np.array([0.05, 0.1, 0.2, 0.0])
    before = X.copy()
    values, s = uncertainty_from_detection_limits(X, limits, fractions)
    kept, same = uncertainty_from_detection_limits(X, limits, fractions, replace=False)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(kept, X)
    np.testing.assert_array_equal(s, same)
    assert values.dtype == s.dtype == dtype
    for (i, j), x in np.ndenumerate(X):
        if np.isnan(x):
            assert np.isnan(values[i, j])
            assert np.isnan(s[i, j])
        elif x <= dtype(limits[j]):
            assert values[i, j] == pytest.approx(limits[j] / 2, rel=1e-6)
            assert s[i, j] == pytest.approx(5 / 6 * limits[j], rel=1e-6)
        else:
            assert values[i, j] == x
            wanted = ((fractions[j] * x) ** 2 + (limits[j] / 2) ** 2) ** 0.5
            assert s[i, j] == pytest.approx(wanted, rel=1e-6)


def test_what_is_refused():
    X = np.ones((3, 2))
    with pytest.raises(ValueError, match="detection_limit: got 0"):
        uncertainty_from_detection_limits(X, [0.0, 1.0])
    with pytest.raises(ValueError, match="error_fraction: got -1"):
        uncertainty_from_detection_limits(X, 1.0, -1)
    with pytest.raises(ValueError, match=r"detection_limit: got shape \(3, 1, 1\)"):
        uncertainty_from_detection_limits(X, np.ones((3, 1, 1)))
