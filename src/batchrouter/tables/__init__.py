"""Tables in and out: rows become requests by a prompt template, answers come back as columns.

    table = open_table(FileBytes(path), Form.CSV)
    requests = Requests(table, Asked(prompt=Template("Translate {text}"), model="gpt-5"))
    for data in requests.chunks(): ...                          # the input file of a batch, byte for byte
    lines = in_order(requests.ids(), output_lines, error_lines)  # whole lines of the two files of the batch
    write_joined(table, AnswerColumns(table.columns, schema), lines, Form.PARQUET, file)

Everything is streamed, and read again for each pass; errors are `InputError`, with the row's number.
"""

from batchrouter.tables.answer_schema import AnswerSchema, read_schema, schema_of
from batchrouter.tables.answers import AnswerColumns, in_order
from batchrouter.tables.asking import ENDPOINTS, Asked, Requests
from batchrouter.tables.forms import Bytes, FileBytes, Form, PipedBytes, form_of
from batchrouter.tables.opening import open_table
from batchrouter.tables.table import Table
from batchrouter.tables.template import Template
from batchrouter.tables.writing import write_joined

__all__ = [
    "ENDPOINTS",
    "AnswerColumns",
    "AnswerSchema",
    "Asked",
    "Bytes",
    "FileBytes",
    "Form",
    "PipedBytes",
    "Requests",
    "Table",
    "Template",
    "form_of",
    "in_order",
    "open_table",
    "read_schema",
    "schema_of",
    "write_joined",
]
