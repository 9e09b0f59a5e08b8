"""All figures, in one table: `make bench`."""

from benchmarks import archive, collect, decode, growth, history, polling, send, submit, table

table.main(*(each.figures for each in (decode, archive, collect, send, submit, growth, polling, history)))
