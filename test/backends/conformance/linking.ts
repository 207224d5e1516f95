/** Symbolic links, further names of files, and names that change places. */

import type { Test } from 'tap'
import type { Entry, ExchangeFacet, LinkFacet } from '../../../backends/backend.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { type Path, root } from '../../../gateway/core/path.ts'
import { type Area, act, type Case, fails, hostileNames, lasting } from './area.ts'

function linkingOf({ backend }: Area): LinkFacet {
  if (!backend.linking) throw new Error('this back end makes no links')
  return backend.linking
}

function exchangingOf({ backend }: Area): ExchangeFacet {
  if (!backend.exchanging) throw new Error('this back end exchanges nothing')
  return backend.exchanging
}

const symlink = (area: Area, path: Path, target: string): Promise<Entry> =>
  act(linkingOf(area).symlink(path, target, area.call))

async function link(area: Area, file: Path, name: Path): Promise<Entry> {
  const { link } = linkingOf(area)
  if (!link) throw new Error('files have one name here')
  return act(link.call(linkingOf(area), file, name, area.call))
}

const exchange = (area: Area, one: Path, other: Path): Promise<void> =>
  act(exchangingOf(area).exchange(one, other, area.call))

/** The file system has no such rename. */
async function stays(t: Test, area: Area, one: Entry, other: Entry): Promise<void> {
  const [file, inner, directory] = [area.at('one'), area.at('directory', 'other'), area.at('directory')]
  await fails(t, exchange(area, file, inner), 'unsupported', 'two files')
  await fails(t, exchange(area, file, directory), 'unsupported', 'a file and a directory')
  t.same(lasting(await area.known(file)), lasting(one))
  t.same(lasting(await area.known(inner)), lasting(other))
  t.equal(await area.text(file), 'first')
  t.equal(await area.text(inner), 'second')
  t.same(await area.names(area.base), ['directory', 'one'])
}

const symbolic: readonly Case[] = [
  {
    name: 'a symbolic link holds what it was given, and is not followed',
    facet: 'linking',
    async run(t, area) {
      const targets = ['file', '../..', '/etc/passwd', '.', 'a//b/', ' ', 'x'.repeat(4000), ...hostileNames]
      for (const [index, target] of targets.entries()) {
        const path = area.at(`link ${index}`)
        const entry = await symlink(area, path, target)
        t.equal(entry.type, 'symlink')
        t.equal(entry.target, target)
        t.same(lasting(entry), lasting(await area.known(path)))
      }
      await area.write(area.at('file'), 'bytes')
      t.equal((await area.known(area.at('link 0'))).type, 'symlink')
      for (const index of targets.keys()) await area.remove(area.at(`link ${index}`))
      t.equal(await area.text(area.at('file')), 'bytes')
    },
  },
  {
    name: 'a symbolic link takes no name that is taken, and needs a place and a target',
    facet: 'linking',
    async run(t, area) {
      await area.write(area.at('file'), 'bytes')
      await symlink(area, area.at('link'), 'nowhere')
      for (const name of ['file', 'link']) await fails(t, symlink(area, area.at(name), 'file'), 'exists', name)
      await fails(t, symlink(area, area.at('missing', 'link'), 'file'), 'no-parent')
      await fails(t, symlink(area, root, 'file'), 'exists')
      for (const target of ['', 'a\0b', '\ud800']) {
        await fails(t, symlink(area, area.at('new'), target), 'invalid', JSON.stringify(target))
      }
      for (const name of area.world.reserved ?? []) {
        await fails(t, symlink(area, area.at(name), 'x'), ['invalid', 'denied'])
      }
      t.same(await area.names(area.base), ['file', 'link'])
    },
  },
  {
    name: 'the longest target is held, or is refused and makes no link',
    facet: 'linking',
    async run(t, area) {
      const target = 'x'.repeat(4095)
      const made = await symlink(area, area.at('link'), target).catch(StorageError.from)
      if (made instanceof StorageError) t.equal(made.code, 'name-too-long')
      t.same(
        (await area.list(area.base)).map((entry) => entry.target),
        made instanceof StorageError ? [] : [target],
      )
    },
  },
  {
    name: 'of many that make a link of one name one does',
    facet: 'linking',
    async run(t, area) {
      const all = await Promise.allSettled(Array.from({ length: 6 }, (_, i) => symlink(area, area.at('link'), `${i}`)))
      t.equal(all.filter(({ status }) => status === 'fulfilled').length, 1)
    },
  },
]

const hard: readonly Case[] = [
  {
    name: 'a file with two names is one file',
    facet: 'linking',
    async run(t, area) {
      if (!linkingOf(area).link) return
      const { id } = await area.write(area.at('one'), 'bytes')
      await area.mkdir(area.at('directory'))
      const other = area.at('directory', 'other')
      const entry = await link(area, area.at('one'), other)
      t.equal(entry.id, id)
      t.equal(entry.links, 2)
      t.same(lasting(entry), lasting(await area.known(other)))
      t.equal((await area.known(area.at('one'))).links, 2)
      await act(area.backend.setAttributes(other, { modified: 5_000_000_000n }, area.call))
      t.equal((await area.known(area.at('one'))).modified, 5_000_000_000n)
      await area.remove(area.at('one'))
      t.equal(await area.text(other), 'bytes')
      t.equal((await area.known(other)).links, 1)
    },
  },
  {
    name: 'a further name must be free, and only files have them',
    facet: 'linking',
    async run(t, area) {
      if (!linkingOf(area).link) return
      await area.write(area.at('file'), 'bytes')
      await area.mkdir(area.at('directory'))
      await symlink(area, area.at('link'), 'file')
      for (const name of ['file', 'directory', 'link']) {
        await fails(t, link(area, area.at('file'), area.at(name)), 'exists', name)
      }
      await fails(t, link(area, area.at('directory'), area.at('new')), ['is-directory', 'denied'])
      await fails(t, link(area, area.at('link'), area.at('new')), 'denied')
      await fails(t, link(area, area.at('missing'), area.at('new')), 'not-found')
      await fails(t, link(area, area.at('file'), area.at('missing', 'new')), 'no-parent')
      t.same(await area.names(area.base), ['directory', 'file', 'link'])
      t.equal((await area.known(area.at('file'))).links, 1)
    },
  },
]

const exchanging: readonly Case[] = [
  {
    name: 'two objects change places',
    facet: 'exchanging',
    async run(t, area) {
      const one = await area.write(area.at('one'), 'first')
      await area.mkdir(area.at('directory'))
      const other = await area.write(area.at('directory', 'other'), 'second')
      if (area.lacks('exchanging')) return stays(t, area, one, other)
      await exchange(area, area.at('one'), area.at('directory', 'other'))
      t.equal(await area.text(area.at('one')), 'second')
      t.equal(await area.text(area.at('directory', 'other')), 'first')
      t.equal((await area.known(area.at('one'))).id, other.id)
      t.equal((await area.known(area.at('directory', 'other'))).id, one.id)
      await area.mkdir(area.at('second'))
      await exchange(area, area.at('one'), area.at('second'))
      t.equal((await area.known(area.at('one'))).type, 'directory')
      t.equal(await area.text(area.at('second')), 'second')
      await exchange(area, area.at('one'), area.at('one'))
    },
  },
  {
    name: 'only what is there changes places, and nothing with what holds it',
    facet: 'exchanging',
    async run(t, area) {
      await area.write(area.at('file'), 'bytes')
      await area.mkdir(area.at('directory'))
      await area.write(area.at('directory', 'inner'), 'inner')
      await fails(t, exchange(area, area.at('file'), area.at('missing')), 'not-found')
      await fails(t, exchange(area, area.at('missing'), area.at('file')), 'not-found')
      await fails(t, exchange(area, area.at('directory'), area.at('directory', 'inner')), 'invalid')
      await fails(t, exchange(area, area.at('directory', 'inner'), area.at('directory')), 'invalid')
      await fails(t, exchange(area, root, area.at('file')), ['invalid', 'denied'])
      t.same(await area.names(area.base), ['directory', 'file'])
    },
  },
  {
    name: 'what has been replaced since the look does not change places',
    facet: 'exchanging',
    async run(t, area) {
      await area.write(area.at('one'), 'first')
      await area.write(area.at('other'), 'second')
      const pending = await exchangingOf(area).exchange(area.at('one'), area.at('other'), area.call)
      await area.write(area.at('other'), 'third')
      await fails(t, pending.proceed(), 'stale')
      await pending.release()
      t.equal(await area.text(area.at('one')), 'first')
    },
  },
]

/** All cases. */
export const linking: readonly Case[] = [...symbolic, ...hard, ...exchanging]
