"""Of SeaweedFS's messages between filers (`filer.proto`), the fields that we read or change.

What is not named here is kept as it came: protocol buffers carry fields that they do not know.
"""

from pathlib import PurePosixPath
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "/filer_pb.SeaweedFiler"
_PACKAGE = "quaderno_filer"
_TYPES = {
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "uint32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
}
# Message -> field -> type and number; a type with `*` is repeated.
_MESSAGES: dict[str, dict[str, tuple[str, int]]] = {
    "FuseAttributes": {
        "file_size": ("uint64", 1),
        "mtime": ("int64", 2),
        "md5": ("bytes", 14),
        "mtime_ns": ("int32", 19),
    },
    "Extended": {"key": ("string", 1), "value": ("bytes", 2)},  # an entry of a map
    "Entry": {
        "name": ("string", 1),
        "is_directory": ("bool", 2),
        "attributes": ("FuseAttributes", 4),
        "extended": ("Extended*", 5),
    },
    "EventNotification": {
        "old_entry": ("Entry", 1),
        "new_entry": ("Entry", 2),
        "new_parent_path": ("string", 4),
        "signatures": ("int32*", 6),
    },
    "GetFilerConfigurationRequest": {},
    "GetFilerConfigurationResponse": {"signature": ("int32", 8)},
    "SubscribeMetadataRequest": {"since_ns": ("int64", 3), "signature": ("int32", 4)},
    "SubscribeMetadataResponse": {
        "directory": ("string", 1),
        "event_notification": ("EventNotification", 2),
        "ts_ns": ("int64", 3),
        "events": ("SubscribeMetadataResponse*", 4),
    },
    "LookupDirectoryEntryRequest": {"directory": ("string", 1), "name": ("string", 2)},
    "LookupDirectoryEntryResponse": {"entry": ("Entry", 1)},
    "UpdateEntryRequest": {
        "directory": ("string", 1),
        "entry": ("Entry", 2),
        "is_from_other_cluster": ("bool", 3),
        "signatures": ("int32*", 4),
    },
    "UpdateEntryResponse": {},
    "DeleteEntryRequest": {
        "directory": ("string", 1),
        "name": ("string", 2),
        "is_delete_data": ("bool", 4),
    },
    "DeleteEntryResponse": {"error": ("string", 1)},
    "ListEntriesRequest": {"directory": ("string", 1), "limit": ("uint32", 5)},
    "ListEntriesResponse": {"entry": ("Entry", 1)},
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (kind, number) in fields.items():
            kind, many = kind.removesuffix("*"), kind.endswith("*")
            described = message.field.add(name=field, number=number)
            described.label = described.LABEL_REPEATED if many else described.LABEL_OPTIONAL
            if kind in _TYPES:
                described.type = _TYPES[kind]
            else:
                described.type, described.type_name = described.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    classes: dict[str, Any] = message_factory.GetMessageClassesForFiles([file.name], pool)
    return classes


_CLASSES = _classes()
EventNotification: Any = _CLASSES[f"{_PACKAGE}.EventNotification"]
GetFilerConfigurationRequest: Any = _CLASSES[f"{_PACKAGE}.GetFilerConfigurationRequest"]
SubscribeMetadataRequest: Any = _CLASSES[f"{_PACKAGE}.SubscribeMetadataRequest"]
SubscribeMetadataResponse: Any = _CLASSES[f"{_PACKAGE}.SubscribeMetadataResponse"]
LookupDirectoryEntryRequest: Any = _CLASSES[f"{_PACKAGE}.LookupDirectoryEntryRequest"]
LookupDirectoryEntryResponse: Any = _CLASSES[f"{_PACKAGE}.LookupDirectoryEntryResponse"]
DeleteEntryRequest: Any = _CLASSES[f"{_PACKAGE}.DeleteEntryRequest"]
UpdateEntryRequest: Any = _CLASSES[f"{_PACKAGE}.UpdateEntryRequest"]
ListEntriesRequest: Any = _CLASSES[f"{_PACKAGE}.ListEntriesRequest"]


def method(make: Any, name: str) -> Any:
    """What calls the filer's method `name`; `make` is how a channel makes such, by its kind."""
    request, response = (_CLASSES[f"{_PACKAGE}.{name}{kind}"] for kind in ("Request", "Response"))
    return make(
        f"{SERVICE}/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )


def place(path: str) -> dict[str, str]:
    """A path as requests name it."""
    where = PurePosixPath(path)
    return {"directory": str(where.parent), "name": where.name}
