/** `portolan completion`: scripts that complete commands and options in a shell. */

import { Argument, Command } from 'commander'
import { say } from './output.ts'

type Words = ReadonlyArray<{ readonly path: string; readonly words: readonly string[] }>

export function completionCommand(): Command {
  return new Command('completion')
    .description('print a completion script; for bash: source <(portolan completion bash)')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action(async (shell: 'bash' | 'zsh' | 'fish', _options, command: Command) => {
      const words = command.parent ? wordsOf(command.parent, '') : []
      await say({ bash, zsh, fish }[shell](words))
    })
}

/** What may follow each command: its subcommands and long options. */
function wordsOf(command: Command, path: string): Words {
  const commands = command.commands.map((child) => child.name())
  const options = command.options.flatMap(({ long }) => long ?? [])
  const below = command.commands.flatMap((child) => wordsOf(child, `${path} ${child.name()}`.trim()))
  return [{ path, words: [...commands, ...options, '--help'] }, ...below]
}

function bash(words: Words): string {
  const cases = words.map(({ path, words }) => `    '${path}') choices='${words.join(' ')}' ;;`)
  return `# bash completion of portolan
_portolan() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path='' word choices
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  while :; do
    case "$path" in
${cases.join('\n')}
    *) choices='' ;;
    esac
    if [ -n "$choices" ] || [ -z "$path" ]; then break; fi
    case "$path" in *' '*) path="\${path% *}" ;; *) path='' ;; esac
  done
  COMPREPLY=($(compgen -W "$choices" -- "$current"))
}
complete -o default -F _portolan portolan`
}

function zsh(words: Words): string {
  return `#compdef portolan\nautoload -U +X bashcompinit && bashcompinit\n${bash(words)}`
}

function fish(words: Words): string {
  const lines = words.flatMap(({ path, words }) => {
    const names = path === '' ? [] : path.split(' ')
    const last = names.at(-1)
    const condition = last === undefined ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${last}`
    return words.map((word) => {
      const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`
      return `complete -c portolan -n '${condition}' ${what}`
    })
  })
  return ['# fish completion of portolan', ...lines].join('\n')
}
