"""`shoal members`: the images of a cluster."""

from typing import Annotated

import typer

from worker.commands.reading import (
    DEFAULT_PREFIX,
    DEFAULT_REDIS_URL,
    AsJson,
    Collection,
    Prefix,
    RedisUrl,
    print_object,
    print_table,
)


def members(
    cluster: Annotated[str, typer.Argument(help="The cluster's id.")],
    redis_url: RedisUrl = DEFAULT_REDIS_URL,
    prefix: Prefix = DEFAULT_PREFIX,
    collection: Collection = "main",
    json: AsJson = False,
) -> None:
    """Print the images of a cluster, or what became of it if it is retired."""
    from worker.client import Client

    with Client(redis_url, prefix) as client:
        state = client.cluster(collection, cluster)
        images = client.members(collection, cluster)
    if state is None:
        typer.echo(f"collection {collection!r} has no cluster {cluster!r}", err=True)
        raise typer.Exit(1)
    if json:
        print_object(
            {
                "cluster": cluster,
                "size": len(images),
                "members": images,
                "name": state.name,
                "retired": state.retired,
                "successor": state.successor,
            }
        )
        return
    named = f" ({state.name})" if state.name else ""
    title = f"cluster {cluster}{named}, {len(images)} images"
    if state.retired:
        title += f", retired; its successor is {state.successor or 'nobody'}"
    print_table(title, ["image"], [(image,) for image in images])
