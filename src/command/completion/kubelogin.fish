# kubelogin completion fish | source
function __kubelogin_complete
    set -l found (kubelogin __complete (commandline -cp | string collect) 2>/dev/null)
    if test (count $found) -gt 0
        string join \n -- $found
    else
        complete -C "'' "(commandline -ct)
    end
end
complete -c kubelogin -f -k -a '(__kubelogin_complete)'
