/** Uploads on real files while the world around them changes: rights, directories, and files that others put there. */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { OffsetError } from '../../gateway/core/uploads.ts'
import { Tap } from '../core/upload-world.ts'
import { alice, callOf, openAcl, storeAclAt } from './backend-world.ts'
import { type Grade, type Ground, groundFor, openWorker, type Worker } from './upload-ground.ts'

t.setTimeout(120_000)
const root = process.getuid?.() === 0 ? false : 'needs root, to switch identities'
const grades: readonly Grade[] = ['gateway', 'native']
const call = callOf(alice)
const bytes = (content: string) => Readable.from([Buffer.from(content)])

async function workerOn(t: Test, ground: Ground, ...rest: [ahead?: () => number, more?: object]): Promise<Worker> {
  const worker = await openWorker(ground, ...rest)
  t.teardown(() => worker.close())
  return worker
}

async function put({ storage }: Worker, path: string, content = 'old'): Promise<void> {
  const writing = await storage.write(call, parsePath(path))
  writing.body.end(content)
  await writing.commit()
}

async function begin({ storage }: Worker, path: string, content = 'abc'): Promise<string> {
  const { id } = await storage.uploads.create(call, parsePath(path))
  await storage.uploads.append(call, id, 0, bytes(content))
  return id
}

const draftIn = (directory: string) => readdirSync(directory).find((name) => name.startsWith('.portolan-')) ?? ''

for (const grade of grades) {
  const options = { skip: grade === 'native' && root }

  t.test(`what was to replace a file that is gone is a new file like any other (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const one = await workerOn(t, ground)
    await put(one, '/data/f')
    await put(one, '/data/plain')
    chmodSync(join(ground.root, 'f'), 0o604)
    const id = await begin(one, '/data/f')
    await one.storage.remove(call, parsePath('/data/f'))
    t.match(await one.storage.uploads.finish(call, id), { created: true })
    const [made, plain] = [statSync(join(ground.root, 'f')), statSync(join(ground.root, 'plain'))]
    t.same([made.mode, made.uid, made.gid], [plain.mode, plain.uid, plain.gid])
    const [{ acl }, like] = [
      await one.storage.stat(call, parsePath('/data/f')),
      await one.storage.stat(call, parsePath('/data/plain')),
    ]
    t.same(acl, like.acl)
    t.equal(readFileSync(join(ground.root, 'f'), 'utf8'), 'abc')
    t.equal(draftIn(ground.root), '')
  })

  t.test(`bytes that a power cut took are asked for again (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const one = await workerOn(t, ground)
    const id = await begin(one, '/data/f', 'abcdef')
    truncateSync(join(ground.root, draftIn(ground.root)), 3)
    const error = await one.storage.uploads.finish(call, id).catch((thrown: unknown) => thrown)
    t.ok(error instanceof OffsetError && error.state.offset === 3)
    await one.storage.uploads.append(call, id, 3, bytes('DEF'))
    await one.storage.uploads.finish(call, id)
    t.equal(readFileSync(join(ground.root, 'f'), 'utf8'), 'abcDEF')
  })

  t.test(`a draft whose mode keeps its owner out goes on (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const one = await workerOn(t, ground)
    const id = await begin(one, '/data/f')
    const draft = join(ground.root, draftIn(ground.root))
    chmodSync(draft, 0o444)
    await one.storage.uploads.append(call, id, 3, bytes('def'))
    t.equal(statSync(draft).mode & 0o777, 0o444)
    await one.storage.uploads.finish(call, id)
    t.equal(readFileSync(join(ground.root, 'f'), 'utf8'), 'abcdef')
    t.equal(one.backend.openHandles, 0)
  })

  t.test(`a directory does not go while something is uploaded into it (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const one = await workerOn(t, ground)
    const directory = parsePath('/data/d')
    await one.storage.mkdir(call, directory)
    await begin(one, '/data/d/left')
    const { id } = await one.storage.uploads.create(call, parsePath('/data/d/f'))
    const tap = new Tap()
    const appending = one.storage.uploads.append(call, id, 0, tap.body)
    await tap.give('abc')
    await t.rejects(one.storage.remove(call, directory), { code: 'busy' })
    t.equal(readdirSync(join(ground.root, 'd')).length, 2, 'also what nobody works on is still there')
    tap.end()
    await appending
    await one.storage.remove(call, directory)
    t.notOk(existsSync(join(ground.root, 'd')))
  })

  t.test(`what is not ours keeps its directory, whatever it is called (${grade})`, options, async (t) => {
    const ground = groundFor(t, grade)
    const one = await workerOn(t, ground)
    const name = '.portolan-stage-'
    const digits = '0123456789abcdef01234567'
    const strange: ReadonlyArray<(directory: string) => void> = [
      (at) => writeFileSync(join(at, `${name}mine`), 'precious'),
      (at) => writeFileSync(join(at, `${name}${digits}.txt`), 'precious'),
      (at) => symlinkSync('/', join(at, `${name}${digits}`)),
      (at) => {
        mkdirSync(join(at, `${name}${digits}`))
        writeFileSync(join(at, `${name}${digits}`, 'f'), 'precious')
      },
    ]
    for (const [index, make] of strange.entries()) {
      const path = parsePath(`/data/d${index}`)
      await one.storage.mkdir(call, path)
      make(join(ground.root, `d${index}`))
      await t.rejects(one.storage.remove(call, path), { code: 'not-empty' })
      t.equal(readdirSync(join(ground.root, `d${index}`)).length, 1)
    }
  })

  t.test(
    `a draft that was moved away with its directory goes when a listing meets it (${grade})`,
    options,
    async (t) => {
      const ground = groundFor(t, grade)
      let ahead = 0
      const one = await workerOn(t, ground, () => ahead)
      await one.storage.mkdir(call, parsePath('/data/d'))
      const id = await begin(one, '/data/d/f')
      renameSync(join(ground.root, 'd'), join(ground.root, 'e'))
      await t.rejects(one.storage.uploads.append(call, id, 3, bytes('x')), { code: 'no-parent' })
      ahead = 3_600_001
      t.equal(await one.storage.sweepUploads(), 1)
      const moved = join(ground.root, 'e')
      writeFileSync(join(moved, '.portolan-stage-of-another-kind'), '')
      const list = async (worker: Worker) => {
        const listing = await worker.storage.list(call, parsePath('/data/e'))
        for await (const page of listing.pages()) t.same(page, [])
        return readdirSync(moved).length
      }
      t.equal(await list(one), 2, 'as long as no age is told nothing goes')
      t.equal(await list(await workerOn(t, ground, undefined, { abandoned: 3_600_000 })), 2, 'what is young stays')
      t.equal(await list(await workerOn(t, ground, undefined, { abandoned: -60_000 })), 1)
      t.same(readdirSync(moved), ['.portolan-stage-of-another-kind'])
    },
  )
}

t.test('the ACL that a directory passes on is that of the moment when the file appears', async (t) => {
  const ground = groundFor(t, 'gateway')
  const one = await workerOn(t, ground)
  const id = await begin(one, '/data/f')
  const [, own] = openAcl.aces
  if (!own) return
  const passed = { type: 'allow', flags: 0x1, mask: 0x120089, who: 'OWNER@' } as const
  storeAclAt(ground.root, { ...openAcl, aces: [own, passed] })
  await one.storage.uploads.finish(call, id)
  await put(one, '/data/plain')
  const { acl } = await one.storage.stat(call, parsePath('/data/f'))
  t.match(acl?.aces, [{ mask: 0x120089, who: 'OWNER@' }])
  t.same(acl, (await one.storage.stat(call, parsePath('/data/plain'))).acl)
})
