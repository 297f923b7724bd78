"""`nlpcli eval logprobs`: how likely a language model finds its inputs; `nlpcli eval generate` runs
it in a process of its own."""

from nlpcli import registry
from nlpcli.cli.eval.options import Stride, Window
from nlpcli.cli.options import Shared, shared
from nlpcli.errors import UsageError


@shared
def logprobs(given: Shared, window: Window = 0, stride: Stride = 0) -> None:
    """Tell the log-probability of each line of each record; a file of text is one record."""
    from nlpcli.cli.inference import Plan, infer
    from nlpcli.tasks.likelihood import Likelihood

    if not given.model:
        raise UsageError("no model", "name one: --model MODEL")
    task = Likelihood(window, stride, given.output_field or "likelihood")
    plan = Plan(
        task,
        () if given.dry else (registry.find(given.model).spec,),
        {"likelihoods": "perplexity"},
        # A record may be a book, and is computed in batches of its own.
        window=1,
        first=1,
        kinds=("decoder",),
        verb="generate",
    )
    infer(given, lambda texts: plan, whole=True)
