/** Writing in place. */

import { buffer } from 'node:stream/consumers'
import type { EditableFile, EditOptions, Entry } from '../../../backends/backend.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { type Area, act, type Case, fails, hostileNames, lasting, pattern } from './area.ts'

async function open(area: Area, path: Path, truncate = false): Promise<EditableFile> {
  const { editing } = area.backend
  if (!editing) throw new Error('this back end does not edit')
  return act(editing.edit(path, { truncate }, area.call))
}

/** Makes the file, or opens it unless that is `exclusive`. As callers do, it looks again when something came between. */
async function make(area: Area, path: Path, create: EditOptions['create'] = { exclusive: false }) {
  const { editing } = area.backend
  if (!editing) throw new Error('this back end does not edit')
  for (let left = 20; ; left--) {
    try {
      return await act(editing.edit(path, { ...(create && { create }) }, area.call))
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'stale' || left === 0) throw error
    }
  }
}

async function textOf(file: EditableFile): Promise<string> {
  const into = Buffer.alloc(1000)
  return into.toString('utf8', 0, await file.read(into, 0))
}

/** Bytes that are changed within one tick of the storage's clock, and are as many, have the version that they had. */
async function clockGoesOn(area: Area, { modified }: Entry): Promise<void> {
  for (;;) if ((await area.write(area.at('clock'), '')).modified > modified) return
}

const exclusive = { exclusive: true }

const making: readonly Case[] = [
  {
    name: 'an edit makes a file and opens it',
    facet: 'editing',
    async run(t, area) {
      for (const [index, create] of [exclusive, { exclusive: false, mode: 0o600 }].entries()) {
        const path = area.at(`file ${index}`)
        const pending = await area.backend.editing?.edit(path, { create }, area.call)
        t.equal(pending?.trail.entry, undefined)
        const file = await pending?.proceed()
        await pending?.release()
        if (!file) throw new Error('this back end does not edit')
        t.equal(file.created, true)
        t.equal(file.entry.size, 0)
        t.same(lasting(await file.stat()), lasting(await area.known(path)))
        await file.write(Buffer.from('bytes'), 0)
        t.equal(await area.text(path), 'bytes')
        t.same(lasting(await file.stat()), lasting(await area.known(path)))
        await file.close()
        t.equal((await area.known(path)).size, 5)
      }
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a file made by an edit has the rights of one that was uploaded',
    facet: 'editing',
    async run(t, area) {
      const uploaded = await area.write(area.at('uploaded'), '')
      const file = await make(area, area.at('made'))
      const made = await area.known(area.at('made'))
      t.same(made.acl, uploaded.acl)
      t.equal(made.mode, uploaded.mode)
      t.same([made.owner, made.group], [uploaded.owner, uploaded.group])
      await file.close()
    },
  },
  {
    name: 'an edit that may make a file opens the one that is there',
    facet: 'editing',
    async run(t, area) {
      await area.write(area.at('file'), 'old')
      const file = await make(area, area.at('file'))
      t.notOk(file.created)
      t.equal(await textOf(file), 'old')
      await file.close()
    },
  },
  {
    name: 'an exclusive edit opens nothing that is there',
    facet: 'editing',
    async run(t, area) {
      await area.write(area.at('file'), 'old')
      await area.mkdir(area.at('directory'))
      await area.world.link?.(area.at('link'), 'nowhere')
      for (const name of ['file', 'directory', ...(area.world.link ? ['link'] : [])]) {
        await fails(t, make(area, area.at(name), exclusive), 'exists', name)
      }
      t.equal(await area.text(area.at('file')), 'old')
      await fails(t, make(area, area.at('directory')), 'is-directory')
    },
  },
  {
    name: 'of many exclusive edits one makes the file',
    facet: 'editing',
    async run(t, area) {
      for (let round = 0; round < 5; round++) {
        const path = area.at(`file ${round}`)
        const all = await Promise.allSettled(Array.from({ length: 8 }, () => make(area, path, exclusive)))
        const files = all.filter(({ status }) => status === 'fulfilled')
        t.equal(files.length, 1)
        for (const one of all) {
          if (one.status === 'fulfilled') await one.value.close()
          else t.equal(StorageError.from(one.reason).code, 'exists')
        }
      }
    },
  },
  {
    name: 'many edits that may make a file have one and the same',
    facet: 'editing',
    async run(t, area) {
      const files = await Promise.all(Array.from({ length: 8 }, () => make(area, area.at('file'))))
      t.equal(files.filter(({ created }) => created).length, 1)
      await Promise.all(files.map((file, index) => file.write(Buffer.from(`${index}`), index)))
      t.equal(await area.text(area.at('file')), '01234567')
      for (const file of files) await file.close()
    },
  },
  {
    name: 'an edit that is released makes nothing',
    facet: 'editing',
    async run(t, area) {
      const pending = await area.backend.editing?.edit(area.at('file'), { create: exclusive }, area.call)
      await pending?.release()
      t.same(await area.names(area.base), [])
    },
  },
  {
    name: 'an edit makes files of any name, but of no reserved one, and in directories only',
    facet: 'editing',
    async run(t, area) {
      for (const name of hostileNames) await (await make(area, area.at(name), exclusive)).close()
      t.same(await area.names(area.base), [...hostileNames].sort())
      for (const name of area.world.reserved ?? [])
        await fails(t, make(area, area.at(name)), ['invalid', 'denied'], name)
      await fails(t, make(area, area.at('missing', 'file')), 'no-parent')
      await fails(t, make(area, area.at('-rf', 'file')), ['no-parent', 'not-directory'])
    },
  },
]

const working: readonly Case[] = [
  {
    name: 'a file open for editing outlives its name',
    facet: 'editing',
    async run(t, area) {
      await area.write(area.at('file'), 'abcdef')
      const file = await open(area, area.at('file'))
      await area.remove(area.at('file'))
      await area.write(area.at('file'), 'another')
      await file.write(Buffer.from('XY'), 4)
      t.equal(await textOf(file), 'abcdXY')
      await file.truncate(2)
      await file.sync()
      t.equal((await file.stat()).size, 2)
      await file.close()
      t.equal(await area.text(area.at('file')), 'another')
    },
  },
  {
    name: 'the attributes of an open file are those of now',
    facet: 'editing',
    async run(t, area) {
      await area.write(area.at('file'), 'abc')
      const file = await open(area, area.at('file'))
      await Promise.all([file.write(Buffer.from('defg'), 3), file.stat(), file.stat(), file.stat()])
      const now = await file.stat()
      t.equal(now.size, 7)
      t.not(now.version, file.entry.version)
      t.same(lasting(now), lasting(await area.known(area.at('file'))))
      await file.close()
    },
  },
  {
    name: 'space is allocated, punched and zeroed',
    facet: 'editing',
    async run(t, area) {
      const bytes = pattern(300_000)
      await area.write(area.at('file'), bytes)
      const file = await open(area, area.at('file'))
      // A file that is left open and has no name any more keeps its directory on NFS.
      t.teardown(() => file.close())
      if (file.allocate) {
        const reserving = file.allocate({ start: 0, end: 400_000 }, 'keep')
        if (area.lacks('reserving')) await fails(t, reserving, 'unsupported', 'more than the size')
        else await reserving
        t.equal((await file.stat()).size, 300_000)
        await file.allocate({ start: 10_000, end: 20_000 }, 'punch')
        await file.allocate({ start: 290_000, end: 310_000 }, 'zero')
        await file.allocate({ start: 0, end: 350_000 }, 'extend')
        const expected = Buffer.alloc(350_000)
        bytes.copy(expected)
        expected.fill(0, 10_000, 20_000)
        expected.fill(0, 290_000)
        t.ok(expected.equals(await area.read(area.at('file'))))
        await fails(t, file.allocate({ start: 5, end: 5 }, 'extend'), 'invalid')
      }
    },
  },
  {
    name: 'data and holes are found, and nothing after the end',
    facet: 'editing',
    async run(t, area) {
      const file = await make(area, area.at('file'))
      if (file.seek) {
        await file.truncate(1_000_000)
        await file.write(Buffer.from('here'), 500_000)
        const data = await file.seek(0, 'data')
        t.ok(data !== undefined && data <= 500_000)
        const hole = await file.seek(500_000, 'hole')
        t.ok(hole !== undefined && hole >= 500_004 && hole <= 1_000_000)
        t.equal(await file.seek(1_000_000, 'data'), undefined)
        t.equal(await file.seek(2_000_000, 'hole'), undefined)
      }
      await file.close()
    },
  },
  {
    name: 'bytes are copied between files and within one',
    facet: 'editing',
    async run(t, area) {
      const bytes = pattern(200_000)
      await area.write(area.at('from'), bytes)
      const source = await act(area.backend.open(area.at('from'), {}, area.call))
      const file = await make(area, area.at('to'))
      if (file.copyFrom) {
        t.equal(await file.copyFrom(source, { start: 0, end: 200_000 }, 10), 200_000)
        t.equal(await file.copyFrom(source, { start: 199_000, end: 900_000 }, 0), 1000, 'as far as there are any')
        t.equal(await file.copyFrom(source, { start: 300_000, end: 900_000 }, 0), 0)
        t.equal(await file.copyFrom(file, { start: 0, end: 100 }, 300_000), 100)
        const expected = Buffer.alloc(300_100)
        bytes.copy(expected, 10)
        bytes.copy(expected, 0, 199_000)
        expected.copy(expected, 300_000, 0, 100)
        t.ok(expected.equals(await area.read(area.at('to'))))
        const other = await open(area, area.at('from'))
        await Promise.all([
          file.copyFrom(other, { start: 0, end: 50_000 }, 0),
          other.copyFrom?.(file, { start: 100_000, end: 150_000 }, 100_000),
          file.stat(),
          other.stat(),
        ])
        await other.close()
      }
      await file.close()
      await source.close()
    },
  },
  {
    name: 'many writes and reads at once each do their own',
    facet: 'editing',
    async run(t, area) {
      const file = await make(area, area.at('file'))
      const parts = Array.from({ length: 50 }, (_, index) => Buffer.alloc(5000, index))
      await Promise.all(parts.map((part, index) => file.write(part, index * 5000)))
      const read = parts.map(() => Buffer.alloc(5000))
      await Promise.all(read.map((into, index) => file.read(into, index * 5000)))
      t.ok(Buffer.concat(parts).equals(Buffer.concat(read)))
      t.equal(await file.read(Buffer.alloc(6000), 49 * 5000), 5000, 'fewer at the end')
      t.equal(await file.read(Buffer.alloc(10), 250_000), 0)
      await file.close()
    },
  },
]

const labels: readonly Case[] = [
  {
    name: 'what is kept of old bytes is not told of new ones that have their time',
    facet: 'editing',
    async run(t, area) {
      const { checksums } = area.backend
      if (!checksums) return
      const change: Record<string, (file: EditableFile) => Promise<unknown>> = {
        write: (file) => file.write(Buffer.from('X'), 0),
        truncate: async (file) => {
          await file.truncate(0)
          await file.truncate(6)
        },
        punch: async (file) => file.allocate?.({ start: 0, end: 3 }, 'punch'),
      }
      for (const [name, work] of Object.entries(change)) {
        const path = area.at(name)
        const { modified, version } = await area.write(path, 'abcdef', { digests: { md5: Buffer.alloc(16, 7) } })
        const file = await open(area, path)
        t.ok((await act(checksums.kept(path, area.call))).md5, 'opening it changes nothing')
        await work(file)
        await file.close()
        const { version: again } = await act(area.backend.setAttributes(path, { modified }, area.call))
        if (again === version) t.same(await act(checksums.kept(path, area.call)), {}, name)
      }
    },
  },
  {
    name: 'digests that are computed between two writes are of the one before',
    facet: 'editing',
    async run(t, area) {
      const { checksums } = area.backend
      if (!checksums) return
      const path = area.at('file')
      await area.write(path, 'first')
      const file = await open(area, path)
      for (let round = 0; round < 8; round++) {
        await file.write(Buffer.from(`text${round}`), 0)
        const [{ md5 }] = await Promise.all([act(checksums.compute(path, ['md5'], area.call)), file.stat()])
        t.ok(md5)
        await file.write(Buffer.from(`TEXT${round}`), 0)
        const kept = (await act(checksums.kept(path, area.call))).md5
        t.notOk(kept && md5 && Buffer.from(kept).equals(md5), `round ${round}`)
      }
      await file.close()
    },
  },
]

const basics: readonly Case[] = [
  {
    name: 'a write in place is seen at once and makes a new version',
    facet: 'editing',
    async run(t, area) {
      const before = await area.write(area.at('file'), 'hello world')
      await clockGoesOn(area, before)
      const file = await open(area, area.at('file'))
      t.equal(await file.write(Buffer.from('WORLD'), 6), 5)
      const into = new Uint8Array(11)
      t.equal(await file.read(into, 0), 11)
      t.equal(Buffer.from(into).toString(), 'hello WORLD')
      await file.sync()
      await file.close()
      t.equal(await area.text(area.at('file')), 'hello WORLD')
      const after = await area.known(area.at('file'))
      t.equal(after.id, before.id)
      t.not(after.version, before.version)
    },
  },
  {
    name: 'writing beyond the end leaves zeros between',
    facet: 'editing',
    async run(t, area) {
      await area.write(area.at('file'), 'ab')
      const file = await open(area, area.at('file'))
      await file.write(Buffer.from('yz'), 6)
      t.equal((await buffer(file.stream({ start: 0, end: 8 }))).toString(), 'ab\0\0\0\0yz')
      await file.close()
      t.equal((await area.known(area.at('file'))).size, 8)
    },
  },
  {
    name: 'truncate makes a file shorter and longer',
    facet: 'editing',
    async run(t, area) {
      await area.write(area.at('file'), 'abcdef')
      const file = await open(area, area.at('file'))
      await file.truncate(3)
      t.equal(await area.text(area.at('file')), 'abc')
      await file.truncate(5)
      await file.close()
      t.equal(await area.text(area.at('file')), 'abc\0\0')
    },
  },
  {
    name: 'a file can be opened empty',
    facet: 'editing',
    async run(t, area) {
      await area.write(area.at('file'), 'abcdef')
      const file = await open(area, area.at('file'), true)
      t.equal((await area.known(area.at('file'))).size, 0)
      await file.write(Buffer.from('new'), 0)
      await file.close()
      t.equal(await area.text(area.at('file')), 'new')
    },
  },
  {
    name: 'an edit that is released truncates nothing',
    facet: 'editing',
    async run(t, area) {
      await area.write(area.at('file'), 'abcdef')
      const pending = await area.backend.editing?.edit(area.at('file'), { truncate: true }, area.call)
      await pending?.release()
      t.equal(await area.text(area.at('file')), 'abcdef')
    },
  },
  {
    name: 'an edit goes on through a rename',
    facet: 'editing',
    async run(t, area) {
      await area.write(area.at('file'), 'abcdef')
      const file = await open(area, area.at('file'))
      await area.rename(area.at('file'), area.at('moved'))
      await file.write(Buffer.from('X'), 0)
      await file.close()
      t.equal(await area.text(area.at('moved')), 'Xbcdef')
    },
  },
  {
    name: 'only a file that is there can be edited',
    facet: 'editing',
    async run(t, area) {
      await fails(t, open(area, area.at('missing')), 'not-found')
      await fails(t, open(area, area.base), 'is-directory')
      t.equal(await area.exists(area.at('missing')), false)
    },
  },
]

/** All cases. */
export const editing: readonly Case[] = [...basics, ...making, ...working, ...labels]
