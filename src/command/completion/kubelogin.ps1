# kubelogin completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName 'kubelogin', 'kubelogin.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $line = $commandAst.ToString()
    $length = $cursorPosition - $commandAst.Extent.StartOffset
    $line = if ($line.Length -lt $length) { "$line " } else { $line.Substring(0, $length) }
    kubelogin __complete $line 2>$null | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        if (-not $help) { $help = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $help)
    }
}
