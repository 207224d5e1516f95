/** `portolan completion`: scripts that complete commands and options in a shell. */

import { Argument, Command } from 'commander'
import { say } from './output.ts'

/** What may follow a command. */
interface Following {
  /** Names of it and those above, from the first. */
  readonly path: string
  readonly commands: readonly Word[]
  readonly options: readonly Option[]
}

interface Word {
  readonly name: string
  readonly description: string
}

interface Option extends Word {
  /** It takes one; those that there are, if they can be counted. */
  readonly values: readonly string[] | undefined
}

export function completionCommand(): Command {
  return new Command('completion')
    .description('print a completion script; for bash: source <(portolan completion bash)')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action(async (shell: 'bash' | 'zsh' | 'fish', _options, command: Command) => {
      const following = command.parent ? followingOf(command.parent, '') : []
      await say({ bash, zsh, fish }[shell](following))
    })
}

function followingOf(command: Command, path: string): Following[] {
  const commands = command.commands.map((child) => ({ name: child.name(), description: child.description() }))
  const options = command.options.flatMap(({ long, description, required, optional, argChoices }) =>
    long ? [{ name: long, description, values: required || optional ? (argChoices ?? []) : undefined }] : [],
  )
  const help = { name: '--help', description: 'display help', values: undefined }
  const below = command.commands.flatMap((child) => followingOf(child, `${path} ${child.name()}`.trim()))
  return [{ path, commands, options: [...options, help] }, ...below]
}

const namesOf = (words: readonly Word[]) => words.map(({ name }) => name).join(' ')

function bash(following: readonly Following[]): string {
  const cases = following.map(({ path, commands, options }) => {
    const values = options.flatMap(({ name, values }) =>
      values ? [`${name}) takes=1 choices='${values.join(' ')}' ;;`] : [],
    )
    const known = `found=1 commands='${namesOf(commands)}' options='${namesOf(options)}'`
    return `    '${path}') ${known}; case "$previous" in ${values.join(' ')} esac ;;`
  })
  return `# bash completion of portolan
_portolan() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local path='' word found='' takes='' choices='' commands='' options=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  while [ -z "$found" ]; do
    case "$path" in
${cases.join('\n')}
    *' '*) path="\${path% *}" ;;
    *) path='' ;;
    esac
  done
  if [ -z "$takes" ]; then
    case "$current" in -*) choices="$options" ;; *) choices="$commands" ;; esac
  fi
  COMPREPLY=($(compgen -W "$choices" -- "$current"))
}
complete -o default -F _portolan portolan`
}

function zsh(following: readonly Following[]): string {
  return `#compdef portolan\nautoload -U +X bashcompinit && bashcompinit\n${bash(following)}`
}

function fish(following: readonly Following[]): string {
  const quoted = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`
  const lines = following.flatMap(({ path, commands, options }) => {
    const last = path.split(' ').at(-1)
    const condition = last ? `__fish_seen_subcommand_from ${last}` : '__fish_use_subcommand'
    const begin = `complete -c portolan -n '${condition}'`
    return [
      ...commands.map(({ name, description }) => `${begin} -a ${name} -d ${quoted(description)}`),
      ...options.map(({ name, description, values }) => {
        const value = values === undefined ? '' : values.length > 0 ? ` -x -a '${values.join(' ')}'` : ' -r'
        return `${begin} -l ${name.slice(2)}${value} -d ${quoted(description)}`
      }),
    ]
  })
  return ['# fish completion of portolan', ...lines].join('\n')
}
