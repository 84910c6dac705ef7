import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from worker.by_collection import Figure, Figures, Sizes, Together
from worker.metrics import DRIFT, Metrics

MEAN = Figure("share", "shoal_share_ratio", "A share.", "0 to 1", "High.")
SUM = Figure("count", "shoal_count", "A count.", "0 or more", "High.", Together.SUM)
WORST = Figure("top", "shoal_top_ratio", "A share.", "0 to 1", "High.", Together.WORST)
SIZES = Figure("sizes", "shoal_sizes", "Sizes.", "1 or more", "High.", Together.SUM)


def samples(collector):
    return {
        (sample.name, sample.labels["collection"]): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


def test_the_named_have_series_and_the_others_share_one():
    """A share of the others is their mean by images, a count their sum."""
    figures = Figures([MEAN, SUM], {"main"})
    figures.show("main", 10, {"share": 0.5, "count": 1})
    figures.show("anna", 30, {"share": 0.2, "count": 2})
    figures.show("bert", 10, {"share": 0.6, "count": 3})
    assert samples(figures) == {
        ("shoal_share_ratio", "main"): 0.5,
        ("shoal_share_ratio", "_rest"): 0.3,
        ("shoal_count", "main"): 1,
        ("shoal_count", "_rest"): 5,
    }


def test_a_small_collection_is_no_worst_one():
    """The worst of the others is the worst of those with a thousand images."""
    figures = Figures([WORST], ())
    figures.show("small", 999, {"top": 0.9})
    assert samples(figures) == {}
    figures.show("large", 1_000, {"top": 0.3})
    figures.show("larger", 5_000, {"top": 0.2})
    assert samples(figures) == {("shoal_top_ratio", "_rest"): 0.3}


def test_what_is_shown_stays_until_it_is_shown_anew_or_forgotten():
    """Figures come at different times; each keeps its last value."""
    figures = Figures([MEAN, SUM], {"main"})
    figures.show("main", 10, {"share": 0.5})
    figures.show("main", 10, {"count": 4})
    figures.show("main", 10, {"count": 5})
    assert set(samples(figures).values()) == {0.5, 5}
    figures.forget("main", {"share"})
    figures.forget("nobody", {"share"})
    assert samples(figures) == {("shoal_count", "main"): 5}


def test_sizes_of_the_others_are_counted_together():
    """One histogram for each named collection, and one of all other clusters."""
    sizes = Sizes(SIZES, (1, 10), {"main"})
    sizes.show("main", np.array([1, 1, 5, 100]))
    sizes.show("anna", np.array([1, 2]))
    sizes.show("bert", np.array([20]))
    registry = CollectorRegistry()
    registry.register(sizes)
    text = generate_latest(registry).decode()
    for line in (
        'shoal_sizes_bucket{collection="main",le="1.0"} 2.0',
        'shoal_sizes_bucket{collection="main",le="10.0"} 3.0',
        'shoal_sizes_bucket{collection="main",le="+Inf"} 4.0',
        'shoal_sizes_sum{collection="main"} 107.0',
        'shoal_sizes_bucket{collection="_rest",le="10.0"} 2.0',
        'shoal_sizes_count{collection="_rest"} 3.0',
        'shoal_sizes_sum{collection="_rest"} 23.0',
    ):
        assert line in text


def test_ten_thousand_collections_have_as_many_series_as_three():
    """Whatever the number of collections, the number of series stays."""

    def series(collections):
        metrics = Metrics({"main", "product"})
        for number in range(collections):
            name = ("main", "product")[number] if number < 2 else f"user-{number}"
            metrics.drift.show(name, 1_000, {figure.key: 0.5 for figure in DRIFT})
            metrics.cluster_sizes.show(name, np.array([1, 2, 3]))
        lines = generate_latest(metrics.registry).decode().splitlines()
        return sum(not line.startswith("#") for line in lines)

    assert series(10_000) == series(3)
