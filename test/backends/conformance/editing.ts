/** Writing in place. */

import { buffer } from 'node:stream/consumers'
import type { EditableFile } from '../../../backends/backend.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { type Area, act, type Case, fails } from './area.ts'

async function open(area: Area, path: Path, truncate = false): Promise<EditableFile> {
  const { editing } = area.backend
  if (!editing) throw new Error('this back end does not edit')
  return act(editing.edit(path, { truncate }, area.call))
}

export const editing: readonly Case[] = [
  {
    name: 'a write in place is seen at once and makes a new version',
    facet: 'editing',
    async run(t, area) {
      const before = await area.write(area.at('file'), 'hello world')
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
