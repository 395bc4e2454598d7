"""A `BatchFilter` as conditions of a query, in words that SQLite and PostgreSQL share."""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_lowercase, ascii_uppercase
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from batchrouter.adapters.sql.rows import to_json
from batchrouter.adapters.sql.schema import batch_lanes, batches, lanes
from batchrouter.domain.batch_filter import BatchFilter, lowered

_ESCAPE = "\\"


class found_at(GenericFunction[int]):
    """Where a text begins within another, from 1; 0: nowhere. Byte for byte, unlike LIKE in SQLite."""

    type = sa.Integer()
    inherit_cache = True


@compiles(found_at, "sqlite")
def _in_sqlite(element: found_at, compiler: SQLCompiler, **words: Any) -> str:
    return f"instr{compiler.process(element.clause_expr, **words)}"


@compiles(found_at, "postgresql")
def _in_postgres(element: found_at, compiler: SQLCompiler, **words: Any) -> str:
    return f"strpos{compiler.process(element.clause_expr, **words)}"


class ascii_lower(GenericFunction[str]):
    """A text with its ASCII letters small: PostgreSQL's own `lower` follows the database's locale."""

    type = sa.String()
    inherit_cache = True


@compiles(ascii_lower, "sqlite")
def _lower_in_sqlite(element: ascii_lower, compiler: SQLCompiler, **words: Any) -> str:
    return f"lower{compiler.process(element.clause_expr, **words)}"


@compiles(ascii_lower, "postgresql")
def _lower_in_postgres(element: ascii_lower, compiler: SQLCompiler, **words: Any) -> str:
    text = compiler.process(element.clause_expr, **words)
    return f"translate({text}, '{ascii_uppercase}', '{ascii_lowercase}')"


def conditions(wanted: BatchFilter) -> Iterator[sa.ColumnElement[bool]]:
    if wanted.states:
        yield batches.c.state.in_(sorted(wanted.states))
    if wanted.endpoint is not None:
        yield batches.c.endpoint == wanted.endpoint
    if wanted.retry_of is not None:
        yield batches.c.retry_of == wanted.retry_of
    if wanted.created_from_ms is not None:
        yield batches.c.created_ms >= wanted.created_from_ms
    if wanted.created_until_ms is not None:
        yield batches.c.created_ms < wanted.created_until_ms
    for key, value in wanted.metadata.items():
        # A pair of the compact JSON that the row holds: no value can look like one, its quotes are escaped.
        pair = f"{to_json(key)}:{to_json(value)}"
        yield found_at(sa.func.coalesce(batches.c.metadata, ""), pair) > 0
    if wanted.model is not None:
        yield _model(wanted.model)
    if wanted.search is not None:
        yield _search(wanted.search)


def _model(pattern: str) -> sa.ColumnElement[bool]:
    like = lowered(pattern).replace(_ESCAPE, _ESCAPE * 2).replace("%", _ESCAPE + "%").replace("_", _ESCAPE + "_")
    like = like.replace("*", "%")
    in_lanes = (
        sa.select(lanes.c.id)
        .join(batch_lanes, batch_lanes.c.lane_id == lanes.c.id)
        .where(batch_lanes.c.batch_seq == batches.c.seq, _lower(lanes.c.model).like(like, escape=_ESCAPE))
        .correlate(batches)
        .exists()
    )
    return _lower(batches.c.model).like(like, escape=_ESCAPE) | in_lanes


def _search(text: str) -> sa.ColumnElement[bool]:
    sought = lowered(text)
    # Of the metadata the text as JSON has it, without the quotes around. Quotes within are escaped, so that no more of
    # JSON's own signs is found than a single colon, comma or brace.
    in_json = to_json(sought)[1:-1]
    places = [
        found_at(_lower(column), sought) > 0 for column in (batches.c.id, batches.c.model, batches.c.input_file_id)
    ]
    return sa.or_(*places, found_at(_lower(batches.c.metadata), in_json) > 0)


def _lower(column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Nothing reads as the empty text."""
    return ascii_lower(sa.func.coalesce(column, ""))
