"""`shoal members`: the images of a cluster."""

from typing import Annotated

import typer

from worker.commands.reading import (
    AsJson,
    Collection,
    Config,
    Prefix,
    RedisUrl,
    find_place,
    print_object,
    print_table,
)


def members(
    cluster: Annotated[str, typer.Argument(help="The cluster's id.")],
    redis_url: RedisUrl = None,
    prefix: Prefix = None,
    collection: Collection = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Print the images of a cluster, or what became of it if it is retired."""
    from worker.client import Client

    place = find_place(redis_url, prefix, collection, config)
    with Client(place.redis_url, place.redis_prefix) as client:
        state = client.cluster(place.collection, cluster)
        images = client.members(place.collection, cluster)
    if state is None:
        typer.echo(f"collection {place.collection!r} has no cluster {cluster!r}", err=True)
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
