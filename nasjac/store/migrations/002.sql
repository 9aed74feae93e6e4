
ALTER TABLE measurement ADD COLUMN model_error REAL; -- error in log_mean that a closed form states, 0: exact; NULL: sampled
