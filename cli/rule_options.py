"""The options that describe a rule, declared once for every command that takes them."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Concatenate, ParamSpec, TypeVar, get_type_hints

import typer
from pydantic import JsonValue

from cli.client import JsonObject
from cli.rule_body import action, body_of_file, conditions, given, trail

O = TypeVar("O", bound="LevelOptions")  # noqa: E741 - a type variable, not a number
P = ParamSpec("P")

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_LEVEL = "0.40 (price), 10% (of the entry price) or 0.05pt (below or above it in price units)"


@dataclass(frozen=True, kw_only=True)
class LevelOptions:
    """What is sold at which levels and moments: the options of a new rule and of a change."""

    stop: Annotated[list[str] | None, typer.Option(help=f"sell at or below: {_LEVEL}")] = None
    target: Annotated[list[str] | None, typer.Option(help=f"sell at or above: {_LEVEL}")] = None
    trail: Annotated[str | None, typer.Option(help="sell this far below the highest price: 5% or 0.03pt")] = (
        None
    )
    trail_from: Annotated[
        str | None, typer.Option(help="the trail starts at this price (0.60) or gain (10%)")
    ] = None
    trail_floor: Annotated[
        str | None, typer.Option(help="price at or below which the trail sells in any case")
    ] = None
    max_hold: Annotated[str | None, typer.Option(help="sell after: 90s, 30m, 4h, 2d")] = None
    before_end: Annotated[
        str | None, typer.Option(help="sell this long before the market's end: 30m, 4h")
    ] = None
    at: Annotated[str | None, typer.Option(help="sell at a moment: 2026-12-31T23:00:00Z")] = None
    amount: Annotated[str | None, typer.Option(help="shares to sell; all when left out")] = None
    floor: Annotated[str | None, typer.Option(help="never sell below this price")] = None
    expires_at: Annotated[str | None, typer.Option(help="end unfired: 2026-12-31T23:00:00Z")] = None
    allow_immediate: Annotated[
        bool, typer.Option("--allow-immediate", help="arm it though its level is reached already")
    ] = False

    def conditions(self) -> list[JsonValue]:
        """Return the conditions that the options name, in the order in which they win.

        Raises:
            typer.BadParameter: A duration or a trail's distance is unusable, or the trail is missing.
        """
        if self.trail is None and self.trail_from is not None:
            raise typer.BadParameter("--trail-from belongs to --trail")
        trailing = None if self.trail is None else trail(self.trail, self.trail_from, self.trail_floor)
        return conditions(
            stop=self.stop,
            target=self.target,
            trailing=trailing,
            max_hold=self.max_hold,
            before_end=self.before_end,
            at=self.at,
        )

    def action(self) -> JsonObject | None:
        """Return how much is sold; None where that was not said."""
        return None if self.amount is None else action(self.amount)


@dataclass(frozen=True, kw_only=True)
class RuleOptions(LevelOptions):
    """All that a new rule can be told."""

    token: Annotated[str | None, typer.Option(help="token to protect; named here or in --file")] = None
    market: Annotated[str | None, typer.Option(help="market (condition) id")] = None
    entry_price: Annotated[
        str | None, typer.Option(help="price of the entry, where the ledger does not know it")
    ] = None
    price_source: Annotated[
        str | None, typer.Option(help="what is compared with levels: display, bid, ask, mid or last")
    ] = None
    confirm_updates: Annotated[
        int | None, typer.Option(help="fire after so many quotes in a row beyond a level")
    ] = None
    confirm_ms: Annotated[int | None, typer.Option(help="fire after so many ms beyond a level")] = None
    max_spread: Annotated[str | None, typer.Option(help="quotes with a wider spread fire nothing")] = None
    follow_token: Annotated[
        bool, typer.Option("--follow-token", help="stay when the position is closed, for the next one")
    ] = False
    expect_position: Annotated[
        bool, typer.Option("--expect-position", help="the position is about to be bought")
    ] = False
    allow_small_percent: Annotated[
        bool, typer.Option("--allow-small-percent", help="a percentage below 0.5 is meant")
    ] = False
    file: Annotated[Path | None, typer.Option(help="body as JSON; options win over it")] = None

    def body(self) -> JsonObject:
        """Return the body of a rule: a file's members, with those of the options that were given over them.

        Raises:
            CallFailed: The file is unusable.
            typer.BadParameter: A duration or a trail's distance is, or a floor has no trail.
        """
        if self.trail is None and self.trail_floor is not None:
            raise typer.BadParameter("--trail-floor belongs to --trail")
        confirm = given({"updates": self.confirm_updates, "ms": self.confirm_ms})
        members: dict[str, JsonValue] = {
            "conditions": self.conditions(),
            "action": self.action(),
            "confirm": confirm or None,
            "token_id": self.token,
            "market_id": self.market,
            "entry_price": self.entry_price,
            "floor": self.floor,
            "price_source": self.price_source,
            "max_spread": self.max_spread,
            "expires_at": self.expires_at,
            "follow_token": self.follow_token,
            "allow_immediate": self.allow_immediate,
            "expect_position": self.expect_position,
            "allow_small_percent": self.allow_small_percent,
        }
        return (body_of_file(self.file) if self.file is not None else {}) | given(members)


def takes(options: type[O]) -> Callable[[Callable[Concatenate[O, P], None]], Callable[..., None]]:
    """Return a decorator that gives a command each field of `options` as an option of its own.

    The command takes the options as its first argument; Typer sees their fields in its place.
    """
    names = [field.name for field in fields(options)]

    def decorated(command: Callable[Concatenate[O, P], None]) -> Callable[..., None]:
        @wraps(command)
        def called(*args: P.args, **kwargs: P.kwargs) -> None:
            chosen = {name: kwargs.pop(name) for name in names if name in kwargs}
            command(_made(options, chosen), *args, **kwargs)

        _show_fields(called, command, options)
        return called

    return decorated


def _made(options: Callable[..., O], chosen: Mapping[str, object]) -> O:
    """Make the options from what Typer has read and checked by their own annotations."""
    return options(**chosen)


def _show_fields(
    called: Callable[..., None], command: Callable[..., None], options: type[LevelOptions]
) -> None:
    """Make the signature that Typer reads: the command's own parameters, the options' fields among them."""
    hints = {
        **get_type_hints(options, include_extras=True),
        **get_type_hints(command, include_extras=True),
    }
    own = list(inspect.signature(command).parameters.values())[1:]
    shown = [
        inspect.Parameter(f.name, _KEYWORD, default=f.default, annotation=hints[f.name])
        for f in fields(options)
    ]
    shown += [p.replace(kind=_KEYWORD, annotation=hints[p.name]) for p in own]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    called.__signature__ = inspect.Signature(shown)
