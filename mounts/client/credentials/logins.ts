/** What `portolan login` leaves behind: tokens for one gateway, in a file of the user's own. */

import { createHash, randomBytes } from 'node:crypto'
import { constants, lstat, mkdir, open, opendir, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { Secret } from '../../../acl/secret.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { withFileLock } from './file-lock.ts'

export interface Login {
  /** Scheme, host and port of the gateway that the tokens are for. */
  readonly origin: string
  readonly issuer: string
  readonly clientId: string
  readonly scopes: readonly string[]
  readonly accessToken: Secret
  /** Milliseconds since 1970. */
  readonly expires: number | undefined
  readonly refreshToken: Secret | undefined
}

const maxBytes = 256 * 1024
const lockLimit = 30_000
/** What `keep` writes before it is whole, and the milliseconds after which nobody is at it any more. */
const draftName = /^[0-9a-f]{32}\.json\.[0-9a-f]{12}$/
const longestDraft = 3_600_000

/** $XDG_STATE_HOME/portolan/logins, otherwise in ~/.local/state (XDG Base Directory Specification). */
export function loginsDirectory(env: Readonly<Record<string, string | undefined>>): string {
  return join(stateDirectory(env), 'logins')
}

/** What is kept for this user on this machine (XDG Base Directory Specification). */
export function stateDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const { XDG_STATE_HOME: state, HOME: home } = env
  // A relative path there is to be ignored.
  const top = state?.startsWith('/') ? state : join(home?.startsWith('/') ? home : homedir(), '.local/state')
  return join(top, 'portolan')
}

export class Logins {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** For messages. */
  fileOf(origin: string): string {
    return join(this.#directory, `${createHash('sha256').update(origin).digest('hex').slice(0, 32)}.json`)
  }

  /** Undefined where nobody has logged in. Throws `invalid` for a file that others may read or change. */
  async find(origin: string): Promise<Login | undefined> {
    const file = this.fileOf(origin)
    const text = await readOwn(file)
    if (text === undefined) return undefined
    const login = readLogin(text)
    if (login?.origin !== origin)
      throw new StorageError('invalid', `${file} is not what portolan login writes; remove it`)
    return login
  }

  /** Replaces what was there, at once or not at all. */
  async keep(login: Login): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    await this.#sweep()
    const file = this.fileOf(login.origin)
    const draft = `${file}.${randomBytes(6).toString('hex')}`
    const { O_WRONLY, O_CREAT, O_EXCL } = constants
    try {
      const handle = await open(draft, O_WRONLY | O_CREAT | O_EXCL, 0o600)
      try {
        await handle.writeFile(textOf(login))
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(draft, file)
    } catch (error) {
      await rm(draft, { force: true })
      throw error
    }
  }

  /** Drafts of processes that were killed while they wrote: there are tokens in them. */
  async #sweep(): Promise<void> {
    for await (const { name } of await opendir(this.#directory)) {
      if (!draftName.test(name)) continue
      const draft = join(this.#directory, name)
      // It may be gone by now; and what cannot be removed keeps nobody from logging in.
      const found = await lstat(draft).catch(() => undefined)
      const isOurs = found?.isFile() === true && found.uid === process.geteuid?.()
      if (isOurs && Date.now() - found.mtimeMs > longestDraft) await rm(draft, { force: true }).catch(() => {})
    }
  }

  /** Whether there was one. */
  async forget(origin: string): Promise<boolean> {
    const file = this.fileOf(origin)
    try {
      await rm(file)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
  }

  /** Alone among all processes of the user. Throws `timeout`. */
  async alone<T>(origin: string, work: () => Promise<T>): Promise<T> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    return withFileLock(
      join(this.#directory, `${this.fileOf(origin).slice(dirname(this.fileOf(origin)).length + 1)}.lock`),
      lockLimit,
      work,
    )
  }
}

async function readOwn(file: string): Promise<string | undefined> {
  try {
    const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const { uid, mode, size } = await handle.stat()
      if (uid !== process.geteuid?.() || (mode & 0o077) !== 0 || (mode & constants.S_IFMT) !== constants.S_IFREG) {
        throw new StorageError('invalid', `the file ${file} is open to others, or belongs to someone else; log in anew`)
      }
      if (size > maxBytes) throw new StorageError('invalid', `the file ${file} is too long`)
      return await readFile(handle, 'utf8')
    } finally {
      await handle.close()
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    if (error instanceof StorageError) throw error
    throw new StorageError('invalid', `the file ${file} cannot be read (${code ?? 'unknown'})`, { cause: error })
  }
}

function textOf({ accessToken, refreshToken, expires, ...rest }: Login): string {
  return `${JSON.stringify({
    ...rest,
    accessToken: accessToken.reveal(),
    ...(expires !== undefined && { expires }),
    ...(refreshToken && { refreshToken: refreshToken.reveal() }),
  })}\n`
}

function readLogin(text: string): Login | undefined {
  try {
    const { origin, issuer, clientId, scopes, accessToken, expires, refreshToken } = JSON.parse(text) as Record<
      string,
      unknown
    >
    const isWhole = [origin, issuer, clientId, accessToken].every((each) => typeof each === 'string' && each !== '')
    if (!isWhole || !Array.isArray(scopes)) return undefined
    return {
      origin: String(origin),
      issuer: String(issuer),
      clientId: String(clientId),
      scopes: scopes.map(String),
      accessToken: new Secret(String(accessToken)),
      expires: typeof expires === 'number' ? expires : undefined,
      refreshToken: typeof refreshToken === 'string' ? new Secret(refreshToken) : undefined,
    }
  } catch {
    // Told by the caller, with the name of the file.
    return undefined
  }
}
