/** `portolan acl`: NFSv4 ACLs in the syntax of nfs4_getfacl and nfs4_setfacl. */

import { readFile } from 'node:fs/promises'
import { text as textOf } from 'node:stream/consumers'
import { Command } from 'commander'
import type { Acl } from '../../acl/acl.ts'
import { aclToJson } from '../../acl/codec/json.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { aceText } from '../../acl/explain.ts'
import type { Client } from '../../mounts/client/client.ts'
import type { AclState } from '../../mounts/client/shapes.ts'
import { type Path, parsePath } from '../core/path.ts'
import { type AclChange, acesFromJson, changed, diff, requireForTree } from './acl-changes.ts'
import { editAcl } from './acl-edit.ts'
import { changeTree } from './acl-tree.ts'
import { whoCommand } from './acl-who.ts'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { harmless, say, sayJson } from './output.ts'
import type { Status } from './program.ts'

interface SetOptions extends EndpointOptions {
  readonly add?: string
  readonly index?: string
  readonly remove?: string
  readonly set?: string
  readonly setFile?: string
  readonly jsonFile?: string
  readonly modify?: readonly string[]
  readonly recursive?: boolean
  readonly filesOnly?: boolean
  readonly directoriesOnly?: boolean
  readonly dryRun?: boolean
  readonly test?: boolean
}

const syntax = `
An entry is TYPE:FLAGS:WHO:RIGHTS, such as A:fd:alice@desy.de:rwaDxtTnNcy or D:g:p01@desy.de:w.
  TYPE   A allow, D deny, U audit, L alarm
  FLAGS  g WHO is a group; f d n i inheritance; S F audit
  WHO    OWNER@, GROUP@, EVERYONE@, or a name with its domain
  RIGHTS r w a x d D t T n N c C o y; R, W and X stand for the usual sets
The first entry that speaks about a right decides it.`

const treeHelp = `
With --recursive entries are made to fit files: f, d, n and i go, and entries that are only for directories below are
left out. What is refused is told, and the rest goes on; the exit code is 1 then. What is in a directory comes before
the directory itself.`

export function aclCommand(status: Status): Command {
  return new Command('acl')
    .description('show and change NFSv4 ACLs')
    .addHelpText('after', syntax)
    .addCommand(getCommand())
    .addCommand(setCommand(status))
    .addCommand(editCommand())
    .addCommand(whoCommand())
}

function getCommand(): Command {
  return withEndpoint(new Command('get').description('print the ACL as nfs4_getfacl does'))
    .argument('<path>', 'absolute path in the namespace')
    .action((text: string, options: EndpointOptions) =>
      withClient(options, async (client) => {
        const path = parsePath(text)
        await show(path, await client.getAcl(path), options)
      }),
    )
}

function setCommand(status: Status): Command {
  return withEndpoint(new Command('set').description('change the ACL as nfs4_setfacl does; one action at a time'))
    .argument('<path>', 'absolute path in the namespace')
    .option('-a, --add <entries>', 'put entries before the one at --index')
    .option('--index <number>', 'for --add: counts from 1, the default')
    .option('-x, --remove <entry-or-index>', 'take out an entry, written in full or by its number from 1')
    .option('-s, --set <entries>', 'replace all entries')
    .option('-S, --set-file <file>', 'replace all entries by those in a file, - for standard input')
    .option('-J, --json-file <file>', 'the same, from JSON as `acl get --json` prints it')
    .option('-m, --modify <entries...>', 'two entries: the first, written in full, becomes the second')
    .option('-R, --recursive', 'also everything below; symbolic links are not followed')
    .option('--files-only', 'with --recursive: leave directories as they are')
    .option('--directories-only', 'with --recursive: leave files as they are')
    .option('--dry-run', 'only show what would change')
    .option('--test', 'the same')
    .addHelpText('after', `${syntax}\n${treeHelp}`)
    .action((text: string, options: SetOptions) =>
      withClient(options, async (client) => {
        const path = parsePath(text)
        const change = await changeOf(options)
        const dryRun = options.dryRun === true || options.test === true
        if (options.recursive) {
          requireForTree(change)
          status.code = await changeTree(client, path, change, {
            only: onlyOf(options),
            dryRun,
            json: options.json === true,
          })
          return
        }
        if (onlyOf(options)) throw new UsageError('--files-only and --directories-only go with --recursive')
        const before = await client.getAcl(path)
        const acl = { ...before.acl, aces: changed(before.acl.aces, await kindOf(client, path), change) }
        if (dryRun) return showDiff(before.acl, acl)
        await show(path, await client.setAcl(path, acl, before.etag), options)
      }),
    )
}

function onlyOf({ filesOnly, directoriesOnly }: SetOptions): ObjectKind | undefined {
  if (filesOnly && directoriesOnly) throw new UsageError('--files-only and --directories-only leave nothing to change')
  if (filesOnly) return 'file'
  return directoriesOnly ? 'directory' : undefined
}

function editCommand(): Command {
  return withEndpoint(new Command('edit').description('change the ACL in $VISUAL or $EDITOR'))
    .argument('<path>', 'absolute path in the namespace')
    .addHelpText('after', syntax)
    .action((text: string, options: EndpointOptions) =>
      withClient(options, async (client) => {
        const path = parsePath(text)
        const before = await client.getAcl(path)
        const aces = await editAcl(harmless(path), before.acl.aces, await kindOf(client, path))
        if (!aces) return void process.stderr.write('Nothing was changed.\n')
        const after = { ...before.acl, aces }
        await showDiff(before.acl, after, process.stderr)
        const stored = await client.setAcl(path, after, before.etag)
        if (options.json) await show(path, stored, options)
      }),
    )
}

async function withClient(options: EndpointOptions, work: (client: Client) => Promise<void>): Promise<void> {
  const client = await connect(options)
  try {
    await work(client)
  } finally {
    client.close()
  }
}

async function changeOf(options: SetOptions): Promise<AclChange> {
  const { add, index, remove, set, setFile, jsonFile, modify } = options
  const given = [add, remove, set, setFile, jsonFile, modify].filter((one) => one !== undefined)
  if (given.length !== 1)
    throw new UsageError('give exactly one of --add, --remove, --set, --set-file, --json-file, --modify')
  if (index !== undefined && (add === undefined || !/^\d{1,5}$/.test(index))) {
    throw new UsageError('--index takes a number and goes with --add')
  }
  if (add !== undefined) return { action: 'add', spec: add, ...(index === undefined ? {} : { index: Number(index) }) }
  if (remove !== undefined) return { action: 'remove', spec: remove }
  if (set !== undefined) return { action: 'replace', spec: set }
  if (setFile !== undefined) return { action: 'replace', spec: await readSpec(setFile) }
  if (jsonFile !== undefined) return { action: 'replace-all', aces: acesFromJson(await readSpec(jsonFile)) }
  const [from, to, more] = modify ?? []
  if (from === undefined || to === undefined || more !== undefined) throw new UsageError('--modify takes two entries')
  return { action: 'modify', from, to }
}

async function readSpec(file: string): Promise<string> {
  if (file === '-') return textOf(process.stdin)
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${file}: cannot be read (${error.code})`)
  })
}

/** Letters mean other things on directories, and D is dropped on files. */
async function kindOf(client: Client, path: Path): Promise<ObjectKind> {
  return (await client.rights(path)).type === 'directory' ? 'directory' : 'file'
}

async function show(path: Path, { acl, etag }: AclState, options: EndpointOptions): Promise<void> {
  if (options.json) return sayJson({ path, etag, ...aclToJson(acl) })
  const owner = `# owner: ${harmless(acl.owner ?? 'unknown')}`
  await say([`# file: ${harmless(path)}`, owner, `# group: ${harmless(acl.group ?? 'unknown')}`].join('\n'))
  for (const ace of acl.aces) await say(aceText(ace))
}

async function showDiff(before: Acl, after: Acl, into: NodeJS.WritableStream = process.stdout): Promise<void> {
  const lines = ({ aces }: Acl) => aces.map(aceText)
  for (const line of diff(lines(before), lines(after))) into.write(`${line}\n`)
}
