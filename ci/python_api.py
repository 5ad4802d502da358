#!/usr/bin/env python3
"""Writes the guide's page on the Python package's calls, docs/guide/src/python-api.md, from its stub and its docstrings.

Without --check the page is written; with it, nothing is, and a page that is not current ends this with 1.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bindings/python/python/slipring"
PAGE = ROOT / "docs/guide/src/python-api.md"
PARTS = [
    ("slipring: sessions", "_native.pyi", ["Bus", "RpcBus", "_Session", "Listener", "Poller", "Notifier", "Observer"]),
    ("slipring: payloads", "_native.pyi", ["Message", "RxGuard", "RxBatchGuard", "TxGuard", "Block", "SharedBuffer"]),
    ("slipring: the process", "_native.pyi", ["pin_thread", "limit_memory", "memory_taken"]),
    ("slipring: handlers of calls", "rpc.py", ["rpc", "RpcEndpoint", "RpcDispatcher"]),
    ("slipring: type ids", "type_ids.py", None),
    ("slipring: options", "settings.py", None),
    ("slipring: what ends tell", "observing.py", None),
    ("slipring: exceptions", "errors.py", None),
    ("slipring.aio: the same for asyncio", "aio.py", ["Bus", "RpcBus", "Listener", "Observer"]),
    ("slipring.aio: what its sessions have in common", "_looping.py", ["Session", "End"]),
]
"""Headings, the file each is read from, and what is told of it; None for all that has a docstring."""
TITLES = {"_Session": "Bus and RpcBus", "Session": "Bus and RpcBus", "End": "Bus, RpcBus and Listener"}
"""What classes that only others inherit from are called."""
ALIASES = {
    "_Seconds": "float | None",
    "_Payload": "Buffer",
    "_Address": "str | PathLike[str]",
    "SupportsIndex": "int",
    "Unpack[Options]": "Options",
    "Unpack[ListenerOptions]": "ListenerOptions",
}
"""Types by the words that a reader has for them."""
OPENING = """# The Python calls

Every class, call and option of the package, from its stub and its docstrings, as `help(slipring)` tells them. This page is made by
`python3 ci/python_api.py`. [From Python](python.md) is the place to begin.
"""


def signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """A function as it is called: without `self`, and without what says only its return type over again."""
    args = function.args
    for kind in (args.posonlyargs, args.args):
        kind[:] = [arg for arg in kind if arg.arg not in ("self", "cls", "slf")]
    returns = ast.unparse(function.returns) if function.returns else "None"
    given = ast.unparse(args).removesuffix(", /").replace("/, ", "")
    awaited = "await " if isinstance(function, ast.AsyncFunctionDef) else ""
    return f"{awaited}{function.name}({given})" + ("" if returns == "None" else f" -> {returns}")


def has(function: ast.FunctionDef | ast.AsyncFunctionDef, decorator: str) -> bool:
    """Whether a function is decorated by this name."""
    return any(ast.unparse(found) == decorator for found in function.decorator_list)


def entry(name: str, text: str) -> list[str]:
    """One thing, and what it is, in one paragraph of a list."""
    for alias, meaning in ALIASES.items():
        name = name.replace(alias, meaning)
    told = " ".join(text.replace("``", "`").split())
    return [f"- `{name}`: {told}" if told else f"- `{name}`"]


def members(cls: ast.ClassDef) -> list[str]:
    """What a class has: its calls, properties and attributes, in their order."""
    lines: list[str] = []
    for at, member in enumerate(cls.body):
        match member:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not member.name.startswith("_") and not has(
                member, "overload"
            ):
                text = ast.get_docstring(member) or ""
                lines += entry(member.name if has(member, "property") else signature(member), text)
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                lines += entry(f"{name}: {ast.unparse(member.annotation)}", string_after(cls.body, at))
            case ast.Assign(targets=[ast.Name(id=name)]) if not name.startswith("_"):
                lines += entry(f"{name} = {ast.unparse(member.value)}", string_after(cls.body, at))
    return lines


def string_after(body: list[ast.stmt], at: int) -> str:
    """The text that documents an attribute, which stands behind it."""
    match body[at + 1 : at + 2]:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return text
    return ""


def part(file: str, names: list[str] | None) -> list[str]:
    """What a file has under these names, in their order."""
    found = {}
    for node in ast.parse((PACKAGE / file).read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and (not node.name.startswith("_") or names):
            found[node.name] = node
    lines: list[str] = []
    for name in names if names is not None else found:
        node = found[name]
        text = ast.get_docstring(node) or ""
        if isinstance(node, ast.FunctionDef):
            lines += entry(signature(node), text)
            continue
        bases = [base for base in map(ast.unparse, node.bases) if base in found or "Error" in base]
        of = f" ({', '.join(bases)})" if bases and not bases[0].startswith("_") else ""
        lines += [
            f"### {TITLES.get(name, name)}{of}",
            "",
            *text.replace("``", "`").splitlines(),
            "",
            *members(node),
            "",
        ]
    return lines


def page() -> str:
    """The whole page."""
    lines = OPENING.splitlines()
    for heading, file, names in PARTS:
        lines += ["", f"## {heading}", "", *part(file, names)]
    text = "\n".join(lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.rstrip() + "\n"


def main() -> int:
    """Writes the page, or says that it is not current."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
        return 0
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    print(f"{PAGE.relative_to(ROOT)} is not current: run python3 ci/python_api.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
