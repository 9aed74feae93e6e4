
UPDATE measurement SET trainability_penalty = mean_log * mean_log / CASE WHEN mean_log < 0 THEN 36 ELSE 144 END
    + sd_log * sd_log * sd_log * sd_log + log_rank * log_rank / 8 + log_decorrelation * log_decorrelation,
    trainability_penalty_se = NULL, merit = NULL, merit_se = NULL
WHERE trainability_penalty IS NOT NULL;
