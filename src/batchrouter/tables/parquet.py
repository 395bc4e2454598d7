"""Parquet, read in slices. The library is an extra, and imported when a table needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from batchrouter.errors import ConfigError, InputError
from batchrouter.tables.forms import Bytes
from batchrouter.tables.table import Cell, Kind, check_names

SLICE_ROWS = 2048


def arrow() -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`. Raises `ConfigError` where they are not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            "Parquet needs a library that is not installed; install it with: pip install 'batchrouter[parquet]'"
        ) from error
    return pyarrow, pyarrow.parquet


class ParquetTable:
    def __init__(self, source: Bytes) -> None:
        """Reads its schema. Raises `InputError`; `ConfigError` without the library."""
        self._pa, self._pq = arrow()
        self._source = source
        self.name = source.name
        with source.open() as file:
            self.schema = self._open(file).schema_arrow
        self.columns = check_names(self.schema.names, self.name)
        self.kinds = (Kind.TEXT,) * len(self.columns)
        """Not asked for: what is written as Parquet again keeps its own types."""

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        for batch in self.slices(columns):
            yield from self.cells(batch, columns)

    def slices(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Record batches of at most `SLICE_ROWS`, of these columns or all."""
        with self._source.open() as file:
            opened = self._open(file)
            if columns is not None and not columns:  # rows without cells are still rows
                for group in range(opened.num_row_groups):
                    left = opened.metadata.row_group(group).num_rows
                    while left:
                        some = min(left, SLICE_ROWS)
                        yield self._pa.RecordBatch.from_struct_array(self._pa.array([{}] * some, self._pa.struct([])))
                        left -= some
                return
            try:
                names = None if columns is None else list(dict.fromkeys(columns))
                yield from opened.iter_batches(batch_size=SLICE_ROWS, columns=names)
            except (self._pa.ArrowException, OSError) as error:
                raise InputError(f"{self.name} cannot be read as Parquet: {error}") from error

    def cells(self, batch: Any, columns: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        if not columns:
            yield from ((),) * batch.num_rows
            return
        try:
            yield from zip(*(self._values(batch.column(name)) for name in columns), strict=True)
        except (self._pa.ArrowException, ValueError) as error:
            raise InputError(f"{self.name} has a value that cannot be written as text: {error}") from error

    def _values(self, column: Any) -> list[Cell]:
        """Nanoseconds, which Python has no value for, are cut to microseconds."""
        types, kind = self._pa.types, column.type
        if types.is_timestamp(kind) and kind.unit == "ns":
            column = column.cast(self._pa.timestamp("us", kind.tz), safe=False)
        elif types.is_time64(kind) and kind.unit == "ns":
            column = column.cast(self._pa.time64("us"), safe=False)
        elif types.is_duration(kind) and kind.unit == "ns":
            column = column.cast(self._pa.duration("us"), safe=False)
        values: list[Cell] = column.to_pylist()
        return values

    def _open(self, file: Any) -> Any:
        try:
            return self._pq.ParquetFile(file, pre_buffer=False)
        except (self._pa.ArrowException, OSError) as error:
            raise InputError(f"{self.name} is no Parquet file: {error}") from error
