"""A plan as text: what will be done, in order, with the digest of each step."""

from __future__ import annotations

from recipe_compiler.plan import nodes
from recipe_compiler.plan.lower import Plan
from recipe_compiler.syntax.expression import canonical


def describe(operation: nodes.Operation) -> str:
    """One line for one operation."""
    match operation:
        case nodes.Scan():
            holdout = ", holdout" if operation.role == "holdout" else ""
            return f"read {operation.pool} ({', '.join(operation.source)}; {operation.format}{holdout})"
        case nodes.Unite():
            return "unite the pools"
        case nodes.Recount():
            return f"count tokens as in {operation.source}"
        case nodes.Annotate():
            return f"annotate from {operation.source} by {operation.match}"
        case nodes.Filter():
            return f"filter {canonical(operation.where)}"
        case nodes.Deduplicate():
            return "drop exact duplicates"
        case nodes.Select():
            by = _strata_text(operation)
            caps = "".join(f", {cap_text(cap)}" for cap in operation.caps)
            return f"select {operation.budget}{by}{caps}"
        case nodes.Quotas():
            by = "" if operation.score is None else f", most {canonical(operation.score)}"
            return f"select {operation.budget} within {len(operation.quotas)} quotas{by}"
        case nodes.Top():
            return f"select {operation.budget} of most {canonical(operation.score)}{_strata_text(operation)}"
        case nodes.Band():
            inside = f" of each {', '.join(operation.by)}" if operation.by else ""
            ranks = f"{nodes.Amount(share=operation.low)} to {nodes.Amount(share=operation.high)}"
            return f"select ranks {ranks} by {canonical(operation.score)}{inside}"
        case nodes.Difficulty():
            classes = f"{', '.join(operation.keep)} by {operation.kind} of {operation.column}"
            inside = f" in each {', '.join(operation.by)}" if operation.by else ""
            return f"select at random as many as {classes}{inside}" if operation.control else f"select {classes}"
        case nodes.Vote():
            top = nodes.Amount(share=operation.top)
            return f"select {operation.budget} of most votes, {len(operation.scores)} tasks for their top {top}"
        case nodes.Deita():
            near = f"no two of {operation.embedding} nearer than {nodes.Amount(share=operation.threshold)}"
            return f"select {operation.budget} of most {canonical(operation.score)}, {near}"
        case nodes.KCenter():
            return f"select {operation.budget} as centres by {operation.embedding}"
        case nodes.Mmr():
            balance = f"{nodes.Amount(share=operation.relevance)} {canonical(operation.score)}"
            return f"select {operation.budget} of most {balance} less the rest of similarity by {operation.embedding}"
        case nodes.FacilityLocation():
            within = "" if operation.neighbours is None else f" among {operation.neighbours} neighbours"
            return f"select {operation.budget} that stand for all by {operation.embedding}{within}"
        case nodes.GoalDriven():
            budget = "the automatic budget" if operation.budget is None else str(operation.budget)
            if operation.baseline is not None:
                return f"select {operation.baseline} times {budget} of {operation.goal} at random"
            return f"select {budget} for {operation.goal}"
        case nodes.Mmssr():
            return f"select {operation.budget}, {_mmssr_text(operation)}"
        case nodes.Stage():
            return f"stage {operation.name}: {_stage_text(operation)}"
        case nodes.Cut():
            return f"cut into shards of {operation.rows:,}"


def _mmssr_text(operation: nodes.Mmssr) -> str:
    bins = operation.style if operation.source is None else f"{operation.style} and {operation.source}"
    over = f", over {operation.threshold}" if operation.threshold else ""
    modes = ", as released" * operation.compat + ", filled at random" * (operation.fill == "random")
    num = len(operation.capabilities)
    return f"for {num} {'capability' if num == 1 else 'capabilities'} the best of each {bins}{over}{modes}"


def _strata_text(operation: nodes.Select | nodes.Top) -> str:
    return f" by {', '.join(operation.by)} ({operation.weights})" if operation.by else ""


def quota_text(quota: nodes.Quota) -> str:
    """`at least 8% of capability.ocr >= 3`."""
    over = f"each {quota.by}" if quota.by is not None else canonical(quota.where) if quota.where is not None else "all"
    bounds = [("at least", quota.min), ("at most", quota.max), ("about", quota.target)]
    return f"{', '.join(f'{word} {bound}' for word, bound in bounds if bound is not None)} of {over}"


def cap_text(cap: nodes.Cap) -> str:
    """`at most 20% of each pool`."""
    over = f"each {cap.by}" if cap.by is not None else canonical(cap.where) if cap.where is not None else "all"
    return f"at most {cap.max} of {over}"


def _stage_text(stage: nodes.Stage) -> str:
    parts = [canonical(stage.where) if stage.where is not None else "all that is left"]
    if stage.by is not None:
        parts.append(f"mixed by {stage.by} ({stage.weights})")
    if stage.draws is not None:
        parts.append(f"{stage.draws} draws")
    order = stage.order
    downwards = " downwards" if order.descending else ""
    match order.kind:
        case "sort":
            window = f", inside windows of {order.window:,}" if order.window else ""
            window += f", shuffled inside windows of {order.shuffle_window:,}" if order.shuffle_window else ""
            parts.append(f"sorted by {order.by}{downwards}{window}")
        case "pace":
            start = nodes.Amount(share=order.start)
            parts.append(f"paced by {order.by}{downwards} from the easiest {start} ({order.shape})")
        case "listed":
            parts.append("as listed")
        case _:
            parts.append("shuffled")
    parts += [f"replaying {amount} of {name}" for name, amount in sorted(stage.replay.items())]
    if stage.epochs > 1:
        parts.append(f"in {stage.epochs:,} epochs{'' if stage.resample else ' of the same samples'}")
    if stage.most is not None:
        parts.append(f"each sample at most {stage.most:,} times over all stages")
    if stage.pack is not None:
        parts.append(f"in packs of {stage.pack.most:,} tokens")
    if stage.batch is not None:
        parts.append(batch_text(stage.batch))
    return ", ".join(parts)


def batch_text(batch: nodes.Batch) -> str:
    """`in batches of 256, the last draws left out, each with its share of every group`."""
    unit = {"rows": "", "packs": " packs", "tokens": " tokens", "padded": " padded tokens"}[batch.measure]
    text = f"in batches of {batch.size:,}{unit}"
    last = "packs" if batch.measure == "packs" else "draws"
    text += {"keep": "", "pad": ", padded", "drop": f", the last {last} left out"}[batch.remainder]
    if batch.similar:
        text += ", each of similar lengths"
    if batch.stratify is not None:
        text += f", each with its share of every {batch.stratify}"
    if batch.modality == "uniform":
        text += ", each of one modality"
    if batch.micro is not None:
        text += f", an image or a video in every {batch.micro:,}"
    return text


def text(plan: Plan) -> str:
    """Every node on a line: short digest, operation."""
    return "".join(f"{node.digest[:12]}  {describe(node.operation)}\n" for node in plan.nodes)
