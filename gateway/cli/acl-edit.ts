/** An ACL in the user's own editor. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import type { Ace } from '../../acl/acl.ts'
import { formatNfs4Text, parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import type { ObjectKind } from '../../acl/dialects.ts'
import { StorageError } from '../core/errors.ts'
import { UsageError } from './exit.ts'
import { complain } from './output.ts'

/** Variables with credentials, which an editor and its plug-ins have no use for. */
const withheld = ['BEARER_TOKEN', 'BEARER_TOKEN_FILE']

/** The entries after editing; undefined when they are the same. The file is the user's alone, and removed. */
export async function editAcl(title: string, aces: readonly Ace[], kind: ObjectKind): Promise<Ace[] | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'portolan-acl-'))
  const file = join(directory, 'acl')
  const before = formatNfs4Text(aces)
  try {
    await writeFile(file, `# ${title}\n# TYPE:FLAGS:WHO:RIGHTS, first match decides\n${before}`, { mode: 0o600 })
    for (;;) {
      await runEditor(file)
      try {
        const edited = parseNfs4Text(await readFile(file, 'utf8'), kind)
        return formatNfs4Text(edited) === before ? undefined : edited
      } catch (error) {
        if (!(error instanceof StorageError) || !process.stdin.isTTY) throw error
        complain(error.message)
        if (!(await again())) throw new UsageError('nothing was changed')
      }
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** The variable may hold options, so a shell reads it, as git and crontab do. */
async function runEditor(file: string): Promise<void> {
  const editor = process.env.VISUAL || process.env.EDITOR || 'vi'
  const env = { ...process.env }
  for (const name of withheld) delete env[name]
  const child = spawn('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit', env })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new UsageError(`the editor (${editor}) failed; nothing was changed`)
}

async function again(): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return !/^n/i.test(await terminal.question('Edit again? [Y/n] '))
  } finally {
    terminal.close()
  }
}
