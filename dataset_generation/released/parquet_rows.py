"""An Example as a row of a parquet file with typed columns, and back without loss."""

import json
from functools import cache

PROJECT_LICENSE = "apache-2.0"  # of generated scenes: LICENSE


@cache
def features():
    """datasets.Features of a row: the fields of `clarifyvlm.records.Example`, the picture, and JSON for the rest."""
    from datasets import Features, Image, List, Value

    text, number = Value("string"), Value("float64")
    return Features(
        {
            "id": text,
            "split": text,
            "image": Image(),
            "image_path": text,  # `image` of the record: where the picture was, relative to the JSONL file
            "image_sha256": text,
            "question": text,
            "kind": text,
            "ambiguity": {
                "type": text,
                "level": Value("int8"),
                "readings": List({"objects": List(text), "expression": text, "answer": text}),
            },
            "strategy": text,
            "reference": text,
            "dialogue": {
                "reading": Value("int32"),
                "question": text,
                "reply": text,
                "answer": text,
                "user_kind": text,
                "listed": text,
            },
            "group_id": text,
            "facts": {
                "source": text,
                "width": Value("int32"),
                "height": Value("int32"),
                "objects": List(
                    {
                        "id": text,
                        "name": text,
                        "box": List(number, length=4),
                        "place": text,
                        "salience": number,
                        "color": text,
                        "size": text,
                        "pattern": text,
                        "hidden": List(text),
                        "overlaps": List(text),
                        "visible_share": number,
                    }
                ),
                "background": text,
                "complete": Value("bool"),
            },
            # What a reader looks for, and the whole of the record's provenance as JSON.
            "provenance": {"source": text, "license": text, "source_url": text, "json": text},
            "extra": text,  # JSON: fields of other tools, by the place of what they belong to ("facts.objects.2")
        }
    )


def to_row(example, picture: bytes) -> dict:
    """An Example and the bytes of its picture as a row of `features`."""
    content = example.model_dump(mode="json")
    path, provenance = content.pop("image"), content.pop("provenance")
    extra: dict[str, dict] = {}
    row = _known(content, _record_features(), "", extra)
    generated = content["facts"]["source"] == "scenes" and provenance.get("source") == "scenes"
    row["image"] = {"bytes": picture, "path": path}
    row["image_path"] = path
    row["provenance"] = {
        "source": _text(provenance.get("source")) or content["facts"]["source"],
        "license": _text(provenance.get("license")) or (PROJECT_LICENSE if generated else None),
        "source_url": _text(provenance.get("source_url")),
        "json": json.dumps(provenance, ensure_ascii=False, allow_nan=False),
    }
    row["extra"] = json.dumps(extra, ensure_ascii=False, allow_nan=False) if extra else None
    return row


def to_example(row: dict):
    """A row, as `datasets.load_dataset` gives it, as the Example that it was made from."""
    from clarifyvlm.records import Example

    content = _whole({k: row[k] for k in _record_features()}, "", json.loads(row["extra"]) if row["extra"] else {})
    return Example(**content, image=row["image_path"], provenance=json.loads(row["provenance"]["json"]))


@cache
def _record_features() -> dict:
    """The part of `features` that is the same in the record."""
    return {k: v for k, v in features().items() if k not in ("image", "image_path", "provenance", "extra")}


def _known(value, feature, where: str, extra: dict):
    """`value` without the fields that `feature` has not; those go to `extra`, by their place."""
    if value is None:
        return None
    if isinstance(feature, dict):
        others = {k: v for k, v in value.items() if k not in feature}
        if others:
            extra[where] = others
        return {k: _known(value[k], f, f"{where}.{k}".lstrip("."), extra) for k, f in feature.items()}
    if isinstance(value, list):
        return [_known(v, feature.feature, f"{where}.{i}", extra) for i, v in enumerate(value)]
    return value


def _whole(value, where: str, extra: dict):
    """`_known` undone."""
    if isinstance(value, dict):
        own = {k: _whole(v, f"{where}.{k}".lstrip("."), extra) for k, v in value.items()}
        return own | extra.get(where, {})
    if isinstance(value, list | tuple):
        return [_whole(v, f"{where}.{i}", extra) for i, v in enumerate(value)]
    return value


def _text(value) -> str | None:
    return value if isinstance(value, str) and value else None
