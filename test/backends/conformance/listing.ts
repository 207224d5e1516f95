/** Listings: complete, each name once, each entry as a walk would tell it. */

import type { Entry } from '../../../backends/backend.ts'
import { act, apartFromAcl, type Case, fails, lasting } from './area.ts'

export const listing: readonly Case[] = [
  {
    name: 'an empty directory lists nothing',
    async run(t, area) {
      t.same(await area.list(area.base), [])
    },
  },
  {
    name: 'a list entry equals what a walk says of that object',
    async run(t, area) {
      await area.write(area.at('file'), 'some bytes')
      await area.mkdir(area.at('directory'))
      await area.write(area.at('directory', 'inner'), '')
      await area.world.link?.(area.at('link'), 'file')
      const entries = await area.list(area.base, { acls: true })
      t.equal(entries.length, area.world.link ? 3 : 2)
      for (const entry of entries) t.same(lasting(entry), lasting(await area.known(area.at(entry.name))), entry.name)
    },
  },
  {
    name: 'a listing without ACLs tells the same otherwise',
    async run(t, area) {
      await area.write(area.at('file'), 'some bytes')
      await area.mkdir(area.at('directory'))
      const byName = (a: Entry, b: Entry) => (a.name < b.name ? -1 : 1)
      const plain = (await area.list(area.base)).sort(byName)
      const full = (await area.list(area.base, { acls: true })).sort(byName)
      t.same(plain.map(apartFromAcl), full.map(apartFromAcl))
    },
  },
  {
    name: 'a big directory lists each name once, in pages',
    async run(t, area) {
      const names = Array.from({ length: 5000 }, (_, index) => `entry-${index}`)
      if (area.world.fill) await area.world.fill(area.base, names)
      else for (const name of names) await area.write(area.at(name), '')
      const listing = await act(area.backend.list(area.base, {}, area.call))
      const seen: string[] = []
      let pages = 0
      for await (const page of listing.pages()) {
        pages++
        t.ok(page.length <= 4096, 'a page is bounded')
        seen.push(...page.map(({ name }) => name))
      }
      t.ok(pages > 1, `${pages} pages`)
      t.equal(seen.length, names.length)
      t.same(new Set(seen), new Set(names))
    },
  },
  {
    name: 'changes during a listing show no name twice and hide none that stays',
    async run(t, area) {
      const stay = Array.from({ length: 1500 }, (_, index) => `stay-${index}`)
      if (area.world.fill) await area.world.fill(area.base, stay)
      else for (const name of stay) await area.write(area.at(name), '')
      const listing = await act(area.backend.list(area.base, {}, area.call))
      const seen: string[] = []
      let round = 0
      for await (const page of listing.pages()) {
        seen.push(...page.map(({ name }) => name))
        await area.write(area.at(`new-${round}`), '')
        if (round > 0) await area.remove(area.at(`new-${round - 1}`))
        round++
      }
      t.equal(new Set(seen).size, seen.length, 'no name twice')
      t.same(
        stay.filter((name) => !seen.includes(name)),
        [],
      )
    },
  },
  {
    name: 'a listing that nobody reads to its end lets go',
    async run(t, area) {
      for (const name of ['a', 'b', 'c']) await area.write(area.at(name), '')
      for (let round = 0; round < 20; round++) {
        const listing = await act(area.backend.list(area.base, {}, area.call))
        for await (const page of listing.pages()) {
          t.ok(page.length > 0)
          break
        }
      }
      const pending = await area.backend.list(area.base, {}, area.call)
      await pending.release()
      for (const name of ['a', 'b', 'c']) await area.remove(area.at(name))
      await area.remove(area.base)
    },
  },
  {
    name: 'only a directory can be listed, and proceed says so',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      const onFile = await area.backend.list(area.at('file'), {}, area.call)
      t.equal(onFile.trail.entry?.type ?? 'file', 'file')
      await fails(t, onFile.proceed(), 'not-directory')
      await onFile.release()
      const onNothing = await area.backend.list(area.at('missing'), {}, area.call)
      t.equal(onNothing.trail.entry, undefined)
      await fails(t, onNothing.proceed(), 'not-found')
      await onNothing.release()
      await fails(t, area.list(area.at('missing', 'more')), 'not-found')
    },
  },
]
