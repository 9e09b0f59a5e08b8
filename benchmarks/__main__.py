"""All figures, in one table: `make bench`."""

from benchmarks import archive, collect, decode, growth, history, polling, scale, send, submit, table

ALL = (decode, archive, collect, send, submit, growth, polling, history, scale)

if __name__ == "__main__":
    table.main(*(each.figures for each in ALL))
