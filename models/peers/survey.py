"""All peers that a single labelled collection can be compared with."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec

from models.peers.choose import Tunable, best_parameter
from models.peers.components import Components, Labels, Unit
from models.peers.density import Density, evoc, fast_hdbscan, sklearn_hdbscan
from models.peers.finch import Finch
from models.peers.linkage import AverageLinkage

CUTS: dict[str, Callable[[Unit], Tunable]] = {
    "average linkage": AverageLinkage,
    "components": Components,
    "finch": Finch,
}
DENSITIES = {
    "hdbscan": ("sklearn", sklearn_hdbscan),
    "fast_hdbscan": ("fast_hdbscan", fast_hdbscan),
    "evoc": ("evoc", evoc),
}
# Marks a method whose parameter was chosen on the labels that it is scored with.
ORACLE = "*"


def survey(unit: Unit, truth: Labels) -> Iterator[tuple[str, Labels]]:
    """The labels of each peer for unit rows, `truth` [n] being the labels of the same rows.

    HDBSCAN, and where they are installed fast_hdbscan and evoc, with their defaults; average
    linkage, connected components and FINCH with the threshold that is best for `truth`, which
    nobody knows in life: their names end with *.
    """
    for name, kind in CUTS.items():
        cuts = kind(unit)
        yield name + ORACLE, cuts.labels(best_parameter(cuts, truth))
    for name, (package, make) in DENSITIES.items():
        if find_spec(package) is not None:
            yield name, Density(unit, make).labels()
