"""`shoal` with a model of a few lines in place of Hi-LANDER, so that it starts within a second.

The variable `EXACT_ROWS` lets smaller collections be searched by HNSW, `DEAD_ROWS` written anew.
"""

import os
from functools import partial

from index import few
from worker import compacting, compose
from worker.cli import main
from worker.edges import CosineEdges

compose._model_edges = lambda _settings: CosineEdges
compose.Supervisor = partial(compose.Supervisor, module="plain_clusterer")

few.EXACT_ROWS = int(os.environ.get("EXACT_ROWS", few.EXACT_ROWS))
compacting._DEAD_ROWS = int(os.environ.get("DEAD_ROWS", compacting._DEAD_ROWS))

if __name__ == "__main__":
    main()
