"""Every code there is, with the sentence that explains it. A code is `stage.slug`."""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, str]] = {
    # The text of a recipe.
    "syntax.yaml": "The recipe is not valid YAML.",
    "syntax.duplicate-key": "One mapping gives the same key twice, and YAML readers disagree about which one counts.",
    "syntax.anchor": "Anchors, aliases and merge keys are not part of the language; use `extends` to share settings.",
    "syntax.tag": "YAML tags are not part of the language.",
    "syntax.depth": "The recipe is nested deeper than any recipe needs to be.",
    "syntax.shape": "A recipe is a mapping at its top.",
    "syntax.extends": "A recipe that is extended must exist, lie inside the root, and not lead back to itself.",
    "syntax.expression": "An expression is comparisons of columns joined by `and`, `or` and `not`.",
    # What the recipe says.
    "model.unknown-field": "A key that the language does not know would otherwise be ignored in silence.",
    "model.missing-field": "A key that must be there is missing.",
    "model.wrong-type": "A value is not of the kind its key takes; units are always written and never guessed.",
    "model.version": "The recipe is written for another version of the language.",
    "model.reference": "A name refers to something the recipe does not declare.",
    "model.conflict": "Two settings exclude each other.",
    "model.path": "A path is relative to the recipe's root, and stays inside it.",
    # What it will read.
    "resolve.no-files": "A source matches no file.",
    "resolve.unreadable": "A file cannot be read as data.",
    "resolve.url": "A URL names a file in a store that can be read, and holds no secret.",
    "resolve.package": "The package that reads a kind of store is not installed.",
    "resolve.unreachable": "A store does not answer, or not with what was asked for.",
    "resolve.denied": "A store denies access.",
    "resolve.no-preset": "No preset fits the records, so the recipe must say what their fields are.",
    "resolve.malformed": "Records that cannot be read stop the compile unless `max_malformed` allows for them.",
    "resolve.missing-media": "Media that a record refers to are not there.",
    "resolve.no-media": "The media folder of a pool does not exist.",
    "resolve.lock": "A locked compile reads exactly what the lock beside the recipe pins.",
    # What it does with the rows.
    "execute.unknown-column": "An expression names a column that no pool and no annotation has.",
    "execute.column-type": "A comparison mixes kinds that do not compare.",
    "execute.annotation": "An annotation file must name one row for each sample it speaks of.",
    "execute.column-clash": "Two sources give a column of the same name.",
    "execute.empty": "A step leaves no sample at all.",
    "execute.short": "What was asked for is more than there is.",
    "execute.quotas": "Quotas that cannot be met together.",
    "execute.too-many": "A stage, a sample or a selection is larger than the compiler carries out.",
    "execute.unmet": "A goal asks for more of some kind of samples than can be had, and `strict` makes that an error.",
    "execute.too-long": "A draw is longer than the pack or the batch it is to be put in.",
    "execute.uncounted": "A table of exact tokens counts every sample, or none of them is exact.",
    "execute.weights": "Weights must name the values that are there.",
    "execute.batch": "What every batch is to hold does not fit the draws there are.",
    # Things worth knowing that stop nothing.
    "note.duplicates": "The same sample stands more than once among the pools.",
    "note.unmatched": "Rows of an annotation match no sample, or samples have no row.",
    "note.shared-key": "One row of an annotation speaks for several samples, because they share an upstream key.",
    "note.unassigned": "Samples that no stage takes are not trained on.",
    "note.no-answer": "Samples without an assistant turn have nothing to learn from in supervised fine-tuning.",
    "note.unscored": "Samples without a score, a class or a vector cannot be taken by it.",
    "note.unmeasured": "The score of a goal lacks what no column gives.",
    "note.unmet": "A goal asks for more of some kind of samples than can be had.",
    "note.filled": "Samples were taken at random where a method could not fill its budget.",
    "note.unsorted": "Rows without a value in the sort column come last.",
    "note.estimated": "Packs and batches of tokens are filled by an estimate, so that some hold more or fewer.",
    "note.remainder": "A stage was cut, or repeats draws, so that its batches are full.",
    "note.after": "Something is worth knowing of the draws that a manifest goes on after.",
    "note.malformed": "Malformed records were left out, as many as `max_malformed` allows.",
    "note.unlisted": "Media that their store does not list are not looked at before they are read.",
    "note.media-folder": "Samples refer to media that are not below the root, and no `media` names their folder.",
    "note.media": "Samples whose media are missing were left out, as `missing_media: drop` asks.",
}
