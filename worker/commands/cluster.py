"""`shoal cluster`: cluster a file, without any server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.granularity import Granularity
from worker.commands.made import made_by

if TYPE_CHECKING:
    from models import Clustering


def cluster(
    file: Annotated[Path, typer.Argument(help="npz file with features [n, d].")],
    output: Annotated[Path, typer.Option("--output", help="npz file to write.")],
    granularity: Annotated[
        Granularity,
        typer.Option(
            help="What a group is: versions of one photo, one thing, or one kind of thing;"
            " none: not known."
        ),
    ] = Granularity.THING,
    group_size: Annotated[
        float | None,
        typer.Option(help="Images in the group of a typical image, if that is known."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder of weights; default: the shipped ones.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Cluster a file: reads `features`, writes `labels` int64 [n] and `confidence` float32 [n]."""
    from models import cluster as cluster_features
    from models import load_model
    from models.files import read_arrays, require_writable, write_arrays
    from worker.commands.model_progress import stages

    require_writable(output, [file])
    features = read_arrays(file, ("features",))["features"]
    model = load_model(weights)
    with stages(shown=not json) as progress:
        result = cluster_features(
            features,
            granularity=granularity.told,
            group_size=group_size,
            model=model,
            progress=progress,
        )
    write_arrays(output, {"labels": result.labels, "confidence": result.confidence})
    _print(output, result, json)


def _print(output: Path, result: "Clustering", as_json: bool) -> None:
    import json

    figures = {
        "n": len(result.labels),
        "clusters": len(result.exemplars),
        "levels": len(result.levels),
        "expected_f": round(result.expected_f, 4),
        "method": result.method,
        "reason": result.reason,
        "seconds": {stage: round(value, 4) for stage, value in result.seconds.items()},
    }
    if as_json:
        print(json.dumps(figures))
        return
    total = sum(result.seconds.values())
    print(
        f"{figures['n']} images in {figures['clusters']} clusters, {total:.1f} s; "
        f"expected pairwise F {result.expected_f:.2f}; written to {output}\n"
        f"{made_by(result.method, result.reason)}"
    )
