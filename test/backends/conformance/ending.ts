/** Callers who go away, and the end of the back end. */

import { buffer } from 'node:stream/consumers'
import { finished } from 'node:stream/promises'
import type { LinkFacet, Pending } from '../../../backends/backend.ts'
import type { Call } from '../../../gateway/core/call.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { type Area, act, type Case, fails, pattern } from './area.ts'

/** Every operation once, each on something of its own. */
function everything(area: Area, call: Call): ReadonlyArray<readonly [string, Look]> {
  const { backend } = area
  const { editing, linking, exchanging, xattrs } = backend
  return [
    ['list', () => backend.list(area.base, {}, call)],
    ['open', () => backend.open(area.at('file'), {}, call)],
    ['create', () => backend.create(area.at('created'), {}, call)],
    ['mkdir', () => backend.mkdir(area.at('made'), call)],
    ['remove', () => backend.remove(area.at('file'), call)],
    ['rename', () => backend.rename(area.at('file'), area.at('moved'), { condition: 'any' }, call)],
    ['setAttributes', () => backend.setAttributes(area.at('file'), { modified: 'now' }, call)],
    ...optional('edit', editing && (() => editing.edit(area.at('edited'), { create: { exclusive: true } }, call))),
    ...optional('symlink', linking && (() => linking.symlink(area.at('link'), 'file', call))),
    ...optional('link', linking?.link && (async () => linked(linking, area, call))),
    ...optional('exchange', exchanging && (() => exchanging.exchange(area.at('file'), area.at('file'), call))),
    ...optional('set', xattrs && (() => xattrs.set(area.at('file'), 'key', Buffer.from('value'), 'any', call))),
  ]
}

type Look = () => Promise<Pending<unknown>>

function optional(name: string, look: Look | undefined): ReadonlyArray<readonly [string, Look]> {
  return look ? [[name, look]] : []
}

async function linked(linking: LinkFacet, area: Area, call: Call): Promise<Pending<unknown>> {
  const pending = await linking.link?.(area.at('file'), area.at('other name'), call)
  if (!pending) throw new Error('files have one name here')
  return pending
}

export const ending: readonly Case[] = [
  {
    name: 'a caller who has gone starts nothing',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      const before = await area.list(area.base)
      const call = area.as(0, AbortSignal.abort())
      await fails(t, area.backend.walk(area.base, call), 'cancelled', 'walk')
      for (const [name, look] of everything(area, call)) await fails(t, act(look()), 'cancelled', name)
      t.same(await area.list(area.base), before)
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a caller who goes after the look changes nothing',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      const before = await area.list(area.base)
      const controller = new AbortController()
      const looks: Array<readonly [string, Pending<unknown>]> = []
      for (const [name, look] of everything(area, area.as(0, controller.signal))) looks.push([name, await look()])
      controller.abort()
      for (const [name, pending] of looks) {
        await fails(t, pending.proceed(), 'cancelled', name)
        await pending.release()
      }
      t.same(await area.list(area.base), before)
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'the reason of an abort is told if it is one of ours',
    async run(t, area) {
      const call = area.as(0, AbortSignal.abort(new StorageError('timeout', 'too slow')))
      await fails(t, area.backend.walk(area.base, call), 'timeout')
    },
  },
  {
    name: 'a caller who goes ends its streams and its drafts',
    async run(t, area) {
      await area.write(area.at('file'), pattern(2_000_000))
      const controller = new AbortController()
      const call = area.as(0, controller.signal)
      const file = await act(area.backend.open(area.at('file'), {}, call))
      const stream = file.stream({ start: 0, end: 2_000_000 })
      const draft = await act(area.backend.create(area.at('new'), {}, call))
      draft.body.on('error', () => {})
      await new Promise((resolve) => draft.body.write(pattern(1000), resolve))
      controller.abort()
      await fails(t, buffer(stream), 'cancelled', 'stream')
      draft.body.end()
      await finished(draft.body).catch(() => {})
      await fails(t, area.commit(draft), 'cancelled', 'commit')
      await draft.discard()
      await file.close()
      t.same(await area.names(area.base), ['file'])
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a caller who goes ends its listing',
    async run(t, area) {
      for (const name of ['a', 'b', 'c']) await area.write(area.at(name), '')
      const controller = new AbortController()
      const listing = await act(area.backend.list(area.base, {}, area.as(0, controller.signal)))
      controller.abort()
      const all = async () => {
        for await (const page of listing.pages()) t.ok(page)
      }
      await fails(t, all(), 'cancelled')
    },
  },
  {
    name: 'a closed back end is unavailable',
    alone: true,
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      const pending = await area.backend.setAttributes(area.at('file'), { modified: 'now' }, area.call)
      const draft = await area.draft(area.at('new'), 'bytes')
      await area.backend.close()
      await fails(t, area.backend.walk(area.base, area.call), 'unavailable', 'walk')
      for (const [name, look] of everything(area, area.call)) await fails(t, act(look()), 'unavailable', name)
      await fails(t, pending.proceed(), 'unavailable', 'a call still running')
      await pending.release()
      await fails(t, area.commit(draft), 'unavailable', 'a draft')
      await draft.discard()
      await area.backend.close()
    },
  },
]
