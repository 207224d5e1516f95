/** Where a user's bearer token is found: WLCG Bearer Token Discovery, 1.0. */

import { access, constants, type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'

export interface TokenSource {
  readonly token: Secret
  /** For messages: the variable or file it came from. */
  readonly from: string
}

/** What discovery looks at; the process's own by default. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly uid: number
}

/** Longest file read; a token with white space around it is shorter by far. */
const maxBytes = 64 * 1024
/** token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" (RFC 6750, section 2.1). */
const grammar = /^[A-Za-z0-9\-._~+/]+=*$/

/**
 * The first of: BEARER_TOKEN, the file that BEARER_TOKEN_FILE names, $XDG_RUNTIME_DIR/bt_uUID,
 * /tmp/bt_uUID. White space around it is stripped. Undefined when there is none; throws `invalid` when
 * the first that is there is no token or lies in a file that others may read or change.
 */
export async function discoverToken(around: Surroundings = surroundings()): Promise<TokenSource | undefined> {
  const { env, uid } = around
  const given = env.BEARER_TOKEN
  if (given !== undefined && given.trim() !== '') return source(given, 'the variable BEARER_TOKEN')
  const named = env.BEARER_TOKEN_FILE
  if (named !== undefined && named !== '') return readTokenFile(named, uid)
  const runtime = env.XDG_RUNTIME_DIR
  const places = [...(runtime ? [join(runtime, `bt_u${uid}`)] : []), `/tmp/bt_u${uid}`]
  for (const place of places) {
    const found = await readIfThere(place, uid)
    if (found) return found
  }
  return undefined
}

/** The token in a file of the user's own choice. Throws `not-found` and `invalid`, each saying what to do. */
export async function readTokenFile(file: string, uid: number = surroundings().uid): Promise<TokenSource> {
  const found = await readIfThere(file, uid, 'links allowed')
  if (!found) throw new StorageError('not-found', `the token file ${file} does not exist`)
  return found
}

/** Strips white space and checks the grammar, so that nothing else can get into a header. Throws `invalid`. */
export function source(text: string, from: string): TokenSource {
  const token = text.replace(/^[ \t\v\f\r\n]+|[ \t\v\f\r\n]+$/g, '')
  if (!grammar.test(token)) throw new StorageError('invalid', `${from} holds no bearer token`)
  return { token: new Secret(token), from }
}

function surroundings(): Surroundings {
  return { env: process.env, uid: process.geteuid?.() ?? 0 }
}

async function readIfThere(file: string, uid: number, links?: 'links allowed'): Promise<TokenSource | undefined> {
  // In /tmp anyone may plant a link under our name.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | (links ? 0 : constants.O_NOFOLLOW)
  let handle: FileHandle
  try {
    handle = await open(file, flags)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new StorageError('invalid', `the token file ${file} cannot be read (${code ?? 'unknown'})`, { cause })
  }
  try {
    await checkFile(handle, file, uid, links !== undefined)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(maxBytes + 1), 0, maxBytes + 1, 0)
    if (bytesRead > maxBytes) throw new StorageError('invalid', `the token file ${file} is too long`)
    return source(buffer.toString('latin1', 0, bytesRead), `the file ${file}`)
  } finally {
    await handle.close()
  }
}

/**
 * Ours and closed to others; or root's, who may have made it readable; or a secret that was mounted into a container, whose
 * mode nobody can change there. `isNamed`: the user has said which file.
 */
async function checkFile(handle: FileHandle, file: string, uid: number, isNamed: boolean): Promise<void> {
  const { uid: owner, mode } = await handle.stat()
  const say = (what: string) => new StorageError('invalid', `the token file ${file} ${what}`)
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw say('is not a regular file')
  const isRoots = owner === 0 || (isNamed && (await isUnmapped(owner)))
  if (owner !== uid && !isRoots) throw say('belongs to someone else')
  const open = mode & (owner === uid ? 0o077 : 0o022)
  if (open === 0 || ((open & 0o022) === 0 && (await isReadOnly(file)))) return
  throw say('is open to others; run: chmod 600 FILE')
}

/** Root of the machine, or another of its users, seen from within a user namespace (user_namespaces(7)). */
async function isUnmapped(owner: number): Promise<boolean> {
  const [map = '', overflow = ''] = await Promise.all(
    ['/proc/self/uid_map', '/proc/sys/kernel/overflowuid'].map((name) => readFile(name, 'latin1').catch(() => '')),
  )
  return owner === Number(overflow) && !/^\s*0\s+0\s+4294967295\s*$/.test(map)
}

/** On a file system where nobody changes anything. */
async function isReadOnly(file: string): Promise<boolean> {
  return access(file, constants.W_OK).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'EROFS',
  )
}
