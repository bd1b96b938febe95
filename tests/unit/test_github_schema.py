"""The fake GitHub's GraphQL schema agrees with GitHub's: same names, types and requirements."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_required_argument,
    is_required_input_field,
    print_ast,
)

import github_schema
from carto_standin.graphql_api import schema


def deviations(ours: GraphQLSchema, theirs: GraphQLSchema) -> Iterator[str]:
    """The parts of a schema that differ in another one."""
    for name, mine in ours.type_map.items():
        other = theirs.type_map.get(name)
        if name.startswith("__"):
            continue
        if other is None or type(other) is not type(mine):
            yield f"{name}: {'is not there' if other is None else 'is of another kind'}"
            continue
        yield from (f"{name} {what}" for what in _parts(mine) - _parts(other))
        if isinstance(mine, GraphQLInputObjectType) and isinstance(other, GraphQLInputObjectType):
            for field, about in other.fields.items():
                if is_required_input_field(about) and field not in mine.fields:
                    yield f"{name}.{field} is required"
        if isinstance(mine, GraphQLObjectType) and isinstance(other, GraphQLObjectType):
            for field in mine.fields.keys() & other.fields.keys():
                for argument, said in other.fields[field].args.items():
                    if is_required_argument(said) and argument not in mine.fields[field].args:
                        yield f"{name}.{field}({argument}) is required"


def _parts(found: object) -> set[str]:
    """Everything that a type defines, one line each."""
    parts: set[str] = set()
    if isinstance(found, GraphQLObjectType | GraphQLInterfaceType):
        parts |= {f"implements {each}" for each in found.interfaces}
        for name, field in found.fields.items():
            parts.add(f"{name}: {field.type}")
            parts |= {f"{name}({key}: {each.type})" for key, each in field.args.items()}
    elif isinstance(found, GraphQLInputObjectType):
        for name, value in found.fields.items():
            default = value.ast_node and value.ast_node.default_value
            parts.add(f"{name}: {value.type}" + (f" = {print_ast(default)}" if default else ""))
    elif isinstance(found, GraphQLUnionType):
        parts |= {f"may be {each}" for each in found.types}
    elif isinstance(found, GraphQLEnumType):
        parts |= set(found.values)
    return parts


@pytest.mark.slow
def test_the_schema_is_a_subset_of_the_published_one() -> None:
    assert list(deviations(schema(), github_schema.required())) == []


PUBLISHED = """
    interface Node { id: ID! }
    type Query { a(x: Int!, y: Int): String!  e: E  u: U }
    type Other implements Node { id: ID! }
    type Third { id: ID! }
    enum E { ONE TWO }
    union U = Other
    input I { a: Int! b: Int = 1 }
"""


@pytest.mark.parametrize(
    ("ours", "what"),
    [
        ("type Query { a(x: Int!): String! }", []),
        ("type Query { a(x: Int!, z: Int): String! }", ["Query a(z: Int)"]),
        ("type Query { a(x: Int!): String }", ["Query a: String"]),
        ("type Query { a(x: ID!): String! }", ["Query a(x: ID!)"]),
        ("type Query { b: Int }", ["Query b: Int"]),
        ("type Query { e: E } enum E { ONE THREE }", ["E THREE"]),
        ("type Query { e: E } type E { x: Int }", ["E: is of another kind"]),
        ("type Query { e: E } enum E { ONE } type More { x: Int }", ["More: is not there"]),
        (
            "type Query { u: U } union U = Other | Third "
            "type Other { id: ID! } type Third { id: ID! }",
            ["U may be Third"],
        ),
        (
            "type Query { e: E } enum E { ONE } "
            "interface Node { id: ID! } type Third implements Node { id: ID! }",
            ["Third implements Node"],
        ),
        ("type Query { e: E } enum E { ONE } input I { b: Int = 1 }", ["I.a is required"]),
        ("type Query { e: E } enum E { ONE } input I { a: Int! b: Int = 2 }", ["I b: Int = 2"]),
    ],
)
def test_deviations_from_the_published_schema_are_reported(ours: str, what: list[str]) -> None:
    assert list(deviations(build_schema(ours), build_schema(PUBLISHED))) == what


def test_a_missing_required_argument_is_reported() -> None:
    ours = build_schema("type Query { a: String! }")
    assert list(deviations(ours, build_schema(PUBLISHED))) == ["Query.a(x) is required"]
