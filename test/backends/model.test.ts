/** Random operations by several people, on the memory back end and on a real tree: every answer is the same. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinNames } from 'node:path'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { type Ace, type Acl, aceFlag, right } from '../../acl/acl.ts'
import { type Action, actions } from '../../acl/needs.ts'
import type { Principal } from '../../acl/principal.ts'
import { makeAce } from '../../acl/who.ts'
import type { Backend, EditOptions, Entry } from '../../backends/backend.ts'
import { MemoryBackend } from '../../backends/memory/memory.ts'
import { MemoryAudit } from '../../gateway/core/audit.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath, root } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { alice, bob, makeTree, openAcl } from '../posix/backend-world.ts'

/** Of one run; the seed is in the name of a failure. STEPS and SEEDS in the environment make it longer. */
const steps = Number(process.env.STEPS ?? 700)
const seeds = Array.from({ length: Number(process.env.SEEDS ?? 3) }, (_, index) => index + 1)
const everything = 0x1f01ff

const carol: Principal = { ...bob, id: 'carol', user: 'carol@desy.de', groups: new Set(['p01@desy.de']) }
const reader: Principal = {
  ...alice,
  id: 'reader',
  grants: [{ kind: 'read', path: parsePath('/data/a'), directoryOnly: false }],
}
const people = [alice, alice, alice, alice, bob, carol, reader]

/** Everybody may do a lot, so that random operations get somewhere. */
const rootAcl: Acl = {
  ...openAcl,
  aces: [
    ...openAcl.aces,
    makeAce('allow', aceFlag.fileInherit | aceFlag.directoryInherit, everything, { group: 'p01@desy.de' }),
    makeAce('allow', aceFlag.directoryInherit, right.readData | right.execute | right.addFile, 'EVERYONE@'),
    makeAce('allow', aceFlag.fileInherit | aceFlag.directoryInherit, right.readAttributes | right.readAcl, 'EVERYONE@'),
  ],
}

/** One side of the comparison. */
interface Side {
  readonly storage: Storage
  readonly backend: Backend
}

type Random = (below: number) => number

/** mulberry32: small, and the same everywhere. */
function randomOf(seed: number): Random {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random(list.length)] as T
}

const names = ['a', 'c d', '\u00e9\u{1f9ed}']

function randomPath(random: Random): Path {
  const depth = pick(random, [0, 1, 1, 1, 1, 2, 2, 3])
  return parsePath(`/data${Array.from({ length: depth }, () => `/${pick(random, names)}`).join('')}`)
}

function randomAces(random: Random): Ace[] {
  const whos: readonly Ace['who'][] = [
    'OWNER@',
    'GROUP@',
    'EVERYONE@',
    { user: 'bob@desy.de' },
    { group: 'p01@desy.de' },
  ]
  const some = Array.from({ length: random(4) }, () =>
    makeAce(pick(random, ['allow', 'allow', 'deny']), random(16), random(0x200000) & everything, pick(random, whos)),
  )
  // Or soon nobody could do anything any more.
  const rest = makeAce('allow', aceFlag.fileInherit | aceFlag.directoryInherit, everything, { user: 'alice@desy.de' })
  return random(4) === 0 ? [...some, rest] : [rest, ...some]
}

/** What an answer says, without what must differ: ids, versions and times. */
function seen({ name, type, size, mode, acl, target }: Entry) {
  // A link belongs to the account that made it.
  if (type === 'symlink') return { name, type, target, acl: acl && { aces: acl.aces } }
  return { name, type, size, mode, target, acl: acl && { owner: acl.owner, group: acl.group, aces: acl.aces } }
}

interface Step {
  readonly text: string
  run(side: Side): Promise<unknown>
}

let calls = 0
function callBy(principal: Principal): Call {
  const signal = new AbortController().signal
  return { id: `m${++calls}`, principal, protocol: 'internal', from: '127.0.0.1', signal }
}

async function write({ storage }: Side, by: Principal, path: Path, bytes: string, condition: Condition) {
  const options = { createParents: false, ...conditionsOf(condition) }
  const writing = await storage.write(callBy(by), path, options)
  try {
    await new Promise<void>((resolve, reject) => {
      writing.body.on('error', reject)
      writing.body.end(bytes, resolve)
    })
    const { entry, created } = await writing.commit()
    return { entry: seen(entry), created }
  } catch (error) {
    await writing.discard(error)
    throw error
  }
}

type Condition = 'none' | 'absent' | 'present' | { readonly version: string }

function conditionsOf(condition: Condition) {
  if (condition === 'none') return {}
  if (condition === 'absent') return { conditions: { ifNoneMatch: '*' as const } }
  return { conditions: { ifMatch: condition === 'present' ? ('*' as const) : [condition.version] } }
}

async function read({ storage }: Side, by: Principal, path: Path) {
  const reading = await storage.read(callBy(by), path)
  if (reading.kind !== 'bytes') return { kind: reading.kind }
  try {
    const { entry, content } = reading
    const bytes = content ? Buffer.from(content) : await buffer(reading.stream({ start: 0, end: entry.size }))
    return { entry: seen(entry), text: bytes.toString() }
  } finally {
    await reading.close()
  }
}

/** Opens in place, writes, and tells what the file is then. */
async function edit({ storage }: Side, by: Principal, path: Path, text: string, options: EditOptions) {
  const file = await storage.edit(callBy(by), path, options)
  try {
    const before = await file.stat()
    await file.write(Buffer.from(text), 3)
    if (text.endsWith('7')) await file.truncate(5)
    if (text.endsWith('8')) await file.allocate?.({ start: 2, end: 50 }, 'zero')
    if (text.endsWith('9')) await file.copyFrom?.(file, { start: 0, end: 4 }, 100)
    const into = Buffer.alloc(200)
    const bytes = into.toString('utf8', 0, await file.read(into, 0))
    return { created: file.created === true, before: seen(before), after: seen(await file.stat()), bytes }
  } finally {
    await file.close()
  }
}

async function list({ storage }: Side, by: Principal, path: Path) {
  const { entry, pages } = await storage.list(callBy(by), path, { order: 'name' })
  const entries: unknown[] = []
  for await (const page of pages()) entries.push(...page.map(seen))
  return { entry: seen(entry), entries }
}

/** The version the object has on this side, seen by one who may see everything. */
async function versionOf({ backend }: Side, path: Path): Promise<string> {
  const inner = path === '/data' ? root : parsePath(path.slice('/data'.length))
  return (await backend.walk(inner, callBy(alice))).entry?.version ?? 'none'
}

/** One operation, chosen before either side runs it. */
function randomStep(random: Random): Step {
  const by = pick(random, people)
  const path = randomPath(random)
  const other = randomPath(random)
  const text = `text ${random(1000)}`
  const flag = random(2) === 1
  const condition = pick(random, ['none', 'none', 'none', 'absent', 'present', 'version'] as const)
  // A closed root would close everything.
  const aces = path === '/data' ? rootAcl.aces : randomAces(random)
  const key = `key ${random(3)}`
  const mode = path === '/data' ? 0o777 : pick(random, [0o600, 0o640, 0o755, 0o777, 0o1777, 0o2770])
  const action: Action = pick(random, actions)
  const writing: Step['run'] = async (side) => {
    const given = condition === 'version' ? { version: await versionOf(side, path) } : condition
    return write(side, by, path, text, given)
  }
  const all: Readonly<Record<string, Step['run']>> = {
    stat: async ({ storage }) => seen(await storage.stat(callBy(by), path)),
    read: (side) => read(side, by, path),
    list: (side) => list(side, by, path),
    [`write ${condition}`]: writing,
    'write again': writing,
    'write once more': writing,
    'write any': (side) => write(side, by, path, text, 'none'),
    mkdir: async ({ storage }) => seen(await storage.mkdir(callBy(by), path)),
    'mkdir and again': async ({ storage }) => seen(await storage.mkdir(callBy(by), path)),
    'mkdir again': async ({ storage }) => seen(await storage.mkdir(callBy(by), other)),
    [`remove recursive ${flag}`]: async ({ storage }) => {
      const { failed } = await storage.remove(callBy(by), path, { recursive: flag })
      return failed.map((one) => [one.path, StorageError.from(one.error).code]).sort()
    },
    [`rename to ${other} overwrite ${flag}`]: async ({ storage }) => {
      const { entry, created } = await storage.rename(callBy(by), path, other, { overwrite: flag })
      return { entry: seen(entry), created }
    },
    [`copy to ${other} overwrite ${flag}`]: async ({ storage }) => {
      // A recursive one that is refused in the middle leaves what it got to first, by the order of the listing.
      const { entry, created } = await storage.copy(callBy(by), path, other, { overwrite: flag, recursive: false })
      return { entry: seen(entry), created }
    },
    [`chmod ${mode.toString(8)}`]: async ({ storage }) => seen(await storage.setAttributes(callBy(by), path, { mode })),
    touch: async ({ storage }) => seen(await storage.setAttributes(callBy(by), path, { modified: 5_000_000_000n })),
    getAcl: async ({ storage }) => seen((await storage.getAcl(callBy(by), path)).entry),
    setAcl: async ({ storage }) => {
      const acl = { owner: undefined, group: undefined, dialect: 'rfc8881', aces } as const
      return seen((await storage.setAcl(callBy(by), path, acl)).entry)
    },
    rights: ({ storage }) => storage.rights(callBy(by), path),
    [`explain ${action}`]: async ({ storage }) => (await storage.explain(callBy(by), action, path)).allowed,
    [`edit truncate ${flag}`]: (side) => edit(side, by, path, text, { truncate: flag }),
    [`edit or make, exclusive ${flag}`]: (side) =>
      edit(side, by, path, text, { create: { exclusive: flag, mode: 0o640 } }),
    'edit or make': (side) => edit(side, by, other, text, { create: { exclusive: false } }),
    [`symlink to ${other}`]: async ({ storage }) => seen(await storage.symlink(callBy(by), path, other)),
    [`link ${other}`]: async ({ storage }) => {
      const entry = await storage.link(callBy(by), path, other)
      return { entry: seen(entry), links: entry.links }
    },
    [`exchange with ${other}`]: ({ storage }) => storage.exchange(callBy(by), path, other),
    [`setXattr ${key} ${flag}`]: ({ storage }) =>
      storage.setXattr(callBy(by), path, key, flag ? Buffer.from(text) : undefined, flag ? 'any' : 'present'),
    getXattr: async ({ storage }) => {
      const value = await storage.getXattr(callBy(by), path, key)
      return value && Buffer.from(value).toString()
    },
    listXattrs: async ({ storage }) => [...(await storage.listXattrs(callBy(by), path))].sort(),
    checksum: async ({ storage }) => {
      const { md5 } = await storage.checksum(callBy(by), path, ['md5'])
      return md5 && Buffer.from(md5).toString('hex')
    },
    getProperties: async ({ storage }) => [...(await storage.getProperties(callBy(by), path))].sort(),
    setProperties: ({ storage }) => storage.setProperties(callBy(by), path, new Map([[key, flag ? text : undefined]])),
  }
  const [name, run] = pick(random, Object.entries(all))
  return { text: `${by.id} ${name} ${path}`, run }
}

/** The answer, or the code and the deciding rule. */
async function answerOf(step: Step, side: Side): Promise<unknown> {
  try {
    return { done: await step.run(side) }
  } catch (thrown) {
    if (!(thrown instanceof StorageError)) throw thrown
    if (thrown.code === 'internal') throw thrown.cause ?? thrown
    const reason = StorageError.reasonOf(thrown)
    return { failed: thrown.code, rule: reason?.rule, path: reason?.path, ace: reason?.ace }
  }
}

function storageOf(backend: Backend, spillDirectory: string): Side {
  const mount = {
    at: parsePath('/data'),
    backend,
    base: root,
    enforce: 'gateway',
    readOnly: false,
    anonymous: false,
    createParents: false,
    recall: 'explicit',
    maxInFlight: 100,
    deadline: 20_000,
  } as const
  return {
    backend,
    storage: new Storage({ namespace: new Namespace([mount]), audit: new MemoryAudit(), spillDirectory }),
  }
}

for (const seed of seeds) {
  t.test(`memory and a real tree answer alike, seed ${seed}`, async (t) => {
    const spill = mkdtempSync(joinNames(tmpdir(), 'portolan-model-'))
    const tree = await makeTree({ grade: 'gateway', sync: 'never', acl: ['xattr'] })
    const memory = new MemoryBackend(openAcl)
    t.teardown(async () => {
      await tree.end()
      rmSync(spill, { recursive: true })
    })
    const sides = [storageOf(memory, spill), storageOf(tree.backend, spill)] as const
    for (const { storage } of sides) await storage.setAcl(callBy(alice), parsePath('/data'), rootAcl)
    const random = randomOf(seed)
    const outcomes = { done: 0, failed: 0 }
    for (let number = 0; number < steps; number++) {
      const step = randomStep(random)
      const [model, real] = await Promise.all(sides.map((side) => answerOf(step, side)))
      if (!t.strictSame(real, model, `step ${number}: ${step.text}`)) break
      if (typeof model === 'object' && model !== null && 'done' in model) outcomes.done++
      else outcomes.failed++
    }
    t.ok(outcomes.done > steps / 4 && outcomes.failed > steps / 4, `both happen: ${JSON.stringify(outcomes)}`)
    t.same(tree.leftovers(), [])
  })
}
