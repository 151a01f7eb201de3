"""Cells that only show (`show`, `solution`, `own-data`) must not move a later result: they are not part of its hash."""

from __future__ import annotations

import ast
import builtins

from book.tools.papers.keys import SHOWING

QUIET = {"say", "table"}  # what such a cell may call of the paper
MUTATORS = {"append", "extend", "insert", "pop", "remove", "clear", "update", "setdefault", "sort", "reverse", "add", "discard",
            "step", "backward", "train", "eval", "fit", "manual_seed", "load_state_dict", "shuffle", "seed"}  # fmt: skip
RANDOM = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "rand_like", "randn_like",
          "randint_like", "dropout", "poisson"}  # fmt: skip


def _bound(node: ast.AST) -> set[str]:
    """Names that code binds at its own level: not those inside its functions, classes and comprehensions."""
    names: set[str] = set()

    def visit(n, top=True):
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not top:
            names.add(n.name)
            return
        if isinstance(n, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            return
        if isinstance(n, ast.Name) and isinstance(n.ctx, (ast.Store, ast.Del)):
            names.add(n.id)
        if isinstance(n, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).split(".")[0] for alias in n.names)
        for child in ast.iter_child_nodes(n):
            visit(child, top=False)

    visit(node)
    return names


def _read(tree: ast.Module) -> set[str]:
    """Global names that a cell needs from before: loaded earlier than it binds them, or inside its functions."""
    first_store: dict[str, int] = {}
    for statement in tree.body:
        for name in _bound(ast.Module([statement], [])):
            first_store.setdefault(name, statement.lineno)
    needed = set()
    for statement in tree.body:
        own = _locals(statement)
        for n in ast.walk(statement):
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id not in own:
                place = first_store.get(n.id)
                if place is None or statement.lineno <= place:
                    needed.add(n.id)
    return needed - set(dir(builtins))


def _locals(statement: ast.AST) -> set[str]:
    """Arguments and variables of the functions and comprehensions inside a statement."""
    own: set[str] = set()
    for n in ast.walk(statement):
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            a = n.args
            own |= {x.arg for x in [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]}
            if not isinstance(n, ast.Lambda):
                own |= _bound(ast.Module(n.body, []))
        if isinstance(n, ast.comprehension):
            own |= {x.id for x in ast.walk(n.target) if isinstance(x, ast.Name)}
    return own


def _base(node: ast.AST) -> str | None:
    """Name at the root of `a.b[c].d`."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _touched(tree: ast.Module) -> list[str]:
    """What a showing cell with computing cells behind it does to the outside."""
    mine, found = _bound(tree) | _locals(tree), []
    for n in ast.walk(tree):
        targets = n.targets if isinstance(n, ast.Assign) else [n.target] if isinstance(n, ast.AugAssign) else []
        for target in targets:
            if isinstance(target, (ast.Attribute, ast.Subscript)) and (base := _base(target)) and base not in mine:
                found.append(f"changes {base}")
        if not isinstance(n, ast.Call) or not isinstance(n.func, ast.Attribute):
            continue
        base, name = _base(n.func), n.func.attr
        keywords = {k.arg for k in n.keywords}
        if base == "torch" and name in RANDOM and "generator" not in keywords:
            found.append(f"draws from the global stream: torch.{name}")
        if base == "np" and ast.unparse(n.func).startswith("np.random.") and name not in ("default_rng", "Generator"):
            found.append(f"draws from the global stream: np.random.{name}")
        if base == "nn" and name[:1].isupper():
            found.append(f"draws from the global stream: nn.{name} is initialised")
        own_call = isinstance(n.func.value, (ast.Name, ast.Attribute, ast.Subscript))
        if own_call and base and base not in mine and (name in MUTATORS or (name.endswith("_") and name[:1] != "_")):
            found.append(f"changes {base}: .{name}()")
    return found


def offences(cells: list[tuple[str, set[str]]]) -> list[str]:
    """What showing cells of a notebook do that could move a result.

    Args:
        cells: (source, tags) of its code cells in order.

    Returns:
        One sentence each; empty where all is well.
    """
    trees = [(ast.parse(source), bool(tags & SHOWING), source) for source, tags in cells]
    found, last_computing = [], max((i for i, (_, shows, _) in enumerate(trees) if not shows), default=-1)
    binder: dict[str, int] = {}  # name -> the cell that bound it last
    functions: set[str] = set()  # global names that functions of computing cells read
    for i, (tree, shows, source) in enumerate(trees):
        where = f"cell {i + 1} ({source.strip().splitlines()[0][:50] if source.strip() else 'empty'})"
        if shows:
            for n in ast.walk(tree):
                owner = isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and _base(n.func.value) == "paper"
                if owner and isinstance(n.func.value, ast.Name) and n.func.attr not in QUIET:
                    found.append(f"{where} only shows, but calls paper.{n.func.attr}")
            if i < last_computing:
                found += [f"{where} only shows, but {what}" for what in _touched(tree)]
                found += [f"{where} only shows, but binds {name}, which a function of a computing cell reads"
                          for name in sorted(_bound(tree) & functions)]  # fmt: skip
        else:
            for name in sorted(_read(tree)):
                if name in binder and trees[binder[name]][1]:
                    found.append(f"{where} reads {name}, which cell {binder[name] + 1} binds, and that only shows")
            for statement in tree.body:
                if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                    functions |= _read(ast.Module([statement], []))
        for name in _bound(tree):
            binder[name] = i
    return found
