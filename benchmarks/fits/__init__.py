"""Programs that fit the coefficient files under `data/efficiency/` from measured rows; development only."""
