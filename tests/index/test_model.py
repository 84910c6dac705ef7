"""Catalog and log behave like a dict, whatever the order of writes."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index import CollectionIndex, Erasure, IndexSettings, NewImage, Outcome

SETTINGS = IndexSettings(k=3, threads=1)
VECTORS = np.eye(6, dtype=np.float32)

ids = st.sampled_from("abcdé\U0001f41f")
a_write = st.one_of(st.tuples(ids, st.integers(0, 5)), st.tuples(ids, st.none()))
batches = st.lists(st.tuples(st.lists(a_write, max_size=8), st.booleans()), max_size=6)


def expected_outcome(state, id_, vector):
    if vector is None:
        return Outcome.ERASED if id_ in state else Outcome.ABSENT
    if id_ not in state:
        return Outcome.ADDED
    return Outcome.UNCHANGED if state[id_] == vector else Outcome.REPLACED


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches)
def test_like_a_dict(tools, tmp_path_factory, batches):
    """Outcomes, images, rows and graph are those of the model, also after a restart."""
    directory = tmp_path_factory.mktemp("model")
    collection = CollectionIndex.open(directory, settings=SETTINGS, dimension=6)
    state = {}
    for number, (writes, restart) in enumerate(batches):
        expected = []
        for id_, vector in writes:
            expected.append(expected_outcome(state, id_, vector))
            if vector is None:
                state.pop(id_, None)
            else:
                state[id_] = vector
        logged = collection.log(
            [Erasure(i) if v is None else NewImage(i, VECTORS[v]) for i, v in writes],
            {"t:0": number},
        )
        assert expected == [write.outcome for write in logged.writes]
        collection.insert(logged.new_rows)
        collection.remove(logged.dead_rows)
        if restart:
            collection.snapshot()
            collection.close()
            collection = CollectionIndex.open(directory, settings=SETTINGS)
        found = {i: collection.vectors[row].argmax() for i, row in collection.iterate()}
        assert state == found
        assert dict(collection.positions) == {"t:0": number}
        assert np.count_nonzero(collection.counts) == len(set(state.values()))
        tools.check(collection)
    collection.close()
