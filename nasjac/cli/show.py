"""nasjac show: all that is known of one architecture."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from nasjac.cli.query_words import parsed, parser_of, take
from nasjac.foundation.errors import InputError
from nasjac.foundation.text_tables import as_text as as_table
from nasjac.foundation.text_tables import cell
from nasjac.store.database import check_known
from nasjac.store.known import Content, Known, known_of
from nasjac.store.leaderboard import AROUND
from nasjac.store.store import Store

FORMATS = ("table", "json")
PROFILE_POINTS = 9  # how many layers of a profile are shown, both ends among them
#: columns of a training that the table leaves out
_HIDDEN = {"trainer_id", "train_loss", "created", "fingerprint"}


def main(argv: list[str]) -> int:
    """Print what is known of the architecture. InputError: no such key, an ambiguous one, or no such database."""
    asked = _options(argv)
    with Store(asked.database, read_only=True, trust=asked.trust) as store:
        known = known_of(store, store.resolve_key(asked.key))
    print(json.dumps(vars(known), indent=1, ensure_ascii=False) if asked.format == "json" else as_text(known))
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = parser_of(
        "show",
        "KEY",
        "its key, or the start of it if no other key starts so",
        "Print all that is known of one architecture. The database is only read.",
        FORMATS,
        "table is text for people, with a few layers of each profile; json has everything (default: table)",
    )
    asked = parsed(parser, argv)
    words = take(asked, {"database": "nasjac.db", "format": "table"})
    check_known("format", asked.format, FORMATS)
    if len(words) != 1:
        parser.error(f"one KEY must be given, got {len(words)} words")
    [asked.key] = words
    if asked.key.startswith("study="):
        raise InputError(
            f"`key` must be the start of an architecture's key, got {asked.key!r}; for a study: nasjac query {asked.key}"
        )
    return asked


def as_text(known: Known) -> str:
    """Return text with layer profiles at a few layers, and equal neighbouring blocks together."""
    return "\n".join(line.rstrip() for line in _lines(known))


def _lines(known: Known) -> Iterator[str]:
    yield f"architecture {known.key}"
    yield from _pairs(known.columns)
    for row in known.recommended:
        yield f"\nrecommended by study {row['study']}: {row['why']}"
    yield "\nspec"
    yield from _pairs({name: value for name, value in known.spec.items() if name != "blocks"})
    for block, run in itertools.groupby(known.spec.get("blocks", [])):
        yield f"  {len(list(run))} x block {json.dumps(block)}"
    yield f"\ntrials: {len(known.trials)}"
    for row in known.trials:
        objectives = ", ".join(f"{name} {cell(value)}" for name, value in row["objectives"].items())
        kept = f", kept {row['kept_key']}" if row["kept_key"] not in (None, row["architecture_key"]) else ""
        yield f"  {row['study']} trial {row['number']} {row['state']}: {objectives}{kept}{_after(', ', row['reason'])}"
    for row in known.measurements:
        yield from measurement_lines(row)
    yield from _validations(known)
    if known.mixed:
        yield from ("", *known.mixed)


def measurement_lines(row: Content) -> Iterator[str]:
    """Yield the lines about one of `Known.measurements`."""
    error = row["model_error"]
    closed = f"closed form, a finite width usually adds about {cell(error)} nats" if error else "exact"
    how = f"{row['draws']} draws" if error is None else closed
    if row["raced"]:
        how += ", stopped by racing"
    elif row["precision_reached"] == 0:
        how += ", less precise than asked for"
    how += _after(", as a pattern of ", row["pattern_of"])
    why = f" ({row['reason']})" if row["reason"] else ""
    took = f"{how}, {cell(row['seconds'])} s, {row['created']}"
    at = " (at the weights of one of its networks)" if row["score"] == AROUND else ""
    yield f"\nmeasurement {row['score']} {row['score_id']}{at}: {row['status']}{why}, {took}"
    yield f"  made by {_maker(row)}"
    terms = {name: term for name, term in row["terms"].items() if term["value"] is not None}
    yield from _pairs({name: _plus_minus(term["value"], term["standard_error"]) for name, term in terms.items()})
    layers = [dict(zip(row["profile"], values, strict=True)) for values in zip(*row["profile"].values(), strict=True)]
    for direction, group in itertools.groupby(layers, key=lambda layer: layer["direction"]):
        yield f"  {direction} profile, mean log of the squared Jacobian norm per unit"
        for layer in _spread(list(group), PROFILE_POINTS):
            yield f"    {layer['name']}  {_plus_minus(layer['mean_log'], layer['standard_error'])}"


def _validations(known: Known) -> Iterator[str]:
    yield f"\nvalidations: {len(known.validations)}"
    if known.picks:
        roles = ", ".join(f"{row['role']} of {row['study']}" for row in known.picks)
        yield f"  chosen as {roles}"
    if known.validations:
        marked = [{**row, "dataset_digest": row["dataset_digest"] or "unknown"} for row in known.validations]
        names = [name for name in marked[0] if name not in _HIDDEN]
        text = as_table(names, [[row[name] for name in names] for row in marked])
        yield from (f"  {line}" for line in text.splitlines())
        yield from dict.fromkeys(f"  made by {_maker(row)}" for row in known.validations)


def _maker(row: Content) -> str:
    """The run that made a measurement or training, and on what."""
    run = "no stored run" if row["run_id"] is None else f"run {row['run_id']}"
    return f"{run} on {row['fingerprint'] or 'an unknown processor'}"


def _pairs(content: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, content), default=0)
    return (f"  {name:{width}}  {cell(value)}" for name, value in content.items())


def _plus_minus(value: float | None, error: float | None) -> str:
    return f"{cell(value)} ± {cell(error)}" if error is not None else cell(value)


def _after(before: str, text: str | None) -> str:
    return f"{before}{text}" if text else ""


def _spread(items: list[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spread, both ends among them."""
    if len(items) <= count:
        return items
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]
