# kubelogin completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName 'kubelogin', 'kubelogin.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $line = $commandAst.ToString()
    $length = $cursorPosition - $commandAst.Extent.StartOffset
    $line = if ($line.Length -lt $length) { "$line " } else { $line.Substring(0, $length) }
    kubelogin __complete $line 2>$null | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        if (-not $help) { $help = $value }
        # A name can hold what a shell would run. PowerShell takes typographic quotes for single ones, too.
        $text = $value
        if ($value -notmatch '^[A-Za-z0-9._:/+=-]+$' -or $wordToComplete -match '^["\u0027\u2018-\u201f]') {
            $text = "'" + ($value -replace '[\u0027\u2018-\u201b]', '$0$0') + "'"
        }
        [System.Management.Automation.CompletionResult]::new($text, $value, 'ParameterValue', $help)
    }
}
