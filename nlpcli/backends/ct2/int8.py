"""Whether a model's int8 weights keep its answers, asked right after conversion.

The int8 model translates a dozen sentences greedily; both models then say how likely they find
that output. Refused is a model whose token log-probabilities move by more than GREATEST_CHANGE on
average, or whose int8 choices are worse than float32's own by more than GREATEST_REGRET: how much
log-probability, in float32's eyes, int8 gives away a token. A token exchanged for one that is as
good costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlpcli.backends import Request, recipe, tokenize
from nlpcli.errors import UsageError

GREATEST_CHANGE = 0.4  # nats
GREATEST_REGRET = 0.15  # nats
OUTPUT_TOKENS = 24
SENTENCES = (
    "Hello.",
    "How are you today?",
    "The train leaves at 7:45 from platform 3.",
    "She bought two kilos of apples and a loaf of bread.",
    "The committee will meet again on 12 March 2025.",
    "He did not know what to say.",
    "Water boils at 100 degrees Celsius.",
    "Please send me the report before Friday.",
    "The museum is closed on Mondays.",
    "It has been raining for three days.",
    "The price rose by 4.5 % last year.",
    "Nobody had ever seen anything like it before.",
)


def refusal(folder: Path, made: recipe.Recipe, names: Sequence[str], model: Any) -> str | None:
    """Why the int8 model in `folder` is not to be used; None where it is.

    `model` is the float32 original in transformers, `names` its tokens by id.
    """
    change, regret = compare(folder, made, names, model)
    if change <= GREATEST_CHANGE and regret <= GREATEST_REGRET:
        return None
    return reason(change, regret)


def reason(change: float, regret: float) -> str:
    """The refusal in words, for a mean change and regret beyond the bounds."""
    return f"a token's log-probability is off by {change:.2f}, its choices worse by {regret:.2f}"


def compare(
    folder: Path, made: recipe.Recipe, names: Sequence[str], model: Any
) -> tuple[float, float]:
    """The mean change of a token's log-probability (natural), and the mean regret."""
    import ctranslate2

    tokenization = tokenize.load(folder, made, names)
    ids = {name: index for index, name in enumerate(names)}
    around = recipe.frame(made, ids, _request(made, names))
    sources = [
        [*around.before, *tokens, *around.after]
        for tokens in tokenization.encode([around.text + text for text in SENTENCES])
    ]
    translator = ctranslate2.Translator(str(folder), compute_type="int8")
    found = translator.translate_batch(
        sources,
        [list(around.first)] * len(sources) if around.first else None,
        beam_size=1,
        max_decoding_length=OUTPUT_TOKENS,
        max_input_length=0,
    )
    outputs = [result.hypotheses[0] for result in found]
    scored = translator.score_batch(sources, outputs, max_input_length=0)
    changes: list[float] = []
    regrets: list[float] = []
    for source, output, result in zip(sources, outputs, scored, strict=True):
        exact, best = _float32(source, output, made, ids, model)
        for place in range(len(around.first), len(output)):
            changes.append(abs(exact[place] - result.log_probs[place]))
            regrets.append(best[place] - exact[place])
    count = max(len(changes), 1)
    return sum(changes) / count, sum(regrets) / count


def _float32(
    source: list[str], output: list[str], made: recipe.Recipe, ids: dict[str, int], model: Any
) -> tuple[list[float], list[float]]:
    """The log-probability of each token of `output`, and that of the best token in its place."""
    import torch

    unknown = ids[made.unknown]
    target = [ids[made.start], *(ids[token] for token in output)]
    with torch.inference_mode():
        logits = model(
            input_ids=torch.tensor([[ids.get(token, unknown) for token in source]]),
            decoder_input_ids=torch.tensor([target[:-1]]),
        ).logits[0]
        if made.architecture == "marian":  # CTranslate2 has no such token
            logits[:, ids["<pad>"]] = -torch.inf
        every = logits.log_softmax(-1)
        exact = every.gather(1, torch.tensor(target[1:])[:, None])[:, 0]
        return exact.tolist(), every.amax(-1).tolist()


def _request(made: recipe.Recipe, names: Sequence[str]) -> Request:
    """The languages of the check, as the model allows: from English to the first it knows."""
    known = set(names)
    for target in ("fr", "de", "es", "pt", "ru", "zh", "en"):
        request = Request("", "en", target)
        try:
            recipe.frame(made, known, request)
        except UsageError:
            continue
        return request
    return Request("")
