"""The results database in SQL: tables, views, and the scripts that lead from one version of the schema to the next.

The text is the documentation: the comment behind a column is its meaning, and `nasjac query --schema` prints it.
A script that has been released is never edited; a change is a further script at the end of MIGRATIONS.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

APPLICATION_ID = 0x6E61736A  # "nasj"

_VERSION_1 = """
CREATE TABLE run ( -- one row per command that wrote here
    run_id INTEGER PRIMARY KEY, -- counts from 1
    study TEXT, -- name of the study it worked on, if any
    verb TEXT NOT NULL, -- search, validate, train, ...
    config TEXT NOT NULL, -- JSON: the whole configuration
    versions TEXT NOT NULL, -- JSON: versions of nasjac, Python and the libraries
    device TEXT, -- cpu, cuda, ...
    command TEXT, -- the command line
    git_commit TEXT, -- commit of the working tree, if it is one
    git_dirty INTEGER, -- 1 if the working tree had changes
    started TEXT NOT NULL, -- UTC, ISO 8601
    finished TEXT, -- UTC, ISO 8601; NULL while it runs, or if it was killed
    status TEXT NOT NULL, -- running, or how it ended
    timings TEXT NOT NULL, -- JSON: seconds by part
    notes TEXT NOT NULL -- JSON: whatever else is worth keeping
);
CREATE TABLE study ( -- one row per search
    name TEXT PRIMARY KEY, -- its name
    identity TEXT NOT NULL, -- JSON: what a resumed search must share (space, score, sampler, seed, dataset)
    score_id TEXT NOT NULL, -- digest of the full identity of the score it was opened with
    dataset TEXT, -- the dataset of its validations
    created TEXT NOT NULL, -- UTC, ISO 8601
    recommended_key TEXT REFERENCES architecture (key), -- the architecture it recommends
    recommended_reason TEXT -- why that one
);
CREATE TABLE architecture ( -- one row per architecture, whichever studies met it
    key TEXT PRIMARY KEY, -- content key: 12 hexadecimal digits
    spec TEXT NOT NULL, -- JSON: the canonical Spec
    kind TEXT NOT NULL, -- network kind
    depth INTEGER NOT NULL, -- residual blocks
    width INTEGER NOT NULL, -- units of the residual stream
    placement TEXT NOT NULL, -- where the norm sits: none, pre, post, res_post, sandwich
    norm TEXT NOT NULL, -- layernorm or rmsnorm
    activation TEXT NOT NULL, -- activation function
    branch TEXT NOT NULL, -- two_matrix or one_matrix
    skip_density REAL, -- share of blocks that keep their skip
    skip_count INTEGER, -- blocks that keep their skip
    weight_gain REAL, -- a branch weight's standard deviation times sqrt(fan_in)
    branch_scale REAL, -- factor on the branch output
    params INTEGER, -- trainable parameters
    flops INTEGER, -- floating point operations of one forward pass of one input
    log2_paths REAL, -- log2 of the number of paths from input to output
    effective_depth REAL, -- sum over blocks of the branch's share of the energy
    nonlinear_effective_depth REAL -- the same, each block times the share of its branch that no linear map explains
);
CREATE TABLE trial ( -- one row per trial of a study
    study TEXT NOT NULL REFERENCES study (name), -- name of the study
    number INTEGER NOT NULL, -- counts from 0 within the study
    batch INTEGER NOT NULL, -- counts from 0; a batch is stored whole or not at all
    asked INTEGER NOT NULL, -- the sampler's own number of it: proposals that were rejected count too
    state TEXT NOT NULL CHECK (state IN ('complete', 'duplicate', 'infeasible', 'failed')), -- how it ended
    architecture_key TEXT REFERENCES architecture (key), -- the architecture that was scored
    kept_key TEXT REFERENCES architecture (key), -- the architecture kept: another one if the scored one is an ensemble
    objectives TEXT NOT NULL, -- JSON: value by name
    constraints TEXT NOT NULL, -- JSON: violation by name, at most 0 when satisfied
    choices TEXT NOT NULL, -- JSON: what the sampler chose
    distributions TEXT NOT NULL, -- JSON: what it chose from
    system_attrs TEXT NOT NULL, -- JSON: the sampler's own memory
    reason TEXT, -- why it is not complete
    score_id TEXT NOT NULL, -- digest of the score's full identity
    PRIMARY KEY (study, number)
);
CREATE TABLE batch ( -- one row per stored batch of a study
    study TEXT NOT NULL REFERENCES study (name), -- name of the study
    batch INTEGER NOT NULL, -- counts from 0
    notes TEXT NOT NULL, -- JSON: what the sampler noted on the study since the batch before
    PRIMARY KEY (study, batch)
);
CREATE INDEX trial_batch ON trial (study, batch);
CREATE INDEX trial_architecture ON trial (architecture_key);
CREATE INDEX trial_kept ON trial (kept_key, study, number) WHERE state = 'complete';
CREATE TABLE measurement ( -- one row per architecture and score; a term's standard error is <term>_se
    architecture_key TEXT NOT NULL REFERENCES architecture (key), -- what was measured
    score TEXT NOT NULL, -- name of the score
    score_id TEXT NOT NULL, -- digest of the score's full identity: options, dataset, device type
    status TEXT NOT NULL, -- ok, diverged, unsupported, out_of_memory, failed
    reason TEXT, -- why it is not ok
    kept_key TEXT REFERENCES architecture (key), -- the architecture to keep: the best pattern if this is an ensemble
    draws INTEGER NOT NULL, -- weight draws
    seconds REAL NOT NULL, -- its share of the time of its batch
    trainability_cost REAL, trainability_cost_se REAL, -- what ranks: lower is better
    log_mean REAL, log_mean_se REAL, -- log of the expected squared Jacobian norm per output unit, natural logarithm
    mean_log REAL, mean_log_se REAL, -- expectation of the log of the squared Jacobian norm per output unit
    sd_log REAL, sd_log_se REAL, -- standard deviation of that log over initializations and inputs
    log_rank REAL, log_rank_se REAL, -- log of effective rank / width
    log_decorrelation REAL, log_decorrelation_se REAL, -- log(1 - correlation of the outputs of two inputs)
    dead_fraction REAL, dead_fraction_se REAL, -- share of samples whose Jacobian is exactly zero
    sd_log_patterns REAL, sd_log_patterns_se REAL, -- standard deviation over the skip patterns of an ensemble
    created TEXT NOT NULL, -- UTC, ISO 8601
    profile TEXT NOT NULL, -- JSON: layer by layer, lists name, direction, log_mean, mean_log, standard_error
    PRIMARY KEY (architecture_key, score_id)
);
CREATE TABLE validation ( -- one row per brief training
    architecture_key TEXT NOT NULL REFERENCES architecture (key), -- what was trained
    dataset TEXT NOT NULL, -- name of the dataset
    trainer TEXT NOT NULL, -- name of the trainer
    trainer_id TEXT NOT NULL, -- digest of the trainer's options
    seed INTEGER NOT NULL, -- of initialization and batch order
    learning_rate REAL NOT NULL, -- peak learning rate
    status TEXT NOT NULL CHECK (status IN ('ok', 'diverged')), -- ok or diverged
    reason TEXT, -- why it is not ok
    accuracy REAL, -- on the validation split
    loss REAL, -- on the validation split
    train_loss REAL, -- on the training split
    steps INTEGER, -- optimizer steps
    seconds REAL, -- its share of the time
    created TEXT NOT NULL, -- UTC, ISO 8601
    PRIMARY KEY (architecture_key, dataset, trainer_id, seed, learning_rate)
);
CREATE TABLE validation_pick ( -- which architectures a study's validation chose, and why
    study TEXT NOT NULL REFERENCES study (name), -- name of the study
    architecture_key TEXT NOT NULL REFERENCES architecture (key), -- what was chosen
    role TEXT NOT NULL CHECK (role IN ('front', 'random', 'matched')), -- along the front, fresh, or matched in size
    PRIMARY KEY (study, architecture_key, role)
);
"""

#: the view; `more` columns of a measurement and `steps` of an architecture are those of later versions, and so are
#: `dataset`, the column that says on what an architecture was trained, `own`, which of its trainings the study's are, and
#: `status`, that of its trainings
_LEADERBOARD = """
CREATE VIEW leaderboard AS -- one row per study and architecture it kept, best trainability_cost first
SELECT
    t.study AS study, -- name of the study
    t.number AS number, -- of the first trial that kept it
    t.kept_key AS key, -- content key of the architecture kept
    m.trainability_cost, m.trainability_cost_se, m.log_mean, m.log_mean_se, m.mean_log, m.mean_log_se,
    m.sd_log, m.sd_log_se, m.log_rank, m.log_rank_se, m.log_decorrelation, m.log_decorrelation_se,
    m.dead_fraction, m.dead_fraction_se, e.sd_log_patterns, e.sd_log_patterns_se,{more}
    m.status AS status, -- of the measurement: ok, diverged, unsupported, out_of_memory, failed
    m.draws, a.kind, a.depth, a.width, a.placement, a.norm, a.activation, a.branch, a.skip_density, a.skip_count,{steps}
    a.weight_gain, a.branch_scale, a.params, a.flops, a.log2_paths, a.effective_depth, a.nonlinear_effective_depth,
    (SELECT avg(r.accuracy) FROM validation AS r WHERE r.architecture_key = v.architecture_key AND r.{dataset} = v.{dataset}
        AND r.trainer_id = v.trainer_id AND r.learning_rate = v.learning_rate AND r.status = 'ok'
    ) AS validation_accuracy, -- at the best learning rate, mean over the seeds that did not diverge
    (SELECT avg(r.loss) FROM validation AS r WHERE r.architecture_key = v.architecture_key AND r.{dataset} = v.{dataset}
        AND r.trainer_id = v.trainer_id AND r.learning_rate = v.learning_rate AND r.status = 'ok'
    ) AS validation_loss, -- the loss beside that accuracy
    v.learning_rate AS validation_learning_rate, -- the learning rate of that accuracy
-- max: ok sorts after diverged
{status}
FROM trial AS t
JOIN study AS s ON s.name = t.study
JOIN architecture AS a ON a.key = t.kept_key
LEFT JOIN measurement AS m ON m.architecture_key = t.kept_key AND m.score_id = t.score_id
LEFT JOIN measurement AS e ON e.architecture_key = t.architecture_key AND e.score_id = t.score_id
LEFT JOIN validation AS v ON v.rowid = (
    SELECT min(o.rowid) FROM validation AS o
    WHERE o.architecture_key = t.kept_key AND {own}
    GROUP BY o.trainer_id, o.learning_rate
    ORDER BY count(*) FILTER (WHERE o.status = 'diverged'),
        avg(o.accuracy) FILTER (WHERE o.status = 'ok') DESC NULLS LAST, o.learning_rate, o.trainer_id
    LIMIT 1
)
WHERE t.state = 'complete' AND NOT EXISTS (
    SELECT 1 FROM trial AS e
    WHERE e.study = t.study AND e.kept_key = t.kept_key AND e.state = 'complete' AND e.number < t.number
)
ORDER BY m.trainability_cost NULLS LAST, t.study, t.number;
"""

_STATUS = """\
    (SELECT max(r.status) FROM validation AS r WHERE r.architecture_key = v.architecture_key AND r.dataset = v.dataset
        AND r.trainer_id = v.trainer_id AND r.learning_rate = v.learning_rate
    ) AS validation_status -- ok, diverged if every run did, NULL if there is none"""
_BY_NAME = {
    "dataset": "dataset",
    "status": _STATUS,
    "own": """o.dataset = coalesce(
        s.dataset, (SELECT min(d.dataset) FROM validation AS d WHERE d.architecture_key = t.kept_key))""",
}

_VERSION_2 = """
ALTER TABLE measurement ADD COLUMN model_error REAL; -- error in log_mean that a closed form states, 0: exact; NULL: sampled
"""

_VERSION_3 = """
ALTER TABLE measurement ADD COLUMN precision_reached INTEGER; -- 1 if as precise as was asked for; NULL: nothing was
ALTER TABLE measurement ADD COLUMN raced INTEGER NOT NULL DEFAULT 0; -- 1 if sampling stopped early: certain to be dominated
"""

_TOKENS = """
    m.token_mean_log, m.token_mean_log_se, m.token_mean_log_backward, m.token_mean_log_backward_se,
    m.token_log_decorrelation, m.token_log_decorrelation_se,"""

_VERSION_4 = """
ALTER TABLE measurement ADD COLUMN token_mean_log REAL; -- E log of the norm of what differs between tokens, forward
ALTER TABLE measurement ADD COLUMN token_mean_log_se REAL; -- its standard error
ALTER TABLE measurement ADD COLUMN token_mean_log_backward REAL; -- the same of what differs in the input, backward
ALTER TABLE measurement ADD COLUMN token_mean_log_backward_se REAL; -- its standard error
ALTER TABLE measurement ADD COLUMN token_log_decorrelation REAL; -- log of the output's share that differs between tokens
ALTER TABLE measurement ADD COLUMN token_log_decorrelation_se REAL; -- its standard error
DROP VIEW leaderboard;
""" + _LEADERBOARD.format(more=_TOKENS, steps="", **_BY_NAME)

_VERSION_5 = """
ALTER TABLE architecture ADD COLUMN block TEXT NOT NULL DEFAULT 'explicit'; -- how blocks step: explicit, leaky, implicit
ALTER TABLE architecture ADD COLUMN step REAL NOT NULL DEFAULT 1.0; -- their step size h, a factor on every branch
ALTER TABLE architecture ADD COLUMN leak REAL NOT NULL DEFAULT 0.0; -- their dilution rate D
DROP VIEW leaderboard;
""" + _LEADERBOARD.format(more=_TOKENS, steps="\n    a.block, a.step, a.leak,", **_BY_NAME)

_MERIT = """
    m.trainability_penalty, m.trainability_penalty_se, m.jacobian_decorrelation, m.jacobian_decorrelation_se,
    m.merit, m.merit_se,"""

_VERSION_6 = """
ALTER TABLE measurement ADD COLUMN trainability_penalty REAL; -- what harms training: lower is better
ALTER TABLE measurement ADD COLUMN trainability_penalty_se REAL; -- its standard error
ALTER TABLE measurement ADD COLUMN jacobian_decorrelation REAL; -- how little the Jacobians of different inputs are alike
ALTER TABLE measurement ADD COLUMN jacobian_decorrelation_se REAL; -- its standard error
ALTER TABLE measurement ADD COLUMN merit REAL; -- log-ranks of FLOPs and decorrelation, or -penalty, the weaker: higher
ALTER TABLE measurement ADD COLUMN merit_se REAL; -- its standard error
DROP VIEW leaderboard;
""" + _LEADERBOARD.format(more=_TOKENS + _MERIT, steps="\n    a.block, a.step, a.leak,", **_BY_NAME)

# all terms of the penalty are squares since; a merit by the former formula is none
_VERSION_7 = """
UPDATE measurement SET trainability_penalty = mean_log * mean_log / CASE WHEN mean_log < 0 THEN 36 ELSE 144 END
    + sd_log * sd_log * sd_log * sd_log + log_rank * log_rank / 8 + log_decorrelation * log_decorrelation,
    trainability_penalty_se = NULL, merit = NULL, merit_se = NULL
WHERE trainability_penalty IS NOT NULL;
"""

# a dataset's name does not say what its file held: what was trained before belongs to no study
_OWN_STATUS = """\
    coalesce(
        (SELECT max(r.status) FROM validation AS r WHERE r.architecture_key = v.architecture_key
            AND r.dataset_digest = v.dataset_digest AND r.trainer_id = v.trainer_id AND r.learning_rate = v.learning_rate),
        (SELECT 'unknown' FROM validation AS u
            WHERE u.architecture_key = t.kept_key AND u.dataset_digest IS NULL AND u.dataset = s.dataset LIMIT 1)
    ) AS validation_status -- ok, diverged if every run did, NULL if there is none, unknown: maybe trained on other data"""
_BY_DIGEST = {"dataset": "dataset_digest", "status": _OWN_STATUS, "own": "o.dataset_digest = s.dataset_digest"}
_SCORE_ID = "\n    t.score_id AS score_id, -- digest that the measurement goes by"

_VERSION_8 = """
DROP VIEW leaderboard;
ALTER TABLE study ADD COLUMN dataset_digest TEXT; -- digest of its data; NULL: not kept before version 8, nor used since
ALTER TABLE validation_pick ADD COLUMN dataset_digest TEXT; -- digest of the data it was picked to be trained on
ALTER TABLE trial ADD COLUMN status TEXT; -- of the measurement that settled it; NULL: none, or from before version 8
UPDATE trial SET status = substr(reason, 1, instr(reason, ':') - 1)
WHERE state = 'failed' AND (reason LIKE 'out_of_memory:%' OR reason LIKE 'failed:%');
ALTER TABLE run ADD COLUMN fingerprint TEXT; -- torch, processor and its instructions; NULL: from before version 8
ALTER TABLE measurement ADD COLUMN run_id INTEGER REFERENCES run (run_id); -- the run that made it, if any was stored
ALTER TABLE measurement ADD COLUMN fingerprint TEXT; -- what made it: torch, processor, instructions; NULL: unknown
ALTER TABLE measurement ADD COLUMN pattern_of TEXT REFERENCES architecture (key); -- the ensemble it was sampled in, if any
ALTER TABLE validation RENAME TO validation_7;
CREATE TABLE validation ( -- one row per brief training
    architecture_key TEXT NOT NULL REFERENCES architecture (key), -- what was trained
    dataset TEXT NOT NULL, -- name of the dataset
    dataset_digest TEXT, -- digest of its inputs and labels, all splits; NULL: unknown, not kept before version 8
    trainer TEXT NOT NULL, -- name of the trainer
    trainer_id TEXT NOT NULL, -- digest of the trainer's options
    seed INTEGER NOT NULL, -- of initialization and batch order
    learning_rate REAL NOT NULL, -- peak learning rate
    status TEXT NOT NULL CHECK (status IN ('ok', 'diverged')), -- ok or diverged
    reason TEXT, -- why it is not ok
    accuracy REAL, -- on the validation split
    loss REAL, -- on the validation split
    train_loss REAL, -- on the training split
    steps INTEGER, -- optimizer steps
    seconds REAL, -- its share of the time
    created TEXT NOT NULL, -- UTC, ISO 8601
    run_id INTEGER REFERENCES run (run_id), -- the run that made it, if any was stored
    fingerprint TEXT, -- what made it: torch, processor, instructions; NULL: unknown
    UNIQUE (architecture_key, dataset_digest, trainer_id, seed, learning_rate) -- unknown data are like no others
);
INSERT INTO validation SELECT architecture_key, dataset, NULL, trainer, trainer_id, seed, learning_rate, status, reason,
    accuracy, loss, train_loss, steps, seconds, created, NULL, NULL FROM validation_7 ORDER BY rowid;
DROP TABLE validation_7;
-- effective depths of ensembles behind a norm or activation, and of transformers', took s² for s: unknown until met again
UPDATE architecture SET effective_depth = NULL, nonlinear_effective_depth = NULL
WHERE (kind <> 'residual_mlp' OR placement = 'post') AND EXISTS (
    SELECT 1 FROM json_each(spec, '$.blocks') AS b
    WHERE json_extract(b.value, '$.skip') > 0 AND json_extract(b.value, '$.skip') < 1
);
--- measurement.model_error: usual size of the finite-width correction to log_mean, nats, no bound; 0: exact; NULL: sampled
""" + _LEADERBOARD.format(more=_TOKENS + _MERIT + _SCORE_ID, steps="\n    a.block, a.step, a.leak,", **_BY_DIGEST)

#: version n of the schema is what the first n scripts make
MIGRATIONS: tuple[str, ...] = (
    _VERSION_1 + _LEADERBOARD.format(more="", steps="", **_BY_NAME),
    _VERSION_2,
    _VERSION_3,
    _VERSION_4,
    _VERSION_5,
    _VERSION_6,
    _VERSION_7,
    _VERSION_8,
)
SCHEMA_VERSION = len(MIGRATIONS)
#: columns whose released comments say too little; released scripts are never edited
_MEANINGS = """
--- run.git_commit: commit of the checkout that nasjac's code runs from; NULL: no checkout, or not known
--- run.git_dirty: 1 if that checkout had changes
"""


def migrate(connection: sqlite3.Connection, scripts: Sequence[str] = MIGRATIONS) -> None:
    """Run the scripts the database has not seen, all in one transaction. The connection must be in autocommit mode."""
    connection.execute("BEGIN IMMEDIATE")  # the version is read under the lock: another process may be migrating
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for statement in (statement for script in scripts[version:] for statement in _statements(script)):
            connection.execute(statement)
        if version < len(scripts):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(scripts)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has SQLite roll back by itself
            connection.execute("ROLLBACK")
        raise


class Column(NamedTuple):
    """A column, its SQL type and what it means."""

    name: str
    type: str
    meaning: str


class Relation(NamedTuple):
    """A table or view, and its columns."""

    name: str
    kind: str
    meaning: str
    columns: tuple[Column, ...]


@cache
def relations() -> tuple[Relation, ...]:
    """The tables and views of the current schema; no database file is needed."""
    meanings = _meanings((*MIGRATIONS, _MEANINGS))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection)
        sql = "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY rowid"
        return tuple(
            Relation(name, kind, meanings[name, ""], tuple(_columns(connection, name, meanings)))
            for name, kind in connection.execute(sql).fetchall()
        )
    finally:
        connection.close()


def column_names() -> dict[str, tuple[str, ...]]:
    """Table or view -> its columns."""
    return {relation.name: tuple(column.name for column in relation.columns) for relation in relations()}


def _columns(connection: sqlite3.Connection, relation: str, meanings: dict[tuple[str, str], str]) -> Iterator[Column]:
    for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({relation})"):
        term = name.removesuffix("_se")
        meaning = f"standard error of {term}" if term != name else meanings.get((relation, name)) or meanings["", name]
        yield Column(name, kind, meaning)


def _meanings(scripts: Sequence[str]) -> dict[tuple[str, str], str]:
    """(relation, column) -> comment; ("", column) the first relation's, for the views that take a column as it is."""
    meanings: dict[tuple[str, str], str] = {}
    relation = ""
    for line in "\n".join(scripts).splitlines():
        if better := re.fullmatch(r"--- (\w+)\.(\w+): (.+)", line):  # than that of a script which is never edited
            meanings[better[1], better[2]] = better[3]
            continue
        code, _, comment = line.partition(" -- ")
        if head := re.match(r"(?:CREATE (?:TABLE|VIEW)|ALTER TABLE) (\w+)(?:.* ADD COLUMN (\w+))?", code):
            relation = head[1]
        name = (head[2] or "") if head else re.sub(r".* AS ", "", code).split()[0].rstrip(",") if comment else ""
        if comment:
            meanings[relation, name] = comment
            meanings.setdefault(("", name), comment)
    return meanings


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit the open transaction."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    assert not pending.strip(), f"unfinished statement: {pending}"
