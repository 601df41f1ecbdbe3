"""The laws can fail: each bug planted here turns one of them red."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from partwise import _stationarity, init, kernels, losses, problem
from partwise.data import Dense, views
from partwise.init import starts
from partwise.models import CP, Bilinear, NonSmooth
from partwise.penalties import (
    L1,
    L2,
    Fixed,
    Free,
    GroupLasso,
    MinVolume,
    Simplex,
    Smooth,
    TotalVariation,
    joint,
)
from partwise.problem import Normal, Problem
from partwise.solvers import (
    CoordinateDescent,
    Momentum,
    MultiplicativeUpdate,
    alternating,
    loop,
    multiplicative,
    project,
)
from tests.laws import test_parts, test_solvers
from tests.laws.declared import ALL_SOLVERS, draw_data, make_problem

KL, FROBENIUS = losses.KullbackLeibler(), losses.Frobenius()


def inner(test):
    """Return a generated test as a plain function."""
    return test.hypothesis.inner_test


def rough_descent(loss, solver):
    """From a start that is far too small, as a user may give one."""
    problem = make_problem(draw_data((13, 9), 1, loss), loss)
    problem.factors = {name: 0.1 * F for name, F in problem.factors.items()}
    test_solvers.law_objective_never_rises(problem, ALL_SOLVERS[solver])


def descent(loss=FROBENIUS, solver="cd", obeyed=(), storage="dense", model="bilinear"):
    problem = make_problem(
        draw_data(test_solvers.SHAPES[model], 1, loss), loss, model, obeyed, storage
    )
    test_solvers.law_objective_never_rises(problem, ALL_SOLVERS[solver])


def same_storage(loss, solver, storage):
    inner(test_solvers.test_storage_does_not_matter)(loss, solver, [], storage, 1)


def prox_law(parts):
    inner(parts.test_penalty_prox_beats_brute_force)(1, 1.0)


def mixed_divergence():
    parts = (lambda y: y * np.log(y) + y**2 / 2, lambda y: 1 + np.log(y) + y, lambda y: 1 / y + 1)
    return losses.Bregman(*parts, elasticity=(-1, 0))


def draws_follow(loss):
    test_parts.test_draws_are_of_the_density_of_the_loss(loss, 0.6)


# Each bug: its name, how to plant it, and the law that must turn red.


def wrong_exponent(patch):
    patch.setattr(MultiplicativeUpdate, "powers", lambda self, problem: (0.6, 1.0))


def penalty_forgotten_by_the_update(patch):
    none = np.empty((0, 3))
    patch.setattr(problem, "slopes_of", lambda F, obeyed: (none, none))


def wrong_adjoint(patch):
    right = CP.adjoint

    def wrong(self, R, factors, name):
        swapped = {**factors, "A": factors["A"][::-1]}
        return right(self, R, swapped, name)

    patch.setattr(CP, "adjoint", wrong)


def wrong_gram(patch):
    patch.setattr(Bilinear, "gram", lambda self, factors, name: factors[name].T @ factors[name])


def mask_as_zero(patch):
    patch.setattr(Fixed, "free", lambda self: None)


def mask_of_the_wrong_rows(patch):
    patch.setattr(
        Fixed, "rows", lambda self, index: Fixed(self.mask[::-1][index], self.values[index])
    )


def penalty_dropped_from_the_quadratic(patch):
    patch.setattr(L1, "shift", lambda self, gram, cross: (gram, cross))


def penalty_twice_as_strong(patch):
    patch.setattr(L2, "slope", lambda self, F: 2 * self.strength * F)


def penalty_not_rescaled(patch):
    patch.setattr(L1, "rescaled", lambda self, value, argument: self)


def clipped_before_the_simplex(patch):
    right = Simplex.prox
    patch.setattr(Simplex, "prox", lambda self, F, step: right(self, np.maximum(F, 0), step))


def variation_of_half_the_strength(patch):
    right = TotalVariation.prox
    patch.setattr(TotalVariation, "prox", lambda self, F, step: right(self, F, step / 2))


def clipped_before_the_variation(patch):
    patch.setattr(joint, "ORDER", ("entries", "before", "after", "alone", None))


def rows_of_a_group_forgotten(patch):
    patch.setattr(GroupLasso, "separable", "rows")
    patch.setattr(TotalVariation, "separable", "rows")


def smoothness_without_its_gradient(patch):
    patch.setattr(Smooth, "gradient", lambda self, F: np.zeros_like(F))


def penalty_dropped_by_a_solver(patch):
    patch.setattr(TotalVariation, "shifts", True)


def stale_w(patch):
    right, kept = Problem._move, {}

    def wrong(self, name, update, kind, plain=None, **how):
        fresh = self.factors
        if name == "W":
            kept["W"] = fresh["W"].copy()
            return right(self, name, update, kind, plain, **how)
        self.factors = {**fresh, **kept}
        try:
            return right(self, name, update, kind, plain, **how)
        finally:
            self.factors = fresh

    patch.setattr(Problem, "_move", wrong)


def one_block_forgotten(patch):
    patch.setattr(Normal, "plus", lambda self, other: self)


def absolute_epsilon(patch):
    patch.setattr(Problem, "floor", property(lambda self: 1.2e-7))


def fill_with_the_mean_of_x(patch):
    def wrong(data, model, rng):
        factors = init.nndsvd(data, model, rng)
        return {name: np.where(F == 0, data.mean, F) for name, F in factors.items()}

    patch.setitem(starts.STARTS, "nndsvda", wrong)


def no_projection(patch):
    def wrong(F, G, C, order, free, repeats, shrink):
        F[...] = C @ np.linalg.pinv(G)

    def wrong_as_a_whole(X, turned, A, F, G, *rest):
        sums, _, values, counter = rest[-4:]
        X = X.T if turned else X
        C = X @ A
        if counter[0] == 0:
            F[...] = C @ np.linalg.pinv(G)
            sums[:1] = np.concatenate((X.T @ F, F.T @ F))[-sums.shape[1] :]
            sums[1:] = 0
            values[:] = 0
            values[0] = Normal(G, C).value(F)
        counter += 1

    patch.setattr(kernels, "coordinate_sweeps", wrong)
    patch.setattr(kernels, "sweep_dense_rows", wrong_as_a_whole)


def no_restart_after_a_rise(patch):
    def wrong(self, problem, objective):
        for name, place in self.accepted.items():
            place[...] = problem.factors[name]
        self.objective, self.weight = objective, 0.98
        return objective

    patch.setattr(Momentum, "judge", wrong)


def zeros_cost_nothing(patch):
    patch.setattr(Bilinear, "adjoint_of_ones", lambda self, factors, name: np.full((1, 3), 1e-9))


def sparse_model_of_the_wrong_rows(patch):
    right = Bilinear.at
    patch.setattr(Bilinear, "at", lambda self, data, f: right(self, data, {**f, "W": f["W"][::-1]}))


def input_changed_in_place(patch):
    def wrong(X):
        if sparse.issparse(X):
            X.sum_duplicates()
        return views.as_data(X)

    patch.setattr(test_parts, "as_data", wrong)


def history_one_late(patch):
    right = loop.Result

    def wrong(**kept):
        kept["objective_history"] = np.roll(kept["objective_history"], 1)
        return right(**kept)

    patch.setattr(loop, "Result", wrong)


def residual_always_zero(patch):
    patch.setattr(Problem, "kkt", lambda self: 0.0)


def residual_in_units_of_the_data(patch):
    right = Problem.stationarity

    def wrong(self):
        split = self.split("W")
        return float(np.linalg.norm(split.positive - split.negative)), right(self)[1]

    patch.setattr(Problem, "stationarity", wrong)


def transform_looks_at_the_batch(patch):
    def wrong(problem, name):
        problem.factors[name][...] = np.sqrt(problem.data.mean)

    patch.setattr(project, "_flat_start", wrong)
    patch.setattr(project, "_row_residual", lambda F, *rest: np.zeros(len(F)))


def clipping_for_solving(patch):
    patch.setattr(kernels, "pivot_rows", kernels.least_squares_rows)


def mask_forgotten_by_a_kernel(patch):
    right = kernels.pivot_rows
    patch.setattr(
        kernels,
        "pivot_rows",
        lambda F, G, C, free, tolerance: right(F, G, C, np.empty((0, 3), bool), tolerance),
    )


def step_beyond_the_curvature(patch):
    right = kernels.nesterov
    patch.setattr(kernels, "nesterov", lambda F, G, *rest: right(F, 0.2 * G, *rest))


def no_least_entry(patch):
    patch.setattr(alternating, "LEAST", 0.0)


def zero_locked(patch):
    patch.setattr(multiplicative, "lift_zeros", lambda problem: None)


def gradient_one_percent_off(patch):
    right = losses.Beta.positive
    patch.setattr(losses.Beta, "positive", lambda self, x, y: 1.01 * right(self, x, y))


def view_forgets_a_row(patch):
    patch.setattr(
        Dense, "blocks", lambda self, densify=False: iter([slice(0, len(self.array) - 1)])
    )


def majorizer_too_flat(patch):
    patch.setattr(losses.Frobenius, "powers", (0.5, 1.0), raising=False)
    patch.setattr(FROBENIUS, "powers", (1.0, 1.5))


def from_locked_zeros():
    X = draw_data((13, 9), 3, zeros=0) + 0.1
    problem = make_problem(X, KL)
    problem.factors["W"][:, 0] = 0
    problem.factors["W"][0, 0] = 1
    result = test_solvers.run(problem, ALL_SOLVERS["mu"], tol=0, max_iter=10)
    assert (result.factors["W"][:, 0] > 1e-3).sum() > 1


def restart():
    test_solvers.test_restart_at_a_stationary_point_stops_at_once("cd")


def scale(loss, solver, start="random", c=1e-12):
    test_solvers.law_scale(loss, ALL_SOLVERS[solver], start, c, 5)


def fixed(solver):
    inner(test_solvers.test_fixed_entries_stay_to_the_bit)(
        FROBENIUS, solver, "bilinear", np.float64, 3, None
    )


def threshold_in_another_unit(patch):
    patch.setattr(losses.Huber, "rescaled", lambda self, c: self)


def draws_of_half_the_size(patch):
    right = losses.NegativeBinomial._drawn
    patch.setattr(
        losses.NegativeBinomial, "_drawn", lambda self, y, rng, phi: right(self, y, rng, phi) / 2
    )


def elasticity_too_narrow(patch):
    right = losses.Bregman.__init__

    def wrong(self, *args, elasticity=None, **kwargs):
        right(self, *args, elasticity=(-0.5, -0.5), **kwargs)

    patch.setattr(losses.Bregman, "__init__", wrong)


def smoothing_forgotten(patch):
    patch.setattr(NonSmooth, "gram", Bilinear.gram)


def quadratic_below_the_volume(patch):
    right = MinVolume.majorized

    def wrong(self, F):
        above = right(self, F)
        above.matrix = above.matrix / 2
        return above

    patch.setattr(MinVolume, "majorized", wrong)


def residual_of_a_bounded_factor(patch):
    patch.setattr(_stationarity, "is_signed", lambda obeyed: False)


def slope_of_any_sign_clipped(patch):
    patch.setattr(
        Problem,
        "_plain",
        lambda self, kind, shared, right=Problem._plain: _clipped(right, self, kind, shared),
    )


def _clipped(right, problem, kind, shared):
    found = right(problem, kind, shared)
    if kind == "split":
        found.negative = np.maximum(found.negative - found.loss_positive, 0)
    return found


BUGS = [
    (smoothing_forgotten, lambda: inner(test_parts.test_model_adjoint_and_gram)("non-smooth", 1)),
    (quadratic_below_the_volume, lambda: inner(
        test_parts.test_quadratics_above_a_penalty_touch_it)(MinVolume(0.5, delta=0.3), 1)),
    (residual_of_a_bounded_factor, lambda: test_solvers.test_residual_vanishes_with_any_penalty(
        Free())),
    (slope_of_any_sign_clipped, lambda: test_solvers.test_residual_vanishes_with_any_penalty(
        Free())),
    (wrong_exponent, lambda: descent(KL, "mu")),
    (penalty_forgotten_by_the_update, lambda: descent(KL, "mu", (L2(5.0),))),
    (wrong_adjoint, lambda: inner(test_parts.test_model_adjoint_and_gram)("cp", 1)),
    (wrong_gram, lambda: inner(test_parts.test_model_adjoint_and_gram)("bilinear", 1)),
    (mask_as_zero, lambda: fixed("cd")),
    (mask_as_zero, lambda: fixed("mu")),
    (mask_of_the_wrong_rows, test_parts.test_fixed_entries_follow_their_rows),
    (penalty_dropped_from_the_quadratic, lambda: descent(obeyed=(L1(0.5),))),
    (penalty_twice_as_strong, lambda: inner(test_parts.test_penalty_forms_agree)(1, 2.0, 3.0)),
    (penalty_not_rescaled, lambda: inner(test_parts.test_rescaled_penalties_are_exact)(
        1, 2.0, 3.0, 1.0)),
    (clipped_before_the_simplex, lambda: prox_law(test_parts)),
    (variation_of_half_the_strength, lambda: prox_law(test_parts)),
    (clipped_before_the_variation, lambda: test_parts.
        test_pairs_that_go_together_have_an_exact_prox(step=1.5, seed=0)),
    (rows_of_a_group_forgotten, lambda: inner(test_parts.test_separable_penalties_are_sums)(
        1, 1.0)),
    (smoothness_without_its_gradient, lambda: inner(test_parts.test_penalty_forms_agree)(
        1, 2.0, 3.0)),
    (penalty_dropped_by_a_solver, lambda: descent(solver="cd" if TotalVariation.shifts else "pgd",
                                                  obeyed=(TotalVariation(0.5),))),
    (stale_w, descent),
    (stale_w, lambda: rough_descent(KL, "mu")),
    (one_block_forgotten, lambda: same_storage(FROBENIUS, "hals", "blocks")),
    (absolute_epsilon, lambda: scale(losses.Beta(0.5), "mu", "nndsvd")),
    (fill_with_the_mean_of_x, lambda: scale(FROBENIUS, "cd", "nndsvda")),
    (no_projection, descent),
    (no_restart_after_a_rise, descent),
    (zeros_cost_nothing, lambda: inner(test_parts.test_model_adjoint_and_gram)("bilinear", 1)),
    (sparse_model_of_the_wrong_rows, lambda: same_storage(KL, "mu", "csr")),
    (input_changed_in_place, test_parts.test_views_leave_their_input_alone),
    (history_one_late, descent),
    (residual_always_zero, lambda: inner(test_solvers.test_kkt_residual_is_the_naive_one)(1)),
    (residual_in_units_of_the_data, lambda: scale(FROBENIUS, "cd", c=1e12)),
    (transform_looks_at_the_batch, lambda: inner(test_solvers.test_rows_are_projected_alone)(
        losses.Beta(0.5), 1, "dense")),
    (zero_locked, from_locked_zeros),
    (clipping_for_solving, lambda:
        test_solvers.test_every_solver_of_quadratics_ends_at_the_same_stationary_point(
            "bilinear", ())),
    (mask_forgotten_by_a_kernel, lambda: fixed("anls-bpp")),
    (step_beyond_the_curvature, lambda: descent(solver="nenmf")),
    (no_least_entry, lambda: test_solvers.test_a_component_that_explains_nothing_comes_back(
        "mu-lin")),
    (gradient_one_percent_off, lambda: inner(test_parts.test_loss_parts_are_its_derivative)(
        losses.Beta(1.5), 1)),
    (view_forgets_a_row, lambda: inner(test_parts.test_views_hold_the_same_numbers)("dense", 1)),
    (threshold_in_another_unit, lambda: scale(losses.Huber(0.5), "mu", c=1e3)),
    (draws_of_half_the_size, lambda: draws_follow(losses.NegativeBinomial(1.5))),
    (elasticity_too_narrow, lambda: inner(test_parts.test_loss_powers_are_a_majorizer)(
        mixed_divergence(), 1, 1.0)),
    (majorizer_too_flat, lambda: inner(test_parts.test_loss_powers_are_a_majorizer)(
        FROBENIUS, 1, 1.0)),
]  # fmt: skip


@pytest.mark.parametrize(("bug", "law"), BUGS, ids=lambda thing: getattr(thing, "__name__", ""))
def test_a_planted_bug_turns_a_law_red(bug, law, monkeypatch):
    # Bugs are planted into single steps, which those in one call have to equal.
    monkeypatch.setattr(CoordinateDescent, "steps", lambda *given: None)
    law()
    bug(monkeypatch)
    with pytest.raises((AssertionError, ValueError, IndexError)):
        law()
