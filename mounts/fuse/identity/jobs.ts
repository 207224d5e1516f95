/** What is asked of the threads that look at processes and read their files: both may hang, and only a thread may. */

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { StorageError } from '../../../gateway/core/errors.ts'
import { actingAs } from './acting-as.ts'
import { environmentOf, type Ids, idsOf, seesOurFiles, stampOf } from './proc.ts'

export type Job =
  | { readonly kind: 'look'; readonly pid: number; readonly uid: number; readonly stamp: string }
  | { readonly kind: 'read'; readonly file: string; readonly ids: Ids; readonly mayBeLink: boolean }

/** Of a process at one moment: it was the same one before and after. */
export interface Looked {
  readonly env: Readonly<Record<string, string>>
  readonly ids: Ids
  /** Whether files that it names are those that we see. */
  readonly seesOurFiles: boolean
}

export type Done = Looked | { readonly text: string | undefined }

const variables: ReadonlySet<string> = new Set(['BEARER_TOKEN', 'BEARER_TOKEN_FILE', 'XDG_RUNTIME_DIR', 'KRB5CCNAME'])
/** Longest token file. */
const maxBytes = 64 * 1024

/** Synchronous. Throws StorageErrors. */
export function work(job: Job): Done {
  return job.kind === 'look' ? look(job) : { text: readToken(job) }
}

function look({ pid, uid, stamp }: Extract<Job, { kind: 'look' }>): Looked {
  const ids = idsOf(pid)
  const env = environmentOf(pid, variables)
  const isOurs = seesOurFiles(pid)
  // After everything else was read: it has been one and the same process all the time.
  if (stampOf(pid) !== stamp || !ids) throw new StorageError('stale', `process ${pid} has become another one`)
  if (!env) throw new StorageError('denied', `the environment of process ${pid} cannot be read`)
  // Who starts a set-user-id program chooses its environment, and must not choose among the files of its owner.
  if (ids.uid !== uid || !ids.isPlain) throw new StorageError('denied', `process ${pid} acts for somebody else`)
  return { env, ids, seesOurFiles: isOurs }
}

/** Undefined where there is none. The rules are those of token.ts: a file of its user, closed to others, or of root. */
function readToken({ file, ids, mayBeLink }: Extract<Job, { kind: 'read' }>): string | undefined {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | (mayBeLink ? 0 : constants.O_NOFOLLOW)
  const say = (what: string, cause?: unknown) =>
    new StorageError('invalid', `the token file ${file} ${what}`, { cause })
  return actingAs(ids, () => {
    let fd: number
    try {
      fd = openSync(file, flags)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      throw say(`cannot be read (${code ?? 'unknown'})`, error)
    }
    try {
      const stat = fstatSync(fd)
      if (!stat.isFile()) throw say('is not a regular file')
      if (stat.uid !== ids.uid && stat.uid !== 0) throw say('belongs to someone else')
      if ((stat.mode & (stat.uid === ids.uid ? 0o077 : 0o022)) !== 0) throw say('is open to others')
      const bytes = Buffer.alloc(maxBytes + 1)
      const length = readSync(fd, bytes, 0, bytes.length, 0)
      if (length > maxBytes) throw say('is too long')
      return bytes.toString('latin1', 0, length)
    } finally {
      closeSync(fd)
    }
  })
}
