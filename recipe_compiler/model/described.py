"""The texts under the fields of a recipe's parts, as descriptions in its JSON Schema.

Pydantic would read them from the source whenever the classes are made, which takes a tenth of a short command's time.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel


def describe(schema: dict[str, Any], family: type[BaseModel]) -> None:
    """Adds the text under each field of a family of models to their schemas."""
    members = {member.__name__: member for member in _members(family)}
    for name, part in ((schema["title"], schema), *schema["$defs"].items()):
        # A part that has a short form is one of two things.
        shape = next((shape for shape in (part, *part.get("anyOf", ())) if "properties" in shape), None)
        if shape is None or name not in members:
            continue
        texts = _texts(members[name])
        for field, found in shape["properties"].items():
            if field in texts:
                described = {**found, "description": texts[field]}
                shape["properties"][field] = {key: described[key] for key in sorted(described)}


def _members(family: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield family
    for member in family.__subclasses__():
        yield from _members(member)


def _texts(model: type[BaseModel]) -> Mapping[str, str]:
    """The text under each field of a model, and of those it is made from."""
    texts: dict[str, str] = {}
    for member in reversed(model.__mro__):
        if issubclass(member, BaseModel) and member is not BaseModel:
            tree = ast.parse(inspect.getsource(sys.modules[member.__module__]))
            body = next(
                node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == member.__name__
            )
            for field, text in pairwise(body):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                        texts[model.model_fields[name].alias or name] = inspect.cleandoc(said)
    return texts
