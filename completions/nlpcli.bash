# bash completion for nlpcli

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
