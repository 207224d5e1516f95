/** What is kept with the bytes of files: the record of a front end, beside the digests. */

import type { Kept, RecordFacet } from '../../../backends/backend.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { type Area, act, type Case, fails, hostileNames } from './area.ts'

function recordsOf({ backend }: Area): RecordFacet {
  if (backend.records) return backend.records
  throw new Error('the back end has no records')
}

const keptOf = (area: Area, path: Path): Promise<Kept> => act(recordsOf(area).get(path, area.call))
const recordOf = async (area: Area, path: Path) => (await keptOf(area, path)).record
const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex')

/** Longer than what some stores have room for beside a file. */
const long = JSON.stringify({ text: `R\u00e9sum\u00e9 \u{1f9ed}\n${hostileNames.join()}`, sizes: 'x'.repeat(60_000) })
const md5 = '0cc175b9c0f1b6a831c399e269772661'

const committed: readonly Case[] = [
  {
    name: 'a record comes with the bytes it was committed with',
    facet: 'records',
    async run(t, area) {
      for (const [index, record] of ['', '{"etag":"x"}', long].entries()) {
        const path = area.at(`file ${index}`)
        await area.write(path, 'a', { record })
        t.equal(await recordOf(area, path), record)
        await area.write(path, 'b', { record: `${index}` })
        t.equal(await recordOf(area, path), `${index}`, 'another one with other bytes')
        await area.write(path, 'c', { record })
        t.equal(await recordOf(area, path), record, 'the first one again')
        await area.write(path, 'd')
        t.equal(await recordOf(area, path), undefined, 'none with bytes that have none')
      }
    },
  },
  {
    name: 'a record stays over renames and ends with its file',
    facet: 'records',
    async run(t, area) {
      for (const record of ['short', long]) {
        await area.write(area.at('file'), 'a', { record })
        await area.rename(area.at('file'), area.at('moved'))
        t.equal(await recordOf(area, area.at('moved')), record)
        await area.write(area.at('other'), 'b', { record: 'other' })
        await area.rename(area.at('other'), area.at('moved'))
        t.equal(await recordOf(area, area.at('moved')), 'other')
        await area.remove(area.at('moved'))
        await area.write(area.at('moved'), 'a')
        t.equal(await recordOf(area, area.at('moved')), undefined)
        await area.remove(area.at('moved'))
      }
    },
  },
  {
    name: 'what is kept comes along with an open file, or may be asked for',
    facet: 'records',
    async run(t, area) {
      for (const [index, record] of [undefined, 'short', long].entries()) {
        const path = area.at(`file ${index}`)
        await area.write(path, 'a', record === undefined ? {} : { record })
        for (const inlineUpTo of [-1, 100]) {
          const pending = await area.backend.open(path, { kept: true, inlineUpTo }, area.call)
          try {
            if (pending.kept) t.equal(pending.kept.record, record)
            await (await pending.proceed()).close()
          } finally {
            await pending.release()
          }
        }
      }
    },
  },
]

const changed: readonly Case[] = [
  {
    name: 'a record is changed where the bytes are the ones that are meant',
    facet: 'records',
    async run(t, area) {
      const records = recordsOf(area)
      const path = area.at('file')
      const { version } = await area.write(path, 'a')
      for (const record of ['first', long, 'second', undefined, long, undefined]) {
        await act(records.set(path, record, { version }, area.call))
        t.equal(await recordOf(area, path), record)
        t.equal((await area.known(path)).version, version, 'the same version')
        t.equal(await area.text(path), 'a')
      }
      await act(records.set(path, 'kept', { version }, area.call))
      const other = { version: `${version}x` }
      await fails(t, act(records.set(path, 'not', other, area.call)), 'stale')
      t.equal(await recordOf(area, path), 'kept')
    },
  },
  {
    name: 'a record that is made of another one is not put in place of a third',
    facet: 'records',
    async run(t, area) {
      const records = recordsOf(area)
      const path = area.at('file')
      const { version } = await area.write(path, 'a')
      let before: string | undefined
      for (const record of ['first', long, undefined, 'second']) {
        const seen = { version, before: { record: 'another' } }
        await fails(t, act(records.set(path, 'not', seen, area.call)), 'stale')
        await act(records.set(path, record, { version, before: { record: before } }, area.call))
        t.equal(await recordOf(area, path), record)
        before = record
      }
      // Of many who change it at the same time one after the other is heard.
      const rivals = ['a', 'b', 'c', 'd'].map((record) =>
        act(records.set(path, record, { version, before: { record: 'second' } }, area.call)).then(
          () => record,
          () => undefined,
        ),
      )
      const heard = (await Promise.all(rivals)).filter((record) => record !== undefined)
      t.same(heard, [await recordOf(area, path)])
    },
  },
  {
    name: 'a record is kept beside digests and properties',
    facet: 'records',
    async run(t, area) {
      const { checksums, properties } = area.backend
      if (!checksums?.kinds.includes('md5')) return
      const path = area.at('file')
      const { version } = await area.write(path, 'a', { digests: { md5: Buffer.from(md5, 'hex') }, record: 'first' })
      const keptMd5 = hex((await keptOf(area, path)).digests.md5)
      for (const record of ['second', long, 'third']) {
        await act(recordsOf(area).set(path, record, { version }, area.call))
        const values = new Map([['key', record === long ? 'short' : 'long '.repeat(4000)]])
        if (properties) await act(properties.set(path, values, area.call))
        t.equal(hex((await act(checksums.compute(path, ['md5', 'adler32'], area.call))).md5), md5)
        const kept = await keptOf(area, path)
        t.equal(kept.record, record)
        t.equal(hex(kept.digests.md5) ?? md5, keptMd5 ?? md5)
        if (properties) t.same([...(await act(properties.get(path, area.call)))], [...values])
      }
    },
  },
  {
    name: 'records are of files',
    facet: 'records',
    async run(t, area) {
      const records = recordsOf(area)
      const { version } = await area.known(area.base)
      t.same(await keptOf(area, area.base), { digests: {} })
      await fails(t, act(records.set(area.base, 'x', { version }, area.call)), 'is-directory')
      await fails(t, act(records.get(area.at('missing'), area.call)), 'not-found')
      await fails(t, act(records.set(area.at('missing'), 'x', { version }, area.call)), 'not-found')
    },
  },
]

const copied: readonly Case[] = [
  {
    name: 'a copy has the record and the digests of its source, or the record it is given',
    facet: 'records',
    async run(t, area) {
      const { copying } = area.backend
      if (!copying) return
      const from = area.at('from')
      for (const record of ['short', long]) {
        const { version } = await area.write(from, 'a', { digests: { md5: Buffer.from(md5, 'hex') }, record })
        const kept = await keptOf(area, from)
        const plain = { condition: 'any', decide() {} } as const
        const given = { ...plain, version, record: (source: Kept) => `${source.record?.length} of them` }
        const none = { ...plain, record: () => undefined }
        const cases = [
          [plain, record],
          [given, `${record.length} of them`],
          [none, undefined],
        ] as const
        for (const [options, expected] of cases) {
          await act(copying.copy(from, area.at('to'), options, area.call))
          const copy = await keptOf(area, area.at('to'))
          t.equal(copy.record, expected)
          t.equal(hex(copy.digests.md5), hex(kept.digests.md5))
        }
        const other = { ...plain, version: `${version}x` }
        await fails(t, act(copying.copy(from, area.at('to'), other, area.call)), 'precondition')
        await fails(t, act(copying.copy(from, area.at('fresh'), other, area.call)), 'precondition')
        t.notOk(await area.exists(area.at('fresh')))
      }
    },
  },
]

export const keeping: readonly Case[] = [...committed, ...changed, ...copied]
