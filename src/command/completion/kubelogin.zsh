#compdef kubelogin
# source <(kubelogin completion zsh)
_kubelogin() {
    local -a candidates
    local line
    for line in "${(@f)$(kubelogin __complete "${(j: :)words[1,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] && candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if (( $#candidates )); then
        _describe kubelogin candidates
    else
        _files
    fi
}
if [[ $funcstack[1] == _kubelogin ]]; then
    _kubelogin "$@"
else
    compdef _kubelogin kubelogin
fi
