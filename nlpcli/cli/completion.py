"""Completion: three small shell scripts that call nlpcli for each TAB, and what it answers them.

The words before the cursor come as arguments, the last of them unfinished; each line of the answer
is a candidate, a tab and a few words on it, or `:files` alone where the shell completes file names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from nlpcli.cli.help import commands, placeholder

VARIABLE = "_NLPCLI_COMPLETE"
_FILES = ":files"
_FILE_PLACEHOLDERS = ("FILE", "FOLDER", "INPUT", "SOURCE", "MODEL")

_BASH = r"""# bash completion for nlpcli

_nlpcli() {
    local line=${COMP_LINE:0:COMP_POINT} last=-1 i word reply cut
    local -a words=()
    COMPREPLY=()
    # Bash cuts words at = and : too; without a space between they are one.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if [[ $i -eq 0 || $line == [[:space:]]* || -z $line ]]; then
            last=$((last + 1))
            words[last]=
        fi
        line=${line#"${line%%[![:space:]]*}"}
        word=${COMP_WORDS[i]}
        [[ $i -eq $COMP_CWORD ]] && word=$line
        words[last]+=$word
        line=${line#"$word"}
    done
    reply=$(_NLPCLI_COMPLETE=bash "${1/#\~/$HOME}" "${words[@]:1}" 2>/dev/null)
    # With no answer of ours readline completes file names itself.
    [[ $reply == :files ]] && return
    compopt +o default 2>/dev/null
    cut=${words[last]%"$2"}
    while IFS=$'\t' read -r word _; do
        [[ -n $word ]] && COMPREPLY+=("${word#"$cut"}")
    done <<<"$reply"
}

complete -o default -F _nlpcli nlpcli
"""

_ZSH = r"""#compdef nlpcli
# zsh completion for nlpcli

_nlpcli() {
    local -a lines found
    local line value
    lines=("${(@f)$(_NLPCLI_COMPLETE=zsh "${${(Q)words[1]}/#\~/$HOME}" \
        "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    if [[ $lines[1] == :files ]]; then
        [[ $PREFIX == --*=* ]] && compset -P '--[^=]#='
        _files
        return
    fi
    for line in $lines; do
        value=${${line%%$'\t'*}//:/\\:}
        [[ $line == *$'\t'?* ]] && value+=:${line#*$'\t'}
        found+=("$value")
    done
    (( $#found )) && _describe nlpcli found
}

# Loaded by compinit this file is the function's first call; sourced it only announces it.
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _nlpcli "$@"
elif (( $+functions[compdef] )); then
    compdef _nlpcli nlpcli
fi
"""

_FISH = r"""# fish completion for nlpcli

function __nlpcli_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l found (env _NLPCLI_COMPLETE=fish $program $words "$current" 2>/dev/null)
    if test "$found[1]" = :files
        set -l option (string match -r -- '^--[^=]+=' $current)
        for file in (__fish_complete_path (string replace -r -- '^--[^=]+=' '' $current))
            echo "$option$file"
        end
    else if set -q found[1]
        printf '%s\n' $found
    end
end

complete -c nlpcli -f -a '(__nlpcli_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


class Candidate(NamedTuple):
    """What may stand at the cursor, and a few words on it."""

    value: str
    help: str = ""


class _Place(NamedTuple):
    """Where the cursor is: in which command, after which options, before which argument.

    `context` holds the command, `option` is the one whose value is being typed.
    """

    context: typer.Context
    option: Any
    used: frozenset[str]
    arguments: int
    only_arguments: bool


def answer(group: Any, words: list[str]) -> str:
    """The answer for a command line whose last word is unfinished."""
    *before, incomplete = [word.lstrip("\"'") for word in words] or [""]
    place = _walk(group, before)
    option, prefix = place.option, ""
    if option is None and incomplete.startswith("-") and not place.only_arguments:
        name, equals, value = incomplete.partition("=")
        if not equals:
            return _told(_options(place, incomplete))
        option, prefix, incomplete = _find(place.context, name), name + equals, value
        if option is None:
            return ""
    if option is not None:
        return _told(_values(place.context, option, incomplete), prefix)
    command: Any = place.context.command
    if hasattr(command, "commands"):
        rows = commands(command, place.context)
        return _told([Candidate(*row) for row in rows if row[0].startswith(incomplete)])
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    many = [each for each in arguments if each.nargs == -1]
    if not arguments or (place.arguments >= len(arguments) and not many):
        return _told(_options(place, "-") if not incomplete else [])
    argument = [*arguments, *many][min(place.arguments, len(arguments) - 1)]
    return _told(_values(place.context, argument, incomplete))


def new_context(command: Any, name: str, parent: Any = None) -> typer.Context:
    """The context of a command line that is only read, not run."""
    return typer.Context(command, info_name=name, parent=parent, **command.context_settings)


def _walk(group: Any, words: list[str]) -> _Place:
    """Read the finished words as the parser will, by names only: nothing is checked or run."""
    context, option, arguments, only_arguments = new_context(group, "nlpcli"), None, 0, False
    used: set[str] = set()
    for word in words:
        if option is not None:
            option = None
        elif word == "--" and not only_arguments:
            only_arguments = True
        elif word.startswith("-") and len(word) > 1 and not only_arguments:
            for found, attached in _named(context, word):
                used.update([] if getattr(found, "multiple", False) else _names(found))
                option = found if placeholder(found) and not attached else None
        elif isinstance(context.command, TyperGroup):
            command = context.command.get_command(context, word)
            context = new_context(command, word, context) if command else context
            used.clear()
        else:
            arguments += 1
    return _Place(context, option, frozenset(used), arguments, only_arguments)


def _named(context: typer.Context, word: str) -> Iterator[tuple[Any, bool]]:
    """The options that a word such as --to, --to=pt, -qv or -ofile names, and whether a value is
    attached to the last of them."""
    if word.startswith("--"):
        name, equals, _ = word.partition("=")
        if found := _find(context, name):
            yield found, bool(equals)
        return
    for index, letter in enumerate(word[1:], 2):
        if found := _find(context, f"-{letter}"):
            yield found, index < len(word)
            if placeholder(found):
                return


def _find(context: typer.Context, name: str) -> Any:
    return next((each for each in _parameters(context) if name in _names(each)), None)


def _parameters(context: typer.Context) -> list[Any]:
    return [
        each
        for each in context.command.get_params(context)
        if each.param_type_name == "option" and not getattr(each, "hidden", False)
    ]


def _names(option: Any) -> list[str]:
    return [*option.opts, *option.secondary_opts]


def _options(place: _Place, incomplete: str) -> list[Candidate]:
    """The options not yet given that begin with `incomplete`."""
    return [
        Candidate(name, each.help or "")
        for each in _parameters(place.context)
        for name in _names(each)
        if name.startswith(incomplete) and name not in place.used
    ]


def _values(context: typer.Context, parameter: Any, incomplete: str) -> list[Candidate] | None:
    """The values that may complete `incomplete`; None where they are file names."""
    found = parameter.shell_complete(context, incomplete)
    values = [Candidate(str(each.value), each.help or "") for each in found]
    takes_files = any(word in placeholder(parameter) for word in _FILE_PLACEHOLDERS)
    return None if takes_files and not values else values


def _told(candidates: list[Candidate] | None, prefix: str = "") -> str:
    """The answer in lines; `prefix` is what of the word stands before the values."""
    if candidates is None:
        return _FILES
    lines = []
    for value, text in candidates:
        first = " ".join(text.split()).partition(". ")[0].removesuffix(".")
        lines.append(f"{prefix}{value}\t{first}" if first else f"{prefix}{value}")
    return "\n".join(lines)
