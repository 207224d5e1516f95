/** Directories, removal, renames and attributes. */

import { act, type Case, fails } from './area.ts'

export const changing: readonly Case[] = [
  {
    name: 'mkdir makes an empty directory',
    async run(t, area) {
      const entry = await area.mkdir(area.at('new'))
      t.equal(entry.type, 'directory')
      t.same(entry, await area.known(area.at('new')))
      t.same(await area.names(area.at('new')), [])
    },
  },
  {
    name: 'mkdir needs a parent and a free name',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      await fails(t, area.mkdir(area.at('file')), 'exists')
      await fails(t, area.mkdir(area.base), 'exists')
      await fails(t, area.mkdir(area.at('missing', 'new')), 'no-parent')
      t.equal(await area.exists(area.at('missing')), false)
    },
  },
  {
    name: 'of many mkdirs of one name exactly one succeeds',
    async run(t, area) {
      const outcomes = await Promise.allSettled([1, 2, 3, 4, 5, 6].map(() => area.mkdir(area.at('new'))))
      t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') t.match(outcome.reason?.code, /^(exists|stale)$/)
      }
    },
  },
  {
    name: 'files and empty directories can be removed',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      await area.mkdir(area.at('directory'))
      await area.remove(area.at('file'))
      await area.remove(area.at('directory'))
      t.same(await area.names(area.base), [])
    },
  },
  {
    name: 'a directory that holds something is not removed',
    async run(t, area) {
      await area.mkdir(area.at('directory'))
      await area.write(area.at('directory', 'file'), 'x')
      await fails(t, area.remove(area.at('directory')), 'not-empty')
      t.equal(await area.text(area.at('directory', 'file')), 'x')
    },
  },
  {
    name: 'what is missing cannot be removed',
    async run(t, area) {
      const pending = await area.backend.remove(area.at('missing'), area.call)
      t.equal(pending.trail.entry, undefined)
      await fails(t, pending.proceed(), 'not-found')
      await pending.release()
      await fails(t, area.remove(area.at('missing', 'more')), 'not-found')
    },
  },
  {
    name: 'the root can be neither removed nor moved nor replaced',
    alone: true,
    async run(t, area) {
      const codes = ['invalid', 'denied', 'exists', 'is-directory', 'busy', 'not-directory'] as const
      await fails(t, area.remove(area.base), codes)
      await area.mkdir(area.at('directory'))
      await area.write(area.at('file'), 'x')
      await fails(t, area.rename(area.base, area.at('directory', 'root')), codes)
      await fails(t, area.rename(area.at('directory'), area.base), [...codes, 'not-empty'])
      await fails(t, area.rename(area.at('file'), area.base), codes)
      await fails(t, area.write(area.base, 'x'), codes)
      await fails(t, area.mkdir(area.base), codes)
      t.same(await area.names(area.base), ['directory', 'file'])
    },
  },
  {
    name: 'a rename keeps id, version and bytes',
    async run(t, area) {
      await area.write(area.at('from'), 'bytes')
      const before = await area.known(area.at('from'))
      const entry = await area.rename(area.at('from'), area.at('to'))
      t.equal(entry.name, 'to')
      t.same(entry, await area.known(area.at('to')))
      t.equal(entry.id, before.id)
      t.equal(entry.version, before.version)
      t.equal(await area.text(area.at('to')), 'bytes')
      t.same(await area.names(area.base), ['to'])
    },
  },
  {
    name: 'a directory moves with all that it holds',
    async run(t, area) {
      await area.mkdir(area.at('from'))
      await area.mkdir(area.at('from', 'inner'))
      await area.write(area.at('from', 'inner', 'file'), 'bytes')
      await area.mkdir(area.at('other'))
      const { id } = await area.known(area.at('from'))
      await area.rename(area.at('from'), area.at('other', 'to'))
      t.equal((await area.known(area.at('other', 'to'))).id, id)
      t.equal(await area.text(area.at('other', 'to', 'inner', 'file')), 'bytes')
      t.equal(await area.exists(area.at('from')), false)
    },
  },
  {
    name: 'a rename replaces a file in one step, unless it must not',
    async run(t, area) {
      await area.write(area.at('from'), 'new')
      await area.write(area.at('to'), 'old')
      await fails(t, area.rename(area.at('from'), area.at('to'), 'absent'), 'exists')
      t.equal(await area.text(area.at('to')), 'old')
      t.equal(await area.text(area.at('from')), 'new')
      const pending = await area.backend.rename(area.at('from'), area.at('to'), { condition: 'any' }, area.call)
      if (!area.backend.enforces(area.call.principal)) t.equal(pending.target.entry?.name, 'to')
      await pending.proceed()
      await pending.release()
      t.equal(await area.text(area.at('to')), 'new')
      t.same(await area.names(area.base), ['to'])
    },
  },
  {
    name: 'of many renames to one free name exactly one succeeds',
    async run(t, area) {
      const names = ['a', 'b', 'c', 'd', 'e']
      for (const name of names) await area.write(area.at(name), name)
      const outcomes = await Promise.allSettled(
        names.map((name) => area.rename(area.at(name), area.at('to'), 'absent')),
      )
      t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') t.match(outcome.reason?.code, /^(exists|stale)$/)
      }
      t.equal((await area.names(area.base)).length, names.length, 'no file is lost')
    },
  },
  {
    name: 'a directory does not move into itself',
    async run(t, area) {
      await area.mkdir(area.at('directory'))
      await area.mkdir(area.at('directory', 'inner'))
      await fails(t, area.rename(area.at('directory'), area.at('directory', 'to')), 'invalid')
      await fails(t, area.rename(area.at('directory'), area.at('directory', 'inner', 'to')), 'invalid')
      t.same(await area.names(area.at('directory')), ['inner'])
    },
  },
  {
    name: 'nothing replaces a directory that it lies in',
    async run(t, area) {
      await area.mkdir(area.at('directory'))
      await area.write(area.at('directory', 'file'), 'x')
      await area.mkdir(area.at('directory', 'inner'))
      await fails(t, area.rename(area.at('directory', 'file'), area.at('directory')), ['not-empty', 'is-directory'])
      await fails(t, area.rename(area.at('directory', 'inner'), area.at('directory')), 'not-empty')
      t.same(await area.names(area.at('directory')), ['file', 'inner'])
    },
  },
  {
    name: 'a rename onto itself changes nothing',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      await area.mkdir(area.at('directory'))
      await area.write(area.at('directory', 'inner'), 'y')
      t.equal((await area.rename(area.at('file'), area.at('file'))).name, 'file')
      await area.rename(area.at('directory'), area.at('directory'))
      await fails(t, area.rename(area.at('file'), area.at('file'), 'absent'), 'exists')
      t.equal(await area.text(area.at('file')), 'x')
      t.equal(await area.text(area.at('directory', 'inner')), 'y')
    },
  },
  {
    name: 'directories replace empty directories only, files replace no directory',
    async run(t, area) {
      for (const name of ['from', 'empty', 'full']) await area.mkdir(area.at(name))
      await area.write(area.at('from', 'inner'), 'x')
      await area.write(area.at('full', 'inner'), 'y')
      await area.write(area.at('file'), 'z')
      await fails(t, area.rename(area.at('from'), area.at('full')), ['not-empty', 'exists'])
      await fails(t, area.rename(area.at('from'), area.at('file')), 'not-directory')
      await fails(t, area.rename(area.at('file'), area.at('empty')), 'is-directory')
      await fails(t, area.rename(area.at('from'), area.at('empty'), 'absent'), 'exists')
      await area.rename(area.at('from'), area.at('empty'))
      t.equal(await area.text(area.at('empty', 'inner')), 'x')
      t.equal(await area.text(area.at('full', 'inner')), 'y')
      t.same(await area.names(area.base), ['empty', 'file', 'full'])
    },
  },
  {
    name: 'a rename needs a source and a parent of the target',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      const pending = await area.backend.rename(area.at('missing'), area.at('to'), { condition: 'any' }, area.call)
      t.equal(pending.trail.entry, undefined)
      t.equal(pending.target.entry, undefined)
      await fails(t, pending.proceed(), 'not-found')
      await pending.release()
      await fails(t, area.rename(area.at('file'), area.at('missing', 'to')), 'no-parent')
      t.same(await area.names(area.base), ['file'])
    },
  },
  {
    name: 'times can be set, and the modification time to the nanosecond',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      const modified = 1_000_000_000_000_000_001n
      const changes = { modified, accessed: 5_000_000_000n }
      const entry = await act(area.backend.setAttributes(area.at('file'), changes, area.call))
      t.equal(entry.modified, modified)
      t.same(entry, await area.known(area.at('file')))
      const now = BigInt(Date.now() - 2000) * 1_000_000n
      const touched = await act(area.backend.setAttributes(area.at('file'), { modified: 'now' }, area.call))
      t.ok(touched.modified > now)
      t.equal(await area.text(area.at('file')), 'x')
    },
  },
  {
    name: 'a new mode is a new change time and no new version',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      const before = await area.known(area.at('file'))
      const after = await act(area.backend.setAttributes(area.at('file'), { mode: 0o640 }, area.call))
      t.equal(after.mode, 0o640)
      t.equal(after.version, before.version)
      t.equal(after.modified, before.modified)
      t.ok(after.changed >= before.changed)
      await area.mkdir(area.at('directory'))
      const sticky = await act(area.backend.setAttributes(area.at('directory'), { mode: 0o1750 }, area.call))
      t.equal(sticky.mode, 0o1750)
      t.equal((await area.known(area.at('directory'))).mode, 0o1750)
    },
  },
  {
    name: 'a file gets no set-user-id, set-group-id or sticky bit',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      const entry = await act(area.backend.setAttributes(area.at('file'), { mode: 0o7755 }, area.call))
      t.equal(entry.mode, 0o755)
      t.equal((await area.known(area.at('file'))).mode, 0o755)
    },
  },
  {
    name: 'attributes of what is missing cannot be set',
    async run(t, area) {
      const pending = await area.backend.setAttributes(area.at('missing'), { modified: 'now' }, area.call)
      t.equal(pending.trail.entry, undefined)
      await fails(t, pending.proceed(), 'not-found')
      await pending.release()
    },
  },
  {
    name: 'a new object belongs to the caller',
    async run(t, area) {
      const [principal] = area.world.principals
      await area.write(area.at('file'), 'x')
      await area.mkdir(area.at('directory'))
      for (const name of ['file', 'directory']) {
        const { acl } = await area.known(area.at(name))
        if (!acl && area.backend.enforces(area.call.principal)) continue
        const names = [principal.user, String(principal.posix?.uid)]
        t.ok(names.includes(acl?.owner), `${name} is owned by ${acl?.owner}`)
      }
    },
  },
]
