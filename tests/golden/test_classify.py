"""The real `nlpcli classify` on the real minilm-l6, and on tiny classifiers of every sort."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest

import tiny_encoders
from command import COMMAND, run, start

pytestmark = pytest.mark.usefixtures("weights")

TEXTS = {
    "The midfielder scored twice in the second half.": "sport",
    "Parliament passed the new tax law on Tuesday.": "politics",
    "Simmer the onions in butter until they are soft.": "cooking",
    "The striker missed a penalty in the last minute.": "sport",
    "Add a pinch of salt and bake for twenty minutes.": "cooking",
    "The minister resigned after the election.": "politics",
}
LABELS = ("--labels", "sport,politics,cooking")


def lines(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split("\n")[:-1]


def test_a_label_and_its_score_for_each_line_and_blank_for_blank() -> None:
    found = lines(run("classify", *LABELS, stdin="\n".join(TEXTS) + "\n\n  \n"))
    assert found[6:] == ["", ""]
    told = [line.split("\t") for line in found[:6]]
    assert [label for label, _ in told] == list(TEXTS.values())
    assert all(0.5 < float(score) <= 1 for _, score in told)


def test_the_label_in_a_pipe_with_jq(tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_text("\n".join(TEXTS))
    script = (
        f"'{COMMAND}' classify --labels sport,politics,cooking -f jsonl < '{source}' | jq .label"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60, check=True)
    assert done.stdout.decode().splitlines() == [f'"{label}"' for label in TEXTS.values()]


def test_the_best_labels_sum_to_one_and_a_threshold_leaves_them_out() -> None:
    (line,) = lines(run("classify", *LABELS, "--top-k", "3", "-f", "jsonl", "--text", "A goal!"))
    made = json.loads(line)
    assert made["labels"][0] == {"label": made["label"], "score": made["score"]}
    assert sum(each["score"] for each in made["labels"]) == pytest.approx(1, abs=2e-4)
    (line,) = lines(run("classify", *LABELS, "--threshold", "1", "-f", "jsonl", "--text", "Well."))
    assert json.loads(line)["label"] is None and 0 < json.loads(line)["score"] < 1


def test_several_labels_in_a_table() -> None:
    table = "id,text\n1,The minister likes football and cooking.\n2,\n"
    done = run(
        "classify", *LABELS, "--multi-label", "--threshold", "0.01", "-i", "csv", stdin=table
    )
    first, second = csv.DictReader(io.StringIO("\n".join(lines(done))))
    scores = [each["score"] for each in json.loads(first["labels"])]
    assert first["label"] and scores == sorted(scores, reverse=True)
    assert float(first["score"]) == scores[0]
    assert second == {"id": "2", "text": "", "label": "", "score": "", "labels": "[]"}


def test_descriptions_settle_what_names_do_not(tmp_path: Path) -> None:
    file = tmp_path / "labels.tsv"
    file.write_text("q1\tplaying football\nq2\tcooking a meal\n")
    found = lines(run("classify", "--labels-file", str(file), stdin="\n".join(TEXTS)))
    assert [found[index].split("\t")[0] for index in (0, 2, 3, 4)] == ["q1", "q2", "q1", "q2"]


def test_the_same_bytes_at_every_batch_size_and_with_other_neighbours() -> None:
    texts = [text * (index % 4 + 1) for index, text in enumerate(list(TEXTS) * 6)]
    outputs = {
        run("classify", *LABELS, "--batch-size", size, stdin="\n".join(texts)).stdout
        for size in ("auto", "1", "3", "64")
    }
    assert len(outputs) == 1
    alone = run("classify", *LABELS, "--text", texts[7]).stdout
    assert outputs.pop().splitlines(keepends=True)[7] == alone


def test_a_text_beyond_the_window_is_read_to_its_end() -> None:
    sport, _, cooking, *_ = TEXTS
    mostly = " ".join([cooking] * 10 + [sport] * 300)
    found = lines(run("classify", *LABELS, stdin=mostly + "\n" + "bread " * 5000))
    assert [line.split("\t")[0] for line in found] == ["sport", "cooking"]


def test_a_slow_pipe_is_answered_line_by_line() -> None:
    process = start("classify", *LABELS)
    assert process.stdin and process.stdout
    try:
        for text, label in list(TEXTS.items())[:2]:
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().decode().split("\t")[0] == label
    finally:
        process.stdin.close()
        assert process.wait(10) == 0
        process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no labels to choose from"),
        (("--labels", "one"), "one is the only label"),
        (("--labels", "a,b,a"), "a is there twice"),
        (("--labels", "a,,b"), "an empty label"),
        (("--labels", ""), "an empty label"),
        (("--labels", "a,b", "--labels-file", "x"), "do not go together"),
        (("--labels-file", "nowhere.txt"), "nowhere.txt: No such file"),
        (("--labels", "a,b", "--output-field", "score"), "that field is taken"),
        (("--labels", "a,b", "--top-k", "0"), "--top-k"),
        (("--labels", "a,b", "--threshold", "2"), "--threshold"),
        (("-m", "minilm-l6"), "has no labels of its own"),
        (("--labels", "a,b", "-m", "minilm-l6", "--backend", "llamacpp"), "llamacpp"),
    ],
)
def test_wrong_usage_is_one_line_and_what_to_do(arguments: tuple[str, ...], said: str) -> None:
    done = run("classify", *arguments, stdin="a text\n")
    assert done.returncode == 2 and done.stdout == b""
    message = done.stderr.decode()
    assert message.startswith("nlpcli: ") and said in message and message.count("\n") <= 2


def test_a_model_that_cannot_classify_names_some_that_can() -> None:
    done = run("classify", *LABELS, "-m", "bergamot-en-pt", stdin="a text\n")
    assert done.returncode == 3 and b"minilm-l6" in done.stderr


def test_no_input_no_output() -> None:
    assert lines(run("classify", *LABELS)) == []
    assert lines(run("classify", *LABELS, stdin="\n \n")) == ["", ""]


def test_a_record_that_is_no_text() -> None:
    done = run(
        "classify", *LABELS, "--on-error", "null", "-f", "jsonl", stdin=b"\xff\xfe\nA goal!\n"
    )
    assert done.returncode == 1
    bad, good = map(json.loads, done.stdout.decode().splitlines())
    assert bad["label"] is None and "UTF-8" in bad["error"] and good["label"] == "sport"


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classifiers")
    for name in ("bert-moods", "bert-nli", "distilbert-topics"):
        tiny_encoders.CLASSIFIERS[name](root / name)
    return root


def test_a_classifiers_own_labels(classifiers: Path) -> None:
    found = lines(run("classify", "-m", str(classifiers / "bert-moods"), stdin="\n".join(TEXTS)))
    assert {line.split("\t")[0] for line in found} <= set(tiny_encoders.MOODS)
    done = run("classify", "-m", str(classifiers / "bert-moods"), *LABELS, stdin="a\n")
    assert done.returncode == 2 and b"labels of its own: negative, positive" in done.stderr


def test_a_head_of_several_labels_gives_several(classifiers: Path) -> None:
    arguments = ("-m", str(classifiers / "distilbert-topics"), "-f", "jsonl", "--threshold", "0")
    for line in lines(run("classify", *arguments, stdin="\n".join(TEXTS))):
        assert {each["label"] for each in json.loads(line)["labels"]} == set(tiny_encoders.TOPICS)


def test_entailment_takes_any_labels(classifiers: Path) -> None:
    arguments = ("-m", str(classifiers / "bert-nli"), *LABELS, "-f", "jsonl", "--top-k", "3")
    for line in lines(run("classify", *arguments, stdin="\n".join(TEXTS))):
        made = json.loads(line)["labels"]
        assert sum(each["score"] for each in made) == pytest.approx(1, abs=2e-4)


def test_a_language_model_weighs_the_labels() -> None:
    arguments = ("classify", "-m", "smollm2-135m-instruct", *LABELS)
    found = lines(run(*arguments, stdin="\n".join(TEXTS), timeout=500))
    labels = [line.split("\t")[0] for line in found]
    assert sum(label == right for label, right in zip(labels, TEXTS.values(), strict=True)) >= 4
    again = run(*arguments, "--batch-size", "1", stdin="\n".join(TEXTS), timeout=500)
    assert lines(again) == found
