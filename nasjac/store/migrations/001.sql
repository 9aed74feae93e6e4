
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

CREATE VIEW leaderboard AS -- one row per study and architecture it kept, best trainability_cost first
SELECT
    t.study AS study, -- name of the study
    t.number AS number, -- of the first trial that kept it
    t.kept_key AS key, -- content key of the architecture kept
    m.trainability_cost, m.trainability_cost_se, m.log_mean, m.log_mean_se, m.mean_log, m.mean_log_se,
    m.sd_log, m.sd_log_se, m.log_rank, m.log_rank_se, m.log_decorrelation, m.log_decorrelation_se,
    m.dead_fraction, m.dead_fraction_se, e.sd_log_patterns, e.sd_log_patterns_se,
    m.status AS status, -- of the measurement: ok, diverged, unsupported, out_of_memory, failed
    m.draws, a.kind, a.depth, a.width, a.placement, a.norm, a.activation, a.branch, a.skip_density, a.skip_count,
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
