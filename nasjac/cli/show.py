"""nasjac show: all that is known of one architecture."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from nasjac.architecture.measurement import TERMS
from nasjac.cli.query_words import check_format, parsed, take
from nasjac.foundation import text_tables as tables
from nasjac.foundation.errors import InputError
from nasjac.reporting.wording import mixed
from nasjac.searching.provenance import counted, measured_by
from nasjac.store import Store
from nasjac.store.checkpoint_studies import AROUND

FORMATS = ("table", "json")
PROFILE_POINTS = 9  # how many layers of a profile the table shows, both ends among them

_TRIALS = """SELECT study, number, batch, state, architecture_key, kept_key, objectives, constraints, choices, reason
    FROM trial WHERE architecture_key = :key OR kept_key = :key ORDER BY study, number"""
_VALIDATIONS = """SELECT dataset, dataset_digest, trainer, trainer_id, learning_rate, seed, status, accuracy, loss,
    train_loss, steps, seconds, reason, created, run_id, fingerprint
    FROM validation WHERE architecture_key = :key ORDER BY dataset, dataset_digest, trainer_id, learning_rate, seed"""

_PICKS = "SELECT study, role FROM validation_pick WHERE architecture_key = :key ORDER BY study, role"


def main(argv: list[str]) -> int:
    """Print what is known of the architecture. InputError: no such key, an ambiguous one, or no such database."""
    asked = _options(argv)
    with Store(asked.database, read_only=True, trust=asked.trust) as store:
        known = gather(store, store.resolve_key(asked.key))
    print(json.dumps(known, indent=1, ensure_ascii=False) if asked.format == "json" else as_text(known))
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="nasjac show",
        usage="nasjac show [options] KEY",
        description="Print all that is known of one architecture. The database is only read.",
    )
    parser.add_argument("words", nargs="*", metavar="KEY", help="its key, or the start of it if no other key starts so")
    parser.add_argument(
        "--database", metavar="PATH", help="the results database (default: nasjac.db); also as a word, database=PATH"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="table is text for people, with a few layers of each profile; json has everything (default: table); also as a "
        "word, format=json",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="read a database whose tables, views and triggers are not as nasjac makes them; only if you know who made it",
    )
    asked = parsed(parser, argv)
    words = take(asked, {"database": "nasjac.db", "format": "table"})
    check_format(asked.format, FORMATS)
    if len(words) != 1:
        parser.error(f"one KEY must be given, got {len(words)} words")
    [asked.key] = words
    if asked.key.startswith("study="):
        raise InputError(
            f"`key` must be the start of an architecture's key, got {asked.key!r}; for a study: nasjac query {asked.key}"
        )
    return asked


def gather(store: Store, key: str) -> dict[str, Any]:
    """Everything the database knows of the architecture `key`, as JSON values; NULL is None.

    key, spec, columns, recommended (by which studies, why), picks, trials, measurements (terms as value and
    standard_error, the whole profile), validations; mixed, a sentence each on values of unlike processors, here and in the
    studies that met it.
    """

    def ask(relation: str, sql: str) -> list[dict[str, Any]]:
        return store.rows(relation, sql, {"key": key})

    columns = ask("architecture", "SELECT * FROM architecture WHERE key = :key")[0]
    measurements = ask("measurement", "SELECT * FROM measurement WHERE architecture_key = :key ORDER BY created, score_id")
    trials, validations = ask("trial", _TRIALS), ask("validation", _VALIDATIONS)
    recommending = ask("study", "SELECT name, recommended_reason FROM study WHERE recommended_key = :key ORDER BY rowid")
    studies = dict.fromkeys(row["study"] for row in trials)
    groups = {
        "The measurements of this architecture": counted(row["fingerprint"] for row in measurements),
        "The trainings of this architecture": counted(row["fingerprint"] for row in validations),
        **{f"The measurements of study {study}": measured_by(store, study) for study in studies},
    }
    return {
        "key": columns.pop("key"),
        "spec": columns.pop("spec"),
        "columns": columns,
        "recommended": [{"study": row["name"], "why": row["recommended_reason"]} for row in recommending],
        "picks": ask("validation_pick", _PICKS),
        "trials": trials,
        "measurements": [_with_terms(row) for row in measurements],
        "validations": validations,
        "mixed": [sentence for what, counts in groups.items() if (sentence := mixed(what, counts))],
    }


def as_text(known: Mapping[str, Any]) -> str:
    """What `gather` gives, for people: layer profiles at a few layers, equal neighbouring blocks together."""
    return "\n".join(line.rstrip() for line in _lines(known))


def _lines(known: Mapping[str, Any]) -> Iterator[str]:
    yield f"architecture {known['key']}"
    yield from _pairs(known["columns"])
    for row in known["recommended"]:
        yield f"\nrecommended by study {row['study']}: {row['why']}"
    yield "\nspec"
    yield from _pairs({name: value for name, value in known["spec"].items() if name != "blocks"})
    for block, run in itertools.groupby(known["spec"].get("blocks", [])):
        yield f"  {len(list(run))} x block {json.dumps(block)}"
    yield f"\ntrials: {len(known['trials'])}"
    for row in known["trials"]:
        objectives = ", ".join(f"{name} {tables.cell(value)}" for name, value in row["objectives"].items())
        kept = f", kept {row['kept_key']}" if row["kept_key"] not in (None, row["architecture_key"]) else ""
        why = f", {row['reason']}" if row["reason"] else ""
        yield f"  {row['study']} trial {row['number']} {row['state']}: {objectives}{kept}{why}"
    for row in known["measurements"]:
        yield from _measurement(row)
    yield f"\nvalidations: {len(known['validations'])}"
    roles = ", ".join(f"{row['role']} of {row['study']}" for row in known["picks"])
    if roles:
        yield f"  chosen as {roles}"
    if known["validations"]:
        hidden = {"trainer_id", "train_loss", "created", "fingerprint"}
        marked = [{**row, "dataset_digest": row["dataset_digest"] or "unknown"} for row in known["validations"]]
        rows = [{name: row[name] for name in row if name not in hidden} for row in marked]
        text = tables.as_text(list(rows[0]), [list(row.values()) for row in rows])
        yield from (f"  {line}" for line in text.splitlines())
        yield from dict.fromkeys(f"  made by {_maker(row)}" for row in known["validations"])
    if known["mixed"]:
        yield ""
        yield from known["mixed"]


def _measurement(row: Mapping[str, Any]) -> Iterator[str]:
    why = f" ({row['reason']})" if row["reason"] else ""
    error = row["model_error"]
    closed = f"closed form, a finite width usually adds about {tables.cell(error)} nats" if error else "exact"
    how = f"{row['draws']} draws" if error is None else closed
    if row["raced"]:
        how += ", stopped by racing"
    elif row["precision_reached"] == 0:
        how += ", less precise than asked for"
    if row["pattern_of"]:
        how += f", as a pattern of {row['pattern_of']}"
    took = f"{how}, {tables.cell(row['seconds'])} s, {row['created']}"
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


def _maker(row: Mapping[str, Any]) -> str:
    """The run that made a measurement or training, and on what."""
    run = "no stored run" if row["run_id"] is None else f"run {row['run_id']}"
    return f"{run} on {row['fingerprint'] or 'an unknown processor'}"


def _pairs(content: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, content), default=0)
    return (f"  {name:{width}}  {tables.cell(value)}" for name, value in content.items())


def _plus_minus(value: float | None, error: float | None) -> str:
    return f"{tables.cell(value)} ± {tables.cell(error)}" if error is not None else tables.cell(value)


def _spread(items: list[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spread, both ends among them."""
    if len(items) <= count:
        return items
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def _with_terms(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `measurement` with its term columns gathered under `terms`."""
    terms = {name: {"value": row.pop(name), "standard_error": row.pop(f"{name}_se")} for name in TERMS}
    return {**row, "terms": terms, "profile": row["profile"]}
