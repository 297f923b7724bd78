"""The tasks that models are trained for; what differs between them is in their recipes."""

from nlpcli.cli.finetune.options import Run, training
from nlpcli.training.recipe import Recipe


@training
def classify(given: Run, recipe: Recipe) -> None:
    """Train a classifier: an encoder and a new head, on texts with labels.

    The data is JSONL, CSV or TSV with a text and a label, or several with --multi-label. The model
    then works in nlpcli classify -m NAME.
    """
    from nlpcli.cli.finetune.run import run

    run(given, recipe)


@training
def translate(given: Run, recipe: Recipe) -> None:
    """Train a translation model on pairs of sentences, or a new one from nothing.

    The data is JSONL, CSV or TSV with a source and a target, or two text files, line by line. The
    model then works in nlpcli translate -m NAME.
    """
    from nlpcli.cli.finetune.run import run

    run(given, recipe)


@training
def summarize(given: Run, recipe: Recipe) -> None:
    """Train a model to summarize, on documents with their summaries.

    An instruct model is asked as nlpcli summarize asks it, and learns to answer with the summary;
    the model then works in nlpcli summarize -m NAME.
    """
    from nlpcli.cli.finetune.run import run

    run(given, recipe)


@training
def generate(given: Run, recipe: Recipe) -> None:
    """Train a language model on prompts with answers, on dialogues, or on texts to continue.

    Of prompts and of what users say nothing is learnt, only of the answers. The model then works
    in nlpcli generate and chat -m NAME.
    """
    from nlpcli.cli.finetune.run import run

    run(given, recipe)


@training
def pretrain(given: Run, recipe: Recipe) -> None:
    """Train on running text: a new tokenizer and a new model, or a model that is there.

    Without --model a decoder or an encoder of --size begins from nothing; with one, it gets to
    know the text. An encoder then serves as --model of nlpcli finetune classify.
    """
    from nlpcli.cli.finetune.run import run

    run(given, recipe)
