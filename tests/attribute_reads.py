"""Which attributes of which class a package reads: a small type inference over its sources.

It knows what is annotated (arguments, fields, properties) and follows assignments. What it cannot follow it leaves out,
so it may miss a read, but it takes no attribute of one class for an attribute of another.
"""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence

Types = dict[str, str]  # a variable or an attribute -> the name of its class


class Reads:
    """The attributes that a package reads.

    Attributes:
      found: pairs of the name of a class and the name of an attribute.
    """

    def __init__(self, trees: Sequence[ast.Module]) -> None:
        self.found: set[tuple[str, str]] = set()
        files = [
            {node.name: _fields(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)} for tree in trees
        ]
        for _ in range(2):  # once for what `self.x = argument` tells of the classes, once with that known
            for tree, here in zip(trees, files, strict=True):
                self._fields = ChainMap(here, *files)  # a file's own classes before others of the same name
                self._visit(tree, {}, None)

    def _visit(self, node: ast.AST, known: Types, inside: str | None) -> None:
        if isinstance(node, ast.ClassDef):
            inside = node.name
        elif isinstance(node, ast.FunctionDef | ast.Lambda):
            known = known | self._arguments(node, inside)
        if isinstance(node, ast.Assign):
            for target, value in _pairs(node):
                self._bind(target, self._type(value, known), known)
        elif isinstance(node, ast.Attribute) and (kind := self._type(node.value, known)):
            self.found.add((kind, node.attr))
        for child in ast.iter_child_nodes(node):
            self._visit(child, known, inside)

    def _arguments(self, node: ast.FunctionDef | ast.Lambda, inside: str | None) -> Types:
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        types = {argument.arg: _named(argument.annotation) for argument in given}
        return types | {"self": inside} if inside and "self" in types else types

    def _bind(self, target: ast.expr, kind: str, known: Types) -> None:
        """Notes the type of a variable, or of an attribute of a variable's class."""
        if isinstance(target, ast.Name):
            known[target.id] = kind
        elif isinstance(target, ast.Attribute) and kind and (owner := self._type(target.value, known)) in self._fields:
            self._fields[owner][target.attr] = kind

    def _type(self, node: ast.expr, known: Mapping[str, str]) -> str:
        """The name of the class of an expression; empty if it is not known."""
        if isinstance(node, ast.Name):
            return known.get(node.id, "")
        if isinstance(node, ast.Attribute):
            return self._fields.get(self._type(node.value, known), {}).get(node.attr, "")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self._fields:
            return node.func.id
        return ""


def is_property(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(decorator).endswith("property") for decorator in node.decorator_list)


def _fields(node: ast.ClassDef) -> Types:
    """The fields and properties of a class."""
    fields = {part.target.id: _named(part.annotation) for part in node.body if isinstance(part, ast.AnnAssign)}
    properties = [part for part in node.body if isinstance(part, ast.FunctionDef) and is_property(part)]
    return fields | {part.name: _named(part.returns) for part in properties}


def _named(annotation: ast.expr | None) -> str:
    """`Spec` of `Spec`, `module.Spec` and `Spec | None`; empty for other annotations."""
    if isinstance(annotation, ast.BinOp):
        annotation = annotation.left
    if isinstance(annotation, ast.Attribute):
        return annotation.attr
    return annotation.id if isinstance(annotation, ast.Name) else ""


def _pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Target and value of an assignment, also of `a, b = x, y`."""
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value
