
ALTER TABLE measurement ADD COLUMN precision_reached INTEGER; -- 1 if as precise as was asked for; NULL: nothing was
ALTER TABLE measurement ADD COLUMN raced INTEGER NOT NULL DEFAULT 0; -- 1 if sampling stopped early: certain to be dominated
