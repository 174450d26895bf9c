"""`check`: a tree -> a recipe. Every mistake of pydantic's is told at its place in the text; then the rules that no
single field can know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from recipe_compiler.diagnostics import Edit, Findings, Place, SourceText, Span
from recipe_compiler.model.columns import TAKEN
from recipe_compiler.model.parts import Part
from recipe_compiler.model.recipe import LANGUAGE_VERSION, Recipe
from recipe_compiler.remote.address import is_remote, refusal, shown
from recipe_compiler.syntax.expression import Expression, ExpressionError, Operand, parse_expression, parse_score
from recipe_compiler.syntax.tree import ListNode, MapNode, Node, ScalarNode, plain_value

Location = tuple[str | int, ...]

#: Settings that are expressions, and those of them that give a number.
EXPRESSIONS = frozenset({"where", "score", "scores"})
SCORES = frozenset({"score", "scores"})


@dataclass(frozen=True, slots=True)
class CheckedRecipe:
    """A recipe that means something, and where each part of it stands."""

    recipe: Recipe
    tree: MapNode

    def span(self, *location: str | int) -> Span:
        """Where a part stands; the nearest part around it where it was left to its default."""
        return _locate(self.tree, location)[0].span

    def item_span(self, *location: str | int) -> Span:
        """Where an item of a list stands; a single text stands for a list of one."""
        around, _ = _locate(self.tree, location[:-1])
        return self.span(*location) if isinstance(around, ListNode) else around.span

    def key_span(self, *location: str | int) -> Span:
        """Where a key stands."""
        parent, _ = _locate(self.tree, location[:-1])
        entry = parent.get(str(location[-1])) if isinstance(parent, MapNode) else None
        return entry.key_span if entry is not None else self.span(*location)

    def scalar_text(self, *location: str | int) -> str | None:
        """What is written at a place, where that is a single value."""
        node, _ = _locate(self.tree, location)
        return node.text if isinstance(node, ScalarNode) else None

    def expression_place(self, *location: str | int) -> Callable[[int, int], Span]:
        """Gives the span of a part of the expression at a location."""
        node, _ = _locate(self.tree, location)
        return lambda start, end: expression_span(node, start, end)

    def expression(self, *location: str | int) -> Expression:
        """The parsed condition at a location; `check` has proved that it parses."""
        return parse_expression(self._text(location))

    def score(self, *location: str | int) -> Operand:
        """The parsed score at a location; `check` has proved that it parses."""
        return parse_score(self._text(location))

    def _text(self, location: Location) -> str:
        value: Any = self.recipe
        for step in location:
            # A single selection stands for a list of one.
            value = value[0] if isinstance(value, list) and isinstance(step, str) else value
            value = getattr(value, step) if isinstance(step, str) and hasattr(value, step) else value[step]
        assert isinstance(value, str)
        return value


def check(tree: MapNode, findings: Findings) -> CheckedRecipe | None:
    """The recipe, or None where the findings say why not."""
    version = tree.get("recipe")
    if version is not None and isinstance(version.value, ScalarNode) and version.value.value != LANGUAGE_VERSION:
        text = version.value.text
        findings.error(
            "model.version",
            f"this recipe is written for version {text} of the language",
            version.value.span,
            help=f"this compiler reads version {LANGUAGE_VERSION}",
            mended=Edit(version.value.span, str(LANGUAGE_VERSION)),
        )
        return None
    values = {entry.key: plain_value(entry.value) for entry in tree}
    release = tree.get("version")
    if release is not None and isinstance(release.value, ScalarNode) and release.value.value is not None:
        # `1.10` and `007` are names that look like numbers: they stay as they were written.
        values["version"] = release.value.text
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        schema = Recipe.model_json_schema()
        told: set[Location] = set()
        for detail in error.errors():
            _tell(detail, tree, schema, findings, told)
        return None
    checked = CheckedRecipe(recipe, tree)
    _check_expressions(checked, findings)
    _check_paths(checked, findings)
    _check_references(checked, findings)
    _check_columns(checked, findings)
    return None if findings.errors else checked


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def did_you_mean(word: str, known: Iterable[str], span: Span) -> dict[str, Any]:
    """The `help` and `mended` of a diagnostic about a word; nothing where no known word is close."""
    meant = closest(word, known)
    return {} if meant is None else {"help": f"did you mean `{meant}`?", "mended": Edit(span, meant)}


def _locate(tree: Node, location: Sequence[str | int]) -> tuple[Node, list[str | int]]:
    """The deepest node on the way, and the steps that led to it; tags that pydantic inserts are stepped over."""
    node: Node = tree
    taken: list[str | int] = []
    for step in location:
        if isinstance(node, MapNode) and isinstance(step, str) and (entry := node.get(step)) is not None:
            node = entry.value
        elif isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            continue
        taken.append(step)
    return node, taken


def _path(steps: Sequence[str | int]) -> str:
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _tell(detail: ErrorDetails, tree: MapNode, schema: dict[str, Any], findings: Findings, told: set[Location]) -> None:
    node, taken = _locate(tree, detail["loc"])
    place = (*taken, detail["type"] if detail["type"] == "missing" else "", str(detail["loc"][-1:]))
    if place in told:
        return
    told.add(place)
    where = _path(taken)
    match detail["type"]:
        case "extra_forbidden":
            key = str(detail["loc"][-1])
            parent, _ = _locate(tree, detail["loc"][:-1])
            entry = parent.get(key) if isinstance(parent, MapNode) else None
            known = _known_keys(schema, taken[:-1], _method_of(parent))
            listed = ", ".join(f"`{name}`" for name in known)
            span = entry.key_span if entry else node.span
            given = {one.key for one in parent.entries} if isinstance(parent, MapNode) else set()
            way_out = did_you_mean(key, (name for name in known if name not in given), span) or {
                "help": f"known here: {listed}" if listed else ""
            }
            others = _methods_with(key, schema, taken[:-1])
            if others and "mended" not in way_out:
                way_out = {"help": f"`{key}` goes with {' and '.join(f'`method: {other}`' for other in others)}"}
            findings.error("model.unknown-field", f"`{where}` is not a setting", span, **way_out)
        case "missing":
            key = str(detail["loc"][-1])
            inside = f" in `{where}`" if where else ""
            findings.error(
                "model.missing-field", f"`{key}` is missing{inside}", _first_line(node), help=f"add `{key}:`"
            )
        case "string_pattern_mismatch":
            reason = "a name is letters, digits and `_ . + -`, starting with a letter or digit"
            findings.error("model.wrong-type", f"`{where}`: {reason}", node.span)
        case "string_type" if isinstance(node, ScalarNode):
            reason = f"text was expected, and `{node.text}` is read as {_kind(node)}"
            quoted = f'"{node.text}"'
            findings.error(
                "model.wrong-type",
                f"`{where}`: {reason}",
                node.span,
                help="write it in quotes",
                mended=Edit(node.span, quoted),
            )
        case "union_tag_invalid":
            ctx = detail.get("ctx", {})
            known = [word.strip("' ") for word in str(ctx.get("expected_tags", "")).split(",")]
            written = node.get("method") if isinstance(node, MapNode) else None
            span = written.value.span if written is not None else node.span
            text = written.value.text if written is not None and isinstance(written.value, ScalarNode) else ""
            findings.error(
                "model.wrong-type",
                f"`{where}.method`: `{text}` is none of {', '.join(known)}",
                span,
                **did_you_mean(text, known, span),
            )
        case "literal_error":
            expected = str(detail.get("ctx", {}).get("expected", ""))
            known = [word.strip("' ") for word in expected.replace(" or ", ", ").split(",")]
            text = node.text if isinstance(node, ScalarNode) else ""
            findings.error(
                "model.wrong-type",
                f"`{where}`: `{text}` is none of {', '.join(known)}",
                node.span,
                **did_you_mean(text, known, node.span),
            )
        case kind if kind in _EXPECTED and isinstance(node, ScalarNode):
            read = f"`{node.text}` is read as {_kind(node)}" if node.text else "there is nothing"
            findings.error("model.wrong-type", f"`{where}`: {_EXPECTED[kind]} expected, and {read}", node.span)
        case kind if kind in _EXPECTED:
            found = "a list" if isinstance(node, ListNode) else "settings"
            headline = f"`{where}`: {_EXPECTED[kind]} expected, and this is {found}"
            findings.error("model.wrong-type", headline, _first_line(node))
        case "greater_than_equal":
            least = detail.get("ctx", {}).get("ge")
            findings.error("model.wrong-type", f"`{where}`: at least {least} is needed", node.span)
        case "less_than":
            bound = detail.get("ctx", {}).get("lt")
            findings.error("model.wrong-type", f"`{where}`: less than {bound:,} is needed", node.span)
        case "less_than_equal":
            most = detail.get("ctx", {}).get("le")
            findings.error("model.wrong-type", f"`{where}`: at most {most:,} can be", node.span)
        case "too_short":
            findings.error("model.wrong-type", f"`{where}`: at least one is needed", _first_line(node))
        case _:
            message = detail["msg"].removeprefix("Value error, ")
            instead = detail.get("ctx", {}).get("mended")
            mended = Edit(node.span, str(instead)) if instead is not None and isinstance(node, ScalarNode) else None
            headline = f"`{where}`: {message}" if where else message
            findings.error("model.wrong-type", headline, _first_line(node), mended=mended)


def _first_line(node: Node) -> Span:
    span = node.span
    end = span.source.text.find("\n", span.start, span.end)
    return span if end < 0 else Span(span.source, span.start, max(end, span.start + 1))


#: What a type of pydantic's is called in the language.
_EXPECTED = {
    "int_type": "a whole number was",
    "int_parsing": "a whole number was",
    "bool_type": "`true` or `false` was",
    "list_type": "a list was",
    "dict_type": "settings were",
    "model_type": "settings were",
    "string_type": "text was",
}


def _kind(node: ScalarNode) -> str:
    return {bool: "a yes or no", type(None): "nothing", str: "text"}.get(type(node.value), "a number")


def _method_of(node: Node) -> str | None:
    """The method that a selection names; `random` where it names none."""
    written = node.get("method") if isinstance(node, MapNode) else None
    return written.value.text if written is not None and isinstance(written.value, ScalarNode) else "random"


def _known_keys(schema: dict[str, Any], steps: Sequence[str | int], method: str | None) -> list[str]:
    """The keys the schema knows at a place; in a selection, those of its method."""
    settings = _settings(schema, steps)
    own = [found for found in settings if method is not None and found.get("method", {}).get("const") == method]
    return sorted({name for found in own or settings for name in found})


def _methods_with(key: str, schema: dict[str, Any], steps: Sequence[str | int]) -> list[str]:
    """The methods of a selection that have a setting."""
    methods = [found["method"].get("const") for found in _settings(schema, steps) if "method" in found and key in found]
    return sorted({str(method) for method in methods if method is not None})


def _settings(schema: dict[str, Any], steps: Sequence[str | int]) -> list[dict[str, Any]]:
    """What can stand at a place: settings by name, for each of its shapes."""
    candidates = [schema]
    for step in [*steps, None]:
        candidates = [found for candidate in candidates for found in _unfold(schema, candidate)]
        if step is None:
            break
        inner = []
        for candidate in candidates:
            if isinstance(step, int):
                inner.append(candidate.get("items", {}))
            elif step in candidate.get("properties", {}):
                inner.append(candidate["properties"][step])
            elif isinstance(candidate.get("additionalProperties"), dict):
                inner.append(candidate["additionalProperties"])
            else:
                inner += list(candidate.get("patternProperties", {}).values())
        candidates = inner
    return [candidate.get("properties", {}) for candidate in candidates]


def _unfold(schema: dict[str, Any], candidate: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in candidate:
        return _unfold(schema, schema["$defs"][candidate["$ref"].rsplit("/", 1)[1]])
    options = candidate.get("anyOf") or candidate.get("oneOf")
    if options:
        return [found for option in options for found in _unfold(schema, option)]
    return [candidate]


def expression_locations(recipe: Recipe) -> list[Location]:
    """Where the recipe holds expressions."""
    places: list[Location] = [("filter", position) for position in range(len(recipe.filter))]
    for name in ("select", "stages"):
        places += _expressions((name,), getattr(recipe, name))
    return places


def _expressions(at: Location, value: object) -> Iterator[Location]:
    """The expressions in a part of a recipe."""
    if isinstance(value, Part):
        for name in type(value).model_fields:
            setting = getattr(value, name)
            if name not in EXPRESSIONS:
                yield from _expressions((*at, name), setting)
            elif isinstance(setting, str):
                yield (*at, name)
            elif isinstance(setting, list):
                yield from ((*at, name, number) for number in range(len(setting)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _expressions((*at, number), item)


def expression_span(node: Node, start: int, end: int) -> Span:
    """A part of an expression. Inside a scalar that spans lines or escapes, only the whole has a place."""
    one_to_one = isinstance(node, ScalarNode) and node.span.end - node.span.start == len(node.text) + 2 * (
        not node.plain
    )
    if not one_to_one:
        return node.span
    quote = 0 if isinstance(node, ScalarNode) and node.plain else 1
    return node.span.inside(start + quote, end + quote)


def _check_expressions(checked: CheckedRecipe, findings: Findings) -> None:
    for location in expression_locations(checked.recipe):
        try:
            setting = next(step for step in reversed(location) if isinstance(step, str))
            (checked.score if setting in SCORES else checked.expression)(*location)
        except ExpressionError as error:
            node, _ = _locate(checked.tree, location)
            span = expression_span(node, error.start, error.end)
            mended = Edit(span, error.mended) if error.mended is not None and span != node.span else None
            findings.error("syntax.expression", error.reason, span, mended=mended)


def _check_paths(checked: CheckedRecipe, findings: Findings) -> None:
    recipe = checked.recipe
    for name, pool in recipe.pools.items():
        for position, source in enumerate(pool.source):
            _check_path(source, checked.item_span("pools", name, "source", position), findings)
        if pool.media is not None:
            _check_path(pool.media, checked.span("pools", name, "media"), findings)
    if recipe.tokens.counts is not None:
        _check_path(recipe.tokens.counts, checked.span("tokens", "counts"), findings)
    for position, annotation in enumerate(recipe.annotations):
        _check_path(annotation.source, checked.span("annotations", position, "source"), findings)
    for position, stage in enumerate(recipe.stages or []):
        weights = stage.mix.weights if stage.mix is not None else None
        at = ("stages", position, "mix", "weights")
        for key, table in () if weights is None else (((), weights), (("from",), weights.from_), (("to",), weights.to)):
            if table is not None and table.table is not None:
                _check_path(table.table, checked.span(*at, *key, "table"), findings)


def _check_path(path: str, span: Span, findings: Findings) -> None:
    if is_remote(path):
        refused = refusal(path)
        if refused is not None:
            place = _masked(span, path) if refused.holds_secret else span
            findings.error("resolve.url", refused.reason, place, help=refused.help)
    elif path.startswith(("/", "~")) or ".." in PurePosixPath(path).parts or "\\" in path or "\0" in path or not path:
        findings.error(
            "model.path",
            f"`{path}` is not a path below the root",
            span,
            help="write it relative to the recipe's folder, or name another root with `--root`",
        )


def _masked(span: Span, url: str) -> Span | None:
    """The same place in the same text, in which the secrets of a URL cannot be read. None where it is written otherwise."""
    text = span.source.text.replace(url, shown(url))
    return None if text == span.source.text else Span(SourceText(span.source.name, text), span.start, span.end)


def _check_columns(checked: CheckedRecipe, findings: Findings) -> None:
    for name, pool in checked.recipe.pools.items():
        for column in pool.fields.columns if pool.fields is not None else ():
            if column in TAKEN:
                findings.error(
                    "execute.column-clash",
                    f"pool `{name}` would replace the column `{column}`",
                    checked.span("pools", name, "fields", "columns", column),
                    help=f"give it another name, such as `my_{column}`",
                )


def _check_packs(checked: CheckedRecipe, findings: Findings) -> None:
    """With packs a batch counts packs, and only then."""
    pack, batch = checked.recipe.pack, checked.recipe.batch
    if batch is None or (pack is not None) == (batch.packs is not None):
        return
    if pack is None:
        way_out = "say how long a pack is with `pack: {max_tokens: 4096}`, or count draws with `rows`"
        findings.error(
            "model.conflict", "`packs` are counted, and there is no `pack`", checked.key_span("batch"), help=way_out
        )
        return
    findings.error(
        "model.conflict",
        "draws are put together in packs, and a batch does not count `packs`",
        checked.key_span("batch"),
        places=[Place(checked.key_span("pack"), "the packs")],
        help="say `batch: {packs: 8}`",
    )


def _check_references(checked: CheckedRecipe, findings: Findings) -> None:
    recipe = checked.recipe
    if recipe.schedule is not None and recipe.stages is not None:
        findings.error(
            "model.conflict",
            "`schedule` and `stages` say the same thing twice",
            checked.key_span("schedule"),
            places=[Place(checked.key_span("stages"), "and here")],
            help="keep one of the two",
        )
    for position, annotation in enumerate(recipe.annotations):
        for at, pool in enumerate(annotation.pools or []):
            if pool not in recipe.pools:
                span = checked.span("annotations", position, "pools", at)
                way_out = did_you_mean(pool, recipe.pools, span)
                findings.error("model.reference", f"there is no pool `{pool}`", span, **way_out)
    _check_packs(checked, findings)
    seen: dict[str, int] = {}
    for position, stage in enumerate(recipe.stages or []):
        if stage.name in seen:
            first = checked.span("stages", seen[stage.name], "name")
            findings.error(
                "model.conflict",
                f"two stages are called `{stage.name}`",
                checked.span("stages", position, "name"),
                places=[Place(first, "the first")],
            )
        for name in stage.replay:
            if name not in seen:
                span = checked.key_span("stages", position, "replay", name)
                way_out = did_you_mean(name, seen, span) or {"help": "a stage replays stages that stand before it"}
                findings.error("model.reference", f"`{name}` is no stage before `{stage.name}`", span, **way_out)
        seen.setdefault(stage.name, position)
    if all(pool.role == "holdout" for pool in recipe.pools.values()):
        findings.error(
            "model.conflict", "every pool is a holdout, so there is nothing to train on", checked.span("pools")
        )
