"""`shoal` with a model of a few lines in place of Hi-LANDER, so that it starts within a second."""

from functools import partial

from worker import compose
from worker.cli import main
from worker.edges import CosineEdges

compose._model_edges = lambda _settings: CosineEdges
compose.Supervisor = partial(compose.Supervisor, module="plain_clusterer")

if __name__ == "__main__":
    main()
