/**
 * Accounts of a YAML file, read once; a reload opens it anew.
 *
 *     users:
 *       alice: { uid: 1001, gid: 1001, groups: [p01], mail: alice@example.org, passwordHash: "scrypt$..." }
 *     groups:
 *       p01: { gid: 2001 }
 */

import { open } from 'node:fs/promises'
import { parseDocument } from 'yaml'
import { z } from 'zod'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Account, AccountSource } from './accounts.ts'
import { accountName, groupName } from './names.ts'
import { isPasswordHash } from './password.ts'

const maxFileBytes = 64 * 1024 * 1024

const id = z.int().min(0).max(4_294_967_293)

const schema = z.strictObject({
  users: z
    .record(
      z.string().regex(accountName),
      z
        .strictObject({
          uid: id.optional(),
          gid: id.optional(),
          gids: z.array(id).max(65_536).optional(),
          groups: z.array(z.string()).max(65_536).optional(),
          mail: z.email('is no mail address').max(254).optional(),
          passwordHash: z.string().refine(isPasswordHash, 'is no scrypt hash of acceptable cost').optional(),
        })
        .refine((user) => (user.uid === undefined) === (user.gid === undefined), 'needs both uid and gid, or neither')
        .refine((user) => user.gids === undefined || user.gid !== undefined, 'has gids but no gid'),
    )
    .default({}),
  groups: z.record(z.string().regex(groupName), z.strictObject({ gid: id.optional() })).default({}),
})

type Users = z.infer<typeof schema>

/**
 * Throws `invalid`, naming file and line or key but no value, when the file does not hold what it should
 * or when others than its owner may write to it; when it holds password hashes, also when everybody may read it.
 */
export async function openAccountFile(file: string): Promise<AccountSource> {
  const { text, isOpen } = await readSafely(file)
  const { users, groups } = parse(file, text)
  if (isOpen && Object.values(users).some(({ passwordHash }) => passwordHash !== undefined)) {
    throw wrong(file, 'holds password hashes and may be read by others')
  }
  const gidNames = new Map(
    Object.entries(groups).flatMap(([name, { gid }]) => (gid === undefined ? [] : [[gid, name]])),
  )
  const accounts = new Map<string, Account>()
  for (const [name, user] of Object.entries(users)) {
    const named = user.groups ?? []
    const strange = named.find((group) => !Object.hasOwn(groups, group))
    if (strange !== undefined) throw wrong(file, `users.${name}.groups names a group that is not in groups`)
    const gids = new Set([...(user.gids ?? []), ...named.flatMap((group) => groups[group]?.gid ?? [])])
    const numeric = user.gid === undefined ? [] : [user.gid, ...gids]
    const all = new Set([...named, ...numeric.flatMap((gid) => gidNames.get(gid) ?? [])])
    accounts.set(name, {
      name,
      groups: [...all],
      ...(user.uid !== undefined &&
        user.gid !== undefined && { ids: { uid: user.uid, gid: user.gid, gids: [...gids] } }),
      ...(user.passwordHash !== undefined && { passwordHash: user.passwordHash }),
      ...(user.mail !== undefined && { mail: user.mail }),
    })
  }
  const byName = new Map(Object.entries(groups))
  return {
    passwords: new Set([...accounts.values()].flatMap(({ name, passwordHash }) => (passwordHash ? [name] : []))),
    find: async (name) => accounts.get(name),
    async *list() {
      yield* accounts.values()
    },
    findGroup: async (name) => {
      const group = byName.get(name)
      return group === undefined ? undefined : { ...(group.gid !== undefined && { gid: group.gid }) }
    },
  }
}

/** Reads what was checked: mode, owner and bytes are those of one open file. `isOpen`: everybody may read it. */
async function readSafely(file: string): Promise<{ readonly text: string; readonly isOpen: boolean }> {
  try {
    const handle = await open(file, 'r')
    try {
      const stats = await handle.stat()
      if (!stats.isFile()) throw wrong(file, 'is not a regular file')
      if ((stats.mode & 0o022) !== 0) throw wrong(file, 'may be written by its group or by others')
      if (stats.uid !== 0 && stats.uid !== process.geteuid?.()) throw wrong(file, 'belongs to another user')
      if (stats.size > maxFileBytes) throw wrong(file, `is larger than ${maxFileBytes} bytes`)
      return { text: await handle.readFile('utf8'), isOpen: (stats.mode & 0o007) !== 0 }
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof StorageError) throw error
    const { code } = error as { readonly code?: unknown }
    throw new StorageError('invalid', `accounts file ${file} cannot be read (${String(code)})`, { cause: error })
  }
}

function parse(file: string, text: string): Users {
  const document = parseDocument(text, { prettyErrors: false })
  const [problem] = document.errors
  // Messages of the parser may quote the file, which holds password hashes.
  if (problem !== undefined) {
    const line = text.slice(0, problem.pos[0]).split('\n').length
    throw wrong(file, `line ${line}: ${problem.code}`)
  }
  const parsed = schema.safeParse(contentsOf(file, document) ?? {})
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw wrong(file, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is wrong'}`)
}

function contentsOf(file: string, document: ReturnType<typeof parseDocument>): unknown {
  try {
    return document.toJS()
  } catch {
    // Its message may quote the file.
    throw wrong(file, 'has an alias that leads nowhere, or too many')
  }
}

function wrong(file: string, text: string): StorageError {
  return new StorageError('invalid', `accounts file ${file}: ${text}`)
}
