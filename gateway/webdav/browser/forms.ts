/** The small forms of a directory's page: a new folder, and the buttons of its rows. Each does one thing in one call. */

import { StorageError } from '../../core/errors.ts'
import { nameOf, type Path } from '../../core/path.ts'
import { formToken, requireFormToken } from '../../http/csrf.ts'
import type { Exchange } from '../../http/exchange.ts'
import { parseQuery } from '../../http/query.ts'
import { receiveWhole } from '../../http/receive.ts'
import { encodePath } from '../../http/target.ts'
import { type Chosen, deletePage, outcomePage, renamePage } from '../../web/form-pages.ts'
import { aboutPage, mediaTypeOf, requireDirectory, sendBack, sendPage, whyWords } from './answering.ts'
import { decodeName, pathIn } from './names.ts'

/** Bytes of a form; every one of ours is smaller. */
const maxForm = 16 * 1024

const fields = ['csrf', 'mkdir', 'delete', 'rename', 'stage', 'to', 'confirmed', 'all', 'version'] as const
type Fields = Readonly<Partial<Record<(typeof fields)[number], string>>>

export function isForm(x: Exchange): boolean {
  return mediaTypeOf(x) === 'application/x-www-form-urlencoded'
}

/** Answers a small form: with a question where one is to be asked, else back to the directory. */
export async function takeForm(x: Exchange): Promise<void> {
  requireDirectory(x)
  const body = await receiveWhole(x, maxForm)
  const form = parseQuery(body.toString('latin1'), fields)
  requireFormToken(x, form.csrf)
  const wishes = acts.filter(([field]) => form[field] !== undefined)
  const [wish, second] = wishes
  if (!wish || second) throw new StorageError('invalid', 'the form asks for nothing, or for two things')
  const [field, act] = wish
  await act(x, form[field] ?? '', form)
}

type Act = (x: Exchange, name: string, form: Fields) => Promise<void>

const acts: ReadonlyArray<readonly ['mkdir' | 'delete' | 'rename' | 'stage', Act]> = [
  ['mkdir', makeFolder],
  ['delete', (x, name, form) => (form.confirmed === undefined ? askDelete(x, name) : remove(x, name, form))],
  ['rename', (x, name, form) => (form.to === undefined ? askRename(x, name) : rename(x, name, form.to))],
  ['stage', stage],
]

async function makeFolder(x: Exchange, name: string): Promise<void> {
  x.action = 'mkdir'
  const path = pathIn(x.path, name)
  await at(x, path, () => x.door.storage.mkdir(x.call, path))
  await sendBack(x, 'made')
}

async function askDelete(x: Exchange, encoded: string): Promise<void> {
  await sendPage(x, 200, deletePage(await chosen(x, encoded)))
}

async function remove(x: Exchange, encoded: string, { all, version }: Fields): Promise<void> {
  x.action = 'remove'
  const path = pathOf(x, encoded)
  const options = {
    recursive: all !== undefined,
    ...(version !== undefined && { conditions: { ifMatch: [version] } }),
  }
  const { failed } = await at(x, path, () => x.door.storage.remove(x.call, path, options))
  if (failed.length === 0) return sendBack(x, 'deleted')
  const refused = failed.map((each) => ({ name: each.path, why: whyWords(StorageError.from(each.error)) }))
  await sendPage(x, 200, outcomePage({ ...aboutPage(x), done: [], refused, verb: 'deleted' }))
}

async function askRename(x: Exchange, encoded: string): Promise<void> {
  await sendPage(x, 200, renamePage(await chosen(x, encoded)))
}

async function rename(x: Exchange, encoded: string, to: string): Promise<void> {
  x.action = 'move-away'
  const from = pathOf(x, encoded)
  const target = pathIn(x.path, to)
  await at(x, from, () => x.door.storage.rename(x.call, from, target, { overwrite: false }))
  await sendBack(x, 'renamed')
}

async function stage(x: Exchange, encoded: string): Promise<void> {
  x.action = 'stage'
  const { staging } = x.door.storage
  const wanted = pathOf(x, encoded)
  const id = await at(x, wanted, () => staging.stage(x.call, [{ path: wanted }]))
  const { files } = await staging.progress(x.call, id)
  const failed = files.filter(({ state }) => state === 'failed')
  if (failed.length === 0) return sendBack(x, 'staged')
  const refused = failed.map(({ path, error }) => ({ name: nameOf(path), why: error ?? 'the storage refused it' }))
  await sendPage(x, 200, outcomePage({ ...aboutPage(x), done: [], refused, verb: 'asked for' }))
}

function pathOf(x: Exchange, encoded: string): Path {
  return pathIn(x.path, decodeName(encoded))
}

/** A failure is one of the path that it concerns, not of the directory. */
async function at<T>(x: Exchange, path: Path, work: () => Promise<T>): Promise<T> {
  const { path: directory, slash } = x
  Object.assign(x, { path, slash: false })
  const result = await work()
  Object.assign(x, { path: directory, slash })
  return result
}

/** The entry that a button belongs to, as it is now. */
async function chosen(x: Exchange, encoded: string): Promise<Chosen> {
  const path = pathOf(x, encoded)
  const { type, version } = await at(x, path, () => x.door.storage.stat(x.call, path))
  const name = nameOf(path)
  const about = { ...aboutPage(x), token: formToken(x), name, encoded: encodePath(name), type }
  return type === 'directory' ? about : { ...about, version }
}
