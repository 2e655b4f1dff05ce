/**
 * The shells' side of completion. Each script hands the words to `keystead __complete` and shows what comes back: a candidate a
 * line, with its description behind a tab; or one line `:files`, which asks for the names of files.
 * Invariant: a script knows nothing of the commands, so that it stays right when the program is replaced by a newer one.
 */
export const completionShells = ["bash", "zsh", "fish"] as const;
export type CompletionShell = (typeof completionShells)[number];

/** The line that asks the shell for files. */
export const FILES_LINE = ":files";

// Bash takes `=` and `:` for words of their own. It is 3.2 on some systems: no mapfile, and compopt may be missing.
const bash = `# Completion of keystead for bash. In ~/.bashrc: source <(keystead completion bash)
_keystead() {
  local program=\${COMP_WORDS[0]} typed=\${COMP_WORDS[COMP_CWORD]} i word value rest
  local -a words
  program=\${program/#\\~/$HOME}
  words=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case $word in
      =) ;;
      :) ((i++)) ;;
      *) words+=("$word") ;;
    esac
  done
  [ "$typed" = = ] && typed=
  COMPREPLY=()
  while IFS=$'\\t' read -r value rest; do
    if [ "$value" = ${FILES_LINE} ]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$typed")
    else
      COMPREPLY+=("$value")
    fi
  done < <("$program" __complete -- \${words[@]+"\${words[@]}"} "$typed" 2>/dev/null)
}
complete -F _keystead keystead
`;

const zsh = `#compdef keystead
# Completion of keystead for zsh. In ~/.zshrc, after compinit: source <(keystead completion zsh)
_keystead() {
  local program=\${words[1]/#\\~/$HOME} line
  local -a lines values shown
  lines=("\${(@f)$("$program" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ \${lines[1]} == ${FILES_LINE} ]]; then
    [[ $PREFIX == --*=* ]] && compset -P '*='
    _files
    return
  fi
  for line in $lines; do
    values+=("\${line%%$'\\t'*}")
    shown+=("\${line/$'\\t'/  -- }")
  done
  (( \${#values} )) && compadd -l -d shown -a values
}
if [[ \${zsh_eval_context[-1]} == loadautofunc ]]; then
  _keystead "$@"
else
  compdef _keystead keystead
fi
`;

const fish = `# Completion of keystead for fish. keystead completion fish >~/.config/fish/completions/keystead.fish
function __keystead_complete
    set -l before (commandline -opc)
    set -l typed (commandline -ct)
    set -l program $before[1]
    set -e before[1]
    set -l lines ($program __complete -- $before "$typed" 2>/dev/null)
    if test "$lines[1]" = ${FILES_LINE}
        __fish_complete_path "$typed"
    else if test (count $lines) -gt 0
        printf '%s\\n' $lines
    end
end
complete -c keystead -f -a '(__keystead_complete)'
`;

const scripts: Readonly<Record<CompletionShell, string>> = { bash, zsh, fish };

/** The script for a shell. */
export function completionScript(shell: CompletionShell): string {
  return scripts[shell];
}
