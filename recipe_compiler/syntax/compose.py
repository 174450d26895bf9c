"""`compose`: a tree that extends others -> one tree, in which every leaf still knows the file it came from.

Maps merge by key, stages by name; a later value replaces an earlier one and `null` takes it away. Choosing `schedule`
replaces inherited `stages` and the other way round, for a recipe has one or the other.
"""

from __future__ import annotations

from collections.abc import Callable

from recipe_compiler.diagnostics import Findings, SourceText, Span
from recipe_compiler.syntax.parse import parse
from recipe_compiler.syntax.tree import Entry, ListNode, MapNode, Node, ScalarNode

#: Reads the recipe that another one extends: (name as written, where it is written, from which file) -> its text.
ReadRecipe = Callable[[str, Span], SourceText | None]

_EXCLUSIVE = (("schedule", "stages"), ("stages", "schedule"))


def compose(tree: MapNode, read: ReadRecipe, findings: Findings) -> MapNode:
    """The tree with everything it extends laid below it."""
    return _compose(tree, read, findings, (tree.span.source.name,))


def _compose(tree: MapNode, read: ReadRecipe, findings: Findings, chain: tuple[str, ...]) -> MapNode:
    extends = tree.get("extends")
    own = MapNode(tuple(entry for entry in tree if entry.key != "extends"), tree.span)
    if extends is None:
        return own
    bases = extends.value.items if isinstance(extends.value, ListNode) else (extends.value,)
    merged: MapNode | None = None
    for base in bases:
        if not isinstance(base, ScalarNode) or not isinstance(base.value, str):
            findings.error("syntax.extends", "`extends` takes the path of a recipe, or a list of them", base.span)
            continue
        source = read(base.value, base.span)
        if source is None:
            continue
        if source.name in chain:
            findings.error("syntax.extends", f"`{source.name}` extends itself", base.span, notes=[" -> ".join(chain)])
            continue
        parsed = parse(source, findings)
        if parsed is None:
            continue
        composed = _compose(parsed, read, findings, (*chain, source.name))
        merged = composed if merged is None else _merge(merged, composed)
    return own if merged is None else _merge(merged, own)


def _merge(base: MapNode, over: MapNode) -> MapNode:
    kept = [entry for entry in base if not any(entry.key == gone and over.get(chosen) for chosen, gone in _EXCLUSIVE)]
    entries = {entry.key: entry for entry in kept}
    for entry in over:
        below = entries.get(entry.key)
        if isinstance(entry.value, ScalarNode) and entry.value.value is None and below is not None:
            del entries[entry.key]
        else:
            value = entry.value if below is None else _merge_value(entry.key, below.value, entry.value)
            entries[entry.key] = Entry(entry.key, entry.key_span, value)
    return MapNode(tuple(entries.values()), over.span)


def _merge_value(key: str, base: Node, over: Node) -> Node:
    if isinstance(base, MapNode) and isinstance(over, MapNode):
        return _merge(base, over)
    if key == "stages" and isinstance(base, ListNode) and isinstance(over, ListNode):
        return _merge_stages(base, over)
    return over


def _name(node: Node) -> str | None:
    if isinstance(node, MapNode) and (entry := node.get("name")) and isinstance(entry.value, ScalarNode):
        return entry.value.text
    return None


def _merge_stages(base: ListNode, over: ListNode) -> ListNode:
    changes = {_name(item): item for item in over.items}
    known = {_name(item) for item in base.items}
    items: list[Node] = []
    for item in base.items:
        change = changes.get(_name(item))
        if isinstance(item, MapNode) and isinstance(change, MapNode):
            items.append(_merge(item, change))
        else:
            items.append(item)
    items += [item for item in over.items if _name(item) not in known]
    return ListNode(tuple(items), over.span)
