#!/usr/bin/env python3
"""Write `examples/requests.jsonl` (300 chat requests of eight kinds) and `examples/embeddings.jsonl`.

The same bytes on every run. All texts were written for this project. The kinds differ in what they ask of a batch
server: shared prompt prefixes, several turns, tools, schemas, pictures by URL, alphabets of several lengths in UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product, zip_longest
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SMALL, LARGE = "sim-small", "sim-large"

Body = dict[str, Any]


def chat(model: str, *turns: tuple[str, Any], **options: Any) -> Body:
    return {"model": model, "messages": [{"role": role, "content": content} for role, content in turns], **options}


# --- triage: many short requests behind one long system prompt --------------------------------------------------------

TRIAGE = (
    "You sort letters that customers write to a shop for kitchen machines. Answer with one word: delivery, defect, "
    "invoice, return, praise or other. When two fit, choose the one that needs a person sooner. A machine that smells "
    "burnt or gives shocks is always a defect, whatever else the letter says."
)
MACHINES = ["kettle", "toaster", "hand blender", "waffle iron", "rice cooker", "coffee grinder"]
LETTERS = [
    "My {0} was promised for Tuesday. It is Friday, and the parcel has been in the same depot since Monday.",
    "The {0} works for a minute and then switches itself off. There is a smell of hot plastic.",
    "I was charged twice for the {0}; both lines are on the statement of the same day.",
    "The {0} is fine, but it is much larger than I thought. How do I send it back?",
    "I only want to say that after four years the {0} still does its work every morning. Thank you.",
    "The box of the {0} was open when it came, and the instructions are for another model.",
    "Can the {0} be used on a boat with 230 volts from an inverter?",
    "Please send the invoice for the {0} to our firm's address and not to my home.",
    "The switch of the {0} gave me a small shock today. I have unplugged it. What now?",
    "I ordered one {0} and got two. Shall I keep the second for my neighbour?",
]


def triage() -> Iterator[Body]:
    for letter, machine in product(LETTERS, MACHINES):
        yield chat(SMALL, ("system", TRIAGE), ("user", letter.format(machine)), max_tokens=4, temperature=0)


# --- translation: one short instruction, several alphabets ------------------------------------------------------------

SENTENCES = [
    "The ferry does not sail when the wind is stronger than nine.",
    "Please leave the key with the neighbour on the second floor.",
    "Der Zug nach Bregenz fährt heute von Gleis sieben.",
    "La boulangerie ferme à midi le dimanche.",
    "El puente estará cortado hasta que baje el río.",
    "図書館は月曜日が休みです。",
    "Потяг запізнюється на двадцять хвилин.",
    "المتحف مغلق يوم الثلاثاء.",
    "물은 하루에 두 번 갈아 주세요.",
    "Skóre zápasu sa zmenilo v poslednej minúte.",
    "किताबें शुक्रवार तक लौटा दें।",
    "Το φαρμακείο είναι δίπλα στο ταχυδρομείο.",
]
LANGUAGES = ["Portuguese", "Polish", "Turkish", "Vietnamese"]


def translation() -> Iterator[Body]:
    for sentence, language in product(SENTENCES, LANGUAGES):
        yield chat(SMALL, ("user", f"Translate into {language}. Give the translation alone.\n\n{sentence}"))


# --- conversation: several turns --------------------------------------------------------------------------------------

TALKS = [
    (
        "I have leeks, two potatoes and some cream. What can I cook?",
        "A leek and potato soup: sweat the leeks in butter, add the potatoes and water, cook them soft, add the cream.",
        ["I have no blender.", "Can it be made without cream?", "How long does it keep?", "It must feed six people."],
    ),
    (
        "My tomato plants have yellow leaves near the ground.",
        "If only the lowest leaves are yellow, the plant often lacks nitrogen, or the soil was wet for too long.",
        ["The soil is dry.", "There are brown rings on them too.", "Shall I cut them off?", "They stand in pots."],
    ),
    (
        "I want to walk from one village to the next along a river for three days. What should I carry?",
        "Good shoes, a second pair of socks, rain clothes, water for half a day, a map on paper, and food for one day.",
        ["It will be November.", "I cannot carry more than five kilos.", "And for a dog?", "We sleep in a tent."],
    ),
    (
        "Explain to a child of eight why the moon does not fall down.",
        "It does fall, all the time, but it also moves sideways so fast that it always falls past the earth.",
        ["Why does it not get slower?", "Would a ball do that too?", "Make it shorter.", "Tell it as a story."],
    ),
    (
        "I have to tell a good colleague that her report came too late.",
        "Say it soon, alone with her, and begin with the fact: the report was due on Monday and came on Thursday.",
        ["She was ill.", "It is the third time.", "Write me two sentences for it.", "I am not her manager."],
    ),
    (
        "Which is better for a small flat, a heat pump dryer or a line?",
        "A line costs nothing but needs space and air; a heat pump dryer takes about one kilowatt hour a load.",
        ["The flat is damp.", "We are four.", "What does that cost in a year?", "Is there a third way?"],
    ),
]


def conversation() -> Iterator[Body]:
    for question, answer, follow_ups in TALKS:
        for follow_up in follow_ups:
            yield chat(LARGE, ("user", question), ("assistant", answer), ("user", follow_up), max_tokens=200)


# --- tools ------------------------------------------------------------------------------------------------------------


def tool(name: str, description: str, **properties: str) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {key: {"type": "string", "description": text} for key, text in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = [
    tool("get_tide", "Times and heights of high and low water.", harbour="Name of the harbour", day="YYYY-MM-DD"),
    tool("find_train", "The next connections.", origin="Station", destination="Station", leave_after="HH:MM"),
    tool("get_stock", "How many pieces of an article lie in a warehouse.", article="Number", warehouse="Town"),
]
ERRANDS = [
    *(
        f"When is high water in {harbour} on 2026-12-{day:02}?"
        for day, harbour in enumerate(["Husum", "Saint-Malo", "Whitby", "Cuxhaven", "Galway", "Esbjerg"], 3)
    ),
    *(
        f"I must be in {town} tonight and can leave {origin} after {hour}:30."
        for hour, (origin, town) in enumerate(
            [("Graz", "Linz"), ("Lyon", "Dijon"), ("York", "Leeds"), ("Porto", "Braga"), ("Turku", "Tampere"),
             ("Brno", "Praha")], 13)
    ),
    *(
        f"Do we have article {article} in {town}, and if not, where else?"
        for article, town in [("K-1180", "Kassel"), ("K-2204", "Utrecht"), ("B-077", "Kassel"), ("B-310", "Poznań"),
                              ("T-9", "Utrecht"), ("T-41", "Poznań")]
    ),
    *(
        f"{question} Ask for what you need, in one go."
        for question in [
            "Compare tomorrow's tides in Husum and Esbjerg.",
            "Is article K-1180 in all three warehouses?",
            "Trains from Graz to Praha with a stop in Brno, please.",
            "What is the water doing in Galway at noon, and how do I get there from Dublin?",
            "Which of T-9 and T-41 can be sent from Kassel today?",
            "Low water in Whitby on the first three days of December?",
        ]
    ),
]  # fmt: skip


def tools() -> Iterator[Body]:
    for i, errand in enumerate(ERRANDS):
        yield chat(
            LARGE,
            ("system", "Use the tools; do not guess times, numbers or stocks."),
            ("user", errand),
            tools=TOOLS,
            tool_choice=("auto", "required")[i % 2],
            parallel_tool_calls=i % 3 == 0,
        )


# --- extraction into a schema -----------------------------------------------------------------------------------------

MEETING = {
    "type": "object",
    "properties": {
        "date": {"type": "string", "description": "YYYY-MM-DD"},
        "place": {"type": ["string", "null"]},
        "people": {"type": "array", "items": {"type": "string"}},
        "decisions": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["date", "place", "people", "decisions"],
    "additionalProperties": False,
}
TEAMS = [
    ("Amina, Jonas and Pia", "the old fire station"),
    ("Bo and Teresa", "room 4"),
    ("Ivo, Ruth, Malik and Sanne", "the harbour office"),
    ("Noor and Félix", "a call"),
    ("Greta, Tomás and Li", "the school kitchen"),
]
MINUTES = [
    "met on {1} of October 2026 in {0}. The roof is repaired before winter; the bill may not go past 4,000 euros.",
    "spoke on {1} of October 2026 ({0}). Nothing was decided, except that the next date is a week later.",
    "sat together in {0}, {1} October 2026: the market moves to Saturdays, and the stalls pay by the metre.",
    "were in {0} on {1} October 2026. They will buy the second oven, sell the van, and ask the town for the key.",
    "chose the blue design on {1} October 2026 in {0}, after two hours, against one vote.",
    "agreed in {0} on {1} October 2026 that the choir may use the hall until ten, but not the piano.",
]


def extraction() -> Iterator[Body]:
    schema = {"name": "meeting", "strict": True, "schema": MEETING}
    for i, ((people, place), minutes) in enumerate(product(TEAMS, MINUTES)):
        yield chat(
            (SMALL, LARGE)[i % 2],
            ("system", "Extract the meeting. Write null for what is not said."),
            ("user", f"{people} {minutes.format(place, i % 28 + 1)}"),
            response_format={"type": "json_schema", "json_schema": schema},
        )


# --- pictures by URL --------------------------------------------------------------------------------------------------

PICTURES = ["harbour-at-dawn", "market-stall", "broken-hinge", "receipt-bakery", "bus-timetable", "hand-drawn-map"]
ABOUT_PICTURES = [
    "Describe the picture for somebody who cannot see it, in two sentences.",
    "Read out all the text in the picture, line by line.",
    "List the objects that could be picked up with one hand.",
    "Is anything in this picture broken or dangerous? Answer yes or no, then why.",
]


def pictures() -> Iterator[Body]:
    for question, name in product(ABOUT_PICTURES, PICTURES):
        url = {"url": f"https://pictures.example.com/{name}.jpg", "detail": "low"}
        yield chat(LARGE, ("user", [{"type": "text", "text": question}, {"type": "image_url", "image_url": url}]))


# --- sums, with a step to show ----------------------------------------------------------------------------------------


def sums() -> Iterator[Body]:
    for n in range(1, 16):
        yield chat(
            SMALL,
            ("system", "Show each step on a line of its own. End with the number alone."),
            (
                "user",
                f"A baker fills {n + 3} trays with {2 * n + 5} rolls each and sells all but {n} of them. How many?",
            ),
            seed=n,
        )
        yield chat(
            LARGE,
            ("user", f"Two walkers start {4 * n + 10} km apart and meet after {n % 4 + 2} hours. One walks "
                     f"{n % 3 + 3} km an hour. How fast is the other? Say so if it cannot be."),
            seed=n,
        )  # fmt: skip


# --- texts that are asked for whole, with many options set ------------------------------------------------------------

CODE = [
    "def mean(xs):\n    return sum(xs) / len(xs)",
    "SELECT town, count(*) FROM orders GROUP BY town HAVING count(*) > 10 ORDER BY 2 DESC;",
    "for f in *.txt; do mv $f ${f%.txt}.md; done",
    "const half = xs => xs.slice(0, xs.length / 2)",
    "fn longest<'a>(a: &'a str, b: &'a str) -> &'a str { if a.len() > b.len() { a } else { b } }",
    "^(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)(?:\\.(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)){3}$",
]
ABOUT_CODE = [
    "What does this do? Answer in one sentence.",
    "Name one input for which this goes wrong, and mend it.",
    "Write three test cases for this as a table.",
    "Rewrite this so that a beginner understands it.",
    "Write the same in Python.",
    "Who calls this with what, in a program that sells bread? Make one up.",
    "Shorten this without changing what it does.",
    "Which of the names are bad, and what would be better ones?",
    "What would you ask its author in a review?",
    "Explain this line by line.",
]


def code() -> Iterator[Body]:
    for i, (question, snippet) in enumerate(product(ABOUT_CODE, CODE)):
        yield chat(
            LARGE,
            ("developer", "You read code carefully and answer briefly."),
            ("user", f"{question}\n\n```\n{snippet}\n```"),
            temperature=0.2,
            top_p=0.9,
            max_completion_tokens=300,
            stop=["\n\n\n"],
            user=f"reader-{i % 7}",
        )


KINDS = [triage, translation, conversation, tools, extraction, pictures, sums, code]


def write(path: Path, url: str, named_bodies: list[tuple[str, Body]]) -> None:
    lines = [
        json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body}, ensure_ascii=False)
        for name, body in named_bodies
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{path.relative_to(EXAMPLES.parent)}: {len(lines)} lines, {path.stat().st_size:,} bytes")


def main() -> None:
    EXAMPLES.mkdir(exist_ok=True)
    columns = [[(f"{kind.__name__}-{i:03}", body) for i, body in enumerate(kind(), 1)] for kind in KINDS]
    mixed = [entry for row in zip_longest(*columns) for entry in row if entry is not None]
    write(EXAMPLES / "requests.jsonl", "/v1/chat/completions", mixed)

    texts: list[str | list[str]] = [*SENTENCES, *(letter.format(MACHINES[i % 6]) for i, letter in enumerate(LETTERS))]
    texts += [[question, answer, *follow_ups] for question, answer, follow_ups in TALKS]
    texts += CODE
    embeddings = [
        (f"embedding-{i:03}", {"model": "sim-embed", "input": text, "encoding_format": "float"})
        for i, text in enumerate(texts, 1)
    ]
    write(EXAMPLES / "embeddings.jsonl", "/v1/embeddings", embeddings)


if __name__ == "__main__":
    main()
