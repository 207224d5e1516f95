/** The other facets: ACLs, copies, checksums, properties, quotas and the self-check. */

import { createHash } from 'node:crypto'
import type { Acl } from '../../../acl/acl.ts'
import { right } from '../../../acl/acl.ts'
import type { AclFacet, ChecksumFacet, Digest, Pending, PropertyFacet } from '../../../backends/backend.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import { type Area, act, type Case, fails, hostileNames } from './area.ts'

/** A facet that the runner has found to be there. */
function there<T>(facet: T | undefined): T {
  if (!facet) throw new Error('the facet is missing')
  return facet
}

const aclsOf = (area: Area): AclFacet => there(area.backend.acls)
const checksumsOf = (area: Area): ChecksumFacet => there(area.backend.checksums)
const propertiesOf = (area: Area): PropertyFacet => there(area.backend.properties)

/** Bits that say the same on files and directories, and that no dialect joins or drops. */
const reading = right.readData | right.readAttributes | right.readAcl | right.execute
const all = 0x1f01ff

const anyList: Acl = {
  owner: 'nobody@nowhere.example',
  group: undefined,
  dialect: 'rfc8881',
  aces: [
    { type: 'allow', flags: 0, mask: all & ~right.deleteChild, who: 'OWNER@' },
    { type: 'deny', flags: 0, mask: right.readData, who: { user: 'mallory@desy.de' } },
    { type: 'allow', flags: 0x40, mask: reading, who: { group: 'p01@desy.de' } },
    { type: 'allow', flags: 0, mask: right.readAttributes | right.readAcl, who: 'EVERYONE@' },
  ],
}

/** RFC 1950, RFC 3720 appendix B.4 style vectors of "123456789", computed with independent tools. */
const vectors: Readonly<Record<Digest, string>> = {
  adler32: '091e01de',
  crc32: 'cbf43926',
  crc32c: 'e3069283',
  crc64nvme: 'ae8b14860a799888',
  md5: '25f9e794323b453885f5181f1b624d0b',
  'sha-1': 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
  'sha-256': '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
  'sha-512': createHash('sha512').update('123456789').digest('hex'),
}

const emptyVectors: Readonly<Record<Digest, string>> = {
  adler32: '00000001',
  crc32: '00000000',
  crc32c: '00000000',
  crc64nvme: '0000000000000000',
  md5: 'd41d8cd98f00b204e9800998ecf8427e',
  'sha-1': 'da39a3ee5e6b4b0d3255bfef95601890afd80709',
  'sha-256': 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'sha-512': createHash('sha512').digest('hex'),
}

/** The list that ACL tests set. */
const listFor = ({ world }: Area): Acl => world.acl ?? anyList

/** In nanoseconds. */
const second = 1_000_000_000n
const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex')

const acls: readonly Case[] = [
  {
    name: 'an ACL is stored as given and changes no owner and no version',
    facet: 'acls',
    async run(t, area) {
      const list = listFor(area)
      await area.write(area.at('file'), 'x')
      const before = await area.known(area.at('file'))
      const entry = await act(aclsOf(area).set(area.at('file'), list, {}, area.call))
      t.same(entry, await area.known(area.at('file')))
      t.same(entry.acl?.aces, list.aces)
      t.equal(entry.acl?.owner, before.acl?.owner)
      t.equal(entry.acl?.group, before.acl?.group)
      t.equal(entry.version, before.version)
      // Object stores tell whole seconds; what they add tells two changes apart, not which was first.
      t.ok(entry.changed / second >= before.changed / second)
    },
  },
  {
    name: 'an ACL is set only over the state that was seen',
    facet: 'acls',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      const { changed } = await area.known(area.at('file'))
      const set = (ifChanged: bigint) => act(aclsOf(area).set(area.at('file'), listFor(area), { ifChanged }, area.call))
      await fails(t, set(changed - 1n), 'precondition')
      const first = await set(changed)
      await fails(t, set(first.changed === changed ? changed - 1n : changed), 'precondition')
      await set(first.changed)
    },
  },
  {
    name: 'the ACL of what is missing cannot be set',
    facet: 'acls',
    async run(t, area) {
      await fails(t, act(aclsOf(area).set(area.at('missing'), listFor(area), {}, area.call)), 'not-found')
    },
  },
  {
    name: 'new objects inherit the entries that are marked so',
    facet: 'acls',
    async run(t, area) {
      const aces: Acl['aces'] = [
        { type: 'allow', flags: 0x3, mask: all, who: 'OWNER@' },
        { type: 'allow', flags: 0x43, mask: reading, who: { group: 'p01@desy.de' } },
        { type: 'allow', flags: 0, mask: reading, who: { user: 'bob@desy.de' } },
        { type: 'allow', flags: 0x1, mask: reading, who: { user: 'carol@desy.de' } },
      ]
      await act(aclsOf(area).set(area.base, { ...anyList, aces }, {}, area.call))
      await area.write(area.at('file'), 'x')
      await area.mkdir(area.at('directory'))
      const whos = async (name: string) =>
        (await area.known(area.at(name))).acl?.aces.filter(({ flags }) => !(flags & 0x8)).map(({ who }) => who)
      t.same(await whos('file'), ['OWNER@', { group: 'p01@desy.de' }, { user: 'carol@desy.de' }])
      t.same(await whos('directory'), ['OWNER@', { group: 'p01@desy.de' }])
      const inner = await area.mkdir(area.at('directory', 'inner'))
      t.ok(
        inner.acl?.aces.some(({ who }) => typeof who === 'object' && 'group' in who),
        'it goes on further down',
      )
    },
  },
]

const copies: readonly Case[] = [
  {
    name: 'a copy is another object with the same bytes',
    facet: 'copying',
    async run(t, area) {
      const source = await area.write(area.at('from'), 'bytes')
      const copy = (to: string) =>
        act(
          there(area.backend.copying).copy(area.at('from'), area.at(to), { condition: 'any', decide() {} }, area.call),
        )
      const entry = await copy('to')
      t.same(entry, await area.known(area.at('to')))
      t.not(entry.id, source.id)
      t.equal(await area.text(area.at('to')), 'bytes')
      await area.write(area.at('from'), 'changed')
      t.equal(await area.text(area.at('to')), 'bytes')
      await copy('to')
      t.equal(await area.text(area.at('to')), 'changed')
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a copy is conditional and decided again, and a no leaves nothing',
    facet: 'copying',
    async run(t, area) {
      await area.write(area.at('from'), 'bytes')
      await area.write(area.at('to'), 'old')
      const copying = there(area.backend.copying)
      const absent = { condition: 'absent', decide() {} } as const
      await fails(t, act(copying.copy(area.at('from'), area.at('to'), absent, area.call)), 'exists')
      const no = new StorageError('denied', 'no')
      const refuse = () => {
        throw no
      }
      const refused = { condition: 'any', decide: refuse } as const
      await t.rejects(act(copying.copy(area.at('from'), area.at('to'), refused, area.call)), no)
      await t.rejects(act(copying.copy(area.at('from'), area.at('new'), refused, area.call)), no)
      t.equal(await area.text(area.at('to')), 'old')
      t.same(await area.names(area.base), ['from', 'to'])
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'only a file that is there can be copied, to a place that is there',
    facet: 'copying',
    async run(t, area) {
      await area.write(area.at('from'), 'bytes')
      await area.mkdir(area.at('directory'))
      const any = { condition: 'any', decide() {} } as const
      const copy = (from: string, ...to: string[]) =>
        act(there(area.backend.copying).copy(area.at(from), area.at(...to), any, area.call))
      await fails(t, copy('missing', 'to'), 'not-found')
      await fails(t, copy('directory', 'to'), 'is-directory')
      await fails(t, copy('from', 'missing', 'to'), 'no-parent')
      await fails(t, copy('from', 'directory'), ['is-directory', 'exists'])
      t.same(await area.names(area.base), ['directory', 'from'])
    },
  },
]

const checksums: readonly Case[] = [
  {
    name: 'checksums are those of the vectors',
    facet: 'checksums',
    async run(t, area) {
      const facet = checksumsOf(area)
      t.ok(facet.kinds.length > 0)
      await area.write(area.at('nine'), '123456789')
      await area.write(area.at('empty'), '')
      const nine = await act(facet.compute(area.at('nine'), facet.kinds, area.call))
      const empty = await act(facet.compute(area.at('empty'), facet.kinds, area.call))
      for (const kind of facet.kinds) {
        t.equal(hex(nine[kind]), vectors[kind], kind)
        t.equal(hex(empty[kind]), emptyVectors[kind], `${kind} of nothing`)
      }
    },
  },
  {
    name: 'checksums are kept with the version they were made of',
    facet: 'checksums',
    async run(t, area) {
      const facet = checksumsOf(area)
      const [kind] = facet.kinds
      if (!kind) return
      await area.write(area.at('file'), '123456789')
      t.same(await act(facet.kept(area.at('file'), area.call)), {}, 'none at first')
      await act(facet.compute(area.at('file'), [kind], area.call))
      const kept = async (name: string) => hex((await act(facet.kept(area.at(name), area.call)))[kind])
      t.equal(await kept('file'), vectors[kind])
      await area.rename(area.at('file'), area.at('moved'))
      await act(area.backend.setAttributes(area.at('moved'), { mode: 0o600 }, area.call))
      t.equal(await kept('moved'), vectors[kind], 'they survive rename and chmod')
      await area.write(area.at('moved'), 'other bytes')
      t.equal(await kept('moved'), undefined, 'and not a change of bytes')
    },
  },
  {
    name: 'checksums given at the commit are kept',
    facet: 'checksums',
    async run(t, area) {
      const facet = checksumsOf(area)
      const [kind] = facet.kinds
      if (!kind) return
      const digests = { [kind]: Buffer.from(vectors[kind], 'hex') }
      await area.write(area.at('file'), '123456789', { digests })
      t.equal(hex((await act(facet.kept(area.at('file'), area.call)))[kind]), vectors[kind])
    },
  },
  {
    name: 'only files have checksums',
    facet: 'checksums',
    async run(t, area) {
      const facet = checksumsOf(area)
      await fails(t, act(facet.compute(area.at('missing'), facet.kinds, area.call)), 'not-found')
      await fails(t, act(facet.compute(area.base, facet.kinds, area.call)), 'is-directory')
    },
  },
]

const properties: readonly Case[] = [
  {
    name: 'properties of all names and sizes come back',
    facet: 'properties',
    async run(t, area) {
      const facet = propertiesOf(area)
      const values = new Map([
        ['{DAV:}displayname', 'R\u00e9sum\u00e9 \u{1f9ed}'],
        ['{http://example.org/ns}empty', ''],
        ['user/long', 'x'.repeat(20_000)],
        ...hostileNames.map((name): [string, string] => [`name ${name}`, `value ${name}\n`]),
      ])
      for (const path of [area.base, area.at('file')]) {
        if (path !== area.base) await area.write(path, 'x')
        t.equal((await act(facet.get(path, area.call))).size, 0, 'none at first')
        await act(facet.set(path, values, area.call))
        const found = await act(facet.get(path, area.call))
        t.same([...found].sort(), [...values].sort())
      }
    },
  },
  {
    name: 'properties are set and removed together',
    facet: 'properties',
    async run(t, area) {
      const facet = propertiesOf(area)
      const { version } = await area.write(area.at('file'), 'x')
      await act(
        facet.set(
          area.at('file'),
          new Map([
            ['a', '1'],
            ['b', '2'],
          ]),
          area.call,
        ),
      )
      const changes = new Map<string, string | undefined>([
        ['a', undefined],
        ['c', '3'],
        ['gone', undefined],
      ])
      await act(facet.set(area.at('file'), changes, area.call))
      t.same([...(await act(facet.get(area.at('file'), area.call)))].sort(), [
        ['b', '2'],
        ['c', '3'],
      ])
      t.equal((await area.known(area.at('file'))).version, version)
    },
  },
  {
    name: 'two writers of different properties lose nothing',
    facet: 'properties',
    async run(t, area) {
      const facet = propertiesOf(area)
      await area.write(area.at('file'), 'x')
      const names = ['a', 'b', 'c', 'd', 'e', 'f']
      await Promise.all(names.map((name) => act(facet.set(area.at('file'), new Map([[name, name]]), area.call))))
      t.same([...(await act(facet.get(area.at('file'), area.call))).keys()].sort(), names)
    },
  },
  {
    name: 'properties stay with the object over renames and new bytes, and end with it',
    facet: 'properties',
    async run(t, area) {
      const facet = propertiesOf(area)
      const get = async (name: string) => (await act(facet.get(area.at(name), area.call))).get('key')
      await area.write(area.at('file'), 'x')
      for (const value of ['short', 'long '.repeat(4000)]) {
        await act(facet.set(area.at('file'), new Map([['key', value]]), area.call))
        await area.rename(area.at('file'), area.at('moved'))
        t.equal(await get('moved'), value)
        await area.write(area.at('moved'), 'new bytes')
        t.equal(await get('moved'), value)
        await area.remove(area.at('moved'))
        await area.write(area.at('moved'), 'x')
        t.equal(await get('moved'), undefined)
        await area.rename(area.at('moved'), area.at('file'))
      }
    },
  },
  {
    name: 'what is missing has no properties',
    facet: 'properties',
    async run(t, area) {
      const facet = propertiesOf(area)
      await fails(t, act(facet.get(area.at('missing'), area.call)), 'not-found')
      await fails(t, act(facet.set(area.at('missing'), new Map([['a', 'b']]), area.call)), 'not-found')
    },
  },
]

const others: readonly Case[] = [
  {
    name: 'usage tells bytes',
    facet: 'quotas',
    async run(t, area) {
      const facet = there(area.backend.quotas)
      const usage = await act(facet.usage(area.base, area.call))
      for (const value of [usage.used, usage.available, usage.limit, usage.files?.used, usage.files?.limit]) {
        t.ok(value === undefined || (Number.isFinite(value) && value >= 0), `${value}`)
      }
      await fails(t, act(facet.usage(area.at('missing'), area.call)), 'not-found')
    },
  },
  {
    name: 'the self-check finds no error and leaves nothing',
    facet: 'checking',
    alone: true,
    async run(t, area) {
      const findings = await there(area.backend.checking).check()
      t.ok(findings.length > 0)
      for (const { subject, level, text } of findings) {
        t.match(subject, /^[a-z][a-z0-9-]*$/)
        t.match(level, /^(ok|warning)$/, `${subject}: ${text}`)
      }
      t.same(await area.names(area.base), [])
      t.same(await area.leftovers(), [])
    },
  },
]

/** Every facet's every operation on something missing says so in the trail, and fails only in `proceed`. */
const missing: Case = {
  name: 'facets too look before they act',
  async run(t, area) {
    const { backend, call } = area
    const path = area.at('missing')
    const looks: ReadonlyArray<Promise<Pending<unknown>> | undefined> = [
      backend.acls?.set(path, listFor(area), {}, call),
      backend.copying?.copy(path, area.at('to'), { condition: 'any', decide() {} }, call),
      backend.checksums?.kept(path, call),
      backend.quotas?.usage(path, call),
      backend.editing?.edit(path, {}, call),
      backend.properties?.get(path, call),
    ]
    for (const look of looks) {
      const pending = await look
      if (!pending) continue
      t.equal(pending.trail.entry, undefined)
      await fails(t, pending.proceed(), 'not-found')
      await pending.release()
    }
    t.same(await area.names(area.base), [])
  },
}

export const extras: readonly Case[] = [...acls, ...copies, ...checksums, ...properties, ...others, missing]
