"""Positive matrix factorization of air in Baltimore, beside Q(true) of another program."""

from __future__ import annotations

import pytest

from partwise import PositiveMatrixFactorization

# LS-NMF with 3,000 iterations, missing entries with weight zero.
MEASURED = {4: 28_086, 5: 22_650, 6: 18_532, 7: 14_059, 8: 11_739}


@pytest.mark.filterwarnings("ignore:27 rows and 0 columns:UserWarning")
@pytest.mark.parametrize("k", MEASURED)
def test_q_true_of_baltimore(real_data, k):
    data = real_data("epa_pmf", "Baltimore")
    model = PositiveMatrixFactorization(k, robust=False, n_init=5, random_state=0)
    model.fit(data["X"], uncertainty=data["U"])
    assert model.converged_
    assert model.q_true_ <= 1.005 * MEASURED[k]
    # 27 days are missing: no parameters belong to them.
    assert model.q_expected_ == 630 * 26 - k * (630 + 26)
