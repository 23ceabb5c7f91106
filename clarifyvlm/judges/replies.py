"""The JSON in a model's reply, and whether it is what the schema asks for."""

import json

from clarifyvlm.endpoint.client import SchemaError
from clarifyvlm.endpoint.shapes import json_object


def json_in(text: str, schema: dict) -> dict:
    """The object in a reply. ValueError: there is none; SchemaError: one of another form or out of range."""
    content = json_object(text)
    check(content, schema, "reply")
    return content


def check(value, schema: dict, where: str) -> None:
    """The part of JSON Schema that judges use. SchemaError names the place that does not fit."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    kind = kinds[schema["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SchemaError(f"{where}: expected {schema['type']}, not {json.dumps(value)[:60]}")
    if "enum" in schema and value not in schema["enum"]:
        raise SchemaError(f"{where}: {value!r} is none of {', '.join(map(str, schema['enum']))}")
    if isinstance(value, list):
        for i, item in enumerate(value):
            check(item, schema["items"], f"{where}.{i}")
    if isinstance(value, dict):
        missing = [k for k in schema["required"] if k not in value]
        if missing:
            raise SchemaError(f"{where}: missing {', '.join(missing)}")
        for key, inner in schema["properties"].items():
            check(value[key], inner, f"{where}.{key}")
