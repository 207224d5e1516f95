/** A mounted namespace, as a door of the matrix: each identity has a mount of its own. */

import { constants } from 'node:fs'
import { access, chmod, chown, lstat, mkdir, open, readdir, rename, unlink, utimes, writeFile } from 'node:fs/promises'
import { parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { encodeNfs4Acl } from '../../acl/codec/nfs4-xattr.ts'
import { utimensat } from '../../backends/posix/native/sys.ts'
import { getAttribute, listAttributes, setAttribute } from '../mount/attributes.ts'
import { type Attempt, type Cell, isClosed, type MatrixDoor } from './doors.ts'

const AT_FDCWD = -100
const past = new Date('2020-01-01T00:00:00Z')
const simpleAcl = encodeNfs4Acl(parseNfs4Text('A::OWNER@:rwatTcCy\nA::GROUP@:rtcy\nA::EVERYONE@:rtcy\n', 'file'))
/** What a program is told when it may not. */
const refusals = ['EACCES', 'EPERM']

/** `mountOf`: where the mount of an identity lies, by its name; undefined where it has none. */
export function fuseDoor(mountOf: (identity: string) => string | undefined): MatrixDoor {
  const over = (
    object: Attempt['object'],
    act: (path: string, free: string) => unknown,
    more: Partial<Attempt> = {},
  ): Attempt => ({ object, run: (cell) => isAllowed(cell, act, mountOf(cell.identity.name)), ...more })
  const moving = (path: string, free: string) => rename(path, free)
  const movingIn = (path: string, free: string) => rename(free, path)
  return {
    name: 'fuse',
    closedTo: ({ name, caller, http }) => {
      if (caller.user === undefined) return 'a mount is made with a credential'
      return (
        isClosed(http) ?? (mountOf(name) === undefined ? 'a mount is made with what fits into a token file' : undefined)
      )
    },
    attempts: {
      stat: over('file', lookAt),
      list: over('directory', (path) => readdir(path)),
      read: over('file', readAll),
      create: over('nothing', (path) => writeFile(path, 'new', { flag: 'wx' })),
      replace: over('file', (path) => writeFile(path, 'newer')),
      edit: over('file', writeInside),
      mkdir: over('nothing', (path) => mkdir(path)),
      remove: over('file', (path) => unlink(path)),
      'move-away': over('file', moving, { beside: 'move-in-file' }),
      'move-in-file': over('nothing', movingIn, { source: 'file', beside: 'move-away' }),
      'move-in-directory': over('nothing', movingIn, { source: 'directory', beside: 'move-away' }),
      'set-times-now': over('file', (path) => utimensat(AT_FDCWD, path, 'now', 'now', 0)),
      'set-attributes': over('file', (path) => utimes(path, past, past)),
      'set-mode': over('file', (path) => chmod(path, 0o640)),
      'set-owner': { not: 'it is asked of others than the owner alone, below' },
      'read-properties': over('file', (path) => listAttributes(path)),
      'write-properties': over('file', (path) => setAttribute(path, 'user.color', Buffer.from('green'))),
      'read-acl': over('file', (path) => getAttribute(path, 'system.nfs4_acl')),
      'write-acl': over('file', (path) => setAttribute(path, 'system.nfs4_acl', simpleAcl)),
      stage: { not: 'a file is brought from tape by opening it, which is to read it' },
      locality: over('file', (path) => getAttributeOrNone(path, 'user.portolan.locality')),
    },
    others: [
      {
        name: 'take-over',
        action: 'set-owner',
        // The user of the machine whose mount it is stands for whoever the gateway says that he is.
        attempt: over('file', (path) => chown(path, process.getuid?.() ?? 0, -1)),
        closedTo: ({ name }) => (name === 'owner' ? 'nothing is changed for whoever owns it' : undefined),
      },
      { name: 'asked-read', action: 'read', attempt: over('file', (path) => access(path, constants.R_OK)) },
      { name: 'asked-edit', action: 'edit', attempt: over('file', (path) => access(path, constants.W_OK)) },
    ],
  }
}

/** What is closed shows its type and nothing else. */
async function lookAt(path: string): Promise<void> {
  const { mtimeMs } = await lstat(path)
  if (mtimeMs === 0) throw Object.assign(new Error('its attributes are closed'), { code: 'EACCES' })
}

async function readAll(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY)
  try {
    const text = await file.readFile('utf8')
    if (text !== 'old') throw new Error(`${path} holds ${JSON.stringify(text)}`)
  } finally {
    await file.close()
  }
}

async function writeInside(path: string): Promise<void> {
  const file = await open(path, constants.O_WRONLY)
  try {
    await file.write('new', 1)
  } finally {
    await file.close()
  }
}

function getAttributeOrNone(path: string, name: string): void {
  try {
    getAttribute(path, name)
  } catch (error) {
    if (codeOf(error) !== 'ENODATA') throw error
  }
}

async function isAllowed(
  { path, free }: Cell,
  act: (path: string, free: string) => unknown,
  mount = '/nowhere',
): Promise<boolean> {
  try {
    await act(`${mount}${path}`, `${mount}${free}`)
    return true
  } catch (error) {
    const code = codeOf(error)
    if (refusals.includes(code)) return false
    throw new Error(`${path} gave ${code}: ${(error as Error).message}`, { cause: error })
  }
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code)
}
