from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.errors import InputError
from batchrouter.tables import Template
from batchrouter.tables.template import no_such_column


def test_cells_are_put_in_as_they_are() -> None:
    template = Template("Translate {text} into {language}: {text}")
    assert template.columns == ("text", "language")
    assert template.render(["{language} {{x}}\n%s", "German"]) == (
        "Translate {language} {{x}}\n%s into German: {language} {{x}}\n%s"
    )


@pytest.mark.parametrize(
    ("text", "columns", "rendered"),
    [
        ("", (), ""),
        ('answer as {{"a": {n}}}', ("n",), 'answer as {"a": 7}'),
        ("{{{n}}}", ("n",), "{7}"),
        ("{First name}{n:>4}", ("First name", "n:>4"), "77"),
        ("{{}}", (), "{}"),
    ],
)
def test_braces(text: str, columns: tuple[str, ...], rendered: str) -> None:
    template = Template(text)
    assert template.columns == columns
    assert template.render(["7"] * len(columns)) == rendered


@pytest.mark.parametrize(("text", "brace"), [("a { b", "{"), ("a } b", "}"), ("{a{b}", "{"), ("{{x}", "}")])
def test_a_single_brace_is_refused_with_its_place(text: str, brace: str) -> None:
    with pytest.raises(InputError, match=rf"single '\{brace}' at character \d+"):
        Template(text)


@given(st.text())
def test_any_text_can_be_said_with_its_braces_doubled(text: str) -> None:
    template = Template(text.replace("{", "{{").replace("}", "}}"))
    assert template.columns == ()
    assert template.render([]) == text


@pytest.mark.parametrize(
    ("name", "columns", "hint"),
    [
        ("titel", ("title", "text"), "did you mean 'title'?"),
        ("TEXT", ("title", "text"), "did you mean 'text'?"),
        ("price:.2f", ("price", "x"), "did you mean 'price'?"),
        ("a", ("a;b;c",), "does it need --delimiter?"),
        ("zzz", ("title", "text"), "there are: title, text"),
    ],
)
def test_an_unknown_column_is_told_with_the_near_one(name: str, columns: tuple[str, ...], hint: str) -> None:
    told = str(no_such_column("the prompt", name, columns, "in.csv"))
    assert f"the prompt names a column '{name}' that in.csv does not have" in told
    assert hint in told
