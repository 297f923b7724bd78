# fish completion for nlpcli

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
