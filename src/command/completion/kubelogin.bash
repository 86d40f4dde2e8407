# source <(kubelogin completion bash)
_kubelogin() {
    local line=${COMP_LINE:0:COMP_POINT} cur=${COMP_WORDS[COMP_CWORD]} candidate
    # Bash sees words within a word: it breaks them at = and :
    case $cur in [=:]) cur= ;; esac
    local before=${line%"$cur"}
    before=${before##*[[:space:]]}
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        candidate=${candidate#"$before"}
        # A name can hold what a shell would run. Bash closes a quote that is open, and leaves what is in it to us.
        case $cur in
        \'*) candidate=${candidate//\'/\'\\\'\'} ;;
        \"*)
            # Nothing keeps the history from replacing ! within these quotes.
            [[ $candidate == *!* ]] && continue
            candidate=${candidate//\\/\\\\}
            candidate=${candidate//\"/\\\"}
            candidate=${candidate//\$/\\\$}
            candidate=${candidate//\`/\\\`}
            ;;
        # A quote in the middle of a word: only names that need none.
        *[\"\']*) [[ $candidate == *[!A-Za-z0-9._:/@%+=-]* ]] && continue ;;
        *) candidate=$(printf %q "$candidate") ;;
        esac
        COMPREPLY+=("$candidate")
    done < <(kubelogin __complete "$line" 2>/dev/null)
}
complete -o default -F _kubelogin kubelogin
