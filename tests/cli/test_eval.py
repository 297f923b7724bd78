"""`nlpcli eval` from files: real commands, what they print, refuse and return."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from sacrebleu.metrics import BLEU

from command import run
from nlpcli.cli.eval.export import SCHEMA

REFERENCE = ["The cat sat on the mat.", "It is late, and it rains.", "Where is the station?"]
ONE = ["The cat sat on a mat.", "It is late and rains.", "Where is the station?"]
OTHER = ["A cat sits there.", "Late it is.", "Where is a train station?"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, lines in (("ref.txt", REFERENCE), ("one.txt", ONE), ("other.txt", OTHER)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def jsonl(path: str, *records: object) -> None:
    Path(path).write_text("".join(f"{json.dumps(record)}\n" for record in records))


def test_one_system_is_a_table_with_a_row_for_each_metric() -> None:
    done = run("eval", "translate", "--hyp", "one.txt", "--ref", "ref.txt", "--metric", "bleu,chrf")
    bleu = BLEU().corpus_score(ONE, [REFERENCE])
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[0].split() == ["one.txt", "score"]
    assert lines[2].split() == ["BLEU", f"{bleu.score:.1f}"]
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in done.stdout.decode()
    assert not any(line != line.rstrip() for line in lines)


@pytest.mark.parametrize("width", ["80", "120"])
def test_nothing_is_cut_and_nothing_is_wider_than_the_screen(width: str) -> None:
    long = "a-system-with-a-rather-long-name-from-some-folder.txt"
    os.rename("other.txt", long)
    arguments = ["--hyp", "one.txt", "--hyp", long, "--ref", "ref.txt", "--paired", "bootstrap"]
    metrics = ["--metric", "bleu,chrf,chrf++,ter"]
    done = run("eval", "translate", *arguments, *metrics, COLUMNS=width, NO_COLOR="1")
    shown = done.stdout.decode()
    assert done.returncode == 0
    assert max(map(len, shown.splitlines())) <= int(width)
    assert "…" not in shown and "\x1b" not in shown
    for title in ("BLEU", "chrF2", "chrF2++", "TER"):
        assert title in shown
    assert long in re.sub(r"\s", "", shown) or long in shown


def test_json_is_valid_and_tells_every_score() -> None:
    systems = ["--hyp", "one.txt", "--hyp", "other.txt", "--ref", "ref.txt"]
    for test in ("bootstrap", "randomization", "none"):
        done = run("eval", "translate", *systems, "--paired", test, "--draws", "50", "-f", "json")
        told = json.loads(done.stdout)
        jsonschema.validate(told, SCHEMA)
        assert told["test"] == (None if test == "none" else test)
        assert [system["name"] for system in told["systems"]] == ["one.txt", "other.txt"]
        names = [score["metric"] for score in told["systems"][0]["scores"]]
        assert names == ["bleu", "chrf", "ter"]
        assert (
            told["systems"][0]["scores"][0]["score"] == BLEU().corpus_score(ONE, [REFERENCE]).score
        )
        assert ("p_value" in told["systems"][1]["scores"][0]) == (test != "none")
        assert "p_value" not in told["systems"][0]["scores"][0]


def test_a_wrong_report_does_not_fit_the_schema() -> None:
    done = run("eval", "translate", "--hyp", "one.txt", "--ref", "ref.txt", "-f", "json")
    told = json.loads(done.stdout)
    del told["systems"][0]["scores"][0]["signature"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, SCHEMA)


def test_jsonl_tells_each_record() -> None:
    arguments = ["--hyp", "one.txt", "--ref", "ref.txt", "--metric", "bleu", "-f", "jsonl"]
    told = [json.loads(line) for line in run("eval", "translate", *arguments).stdout.splitlines()]
    assert [each["output"] for each in told] == ONE
    expected = BLEU(effective_order=True).sentence_score(ONE[0], [REFERENCE[0]]).score
    assert told[0]["scores"] == {"bleu": expected}
    assert told[2]["references"] == [REFERENCE[2]]


def test_tsv_markdown_and_latex() -> None:
    arguments = ["--hyp", "one.txt", "--hyp", "other.txt", "--ref", "ref.txt", "--metric", "bleu"]
    tsv = run("eval", "translate", *arguments, "-f", "tsv").stdout.decode().splitlines()
    assert [len(line.split("\t")) for line in tsv] == [7, 7, 7]
    assert float(tsv[1].split("\t")[2]) == BLEU().corpus_score(ONE, [REFERENCE]).score
    markdown = run("eval", "translate", *arguments, "-f", "markdown").stdout.decode()
    assert markdown.startswith("| system | BLEU |\n| --- | ---: |\n| one.txt |")
    latex = run("eval", "translate", *arguments, "-f", "latex").stdout.decode()
    assert latex.startswith("\\begin{tabular}{lr}\n") and "one.txt & " in latex


def test_the_worst_records_are_shown_with_what_differs() -> None:
    arguments = ["--hyp", "one.txt", "--ref", "ref.txt", "--metric", "chrf", "--worst", "1"]
    shown = run("eval", "translate", *arguments).stdout.decode()
    assert "worst by chrF2" in shown
    assert re.search(r"^ +2 ", shown, re.MULTILINE)
    assert "It is [late] and rains." in shown and "It is [late,] and [it] rains." in shown
    assert "station" not in shown


def test_a_missed_score_exits_6_and_still_prints_the_table() -> None:
    arguments = ["--hyp", "one.txt", "--ref", "ref.txt", "--metric", "bleu"]
    done = run("eval", "translate", *arguments, "--fail-under", "bleu=99")
    assert done.returncode == 6
    assert b"BLEU" in done.stdout and b"under 99" in done.stderr
    done = run("eval", "translate", *arguments, "--fail-under", "ter=1")  # less is better
    assert done.returncode == 6 and b"over 1" in done.stderr
    done = run("eval", "translate", *arguments, "--fail-under", "bleu=10", "--fail-under", "ter=99")
    assert done.returncode == 0


def test_outputs_and_references_in_one_file_and_several_references() -> None:
    jsonl(
        "out.jsonl",
        *(
            {"translation": a, "reference": [b, c]}
            for a, b, c in zip(ONE, REFERENCE, OTHER, strict=True)
        ),
    )
    one = run("eval", "translate", "--hyp", "out.jsonl", "--metric", "bleu", "-f", "tsv").stdout
    refs = ["--ref", "ref.txt", "--ref", "other.txt"]
    two = run(
        "eval", "translate", "--hyp", "one.txt", *refs, "--metric", "bleu", "-f", "tsv"
    ).stdout
    assert one.splitlines()[1].split(b"\t")[1:] == two.splitlines()[1].split(b"\t")[1:]
    expected = BLEU().corpus_score(ONE, [REFERENCE, OTHER]).score
    assert float(one.splitlines()[1].split(b"\t")[2]) == expected


def test_summaries_by_line_and_by_sentence() -> None:
    jsonl("out.jsonl", {"summary": "b a.\nd c.", "reference": "a b.\nc d."})
    done = run("eval", "summarize", "--hyp", "out.jsonl", "-f", "json", "--fail-under", "rouge1=9")
    told = json.loads(done.stdout)
    jsonschema.validate(told, SCHEMA)
    scores = {score["metric"]: score["score"] for score in told["systems"][0]["scores"]}
    assert scores["rouge1"] == scores["rouge1-precision"] == 100
    assert (scores["rougeL"], scores["rougeLsum"]) == (50, 50)
    done = run("eval", "summarize", "--hyp", "out.jsonl", "--metric", "rouge2")
    assert [line.split()[0] for line in done.stdout.decode().splitlines()[2:5]] == ["ROUGE-2"] * 3


def test_languages_that_rouge_score_does_not_see() -> None:
    Path("said.txt").write_text("Привет, мир\n")
    arguments = ["--hyp", "said.txt", "--ref", "gold.txt", "--metric", "rouge1", "-f", "tsv"]
    Path("gold.txt").write_text("Привет, мир\n")
    for tokenizer, score in (("rouge", b"0.0"), ("unicode", b"100.0")):
        done = run("eval", "summarize", *arguments, "--rouge-tokenizer", tokenizer)
        assert done.stdout.splitlines()[1].split(b"\t")[2] == score


def test_labels_with_scores_and_probabilities() -> None:
    Path("said.txt").write_text("a\t0.9\nb\t0.6\na\t0.7\n")
    Path("gold.txt").write_text("a\nb\nb\n")
    done = run("eval", "classify", "--hyp", "said.txt", "--ref", "gold.txt", "-f", "json")
    scores = {s["metric"]: s["score"] for s in json.loads(done.stdout)["systems"][0]["scores"]}
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert "ece" in scores and "roc-auc" not in scores
    jsonl(
        "said.jsonl",
        *(
            {
                "label": x,
                "gold": y,
                "labels": [{"label": "a", "score": p}, {"label": "b", "score": 1 - p}],
            }
            for x, y, p in (("a", "a", 0.9), ("b", "b", 0.2), ("a", "b", 0.6))
        ),
    )
    done = run("eval", "classify", "--hyp", "said.jsonl", "--metric", "roc-auc", "-f", "json")
    scores = {s["metric"]: s["score"] for s in json.loads(done.stdout)["systems"][0]["scores"]}
    assert scores["roc-auc"] == 1.0


def test_answers() -> None:
    Path("said.txt").write_text("The Eiffel Tower!\nin 1889\n")
    jsonl("gold.jsonl", {"answers": ["Eiffel Tower", "la tour"]}, {"answers": ["1889"]})
    done = run("eval", "generate", "--hyp", "said.txt", "--ref", "gold.jsonl", "-f", "tsv")
    values = [line.split(b"\t")[2] for line in done.stdout.splitlines()[1:]]
    assert float(values[0]) == 50.0
    assert float(values[1]) == pytest.approx(100 * (1 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("task", "arguments", "code", "said"),
    [
        ("translate", "--hyp short.txt --ref ref.txt", 4, "short.txt has 2 records, ref.txt 3"),
        ("translate", "--hyp one.txt --ref short.txt", 4, "one.txt has 3 records, short.txt 2"),
        ("translate", "--hyp one.txt --ref ref.txt --metric blue", 2, "no such metric here: blue"),
        ("translate", "--hyp one.txt --ref ref.txt --fail-under bleu", 2, "no METRIC=VALUE"),
        ("translate", "--hyp empty.txt --ref ref.txt", 4, "empty.txt is empty"),
        ("translate", "--hyp one.txt --ref empty.txt", 4, "empty.txt is empty"),
        ("translate", "--hyp one.txt --ref ref.txt --ref ref.txt", 2, "ref.txt is given twice"),
        ("translate", "--hyp one.txt --hyp one.txt --ref ref.txt", 2, "one.txt is given twice"),
        ("translate", "--ref ref.txt", 2, "no outputs to score"),
        ("translate", "--hyp none.txt --ref ref.txt", 2, "no such file: none.txt"),
        ("translate", "--hyp one.txt --ref ref.txt --tokenize word", 2, "--tokenize word: no such"),
        ("translate", "--hyp one.txt --ref ref.txt -f yaml", 2, "--output-format yaml: no such"),
        ("translate", "--hyp bad.jsonl --ref ref.txt", 4, "bad.jsonl:1: not valid JSON"),
        ("translate", "--hyp odd.jsonl --ref ref.txt", 4, 'no field "translation"'),
        ("classify", "--hyp said.txt --ref gold.txt", 4, "gold.txt: record 2 has no label"),
        ("classify", "--hyp nan.jsonl", 4, "nan.jsonl: record 1: the confidence is nan"),
        ("classify", "--hyp said.txt --ref said.txt --metric roc-auc", 4, "roc-auc: the outputs"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_the_right_code(
    task: str, arguments: str, code: int, said: str
) -> None:
    Path("short.txt").write_text("one\ntwo\n")
    Path("empty.txt").write_text("")
    Path("bad.jsonl").write_text("{\n")
    jsonl("odd.jsonl", {"text": "x"})
    Path("said.txt").write_text("a\nb\n")
    Path("gold.txt").write_text("a\n\n")
    Path("nan.jsonl").write_text('{"label": "a", "gold": "a", "score": NaN}\n')
    done = run("eval", task, *arguments.split())
    first, *rest = done.stderr.decode().splitlines()
    assert done.returncode == code
    assert first.startswith("nlpcli: ") and said in first
    assert len(rest) <= 1 and all(line.startswith("  ") for line in rest)
    assert done.stdout == b""


def test_references_of_a_stream_are_its_own_fields() -> None:
    line = json.dumps({"translation": "It is late.", "reference": "It is late."}) + "\n"
    done = run("eval", "translate", "--hyp", "-", "-i", "jsonl", "-f", "json", stdin=line.encode())
    assert done.returncode == 0
    assert json.loads(done.stdout)["systems"][0]["name"] == "-"


@pytest.mark.parametrize("references", [[], ["--ref", "-"]])
def test_text_needs_references_of_its_own(references: list[str]) -> None:
    done = run("eval", "translate", "--hyp", "-", *references, stdin=b"It is late.\n")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2


def test_each_label_and_what_it_is_taken_for() -> None:
    Path("said.csv").write_text("label,gold\na,a\nb,a\nb,b\n<c>,a\n")
    shown = run("eval", "classify", "--hyp", "said.csv", "--per-class", "--confusion", "-")
    assert shown.returncode == 0
    lines = [line.split() for line in shown.stdout.decode().splitlines()]
    assert ["a", "1.000", "0.333", "0.500", "3"] in lines
    assert ["b", "0.500", "1.000", "0.667", "1"] in lines
    assert ["2", "a", "1", "1", "1"] in lines
    told = run("eval", "classify", "--hyp", "said.csv", "-f", "json", "--confusion", "matrix.svg")
    envelope = json.loads(told.stdout)
    jsonschema.validate(envelope, SCHEMA)
    (system,) = envelope["systems"]
    assert [row["label"] for row in system["classes"]] == ["<c>", "a", "b"]
    assert system["confusion"] == [[0, 0, 0], [1, 1, 1], [0, 0, 1]]
    root = ElementTree.parse("matrix.svg").getroot()
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [
        "said.csv: gold by row, said by column", "<c>", "<c>", "a", "a", "b", "b", *"1111"
    ]  # fmt: skip


def test_a_matrix_too_wide_for_the_screen_becomes_a_list() -> None:
    rows = [f"l{number},l{number // 2}" for number in range(60)]
    Path("said.csv").write_text("\n".join(["label,gold", *rows]) + "\n")
    done = run("eval", "classify", "--hyp", "said.csv", "--confusion", "-", COLUMNS="80")
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert ["1", "l1", "l2"] in lines and ["39", "39", "other", "pairs"] in lines
    assert max(map(len, done.stdout.decode().splitlines())) <= 80


def test_any_number_of_labels() -> None:
    jsonl(
        "said.jsonl",
        {"label": "a", "labels": [{"label": "a", "score": 0.9}], "gold": ["a", "b"]},
        {"label": None, "labels": [], "gold": []},
    )
    Path("said.txt").write_text("a\t0.9\n\n")
    Path("gold.txt").write_text("a\tb\n\n")
    found = []
    for arguments in (["--hyp", "said.jsonl"], ["--hyp", "said.txt", "--ref", "gold.txt"]):
        done = run("eval", "classify", "--multi-label", *arguments, "-f", "json")
        assert (done.returncode, done.stderr) == (0, b"")
        envelope = json.loads(done.stdout)
        jsonschema.validate(envelope, SCHEMA)
        (system,) = envelope["systems"]
        found.append({score["metric"]: score["score"] for score in system["scores"]})
    assert found[0] == found[1]
    assert found[0]["accuracy"] == 0.5
    assert found[0]["micro-f1"] == pytest.approx(2 / 3)
    refused = run("eval", "classify", "--hyp", "said.jsonl")
    assert (refused.returncode, refused.stdout) == (4, b"")
    assert b"--multi-label" in refused.stderr


def test_the_scores_of_each_record() -> None:
    arguments = ("eval", "translate", "--hyp", "one.txt", "--ref", "ref.txt", "--metric", "ter")
    rows = [json.loads(line) for line in run(*arguments, "-f", "jsonl").stdout.splitlines()]
    tsv = run(*arguments, "--per-record", "-f", "tsv").stdout.decode().splitlines()
    assert tsv[0].split("\t") == ["system", "record", "ter", "output"]
    assert [line.split("\t") for line in tsv[1:]] == [
        ["one.txt", str(row["record"]), str(row["scores"]["ter"]), row["output"]] for row in rows
    ]
    table = run(*arguments, "--per-record")
    assert (table.returncode, table.stderr) == (0, b"")
    shown = [line.split(maxsplit=2) for line in table.stdout.decode().splitlines()]
    for row in rows:
        assert [str(row["record"]), f"{row['scores']['ter']:.1f}", row["output"]] in shown
    assert run(*arguments, "--per-record", "-f", "json").stdout.count(b"\n") == 3
    refused = run(*arguments, "--per-record", "-f", "latex")
    assert refused.returncode == 2 and b"--per-record" in refused.stderr


def test_the_scores_of_each_document() -> None:
    rows = zip(ONE, REFERENCE, ["a", "b", "a"], strict=True)
    jsonl("out.jsonl", *({"translation": o, "reference": r, "doc": d} for o, r, d in rows))
    arguments = ("eval", "translate", "--hyp", "out.jsonl", "--by", "doc")
    envelope = json.loads(run(*arguments, "-f", "json").stdout)
    jsonschema.validate(envelope, SCHEMA)
    first, second = envelope["systems"][0]["documents"]
    assert (first["document"], first["records"]) == ("a", 2)
    assert (second["document"], second["records"]) == ("b", 1)
    bleu = BLEU().corpus_score(ONE[::2], [REFERENCE[::2]]).score
    assert first["scores"]["bleu"] == pytest.approx(bleu, abs=1e-9)
    table = run(*arguments, "--metric", "bleu").stdout.decode().splitlines()
    assert ["a", "2", f"{bleu:.1f}"] in [line.split() for line in table]
    refused = run(*arguments[:-1], "author")
    assert (refused.returncode, refused.stdout) == (4, b"")
    assert b"--by author" in refused.stderr


def test_a_name_does_not_speak_to_the_terminal() -> None:
    os.rename("one.txt", "one\x1b[31m.txt")
    arguments = ["--hyp", "one\x1b[31m.txt", "--hyp", "other.txt", "--ref", "ref.txt"]
    for more in (["--worst", "1"], ["--per-record"], ["--fail-under", "bleu=100"]):
        done = run("eval", "translate", *arguments, *more)
        assert b"\x1b" not in done.stdout + done.stderr
        assert b"one\\x1b[31m.txt" in done.stdout
