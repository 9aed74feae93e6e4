
ALTER TABLE measurement ADD COLUMN trainability_penalty REAL; -- what harms training: lower is better
ALTER TABLE measurement ADD COLUMN trainability_penalty_se REAL; -- its standard error
ALTER TABLE measurement ADD COLUMN jacobian_decorrelation REAL; -- how little the Jacobians of different inputs are alike
ALTER TABLE measurement ADD COLUMN jacobian_decorrelation_se REAL; -- its standard error
ALTER TABLE measurement ADD COLUMN merit REAL; -- log-ranks of FLOPs and decorrelation, or -penalty, the weaker: higher
ALTER TABLE measurement ADD COLUMN merit_se REAL; -- its standard error
DROP VIEW leaderboard;

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
    m.status AS status, -- of the measurement: ok, diverged, unsupported, out_of_memory, failed
    m.draws, a.kind, a.depth, a.width, a.placement, a.norm, a.activation, a.branch, a.skip_density, a.skip_count,
    a.block, a.step, a.leak,
    a.weight_gain, a.branch_scale, a.params, a.flops, a.log2_paths, a.effective_depth, a.nonlinear_effective_depth,
    (SELECT avg(r.accuracy) FROM validation AS r WHERE r.architecture_key = v.architecture_key AND r.dataset = v.dataset
        AND r.trainer_id = v.trainer_id AND r.learning_rate = v.learning_rate AND r.status = 'ok'
    ) AS validation_accuracy, -- at the best learning rate, mean over the seeds that did not diverge
    (SELECT avg(r.loss) FROM validation AS r WHERE r.architecture_key = v.architecture_key AND r.dataset = v.dataset
        AND r.trainer_id = v.trainer_id AND r.learning_rate = v.learning_rate AND r.status = 'ok'
    ) AS validation_loss, -- the loss beside that accuracy
    v.learning_rate AS validation_learning_rate, -- the learning rate of that accuracy
-- max: ok sorts after diverged
    (SELECT max(r.status) FROM validation AS r WHERE r.architecture_key = v.architecture_key AND r.dataset = v.dataset
        AND r.trainer_id = v.trainer_id AND r.learning_rate = v.learning_rate
    ) AS validation_status -- ok, diverged if every run did, NULL if there is none
FROM trial AS t
JOIN study AS s ON s.name = t.study
JOIN architecture AS a ON a.key = t.kept_key
LEFT JOIN measurement AS m ON m.architecture_key = t.kept_key AND m.score_id = t.score_id
LEFT JOIN measurement AS e ON e.architecture_key = t.architecture_key AND e.score_id = t.score_id
LEFT JOIN validation AS v ON v.rowid = (
    SELECT min(o.rowid) FROM validation AS o
    WHERE o.architecture_key = t.kept_key AND o.dataset = coalesce(
        s.dataset, (SELECT min(d.dataset) FROM validation AS d WHERE d.architecture_key = t.kept_key))
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
