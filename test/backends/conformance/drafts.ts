/** Drafts: nobody sees half a file, conditions hold at the step that makes it visible, nothing is left behind. */

import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import type { CommitCondition, Entry, Trail } from '../../../backends/backend.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { type Area, act, type Case, fails, pattern, pour } from './area.ts'

/** How many of these commits went through; the others must have failed with one of the codes. */
async function winners(t: Test, commits: ReadonlyArray<Promise<Entry>>, codes: readonly string[]) {
  const outcomes = await Promise.allSettled(commits)
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') t.ok(codes.includes(outcome.reason?.code), `lost with ${outcome.reason?.code}`)
  }
  return outcomes.filter(({ status }) => status === 'fulfilled').length
}

async function untouched(t: Test, area: Area, path: Parameters<Area['text']>[0], text: string) {
  t.equal(await area.text(path), text, 'the old bytes are there')
  t.same(await area.leftovers(), [], 'nothing is left behind')
}

export const drafts: readonly Case[] = [
  {
    name: 'a draft is invisible until it is committed',
    async run(t, area) {
      const draft = await area.draft(area.at('file'), 'bytes')
      t.equal(await area.exists(area.at('file')), false)
      t.same(await area.names(area.base), [])
      const entry = await area.commit(draft)
      t.equal(entry.name, 'file')
      t.same(entry, await area.known(area.at('file')), 'commit tells the entry as it is')
      t.same(await area.names(area.base), ['file'])
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a reader sees the old file until the new one is committed',
    async run(t, area) {
      await area.write(area.at('file'), 'old')
      const draft = await area.draft(area.at('file'), 'new bytes')
      t.equal(await area.text(area.at('file')), 'old')
      await area.commit(draft)
      t.equal(await area.text(area.at('file')), 'new bytes')
    },
  },
  {
    name: 'a discarded draft leaves no trace',
    async run(t, area) {
      const empty = await act(area.backend.create(area.at('file'), {}, area.call))
      await empty.discard()
      const half = await act(area.backend.create(area.at('file'), { size: 1000 }, area.call))
      half.body.write('half')
      await half.discard()
      const whole = await area.draft(area.at('file'), pattern(200_000))
      await whole.discard()
      await whole.discard()
      t.same(await area.names(area.base), [])
      t.same(await area.leftovers(), [])
      await area.remove(area.base)
    },
  },
  {
    name: 'a pending create that is released leaves no trace',
    async run(t, area) {
      const pending = await area.backend.create(area.at('file'), {}, area.call)
      t.equal(pending.trail.entry, undefined)
      await pending.release()
      t.same(await area.names(area.base), [])
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'discarding after the commit undoes nothing',
    async run(t, area) {
      const draft = await area.draft(area.at('file'), 'bytes')
      await area.commit(draft)
      await draft.discard()
      await untouched(t, area, area.at('file'), 'bytes')
    },
  },
  {
    name: 'a draft can be committed once',
    async run(t, area) {
      const draft = await area.draft(area.at('file'), 'bytes')
      await area.commit(draft)
      await fails(t, area.commit(draft), 'invalid')
      const discarded = await area.draft(area.at('other'), 'bytes')
      await discarded.discard()
      await fails(t, area.commit(discarded), 'invalid')
      t.same(await area.names(area.base), ['file'])
    },
  },
  {
    name: 'a body that did not end is not committed',
    async run(t, area) {
      await area.write(area.at('file'), 'old')
      const open = await act(area.backend.create(area.at('file'), {}, area.call))
      open.body.write('half')
      await fails(t, area.commit(open), 'invalid')
      await open.discard()
      const broken = await act(area.backend.create(area.at('file'), {}, area.call))
      broken.body.on('error', () => {})
      broken.body.write('half')
      broken.body.destroy(new StorageError('cancelled', 'the sender has gone'))
      await fails(t, area.commit(broken), ['cancelled', 'invalid'])
      await broken.discard()
      await untouched(t, area, area.at('file'), 'old')
    },
  },
  {
    name: 'a body in odd pieces arrives whole',
    async run(t, area) {
      const bytes = pattern(3_000_001)
      const chunks: Buffer[] = []
      for (let at = 0, step = 1; at < bytes.length; at += step, step = (step * 3 + 1) % 100_003) {
        chunks.push(bytes.subarray(at, at + step))
      }
      const draft = await act(area.backend.create(area.at('file'), {}, area.call))
      await pour(draft, chunks)
      t.equal((await area.commit(draft)).size, bytes.length)
      const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex')
      t.equal(hash(await area.read(area.at('file'))), hash(bytes))
    },
  },
  {
    name: 'absent makes a file only where there is none',
    async run(t, area) {
      await area.writeIf(area.at('file'), 'first', 'absent')
      await fails(t, area.writeIf(area.at('file'), 'second', 'absent'), 'exists')
      await untouched(t, area, area.at('file'), 'first')
    },
  },
  {
    name: 'of many commits that must be the first exactly one is',
    async run(t, area) {
      const made = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((number) => area.draft(area.at('file'), `${number}`)))
      const commits = made.map((draft) => area.commit(draft, { condition: 'absent' }))
      t.equal(await winners(t, commits, ['exists']), 1)
      await Promise.all(made.map((draft) => draft.discard()))
      t.match(await area.text(area.at('file')), /^[1-8]$/)
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'present replaces only what is there',
    async run(t, area) {
      await fails(t, area.writeIf(area.at('file'), 'x', 'present'), 'precondition')
      t.equal(await area.exists(area.at('file')), false)
      await area.write(area.at('file'), 'old')
      await area.writeIf(area.at('file'), 'new', 'present')
      await untouched(t, area, area.at('file'), 'new')
    },
  },
  {
    name: 'a list of versions replaces only one of these',
    async run(t, area) {
      const first = await area.write(area.at('file'), 'first')
      const second = await area.writeIf(area.at('file'), 'second', { versions: ['other', first.version] })
      t.not(second.version, first.version)
      await fails(t, area.writeIf(area.at('file'), 'third', { versions: [first.version] }), 'precondition')
      await fails(t, area.writeIf(area.at('file'), 'third', { versions: [] }), 'precondition')
      await fails(t, area.writeIf(area.at('none'), 'x', { versions: [first.version] }), 'precondition')
      t.equal(await area.exists(area.at('none')), false)
      await untouched(t, area, area.at('file'), 'second')
    },
  },
  {
    name: 'of many commits over one version exactly one goes through',
    async run(t, area) {
      const { version } = await area.write(area.at('file'), 'old')
      const made = await Promise.all([1, 2, 3, 4, 5, 6].map((number) => area.draft(area.at('file'), `new ${number}`)))
      const condition: CommitCondition = { versions: [version] }
      const commits = made.map((draft) => area.commit(draft, { condition }))
      t.equal(await winners(t, commits, ['precondition']), 1)
      await Promise.all(made.map((draft) => draft.discard()))
      t.match(await area.text(area.at('file')), /^new [1-6]$/)
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'the condition is about the moment of the commit',
    async run(t, area) {
      const draft = await area.draft(area.at('file'), 'late')
      await area.write(area.at('file'), 'early')
      await fails(t, area.commit(draft, { condition: 'absent' }), 'exists')
      await draft.discard()
      await untouched(t, area, area.at('file'), 'early')
      const second = await area.draft(area.at('file'), 'late')
      await area.remove(area.at('file'))
      await fails(t, area.commit(second, { condition: 'present' }), 'precondition')
      await second.discard()
      t.equal(await area.exists(area.at('file')), false)
    },
  },
  {
    name: 'decide sees the target as it is at the commit, and its no leaves the old file',
    async run(t, area) {
      const draft = await area.draft(area.at('file'), 'new')
      const { version } = await area.write(area.at('file'), 'old')
      const seen: Trail[] = []
      const no = new StorageError('denied', 'not any more')
      const refusal = area.commit(draft, {
        decide: (trail) => {
          seen.push(trail)
          throw no
        },
      })
      await t.rejects(refusal, no)
      await draft.discard()
      const last = seen.at(-1)
      if (!area.backend.enforces(area.call.principal)) {
        t.equal(last?.entry?.version, version)
        t.equal(last?.parentExists, true)
      }
      await untouched(t, area, area.at('file'), 'old')
    },
  },
  {
    name: 'what cannot be written says so before the body',
    async run(t, area) {
      await area.mkdir(area.at('directory'))
      const start = (path: Parameters<Area['text']>[0]) => act(area.backend.create(path, {}, area.call))
      await fails(t, start(area.at('missing', 'file')), 'no-parent')
      await fails(t, start(area.at('directory')), 'is-directory')
      const pending = await area.backend.create(area.at('missing', 'file'), {}, area.call)
      t.equal(pending.trail.parentExists, false)
      await pending.release()
    },
  },
  {
    name: 'a directory that took the name meanwhile is not replaced',
    async run(t, area) {
      const draft = await area.draft(area.at('name'), 'bytes')
      await area.mkdir(area.at('name'))
      await fails(t, area.commit(draft), ['is-directory', 'exists'])
      await draft.discard()
      t.equal((await area.known(area.at('name'))).type, 'directory')
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a parent that went away meanwhile gets no file',
    async run(t, area) {
      await area.mkdir(area.at('parent'))
      const draft = await area.draft(area.at('parent', 'file'), 'bytes')
      await area.rename(area.at('parent'), area.at('moved'))
      await area.mkdir(area.at('parent'))
      await fails(t, area.commit(draft), ['stale', 'no-parent', 'not-found'])
      await draft.discard()
      t.same(await area.names(area.at('parent')), [])
      t.same(await area.names(area.at('moved')), [])
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'replacing a file keeps its owner, group, mode and ACL',
    async run(t, area) {
      await area.write(area.at('file'), 'old')
      await act(area.backend.setAttributes(area.at('file'), { mode: 0o640 }, area.call))
      const before = await area.known(area.at('file'))
      const after = await area.write(area.at('file'), 'new')
      t.same(after.acl, before.acl)
      t.equal(after.mode, before.mode)
      t.not(after.version, before.version)
    },
  },
  {
    name: 'a modification time that is given is kept to the nanosecond',
    async run(t, area) {
      const modified = 1_234_567_890_123_456_789n
      const entry = await area.write(area.at('file'), 'x', { modified })
      t.equal(entry.modified, modified)
      t.equal((await area.known(area.at('file'))).modified, modified)
    },
  },
  {
    name: 'equal bytes written twice are two versions',
    async run(t, area) {
      const versions = new Set<string>()
      for (let round = 0; round < 5; round++) versions.add((await area.write(area.at('file'), 'same')).version)
      t.equal(versions.size, 5)
    },
  },
]
