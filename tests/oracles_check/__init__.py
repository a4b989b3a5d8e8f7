"""Golden cases worked by hand and finite differences, which test the oracles themselves."""
