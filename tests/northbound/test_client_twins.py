"""The client for asyncio and the one for scripts are one text: each change must be made in both."""

import ast
from pathlib import Path

from bellwire import client

SPOKEN = {
    "AsyncClient": "Client",
    "AsyncIterator": "Iterator",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aiter_sse": "iter_sse",
    "awaiting_caller": "caller",
    "aread": "read",
}


class WithoutWaiting(ast.NodeTransformer):
    """Code for asyncio as it would stand without it; docstrings of modules and classes are left out."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit(ast.FunctionDef(**dict(ast.iter_fields(node))))

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self.visit(ast.For(**dict(ast.iter_fields(node))))

    def visit_Await(self, node: ast.Await) -> ast.AST:
        return self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.YieldFrom):
            one = ast.Name("one", ast.Load())
            again = ast.Expr(ast.Yield(one))
            node_for = ast.For(ast.Name("one", ast.Store()), node.value.value, [again], [], None)
            return self.generic_visit(node_for)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = SPOKEN.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = SPOKEN.get(node.name, node.name)
        node.body = node.body[1:]
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = SPOKEN.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = SPOKEN.get(node.attr, node.attr)
        return self.generic_visit(node)

    def visit_alias(self, node: ast.alias) -> ast.AST:
        node.name = SPOKEN.get(node.name, node.name)
        return node


def said(name: str) -> list[str]:
    text = (Path(client.__file__).parent / name).read_text(encoding="utf-8")
    module = WithoutWaiting().visit(ast.parse(text))
    return [ast.dump(one) for one in module.body[1:]]


def test_both_clients_say_the_same_but_for_waiting() -> None:
    assert said("asynchronous.py") == said("synchronous.py")
