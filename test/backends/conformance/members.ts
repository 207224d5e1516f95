/** Many members of a directory with one call, and the names alone of what a directory holds. */

import type { ListOptions, Member } from '../../../backends/backend.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { type Area, act, apartFromAcl, type Case, fails, hostileNames, lasting } from './area.ts'

type Options = { readonly acls?: boolean; readonly kept?: boolean }

async function look(
  { backend, call }: Area,
  directory: Path,
  names: readonly string[],
  options: Options = {},
): Promise<ReadonlyArray<Member | undefined>> {
  if (!backend.members) throw new Error('the back end has no members')
  return act(backend.members.look(directory, names, options, call))
}

async function namesIn(
  area: Area,
  directory: Path,
  options: ListOptions = { names: true },
): Promise<Map<string, string>> {
  const listing = await act(area.backend.list(directory, options, area.call))
  const names = new Map<string, string>()
  for await (const page of listing.pages()) {
    for (const { name, type } of page) {
      if (names.has(name)) throw new Error(`${name} comes twice`)
      names.set(name, type)
    }
  }
  return names
}

async function versionOf(area: Area, directory: Path): Promise<string | undefined> {
  const listing = await act(area.backend.list(directory, { names: true }, area.call))
  listing.close?.()
  return listing.version
}

export const members: readonly Case[] = [
  {
    name: 'members equal what walks say of them, in the order they are asked for',
    facet: 'members',
    async run(t, area) {
      const files = ['b', 'a', ...hostileNames]
      for (const name of files) await area.write(area.at(name), name)
      await area.mkdir(area.at('directory'))
      await area.world.link?.(area.at('link'), 'a')
      const names = ['none', ...files, 'directory', ...(area.world.link ? ['link'] : []), 'a']
      const found = await look(area, area.base, names, { acls: true })
      t.equal(found.length, names.length)
      for (const [index, name] of names.entries()) {
        const expected = name === 'none' ? undefined : await area.known(area.at(name))
        const { entry } = found[index] ?? {}
        t.same(entry && lasting(entry), expected && lasting(expected), JSON.stringify(name))
      }
      const plain = await look(area, area.base, ['a'])
      t.same(plain[0] && apartFromAcl(plain[0].entry), apartFromAcl(await area.known(area.at('a'))))
    },
  },
  {
    name: 'what is kept with files comes with members',
    facet: 'members',
    async run(t, area) {
      const long = 'x'.repeat(60_000)
      const md5 = Buffer.alloc(16, 1)
      await area.write(area.at('plain'), '1')
      await area.write(area.at('short'), '2', { record: '{}', digests: { md5 } })
      await area.write(area.at('long'), '3', { record: long })
      await area.mkdir(area.at('directory'))
      const names = ['plain', 'short', 'long', 'directory']
      const found = await look(area, area.base, names, { kept: true })
      t.same(found[0]?.kept, { digests: {} })
      t.equal(found[1]?.kept?.record, '{}')
      t.same(Buffer.from(found[1]?.kept?.digests.md5 ?? []), md5)
      t.equal(found[2]?.kept?.record, long)
      t.equal(found[3]?.kept, undefined, 'of files')
      t.equal((await look(area, area.base, ['short']))[0]?.kept, undefined, 'where it was asked for')
      await area.write(area.at('short'), '4')
      t.same((await look(area, area.base, ['short'], { kept: true }))[0]?.kept, { digests: {} }, 'of these very bytes')
    },
  },
  {
    name: 'members of what is no directory fail as a listing of it does',
    facet: 'members',
    async run(t, area) {
      await area.write(area.at('file'), '')
      await fails(t, look(area, area.at('none'), ['a']), 'not-found')
      await fails(t, look(area, area.at('file'), ['a']), 'not-directory')
    },
  },
  {
    name: 'reserved names are no members and are not told',
    facet: 'members',
    async run(t, area) {
      const reserved = area.world.reserved ?? []
      for (const name of reserved) t.equal((await look(area, area.base, [name]))[0], undefined)
      const names = await namesIn(area, area.base)
      for (const name of reserved) t.notOk(names.has(name))
    },
  },
  {
    name: 'names alone are those of the listing, with their types',
    async run(t, area) {
      t.same(await namesIn(area, area.base), new Map())
      for (const name of hostileNames) await area.write(area.at(name), name)
      await area.mkdir(area.at('directory'))
      await area.world.link?.(area.at('link'), 'a')
      t.same(await namesIn(area, area.base), await namesIn(area, area.base, {}))
      await fails(t, namesIn(area, area.at('none')), 'not-found')
      await fails(t, namesIn(area, area.at(hostileNames[0] ?? '')), 'not-directory')
    },
  },
  {
    name: 'names alone of a big directory come once each',
    async run(t, area) {
      const names = Array.from({ length: 5000 }, (_, index) => `entry-${index}`)
      if (area.world.fill) await area.world.fill(area.base, names)
      else for (const name of names) await area.write(area.at(name), '')
      t.same(new Set((await namesIn(area, area.base)).keys()), new Set(names))
    },
  },
  {
    name: 'the version of a listing tells when the names may be others',
    async run(t, area) {
      const before = await versionOf(area, area.base)
      await area.write(area.at('file'), '')
      const between = await versionOf(area, area.base)
      await area.remove(area.at('file'))
      const after = await versionOf(area, area.base)
      const told = [before, between, after].filter((version) => version !== undefined)
      t.equal(new Set(told).size, told.length)
    },
  },
]
