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
        # Within quotes that are open bash takes the word as it is, and closes them.
        [[ $cur == [\"\']* ]] || candidate=$(printf %q "$candidate")
        COMPREPLY+=("$candidate")
    done < <(kubelogin __complete "$line" 2>/dev/null)
}
complete -o default -F _kubelogin kubelogin
