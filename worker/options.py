"""Command line options made from the settings, so that each is written down once."""

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.settings import ENV_PREFIX, Settings, load

Command = Callable[..., None]


def with_settings(*omit: str, only: Collection[str] | None = None) -> Callable[[Command], Command]:
    """Give a command one option per setting (but `omit`, or only those), and `--config`.

    The command is called with the checked `Settings` first, then its own parameters.
    """

    def decorate(command: Command) -> Command:
        own = list(inspect.signature(command).parameters.values())[1:]

        def run(**values: Any) -> None:
            config = values.pop("config", None)
            options = {name: values.pop(name, None) for name in Settings.model_fields}
            command(load(options, config), **values)

        named = Settings.model_fields if only is None else only
        options = [_option(name) for name in named if name not in omit]
        parameters = [_as_keyword(p) for p in own] + [_config(), *options]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.__doc__, run.__name__ = command.__doc__, command.__name__
        return run

    return decorate


def _option(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    flag = "--" + name.replace("_", "-")
    shown = "" if field.annotation is None else f" [{ENV_PREFIX}{name.upper()}]"
    if field.annotation is bool:
        kind: Any = bool | None
        declared = typer.Option(f"{flag}/--no-{flag[2:]}", help=f"{field.description}{shown}")
    else:
        kind = str | None
        declared = typer.Option(
            flag, help=f"{field.description}{shown}", metavar="VALUE", show_default=False
        )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, declared]
    )


def _config() -> inspect.Parameter:
    declared = typer.Option(
        "--config", envvar="SHOAL_CONFIG", help="TOML file of settings.", metavar="FILE"
    )
    return inspect.Parameter(
        "config",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Path | None, declared],
    )


def _as_keyword(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
