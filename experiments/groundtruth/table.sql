-- One row an architecture: its figures at the best learning rate for each, and of each seed alone at the best rate for that.
-- A learning rate counts only if no seed diverged at it.
WITH run AS (
    SELECT v.architecture_key AS key, v.dataset, v.seed, v.learning_rate, v.status, v.accuracy, v.loss, v.train_loss, v.steps
    FROM validation AS v
    JOIN validation_pick AS p ON p.architecture_key = v.architecture_key AND p.study = :study
),
rate AS (
    SELECT key, learning_rate, avg(accuracy) AS accuracy, avg(loss) AS loss, avg(train_loss) AS train_loss
    FROM run GROUP BY key, learning_rate HAVING min(status) = 'ok'
),
seed AS (
    SELECT key,
        max(accuracy) FILTER (WHERE seed = 0) AS accuracy_0, max(accuracy) FILTER (WHERE seed = 1) AS accuracy_1,
        min(loss) FILTER (WHERE seed = 0) AS loss_0, min(loss) FILTER (WHERE seed = 1) AS loss_1
    FROM run WHERE status = 'ok' GROUP BY key
),
best AS (SELECT key, max(accuracy) AS accuracy, min(loss) AS loss, min(train_loss) AS train_loss FROM rate GROUP BY key)
SELECT a.kind, a.key, (SELECT max(dataset) FROM run WHERE key = a.key) AS dataset,
    CASE WHEN best.key IS NULL THEN 'diverged' ELSE 'ok' END AS status,
    round(best.accuracy, 5) AS accuracy, round(best.loss, 5) AS loss, round(best.train_loss, 5) AS train_loss,
    round(accuracy_0, 5) AS accuracy_0, round(accuracy_1, 5) AS accuracy_1, round(loss_0, 5) AS loss_0, round(loss_1, 5) AS loss_1,
    (SELECT min(learning_rate) FROM rate WHERE key = a.key AND rate.accuracy = best.accuracy) AS learning_rate,
    (SELECT count(*) FROM run WHERE key = a.key AND status <> 'ok') AS diverged_runs,
    a.depth, a.width, a.params, a.flops, a.skip_count, a.spec
FROM architecture AS a
LEFT JOIN best USING (key)
LEFT JOIN seed USING (key)
WHERE a.key IN (SELECT key FROM run) AND a.kind = :kind
ORDER BY a.key
