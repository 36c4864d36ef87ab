"""Puts components where a template calls them, when it is compiled: an email has dozens of them, and calling
them would take longer than their work.

Names that a component binds get a number, so none of them hides a fact of the email. A component that is part
of an expression is still called.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, TypeVar

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

Statements = list[nodes.Node]
AnyNode = TypeVar("AnyNode", bound=nodes.Node)


class Inlined(NodeTransformer):
    def __init__(self, macros: Mapping[str, nodes.Macro]) -> None:
        self.macros, self.numbers = macros, count()

    def visit_Output(self, node: nodes.Output) -> Statements:  # noqa: N802 - Jinja finds it by the node's name
        return [done for part in node.nodes for done in self._part(part)]

    def visit_CallBlock(self, node: nodes.CallBlock) -> Statements:  # noqa: N802
        expanded = self._expanded(node.call, lambda given: _bound(node.args, given, copied(node.body)))
        return [node] if expanded is None else expanded

    def _part(self, part: nodes.Expr) -> Statements:
        expanded = self._expanded(part, None) if isinstance(part, nodes.Call) else None
        return [nodes.Output([part])] if expanded is None else expanded

    def _expanded(
        self, call: nodes.Call, caller: "Callable[[list[nodes.Expr]], Statements] | None"
    ) -> Statements | None:
        macro = self.macros.get(call.node.name) if isinstance(call.node, nodes.Name) else None
        if macro is None:
            return None
        filled = _Filled(macro, call, caller, next(self.numbers))
        done: Statements = []
        for statement in filled.statements():
            done += self.visit_list(statement)
        return done


class _Filled(NodeTransformer):
    """The body of a macro for one call of it."""

    def __init__(self, macro: nodes.Macro, call: nodes.Call, caller: Any, number: int) -> None:
        self.macro, self.call, self.caller, self.number = macro, call, caller, number
        self.more = call.args[len(macro.args) :]
        self.options = {keyword.key: keyword.value for keyword in call.kwargs}
        self.body = copied(macro.body)
        self.constants: dict[str, nodes.Expr] = {}
        binding = {
            name.name for part in self.body for name in part.find_all(nodes.Name) if name.ctx != "load"
        }
        self.own = binding | {name.name for name in macro.args}

    def statements(self) -> Statements:
        values = dict(zip((name.name for name in self.macro.args), self._values(), strict=True))
        self.constants = {name: value for name, value in values.items() if _is_constant(value)}
        bound = {name: value for name, value in values.items() if name not in self.constants}
        targets = [nodes.Name(self._numbered(name), "param") for name in bound]
        body: Statements = []
        for statement in self.body:
            body += self.visit_list(statement)
        return _bound(targets, list(bound.values()), body)

    def _values(self) -> Iterator[nodes.Expr]:
        without_default = len(self.macro.args) - len(self.macro.defaults)
        for number, name in enumerate(self.macro.args):
            if number < len(self.call.args):
                yield self.call.args[number]
            elif name.name in self.options:
                yield self.options.pop(name.name)
            else:
                yield copied(self.macro.defaults[number - without_default])

    def _numbered(self, name: str) -> str:
        return f"{name}_{self.number}"

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802
        if node.name == "varargs":
            return nodes.List(list(self.more))
        if node.name in self.constants:
            constant: nodes.Expr = copied(self.constants[node.name])
            return constant
        if node.name in self.own:
            node.name = self._numbered(node.name)
        return node

    def visit_Output(self, node: nodes.Output) -> Statements:  # noqa: N802
        return [done for part in node.nodes for done in self._part(part)]

    def _part(self, part: nodes.Expr) -> Statements:
        match part:
            case nodes.Call(node=nodes.Name(name="caller"), args=given):
                return self._called(given)
            case nodes.Filter(node=nodes.Call(node=nodes.Name(name="caller"), args=given)):
                part.node = None
                return [nodes.FilterBlock(self._called(given), part)]
        return [nodes.Output(self.visit_list(part))]

    def _called(self, given: list[nodes.Expr]) -> Statements:
        called: Statements = self.caller([self.visit(value) for value in given])
        return called

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        """`kwargs.get("strong")` is known now."""
        match node:
            case nodes.Call(
                node=nodes.Getattr(node=nodes.Name(name="kwargs")), args=[nodes.Const(value=key)]
            ):
                return self.options.get(key) or nodes.Const(None)
        return self.generic_visit(node)

    def visit_If(self, node: nodes.If) -> nodes.Node | Statements:  # noqa: N802
        branches, node.elif_ = node.elif_, []
        self.generic_visit(node)
        for branch in branches:
            self.generic_visit(branch)
        node.elif_ = branches
        if isinstance(node.test, nodes.Const) and not branches:
            return node.body if node.test.value else node.else_
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node | Statements:  # noqa: N802
        self.generic_visit(node)
        return [] if isinstance(node.iter, nodes.List) and not node.iter.items else node


def _is_constant(value: nodes.Expr) -> bool:
    """It stands in the compiled code, escaped already."""
    words = value.expr if isinstance(value, nodes.MarkSafeIfAutoescape) else value
    return isinstance(words, nodes.Const)


def _bound(targets: list[nodes.Name], values: list[nodes.Expr], body: Statements) -> Statements:
    return [nodes.With(list(targets), values, body)] if targets else body


def copied(node: Any) -> Any:
    """Without its environment, which is no part of it."""
    if isinstance(node, list):
        return [copied(part) for part in node]
    if not isinstance(node, nodes.Node):
        return node
    fields = [copied(getattr(node, name)) for name in node.fields]
    return type(node)(*fields, lineno=node.lineno, environment=node.environment)
