"""What commands for a server's batches are made of: tables that fit, facts, choices, places, merged lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from batchrouter.bootstrap.local import ServerNote
from batchrouter.cli import place
from batchrouter.cli.choosing import chosen, pairs
from batchrouter.cli.columns import Column, laid_out
from batchrouter.cli.facts import clean, exit_code_of, fact, long_span, money
from batchrouter.cli.figures import Figures
from batchrouter.cli.merging import in_line_order, number_of
from batchrouter.cli.place import ServerOptions, find_place
from batchrouter.cli.submission import mark_of
from batchrouter.cli.tailing import how_many, line_of
from batchrouter.cli.told import BatchTold, Counts, Extension, LineTold, Usage
from batchrouter.cli.uploading import pieces
from batchrouter.cli.waiting import goes_on
from batchrouter.errors import ConfigError, InputError

COLUMNS = (
    Column(title="ID", least=6),
    Column(title="NAME", need=2, least=4),
    Column(title="DONE", right=True),
    Column(title="AGE", need=5, right=True),
)
ROWS = [("batch_0123456789", "Läuft 世界", "5/10", "3 s"), ("batch_9876543210", "", "10/10", "4 min")]


@pytest.mark.parametrize("width", [None, *range(16, 60)])
def test_a_table_is_no_wider_than_it_may_be(width: int | None) -> None:
    """Whatever the room, every row has the same columns and every id can be told from the others."""
    lines = laid_out(COLUMNS, ROWS, width)
    assert len(lines) == 3
    assert all(cell_len(line) <= (width or 1_000) for line in lines)
    assert lines[0].startswith("ID")
    assert len({line.split()[0] for line in lines[1:]}) == 2 or (width or 99) < 30
    if width is None:
        assert ROWS[0][0] in lines[1]
        assert lines[2].endswith("4 min")


def test_what_matters_less_goes_first_and_empty_columns_are_not_shown() -> None:
    """Age before names, names before counts."""
    assert "AGE" not in laid_out(COLUMNS, ROWS, 36)[0]
    assert "batch_0123456789" in laid_out(COLUMNS, ROWS, 36)[1]
    assert "NAME" not in laid_out(COLUMNS, [("a", "", "1/1", "")], None)[0]
    assert "DONE" in laid_out(COLUMNS, ROWS, 16)[0]


def test_a_fact_has_one_form() -> None:
    """Numbers without commas, always in this order."""
    batch = BatchTold("batch_abc", "completed", created_at=100, completed_at=1947)
    batch.request_counts, batch.usage = Counts(1000, 990, 10), Usage(cost=0.123)
    assert fact(batch, 5_000) == "batch_abc completed 1000/1000, 10 failed, ran 1847 s, $0.12"
    running = BatchTold("b", "in_progress", created_at=100, batchrouter=Extension(paused_at=3, invalid_output=2))
    assert fact(running, 160) == "b paused 0/0, 0 failed, 2 invalid, ran 60 s"
    assert (exit_code_of([batch]), exit_code_of([running])) == (1, 130)


def test_sums_and_spans_are_short() -> None:
    assert [money(cost) for cost in (None, 0.0, 0.00341, 0.119, 1234.5)] == [
        "",
        "$0.00",
        "$0.0034",
        "$0.12",
        "$1,234.50",
    ]
    assert [long_span(span) for span in (5, 119, 600, 7_200, 200_000)] == ["5 s", "119 s", "10 min", "2 h", "2 d"]


def test_what_steers_a_terminal_is_left_out_of_words() -> None:
    """Escapes, line breaks of all kinds, and what turns the direction of writing."""
    assert clean("a\x1b[2Jb\nc\u2028d\x9be\u202ef") == "a [2Jb c d e f"


def test_lines_are_chosen_by_names_that_there_are() -> None:
    """Several values of one name together; a text is one, commas and all."""
    assert chosen(["finish_reason=length,stop", "code=429", "code=500", "text=a,b", "custom_id=x,y"]) == {
        "finish_reason": ["length", "stop"],
        "code": ["429", "500"],
        "text": ["a,b"],
        "custom_id": ["x,y"],
    }
    for wrong in (["finish_reson=stop"], ["outcome"], ["outcome="], ["text=a", "text=b"]):
        with pytest.raises(InputError):
            chosen(wrong)
    with pytest.raises(InputError, match="did you mean 'finish_reason'"):
        chosen(["finish_reson=stop"])
    assert pairs(["a=b=c", "d="], "--metadata") == {"a": "b=c", "d": ""}


def test_the_server_is_found_by_options_then_environment_then_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder's key is only sent to that folder's server."""
    monkeypatch.chdir(tmp_path)
    for variable in (place.URL_VARIABLE, place.KEY_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    notes: dict[Path, ServerNote] = {}
    monkeypatch.setattr(place, "read_server", notes.get)
    usual = find_place(ServerOptions())
    assert (usual.url, usual.key) == ("http://127.0.0.1:8000", None)
    assert "usual one" in usual.url_from
    notes[Path("batchrouter-data")] = ServerNote("http://127.0.0.1:9000", 1, "secret")
    found = find_place(ServerOptions())
    assert (found.url, found.key, found.tenant) == ("http://127.0.0.1:9000", "secret", None)
    assert find_place(ServerOptions(url="http://127.0.0.1:9000/v1")).key == "secret"
    assert find_place(ServerOptions(url="http://elsewhere:9000")).key is None
    monkeypatch.setenv(place.KEY_VARIABLE, "own")
    assert (find_place(ServerOptions()).key, find_place(ServerOptions()).url) == ("own", "http://127.0.0.1:9000")
    monkeypatch.setenv(place.URL_VARIABLE, "http://far:1")
    assert find_place(ServerOptions()).url == "http://far:1"
    named = find_place(ServerOptions(data=Path("batchrouter-data")))
    assert (named.url, named.key) == ("http://127.0.0.1:9000", "secret")
    assert find_place(ServerOptions(data=Path("empty"))).key == "own"
    assert find_place(ServerOptions(url="http://near:2", key="k")).url_from == "--url"


def test_a_configuration_that_only_a_server_can_use_keeps_nobody_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys need not be set where commands are typed; one that was named must be right."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(place.URL_VARIABLE, raising=False)
    (tmp_path / "batchrouter.yaml").write_text('providers: {openai: {api_key: "${NOT_SET_HERE}"}}')
    assert find_place(ServerOptions()).url == "http://127.0.0.1:8000"
    with pytest.raises(ConfigError):
        find_place(ServerOptions(config=tmp_path / "batchrouter.yaml"))


def test_two_files_are_merged_by_the_numbers_in_their_ids() -> None:
    """Whatever is in them."""

    def line(number: int) -> bytes:
        return b'{"id":"batch_req_%024x%08x","custom_id":"%d"}\n' % (77, number, number)

    good, bad = [line(number) for number in range(0, 300, 2)], [line(number) for number in range(1, 40, 2)]
    assert [number_of(each) for each in in_line_order(good, bad)] == sorted([*range(0, 300, 2), *range(1, 40, 2)])
    assert number_of(b"{}") == -1


def test_the_same_input_and_wishes_have_the_same_mark() -> None:
    """In whatever order they were said; anything else has another."""
    mark = mark_of("d", {"endpoint": "/v1/x", "metadata": {"a": "1", "b": "2"}})
    assert mark == mark_of("d", {"metadata": {"b": "2", "a": "1"}, "endpoint": "/v1/x"})
    assert len({mark, mark_of("e", {"endpoint": "/v1/x", "metadata": {}}), mark_of("d", {"endpoint": "/v1/x"})}) == 3


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_body_is_cut_into_parts_of_one_size(size: int) -> None:
    """Whatever the sizes it came in; nothing is lost."""
    chunks = [b"abc", b"", b"defghij", b"k"]
    cut = list(pieces(chunks, size))
    assert b"".join(cut) == b"abcdefghijk"
    assert all(len(each) == size for each in cut[:-1])


def test_how_many_lines_are_shown_is_said_as_to_tail() -> None:
    assert (how_many("10"), how_many("+1"), how_many("+20"), how_many("0")) == ((10, None), (0, 1), (0, 20), (0, None))
    for wrong in ("all", "-1", "", "+", "1.5", "٣"):
        with pytest.raises(InputError):
            how_many(wrong)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"response": {"body": {"choices": [{"message": {"content": "Ja\n!"}}]}}}, "Ja !"),
        ({"response": {"body": {"choices": [{"message": {"content": None}}]}}}, ""),
        ({"response": {"body": {"output": [{"content": [{"type": "output_text", "text": "so"}]}]}}}, "so"),
        ({"response": {"body": {"content": [{"type": "text", "text": "da"}]}}}, "da"),
        ({"response": {"body": {"error": {"message": "too long"}}}}, "too long"),
        ({"response": None, "error": {"code": "batch_expired", "message": "late"}}, "late"),
        ({"response": {"body": "text"}}, "text"),
        ({"response": {"body": {"choices": ["odd"], "output": 3}}}, ""),
        ({}, ""),
    ],
)
def test_a_line_tells_how_its_answer_begins(result: dict[str, object], told: str) -> None:
    """Of every shape that an upstream may send."""
    line = LineTold("id", "succeeded", finish_reason="stop", latency_ms=810, result=result)
    assert line_of(line) == "  ".join(["id", "succeeded", "stop", "0.81 s", *([told] if told else [])])


def test_the_time_that_is_left_is_a_range() -> None:
    """At the best and at the worst of the paces."""
    base = {"phase": "running", "total": 100, "completed": 50, "failed": 0, "in_flight": 0, "retrying": 0}
    rest = {"tokens_in": 0, "tokens_out": 0, "elapsed_s": 1.0, "rate": 10.0, "tokens_rate": None}
    assert Figures(**base, **rest, rates=(10.0, 5.0, 0.0)).eta_range_s == (5.0, 10.0)  # type: ignore[arg-type]
    assert Figures(**base, **rest).eta_range_s is None  # type: ignore[arg-type]


def test_what_is_left_behind_is_told_as_it_is() -> None:
    """A paused batch does not go on by itself; what is over is not spoken of."""
    running, paused = BatchTold("b1", "in_progress"), BatchTold("b2", "in_progress", batchrouter=Extension(paused_at=3))
    over = BatchTold("b3", "completed")
    assert goes_on([running, over]).startswith("The batch goes on at the server")
    assert goes_on([paused]).startswith("The batch stays paused at the server")
    assert goes_on([running, paused]).startswith("2 batches go on at the server")
    assert goes_on([over]) == ""
