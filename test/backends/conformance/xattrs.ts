/** Extended attributes of callers. */

import type { XattrFacet } from '../../../backends/backend.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { type Area, act, type Case, fails, pattern } from './area.ts'

function xattrsOf({ backend }: Area): XattrFacet {
  if (!backend.xattrs) throw new Error('this back end keeps no attributes')
  return backend.xattrs
}

type Condition = 'any' | 'absent' | 'present'

const get = (area: Area, path: Path, name: string) => act(xattrsOf(area).get(path, name, area.call))
const set = (area: Area, path: Path, name: string, value?: Uint8Array, condition: Condition = 'any') =>
  act(xattrsOf(area).set(path, name, value, condition, area.call))
const list = async (area: Area, path: Path) => [...(await act(xattrsOf(area).list(path, area.call)))].sort()

const text = (of: string) => Buffer.from(of)

export const xattrs: readonly Case[] = [
  {
    name: 'attributes are bytes, of files and of directories',
    facet: 'xattrs',
    async run(t, area) {
      await area.write(area.at('file'), 'bytes')
      await area.mkdir(area.at('directory'))
      for (const name of ['file', 'directory']) {
        const path = area.at(name)
        t.same(await list(area, path), [])
        t.equal(await get(area, path, 'mime'), undefined)
        const values = { mime: text('text/plain'), empty: Buffer.alloc(0), binary: pattern(1500) }
        for (const [key, value] of Object.entries(values)) await set(area, path, key, value)
        t.same(await list(area, path), ['binary', 'empty', 'mime'])
        for (const [key, value] of Object.entries(values)) {
          t.ok(value.equals((await get(area, path, key)) ?? text('none')), `${name} ${key}`)
        }
        await set(area, path, 'mime', text('changed'))
        t.equal(Buffer.from((await get(area, path, 'mime')) ?? []).toString(), 'changed')
        await set(area, path, 'mime')
        t.same(await list(area, path), ['binary', 'empty'])
      }
      t.equal(await area.text(area.at('file')), 'bytes')
    },
  },
  {
    name: 'an attribute is set only if it is there, or only if it is not',
    facet: 'xattrs',
    async run(t, area) {
      const path = area.at('file')
      await area.write(path, 'bytes')
      await fails(t, set(area, path, 'key', text('a'), 'present'), 'not-found')
      await fails(t, set(area, path, 'key'), 'not-found')
      await set(area, path, 'key', text('a'), 'absent')
      await fails(t, set(area, path, 'key', text('b'), 'absent'), 'exists')
      await set(area, path, 'key', text('c'), 'present')
      t.equal(Buffer.from((await get(area, path, 'key')) ?? []).toString(), 'c')
    },
  },
  {
    name: 'attributes of ours do not exist for callers',
    facet: 'xattrs',
    async run(t, area) {
      const path = area.at('file')
      const digests = { md5: Buffer.alloc(16, 7) }
      await area.write(path, 'bytes', { digests })
      await act(area.backend.properties?.set(path, new Map([['key', 'value']]), area.call) ?? Promise.reject())
      t.same(await list(area, path), [])
      for (const name of ['portolan.acl', 'portolan.digests', 'portolan.properties', 'portolan.anything']) {
        t.equal(await get(area, path, name), undefined, name)
        await fails(t, set(area, path, name, text('x')), 'denied', name)
        await fails(t, set(area, path, name), ['denied', 'not-found'], name)
      }
      t.same(await act(area.backend.checksums?.kept(path, area.call) ?? Promise.reject()), digests)
    },
  },
  {
    name: 'names of attributes have limits, and so have values',
    facet: 'xattrs',
    async run(t, area) {
      const path = area.at('file')
      await area.write(path, 'bytes')
      const names = ['a b', '"', 'é\u{1f9ed}', '..', 'a/b', 'user.', 'x'.repeat(250)]
      for (const name of names) await set(area, path, name, text('v'))
      t.same(await list(area, path), [...names].sort())
      for (const name of ['', 'a\0b', '\ud800']) {
        await fails(t, set(area, path, name, text('v')), 'invalid', JSON.stringify(name))
      }
      await fails(t, set(area, path, 'x'.repeat(251), text('v')), 'name-too-long')
      await fails(t, set(area, path, 'large', Buffer.alloc(65_537)), 'too-large')
      t.equal((await list(area, path)).length, names.length)
    },
  },
  {
    name: 'an attribute that there is no room for is refused, and all stay what they were',
    facet: 'xattrs',
    async run(t, area) {
      const path = area.at('file')
      await area.write(path, 'bytes')
      const others = await list(area, path)
      const expected = new Map<string, Buffer>([['key', text('value')]])
      await set(area, path, 'key', text('value'))
      for (const name of ['key', 'new']) {
        const value = pattern(65_536)
        const code = await set(area, path, name, value).then(
          () => 'set',
          (error) => StorageError.from(error).code,
        )
        t.ok(['set', 'no-space', 'too-large'].includes(code), `${name}: ${code}`)
        if (code === 'set') expected.set(name, value)
        t.same(await list(area, path), [...others, ...expected.keys()].sort())
        for (const [key, kept] of expected) t.ok(kept.equals((await get(area, path, key)) ?? text('none')), key)
      }
    },
  },
  {
    name: 'attributes go with their object, and a new version has them too',
    facet: 'xattrs',
    async run(t, area) {
      await area.write(area.at('file'), 'bytes')
      await set(area, area.at('file'), 'key', text('value'))
      await area.write(area.at('file'), 'other bytes')
      await area.rename(area.at('file'), area.at('moved'))
      t.same(await list(area, area.at('moved')), ['key'])
      await fails(t, get(area, area.at('file'), 'key'), 'not-found')
      await fails(t, set(area, area.at('file'), 'key', text('v')), 'not-found')
      await fails(t, list(area, area.at('file')), 'not-found')
    },
  },
  {
    name: 'links have no attributes, and are not followed for them',
    facet: 'xattrs',
    async run(t, area) {
      if (!area.world.link) return
      await area.write(area.at('file'), 'bytes')
      await set(area, area.at('file'), 'key', text('value'))
      await area.world.link(area.at('link'), 'file')
      t.same(await list(area, area.at('link')), [])
      t.equal(await get(area, area.at('link'), 'key'), undefined)
      await fails(t, set(area, area.at('link'), 'key', text('x')), ['denied', 'unsupported'])
    },
  },
]
