"""A batch runs only if every line can; otherwise it says why, in bounded words."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.lane_choice import LaneOptions, Mode
from batchrouter.domain.planning import NO_GROUP
from batchrouter.domain.routing import RouteProvider, Router
from batchrouter.domain.validation import MAX_LISTED_ERRORS, BatchLimits, Group, Validation
from tests.unit.lines.indexing import file_of, index_of, line, open_index, records_of

CHAT = "/v1/chat/completions"
ROUTER = Router([RouteProvider("openai", "openai"), RouteProvider("local", "openai", ("q*",))], {}, "openai")


def chat(custom_id: int | str, model: str = "m", **members: object) -> bytes:
    return line(custom_id=str(custom_id), body={"model": model, "messages": []}, **members)


STREAMED = line(custom_id="4", body={"model": "m", "messages": [], "stream": True})


def validation_of(index: bytes, endpoint: str | None = CHAT, **limits: int) -> Validation:
    view = open_index(index)
    return Validation(view.names, view.totals, endpoint, ROUTER, BatchLimits(**limits))


def codes(validation: Validation) -> list[str]:
    return [error.code for error in validation.errors]


def test_what_was_decided_before_hides_no_error() -> None:
    """A line alike another in all but its own fault, or in a member that is decided by, is judged for itself in a
    later slice."""
    lines = [chat(1), chat(2), chat(1), chat(3, "m", method="GET"), STREAMED, chat(5, "local/q1")]
    records = records_of(index := index_of([file_of(*lines)]))
    validation = validation_of(index)
    places = [validation.feed([record])[0] for record in records]
    assert places == [0, 0, NO_GROUP, NO_GROUP, NO_GROUP, 1]
    assert validation.error_count == 3


def test_every_line_gets_its_group() -> None:
    """Lines whose models mean the same share a group; groups are numbered as they come."""
    models = ["m", "openai/m", "q1", "local/q1", "m"]
    index = index_of([file_of(*(chat(i, model) for i, model in enumerate(models)))])
    validation = validation_of(index)
    assert validation.feed(records_of(index)) == [0, 0, 1, 1, 0]
    assert validation.groups == [Group("openai", "m", None), Group("local", "q1", None)]
    assert validation.error_count == 0
    assert validation.errors == []


@given(st.lists(st.sampled_from(["m", "q1", "bad"]), min_size=1, max_size=12), st.integers(1, 5))
def test_slices_decide_as_the_whole_does(kinds: list[str], step: int) -> None:
    """Records may be fed in slices of any size."""
    lines = [chat(i, kind, **({"method": "GET"} if kind == "bad" else {})) for i, kind in enumerate(kinds)]
    index = index_of([file_of(*lines)])
    whole, sliced = validation_of(index), validation_of(index)
    places = [place for first in range(0, len(kinds), step) for place in sliced.feed(records_of(index, first, step))]
    assert places == whole.feed(records_of(index))
    assert sliced.errors == whole.errors
    assert [place == NO_GROUP for place in places] == [kind == "bad" for kind in kinds]


def test_a_thousand_errors_are_listed_and_the_rest_counted() -> None:
    """The list ends with how many more there are; all of them can be had by streaming over the records."""
    index = index_of([file_of(*(chat(i, method="GET") for i in range(MAX_LISTED_ERRORS + 5)))])
    validation = validation_of(index)
    validation.feed(records_of(index))
    assert validation.error_count == MAX_LISTED_ERRORS + 5
    assert len(validation.errors) == MAX_LISTED_ERRORS + 1
    assert [error.line for error in validation.errors[:-1]] == list(range(1, MAX_LISTED_ERRORS + 1))
    last = validation.errors[-1]
    assert (last.code, last.line, last.param) == ("more_errors", None, None)
    assert last.message.startswith("5 more lines have errors")
    everything = list(validation.errors_of(records_of(index)))
    assert [error.line for error in everything] == list(range(1, MAX_LISTED_ERRORS + 6))
    assert everything[:MAX_LISTED_ERRORS] == validation.errors[:-1]


def test_no_entry_is_added_to_a_list_that_is_whole() -> None:
    """A thousand errors are a thousand entries."""
    index = index_of([file_of(*(chat(i, method="GET") for i in range(MAX_LISTED_ERRORS)))])
    validation = validation_of(index)
    validation.feed(records_of(index))
    assert codes(validation) == ["invalid_method"] * MAX_LISTED_ERRORS


@pytest.mark.parametrize("data", [b"", b"\n\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_lines_is_refused(data: bytes) -> None:
    """Nothing to do is an error, once."""
    validation = validation_of(index_of([data]))
    (error,) = validation.errors
    assert (error.code, error.line, error.param) == ("empty_file", None, None)
    assert error.message == "The input file is empty. Please ensure that the file has at least one request."


def test_the_limits_of_a_batch_are_told_before_its_lines() -> None:
    """Lines, bytes and embedding inputs over their limits; at the limits all is well."""
    one = line(url="/v1/embeddings", body={"model": "m", "input": ["a", "b"]})
    index = index_of([file_of(one, one.replace(b'"a", "method"', b'"b", "method"'), b"{")])
    size = open_index(index).totals.bytes
    good = validation_of(index, "/v1/embeddings", lines=3, bytes=size, embedding_inputs=4)
    bad = validation_of(index, "/v1/embeddings", lines=2, bytes=size - 1, embedding_inputs=3)
    for validation in (good, bad):
        validation.feed(records_of(index))
    assert codes(good) == ["invalid_json_line"]
    assert codes(bad) == [
        "too_many_requests",
        "file_too_large",
        "too_many_embedding_inputs",
        "invalid_json_line",
    ]
    assert bad.errors[0].message == "The input file has 3 requests. A batch may have at most 2; split the file."


def test_lanes_are_bounded() -> None:
    """As many as the limit run; one more is one error of the file, and lanes beyond are not kept."""
    index = index_of([file_of(*(chat(i, f"m{i}") for i in range(6)))])
    enough, few = validation_of(index, lanes=6), validation_of(index, lanes=3)
    enough.feed(records_of(index))
    few.feed(records_of(index))
    assert enough.errors == []
    assert codes(few) == ["too_many_models"]
    assert len(few.groups) == 3


def test_lines_with_different_wishes_are_apart_and_count_as_one_lane() -> None:
    """A line's own `mode` makes a group of its own; `auto` is a wish, too, and null is none."""
    modes = [{}, {"mode": "batch"}, {"mode": "auto"}, {"mode": None}, {"mode": "realtime"}, {"mode": "batch"}]
    index = index_of([file_of(*(chat(i, **mode) for i, mode in enumerate(modes)))])
    validation = validation_of(index, lanes=1)
    assert validation.feed(records_of(index)) == [0, 1, 2, 0, 3, 1]
    assert [group.wish for group in validation.groups] == [None, Mode.BATCH, Mode.AUTO, Mode.REALTIME]
    assert validation.errors == []


@pytest.mark.parametrize("options", [LaneOptions(), LaneOptions(batch=True, endpoints=("/v1/responses",))])
def test_a_line_that_insists_on_batch_where_there_is_none_is_an_error(options: LaneOptions) -> None:
    """Neither a provider without a batch API nor one whose API does not take the endpoint; other lines are sound."""
    index = index_of([file_of(chat(0, mode="batch"), chat(1, mode="auto"), chat(2, "q1", mode="batch"))])
    good = LaneOptions(batch=True, endpoints=(CHAT,))
    view = open_index(index)
    validation = Validation(
        view.names,
        view.totals,
        CHAT,
        ROUTER,
        BatchLimits(),
        lambda provider, _: good if provider == "local" else options,
    )
    assert validation.feed(records_of(index)) == [NO_GROUP, 0, 1]
    (error,) = validation.errors
    assert (error.code, error.param, error.line) == ("mode_unsupported", "mode", 1)
    assert error.message.startswith(
        "This request asks for mode 'batch', but the provider of its model 'm' has no batch"
    )


def test_a_check_without_a_batch_takes_the_endpoint_of_the_first_line_that_has_one() -> None:
    """The lines after it must agree; an endpoint that no line has matches none."""
    index = index_of([file_of(b"{", chat("a"), chat("b", url="/v1/responses"))])
    validation = validation_of(index, None)
    assert validation.feed(records_of(index)) == [NO_GROUP, 0, NO_GROUP]
    assert codes(validation) == ["invalid_json_line", "invalid_url"]
    other = validation_of(index, "/v1/embeddings")
    assert other.feed(records_of(index)) == [NO_GROUP] * 3


def test_the_wire_form_of_an_error_has_all_its_members() -> None:
    """Nulls included, as OpenAI sends them."""
    index = index_of([b"{\n"])
    validation = validation_of(index)
    validation.feed(records_of(index))
    assert msgspec.to_builtins(validation.errors) == [
        {
            "code": "invalid_json_line",
            "message": "This line is not parseable as valid JSON.",
            "param": None,
            "line": 1,
        }
    ]
