import numpy as np

from index import CollectionIndex, IndexSettings, NewImage
from index import warm_up as warm_up_graph
from index.walk import introduce, note_listers
from models import BadInputError, load_model
from models.kernels.edges import relate_ends, write_features
from models.kernels.network import answer_rows
from models.kernels.nodes import describe_nodes
from worker.edges import ModelEdges, warm_up

KERNELS = (describe_nodes, relate_ends, write_features, answer_rows, introduce, note_listers)


def compiled():
    """How many kinds of arguments each kernel has machine code for."""
    return [len(kernel.signatures) for kernel in KERNELS]


def test_a_warm_model_has_nothing_left_to_compile(tmp_path):
    """The first batch of a collection, and of a loaded one, runs what was compiled."""
    model = load_model(device="cpu")
    warm_up(model)
    warm_up_graph()
    before = compiled()
    assert min(before) > 0
    index = CollectionIndex.open(tmp_path / "c", settings=IndexSettings(), dimension=16)
    judge = ModelEdges(model)
    vectors = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for start in (0, 100):
        part = enumerate(vectors[start : start + 100], start)
        logged = index.log([NewImage(f"image-{number}", vector) for number, vector in part], {})
        index.insert(logged.new_rows)
        judge.probabilities(index, logged.new_rows)
        index.snapshot()
        index.close()
        index = CollectionIndex.open(tmp_path / "c", settings=IndexSettings())
    index.close()
    assert compiled() == before


def test_a_model_of_one_encoder_is_left_alone():
    """It takes its own dimension and no other; nothing is said of that."""

    class OfOneEncoder:
        def context(self, *_arguments, **_said):
            raise BadInputError("vectors have 8 dimensions; this model takes 512")

    warm_up(OfOneEncoder())
