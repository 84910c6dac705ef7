from dataclasses import replace

import pytest

from worker.gate import GateSettings, Verdict, decide

SETTINGS = GateSettings()


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, 0),
        ({"changed_share": 0.5}, 0),
        ({"changed_share": 0.51}, 1),
        ({"changed_share": 0.51, "settled_images": 999}, 0),
        ({"largest_share": 0.51}, 1),
        ({"largest_share": 0.51, "largest_share_before": 0.51}, 0),
        ({"largest_share": 0.51, "images": 1_900}, 0),
        ({"clusters_after": 400}, 0),
        ({"clusters_after": 401}, 1),
        ({"clusters_after": 25}, 0),
        ({"clusters_after": 24}, 1),
        ({"clusters_after": 24, "changed_share": 0.9, "largest_share": 0.9}, 3),
    ],
)
def test_table(calm, changes, reasons):
    """Each limit holds a run on its own, beyond it and not at it."""
    verdict = decide(replace(calm, **changes), SETTINGS)
    assert (verdict.held, len(verdict.reasons)) == (reasons > 0, reasons)


def test_the_first_run_is_never_held(calm):
    """Without a full run before there is nothing to be far from."""
    first = replace(calm, settled_images=0, clusters_before=0, clusters_after=0, largest_share=0.9)
    for min_images in (0, 1, 1_000):
        assert decide(first, replace(SETTINGS, min_images=min_images)) == Verdict(held=False)


def test_reasons_are_in_words(calm):
    """Each names the value and the limit."""
    drift = replace(calm, changed_share=0.625, largest_share=0.7, clusters_after=1_000)
    assert decide(drift, SETTINGS).reasons == (
        "it would move 62.5% of 2,000 settled images to another cluster (limit 50.0%)",
        "its largest cluster would hold 1,400 of 2,000 images, 70.0%, up from 10.0% (limit 50.0%)",
        "the settled images would go from 100 to 1,000 clusters, 10.0 times more (limit 4.0)",
    )
