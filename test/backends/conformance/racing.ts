/** Look, decide, act: what changes between look and proceed is stale, or the act concerns what was seen. */

import { buffer } from 'node:stream/consumers'
import type { Test } from 'tap'
import type { Pending } from '../../../backends/backend.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { type Area, type Case, fails } from './area.ts'

/** Puts another file in the place of one. */
async function swap(area: Area, path: Path): Promise<void> {
  await area.write(area.at('substitute'), 'other bytes')
  await area.rename(area.at('substitute'), path)
}

/** Whether the act went through; failing is allowed with these codes only. */
async function tried(t: Test, pending: Pending<unknown>, codes: readonly string[]): Promise<boolean> {
  try {
    await pending.proceed()
    return true
  } catch (error) {
    const code = error instanceof StorageError ? error.code : 'no StorageError'
    t.ok(codes.includes(code), `fails with ${codes.join(' or ')}, found ${code}`)
    return false
  } finally {
    await pending.release()
  }
}

export const racing: readonly Case[] = [
  {
    name: 'a file that took the name after the look is not removed',
    async run(t, area) {
      await area.write(area.at('file'), 'seen')
      const pending = await area.backend.remove(area.at('file'), area.call)
      await swap(area, area.at('file'))
      await tried(t, pending, ['stale', 'not-found'])
      t.equal(await area.text(area.at('file')), 'other bytes')
    },
  },
  {
    name: 'a file that took the name after the look is not opened',
    async run(t, area) {
      await area.write(area.at('file'), 'seen')
      const pending = await area.backend.open(area.at('file'), {}, area.call)
      await swap(area, area.at('file'))
      try {
        const file = await pending.proceed()
        t.equal((await buffer(file.stream({ start: 0, end: 4 }))).toString(), 'seen')
        t.equal(file.entry.id, pending.trail.entry?.id)
        await file.close()
      } catch (error) {
        t.equal(StorageError.from(error).code, 'stale')
      }
      await pending.release()
    },
  },
  {
    name: 'a file that took the name after the look keeps its attributes',
    async run(t, area) {
      await area.write(area.at('file'), 'seen')
      const pending = await area.backend.setAttributes(area.at('file'), { modified: 1_000_000_000n }, area.call)
      await swap(area, area.at('file'))
      await tried(t, pending, ['stale'])
      t.not((await area.known(area.at('file'))).modified, 1_000_000_000n)
    },
  },
  {
    name: 'a file that took the name after the look keeps its ACL',
    facet: 'acls',
    async run(t, area) {
      await area.write(area.at('file'), 'seen')
      const pending = await area.backend.acls?.set(
        area.at('file'),
        area.world.acl ?? { owner: undefined, group: undefined, aces: [], dialect: 'rfc8881' },
        {},
        area.call,
      )
      if (!pending) return
      await swap(area, area.at('file'))
      const before = await area.known(area.at('file'))
      await tried(t, pending, ['stale'])
      t.same((await area.known(area.at('file'))).acl, before.acl)
    },
  },
  {
    name: 'a file that took the name after the look is not moved',
    async run(t, area) {
      await area.write(area.at('file'), 'seen')
      const pending = await area.backend.rename(area.at('file'), area.at('to'), { condition: 'any' }, area.call)
      await swap(area, area.at('file'))
      await tried(t, pending, ['stale', 'not-found'])
      t.equal(await area.text(area.at('file')), 'other bytes')
      t.equal(await area.exists(area.at('to')), false)
    },
  },
  {
    name: 'a file that appeared at the target after the look is not replaced by a rename',
    async run(t, area) {
      await area.write(area.at('from'), 'moving')
      const pending = await area.backend.rename(area.at('from'), area.at('to'), { condition: 'any' }, area.call)
      t.equal(pending.target.entry, undefined)
      await area.write(area.at('to'), 'new here')
      await tried(t, pending, ['stale', 'exists'])
      t.equal(await area.text(area.at('to')), 'new here')
      t.equal(await area.text(area.at('from')), 'moving')
    },
  },
  {
    name: 'a target that was swapped after the look is not replaced by a rename',
    async run(t, area) {
      await area.write(area.at('from'), 'moving')
      await area.write(area.at('to'), 'seen')
      const pending = await area.backend.rename(area.at('from'), area.at('to'), { condition: 'any' }, area.call)
      await swap(area, area.at('to'))
      await tried(t, pending, ['stale'])
      t.equal(await area.text(area.at('to')), 'other bytes')
    },
  },
  {
    name: 'a name that was taken after the look gets no directory',
    async run(t, area) {
      const pending = await area.backend.mkdir(area.at('new'), area.call)
      await area.write(area.at('new'), 'a file')
      await tried(t, pending, ['stale', 'exists'])
      t.equal(await area.text(area.at('new')), 'a file')
    },
  },
  {
    name: 'a directory that took the place of the parent after the look is left alone',
    async run(t, area) {
      await area.mkdir(area.at('parent'))
      await area.write(area.at('parent', 'file'), 'seen')
      const looks = [
        await area.backend.remove(area.at('parent', 'file'), area.call),
        await area.backend.mkdir(area.at('parent', 'new'), area.call),
        await area.backend.setAttributes(area.at('parent', 'file'), { modified: 1_000_000_000n }, area.call),
        await area.backend.rename(area.at('parent', 'file'), area.at('parent', 'to'), { condition: 'any' }, area.call),
      ]
      await area.rename(area.at('parent'), area.at('moved'))
      await area.mkdir(area.at('parent'))
      await area.write(area.at('parent', 'file'), 'other')
      const { modified } = await area.known(area.at('parent', 'file'))
      for (const pending of looks.reverse()) await tried(t, pending, ['stale', 'not-found'])
      t.same(await area.names(area.at('parent')), ['file'])
      t.equal(await area.text(area.at('parent', 'file')), 'other')
      t.equal((await area.known(area.at('parent', 'file'))).modified, modified)
    },
  },
  {
    name: 'a directory that was swapped after the look is not listed for the other',
    async run(t, area) {
      await area.mkdir(area.at('directory'))
      await area.write(area.at('directory', 'seen'), '')
      const pending = await area.backend.list(area.at('directory'), {}, area.call)
      await area.rename(area.at('directory'), area.at('moved'))
      await area.mkdir(area.at('directory'))
      await area.write(area.at('directory', 'other'), '')
      try {
        const names: string[] = []
        for await (const page of (await pending.proceed()).pages()) names.push(...page.map(({ name }) => name))
        t.same(names, ['seen'])
      } catch (error) {
        t.equal(StorageError.from(error).code, 'stale')
      }
      await pending.release()
    },
  },
  {
    name: 'a look alone changes nothing',
    async run(t, area) {
      await area.write(area.at('file'), 'bytes')
      await area.mkdir(area.at('directory'))
      const before = await area.list(area.base, { acls: true })
      const { backend, call } = area
      const looks: ReadonlyArray<Promise<Pending<unknown>>> = [
        backend.list(area.base, {}, call),
        backend.open(area.at('file'), {}, call),
        backend.create(area.at('file'), {}, call),
        backend.create(area.at('new'), {}, call),
        backend.mkdir(area.at('new'), call),
        backend.remove(area.at('file'), call),
        backend.rename(area.at('file'), area.at('new'), { condition: 'any' }, call),
        backend.setAttributes(area.at('file'), { mode: 0o600, modified: 0n }, call),
      ]
      for (const pending of await Promise.all(looks)) await pending.release()
      t.same(await area.list(area.base, { acls: true }), before)
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a refusal after the look is final',
    async run(t, area) {
      const pending = await area.backend.mkdir(area.at('missing', 'new'), area.call)
      await fails(t, pending.proceed(), 'no-parent')
      await pending.release()
      t.same(await area.names(area.base), [])
    },
  },
]
