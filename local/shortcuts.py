"""moto without what it does anew for each request: half of what a night on this machine took went there.

It makes each attribute value of DynamoDB a dict of the wire's form, and then asks of that dict, by several spellings
each, for the ten kinds that a value may have. It lists its own directory, and the methods of its classes.
"""

import base64
from functools import cache
from typing import Any

from moto import backends
from moto.core import responses, serialize, utils
from moto.core.serialize import BaseJSONSerializer

from local import seams
from local.seams import Seam
from local.wire import Json

SEAMS = (
    Seam("moto.backends", "list_of_moto_modules", ()),
    Seam("moto.core.responses", "method_names_from_class", ("clazz",)),
    Seam(
        "moto.core.serialize",
        "BaseJSONSerializer._serialize_type_structure",
        ("self", "serialized", "value", "shape", "key"),
    ),
    Seam("moto.dynamodb.models.utilities", "dynamo_to_dict", ("obj",)),
)


def install() -> None:
    """Let an attribute value be written as it stands, and what stays the same be found once."""
    services = list(backends.list_of_moto_modules())
    seams.replace(backends, "list_of_moto_modules", lambda: iter(services))
    seams.replace(responses, "method_names_from_class", cache(utils.method_names_from_class))
    original = BaseJSONSerializer._serialize_type_structure  # noqa: SLF001 - as checked above

    def serialize_type_structure(self: BaseJSONSerializer, serialized: Json, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and type(value) is dict:
            serialized[key] = wire(value)
        else:
            original(self, serialized, value, shape, key)

    seams.replace(serialize.BaseJSONSerializer, "_serialize_type_structure", serialize_type_structure)


def wire(value: Json) -> Json:
    """Return an attribute value of moto's as JSON has it: bytes as base64, numbers as texts."""
    ((kind, held),) = value.items()
    match kind:
        case "M":
            return {kind: {name: wire(each) for name, each in held.items()}}
        case "L":
            return {kind: [wire(each) for each in held]}
        case "B":
            return {kind: base64.b64encode(held).decode()}
        case "BS":
            return {kind: [base64.b64encode(each).decode() for each in held]}
        case "S" | "N":
            return {kind: str(held)}
        case "SS" | "NS":
            return {kind: [str(each) for each in held]}
    return value
