"""`make demo`: one job, one file, one night, on this machine."""
