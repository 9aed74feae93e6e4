
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

CREATE VIEW leaderboard AS -- one row per study and architecture it kept, best trainability_cost first
SELECT
    t.study AS study, -- name of the study
    t.number AS number, -- of the first trial that kept it
    t.kept_key AS key, -- content key of the architecture kept
    m.trainability_cost, m.trainability_cost_se, m.log_mean, m.log_mean_se, m.mean_log, m.mean_log_se,
    m.sd_log, m.sd_log_se, m.log_rank, m.log_rank_se, m.log_decorrelation, m.log_decorrelation_se,
    m.dead_fraction, m.dead_fraction_se, e.sd_log_patterns, e.sd_log_patterns_se,
    m.token_mean_log, m.token_mean_log_se, m.token_mean_log_backward, m.token_mean_log_backward_se,
    m.token_log_decorrelation, m.token_log_decorrelation_se,
    m.trainability_penalty, m.trainability_penalty_se, m.jacobian_decorrelation, m.jacobian_decorrelation_se,
    m.merit, m.merit_se,
    t.score_id AS score_id, -- digest that the measurement goes by
    m.status AS status, -- of the measurement: ok, diverged, unsupported, out_of_memory, failed
    m.draws, a.kind, a.depth, a.width, a.placement, a.norm, a.activation, a.branch, a.skip_density, a.skip_count,
    a.block, a.step, a.leak,
    a.weight_gain, a.branch_scale, a.params, a.flops, a.log2_paths, a.effective_depth, a.nonlinear_effective_depth,
    (SELECT avg(r.accuracy) FROM validation AS r WHERE r.architecture_key = v.architecture_key AND r.dataset_digest = v.dataset_digest
        AND r.trainer_id = v.trainer_id AND r.learning_rate = v.learning_rate AND r.status = 'ok'
    ) AS validation_accuracy, -- at the best learning rate, mean over the seeds that did not diverge
    (SELECT avg(r.loss) FROM validation AS r WHERE r.architecture_key = v.architecture_key AND r.dataset_digest = v.dataset_digest
        AND r.trainer_id = v.trainer_id AND r.learning_rate = v.learning_rate AND r.status = 'ok'
    ) AS validation_loss, -- the loss beside that accuracy
    v.learning_rate AS validation_learning_rate, -- the learning rate of that accuracy
-- max: ok sorts after diverged
    coalesce(
        (SELECT max(r.status) FROM validation AS r WHERE r.architecture_key = v.architecture_key
            AND r.dataset_digest = v.dataset_digest AND r.trainer_id = v.trainer_id AND r.learning_rate = v.learning_rate),
        (SELECT 'unknown' FROM validation AS u
            WHERE u.architecture_key = t.kept_key AND u.dataset_digest IS NULL AND u.dataset = s.dataset LIMIT 1)
    ) AS validation_status -- ok, diverged if every run did, NULL if there is none, unknown: maybe trained on other data
FROM trial AS t
JOIN study AS s ON s.name = t.study
JOIN architecture AS a ON a.key = t.kept_key
LEFT JOIN measurement AS m ON m.architecture_key = t.kept_key AND m.score_id = t.score_id
LEFT JOIN measurement AS e ON e.architecture_key = t.architecture_key AND e.score_id = t.score_id
LEFT JOIN validation AS v ON v.rowid = (
    SELECT min(o.rowid) FROM validation AS o
    WHERE o.architecture_key = t.kept_key AND o.dataset_digest = s.dataset_digest
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
