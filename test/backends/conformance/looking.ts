/** What a walk sees, and that every name is taken as it is. */

import type { Test } from 'tap'
import { type Path, parsePath, root } from '../../../gateway/core/path.ts'
import { type Area, type Case, fails, hostileNames } from './area.ts'

export const looking: readonly Case[] = [
  {
    name: 'the root is a directory without ancestors',
    async run(t, { backend, call }) {
      const trail = await backend.walk(root, call)
      t.same(trail.ancestors, [])
      t.equal(trail.parentExists, true)
      t.equal(trail.entry?.type, 'directory')
      t.equal(trail.entry?.name, '')
    },
  },
  {
    name: 'a walk sees each directory from the root down',
    async run(t, area) {
      await area.mkdir(area.at('a'))
      await area.mkdir(area.at('a', 'b'))
      await area.write(area.at('a', 'b', 'file'), 'x')
      const trail = await area.backend.walk(area.at('a', 'b', 'file'), area.call)
      const base = area.base.slice(1)
      t.same(
        trail.ancestors.map(({ name, type }) => [name, type]),
        ['', base, 'a', 'b'].map((name) => [name, 'directory']),
      )
      t.equal(trail.ancestors[2]?.id, (await area.known(area.at('a'))).id)
      t.equal(trail.parentExists, true)
      t.equal(trail.entry?.name, 'file')
      t.equal(trail.entry?.type, 'file')
      t.equal(trail.entry?.size, 1)
    },
  },
  {
    name: 'a walk to what is missing tells how far it came',
    async run(t, area) {
      await area.mkdir(area.at('a'))
      const near = await area.backend.walk(area.at('a', 'missing'), area.call)
      t.equal(near.entry, undefined)
      t.equal(near.parentExists, true)
      t.equal(near.ancestors.at(-1)?.name, 'a')
      const far = await area.backend.walk(area.at('a', 'missing', 'more', 'yet'), area.call)
      t.equal(far.entry, undefined)
      t.equal(far.parentExists, false)
      t.equal(far.ancestors.at(-1)?.name, 'a')
    },
  },
  {
    name: 'nothing exists below a file',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      const trail = await area.backend.walk(area.at('file', 'below'), area.call)
      t.equal(trail.entry, undefined)
      t.equal(trail.parentExists, false)
      await fails(t, area.read(area.at('file', 'below')), ['not-found', 'not-directory'])
      await fails(t, area.write(area.at('file', 'below'), 'y'), ['no-parent', 'not-directory'])
      await fails(t, area.mkdir(area.at('file', 'below')), ['no-parent', 'not-directory'])
      t.equal(await area.text(area.at('file')), 'x')
    },
  },
  {
    name: 'an entry tells size, times, version and id',
    async run(t, area) {
      const before = BigInt(Date.now() - 2000) * 1_000_000n
      await area.write(area.at('file'), 'twelve bytes')
      const entry = await area.known(area.at('file'))
      const after = BigInt(Date.now() + 2000) * 1_000_000n
      t.equal(entry.size, 12)
      t.ok(entry.modified > before && entry.modified < after, 'the modification time is now, in ns')
      t.ok(entry.changed > before && entry.changed < after, 'the change time is now, in ns')
      t.match(entry.version, /^[!#-[\]-~]+$/, 'the version is ASCII without quotes')
      t.ok(entry.id.length > 0)
      const directory = await area.known(area.base)
      t.equal(directory.size, 0, 'what is not a file has no size')
      t.not(directory.id, entry.id)
    },
  },
  {
    name: 'names of all kinds are kept as they are',
    async run(t, area) {
      for (const name of hostileNames) await keepsName(t, area, name)
      t.same(await area.names(area.base), [...hostileNames].sort())
      for (const name of hostileNames) await area.remove(area.at(name))
      t.same(await area.names(area.base), [])
    },
  },
  {
    name: 'directories of all names hold files',
    async run(t, area) {
      for (const name of hostileNames) {
        await area.mkdir(area.at(name))
        await area.write(area.at(name, name), name)
        t.equal(await area.text(area.at(name, name)), name)
        const moved = area.at(name, 'moved')
        await area.rename(area.at(name, name), moved)
        await area.rename(moved, area.at(name, name), 'absent')
        t.same(await area.names(area.at(name)), [name])
      }
    },
  },
  {
    name: 'case and Unicode form tell names apart',
    async run(t, area) {
      const names = ['readme', 'README', 'e\u0301', '\u00e9', '\u212b', '\u00c5']
      for (const name of names) await area.write(area.at(name), name)
      t.same(await area.names(area.base), [...names].sort())
      for (const name of names) t.equal(await area.text(area.at(name)), name)
    },
  },
  {
    name: 'a path of many names works',
    async run(t, area) {
      let path: Path = area.base
      for (let depth = 0; depth < 60; depth++) {
        path = parsePath(`${path}/directory number ${depth}`)
        await area.mkdir(path)
      }
      const file = parsePath(`${path}/file`)
      await area.write(file, 'deep')
      t.equal(await area.text(file), 'deep')
      t.equal((await area.backend.walk(file, area.call)).ancestors.length, 62)
    },
  },
  {
    name: 'reserved names do not exist for any operation',
    alone: true,
    async run(t, area) {
      for (const name of area.world.reserved ?? []) {
        const path = area.at(name)
        const refused = ['denied', 'invalid', 'not-found'] as const
        t.equal(await area.exists(path), false)
        t.notOk((await area.names(area.base)).includes(name))
        await fails(t, area.list(path), 'not-found', 'list')
        await fails(t, area.read(path), 'not-found', 'open')
        await fails(t, area.remove(path), 'not-found', 'remove')
        await fails(t, area.mkdir(path), refused, 'mkdir')
        await fails(t, area.write(path, 'x'), refused, 'create')
        await area.write(area.at('other'), 'x')
        await fails(t, area.rename(area.at('other'), path), refused, 'rename to')
        await fails(t, area.rename(path, area.at('third')), 'not-found', 'rename from')
        await fails(t, area.read(area.at(name, 'below')), ['not-found', 'denied'], 'below')
        t.same(await area.names(area.base), ['other'])
      }
    },
  },
  {
    name: 'links are shown as links and not followed',
    async run(t, area) {
      if (!area.world.link) return void t.comment('this back end holds no links')
      await area.mkdir(area.at('real'))
      await area.write(area.at('real', 'file'), 'x')
      await area.world.link(area.at('to-file'), 'real/file')
      await area.world.link(area.at('to-directory'), 'real')
      await area.world.link(area.at('away'), '/etc/passwd')
      const types = new Map((await area.list(area.base)).map(({ name, type, target }) => [name, [type, target]]))
      t.same(types.get('to-file'), ['symlink', 'real/file'])
      t.same(types.get('away'), ['symlink', '/etc/passwd'])
      t.equal((await area.known(area.at('to-directory'))).type, 'symlink')
      for (const name of ['to-file', 'away']) await fails(t, area.read(area.at(name)), 'denied', name)
      t.equal(await area.exists(area.at('to-directory', 'file')), false)
      await fails(t, area.read(area.at('to-directory', 'file')), ['denied', 'not-found', 'not-directory'])
      await area.rename(area.at('to-file'), area.at('renamed'))
      await area.remove(area.at('renamed'))
      await area.remove(area.at('to-directory'))
      t.equal(await area.text(area.at('real', 'file')), 'x', 'what a link leads to stays')
    },
  },
]

async function keepsName(t: Test, area: Area, name: string): Promise<void> {
  const path = area.at(name)
  await area.write(path, name)
  const entry = await area.known(path)
  t.equal(entry.name, name)
  t.equal(await area.text(path), name)
}
