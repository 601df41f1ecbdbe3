"""Pictures of factorizations: parts, convergence and factors, with matplotlib.

Every function builds a `matplotlib.figure.Figure` of its own or draws on the axes that it
is given. None uses pyplot, so no picture outlives its last reference, no window opens and
no display is needed; ``figure.savefig("parts.png")`` writes it.
"""

from partwise.plots.apportionment import plot_contributions, plot_profiles, plot_q
from partwise.plots.curves import plot_comparison, plot_history
from partwise.plots.factor import plot_factor
from partwise.plots.held_out import plot_held_out
from partwise.plots.parts import plot_parts
from partwise.plots.residual_variance import plot_residual_variance

__all__ = [
    "plot_comparison",
    "plot_contributions",
    "plot_factor",
    "plot_held_out",
    "plot_history",
    "plot_parts",
    "plot_profiles",
    "plot_q",
    "plot_residual_variance",
]
