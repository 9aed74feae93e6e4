"""From the store to what a study has found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from nasjac.searching.findings import Findings, Row
from nasjac.searching.objectives import Direction
from nasjac.searching.validated import Pick, by_protocol
from nasjac.store import Store
from nasjac.store.database import check_known
from nasjac.store.known import counted, measured_by
from nasjac.store.leaderboard import Leaderboard
from nasjac.store.schema import column_names


def gather(store: Store, study: str, objectives: Mapping[str, Direction], resamples: int = 1000) -> Findings:
    """Read what the store knows of the study.

    Raises:
        InputError: There is no such study, or an objective is no column of the leaderboard.
    """
    row = store.study(study)
    for name in objectives:
        check_known("objectives", name, column_names()["leaderboard"])
    predictor, direction = next(iter(objectives.items()))
    sql, values = Leaderboard(study=study, sort=predictor, descending=direction == "maximize").select()
    board = store.select(sql, values).dicts()
    roles: dict[str, list[str]] = defaultdict(list)
    for key, role in store.picks(study):
        roles[key].append(role)
    chosen = row.recommended_key
    keys = [*roles, *([chosen] if chosen and chosen not in roles else [])]
    trainings, digest = store.validations(keys), store.validated_on(study)
    own = [training for training in trainings if training.dataset_digest == digest]
    protocol, found = by_protocol(own)
    used = [training.fingerprint for training in own if protocol and training.trainer_id == protocol.trainer_id]
    facts = _facts(store, row.score_id, board, keys)
    picks = {key: Pick(key, tuple(roles[key]), facts[key], found.get(key)) for key in keys}
    return Findings(
        study=row,
        objectives=objectives,
        outcomes=_outcomes(store, study),
        rows=board,
        runs=store.rows("run", "SELECT * FROM run WHERE study = :study ORDER BY run_id", {"study": study}),
        picks=[pick for pick in picks.values() if pick.roles],
        recommended=picks[chosen] if chosen else None,
        protocol=protocol,
        unknown=sum(
            old.dataset_digest is None and old.dataset == row.dataset and old.architecture_key not in found
            for old in trainings
        ),
        fingerprints={"measurements": measured_by(store, study), "trainings": counted(used)},
        resamples=resamples,
    )


def _facts(store: Store, score_id: str, board: Sequence[Row], keys: Sequence[str]) -> dict[str, Row]:
    """What is known of each key without training.

    The leaderboard goes first: it knows the pattern kept of an ensemble by the ensemble's measurement.
    """
    facts: dict[str, Row] = {
        row["key"]: {
            k: v for k, v in row.items() if k not in ("study", "number", "score_id") and not k.startswith("validation")
        }
        for row in board
        if row["key"] in keys
    }
    architectures, measurements = store.architectures(keys), store.measurements(keys, score_id)
    for key in keys:
        if key not in facts:
            terms = measurements[key].terms if key in measurements else {}
            facts[key] = {
                **{name: value for name, value in asdict(architectures[key]).items() if name != "spec"},
                **{name: estimate.value for name, estimate in terms.items()},
                **{f"{name}_se": estimate.standard_error for name, estimate in terms.items()},
            }
    return facts


def _outcomes(store: Store, study: str, most: int = 3) -> list[Row]:
    """Trials by state and reason, the `most` frequent reasons of a state by themselves and the others together."""
    counts = store.select(
        "SELECT state, reason, count(*) AS trials FROM trial WHERE study = :study "
        "GROUP BY state, reason ORDER BY state, trials DESC",
        {"study": study},
    ).dicts()
    outcomes: list[Row] = []
    for state in dict.fromkeys(row["state"] for row in counts):
        group = [row for row in counts if row["state"] == state]
        outcomes += group[:most]
        if rest := group[most:]:
            outcomes.append({"state": state, "reason": "other reasons", "trials": sum(row["trials"] for row in rest)})
    return outcomes
