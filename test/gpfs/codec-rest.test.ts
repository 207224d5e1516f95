/** ACLs of the management API and of libgpfs: letters and words, and what must be refused. */

import t from 'tap'
import type { Acl } from '../../acl/acl.ts'
import { formatGpfsRest, parseGpfsRest } from '../../acl/codec/gpfs-rest.ts'
import { decodeGpfsStruct, encodeGpfsStruct, requestGpfsStruct } from '../../acl/codec/gpfs-struct.ts'
import { makeAce } from '../../acl/who.ts'

const listOf = (...aces: Acl['aces']): Acl => ({ owner: undefined, group: undefined, aces, dialect: 'gpfs' })

const documented = {
  type: 'NFSv4',
  entries: [
    { type: 'allow', who: 'special:owner@', permissions: 'rwmxDaAnNcCos', flags: '' },
    { type: 'allow', who: 'special:group@', permissions: 'rxancs', flags: '' },
    { type: 'allow', who: 'user:bob', permissions: 'rxancs', flags: 'fd' },
    { type: 'deny', who: 'group:cms', permissions: 'w', flags: '' },
  ],
}

t.test('the documented answer is read by the letters of the API and written back the same', async (t) => {
  const { acl, readOnly } = parseGpfsRest(documented)
  t.same(readOnly, [])
  t.same(acl.aces, [
    makeAce('allow', 0, 0x1e01ff, 'OWNER@'),
    makeAce('allow', 0, 0x1200a9, 'GROUP@'),
    makeAce('allow', 0x3, 0x1200a9, { user: 'bob' }),
    makeAce('deny', 0, 0x2, { group: 'cms' }),
  ])
  t.same([acl.owner, acl.group, acl.dialect], [undefined, undefined, 'gpfs'])
  t.same(formatGpfsRest(acl), documented)
})

t.test('every letter is one right, and every flag one bit', async (t) => {
  const letters: ReadonlyArray<readonly [string, number]> = [
    ['r', 0x1],
    ['w', 0x2],
    ['m', 0x4],
    ['x', 0x20],
    ['d', 0x10000],
    ['D', 0x40],
    ['a', 0x80],
    ['A', 0x100],
    ['n', 0x8],
    ['N', 0x10],
    ['c', 0x20000],
    ['C', 0x40000],
    ['o', 0x80000],
    ['s', 0x100000],
  ]
  for (const [letter, bit] of letters) {
    const entry = { type: 'allow', who: 'special:everyone@', permissions: letter, flags: '' }
    const { acl, readOnly } = parseGpfsRest({ type: 'NFSv4', entries: [entry] })
    t.same([acl.aces[0]?.mask, readOnly], [bit, []], letter)
    t.equal(formatGpfsRest(acl).entries[0]?.permissions, letter)
  }
  for (const [flags, bits] of [
    ['f', 1],
    ['d', 2],
    ['n', 4],
    ['i', 8],
    ['fdi', 0xb],
  ] as const) {
    const entry = { type: 'allow', who: 'group:cms', permissions: 'r', flags }
    t.equal(parseGpfsRest({ type: 'NFSv4', entries: [entry] }).acl.aces[0]?.flags, bits | 0x40, flags)
  }
})

t.test('names keep their domain, get ours, or stay numbers', async (t) => {
  const entries = ['user:bob', 'user:DESY\\bob', 'group:1001', 'user:eve@cern.ch'].map((who) => ({
    type: 'allow',
    who,
    permissions: 'r',
    flags: '',
  }))
  const { acl } = parseGpfsRest({ type: 'NFSv4', entries }, { domain: 'desy.de' })
  t.same(
    acl.aces.map(({ who }) => who),
    [{ user: 'bob@desy.de' }, { user: 'DESY\\bob' }, { group: '1001' }, { user: 'eve@cern.ch' }],
  )
  t.same(formatGpfsRest(acl, { domain: 'desy.de' }).entries, entries)
})

t.test('what is not known makes a list read-only, what is no list is refused', async (t) => {
  const one = (more: object) => ({
    type: 'NFSv4',
    entries: [{ type: 'allow', who: 'user:bob', permissions: 'r', flags: '', ...more }],
  })
  t.same(parseGpfsRest(one({ permissions: 'ry' })).readOnly, ['an unknown right'])
  t.same(parseGpfsRest(one({ flags: 'fI' })).readOnly, ['an unknown flag'])
  t.same(parseGpfsRest(one({ flags: 'fI' })).acl.aces[0]?.flags, 1, 'the entry is kept')
  t.same(parseGpfsRest(one({ flags: undefined })).acl.aces[0]?.flags, 0, 'no flags at all')
  t.same(parseGpfsRest(one({ who: 'special:batch@' })).acl.aces[0]?.who, { unknown: 'batch@' })
  const bad: ReadonlyArray<readonly [string, unknown]> = [
    ['nothing', undefined],
    ['text', 'NFSv4'],
    ['a list', []],
    ['a POSIX ACL', { type: 'POSIX', entries: [] }],
    ['no entries', { type: 'NFSv4' }],
    ['an entry of text', { type: 'NFSv4', entries: ['allow'] }],
    ['no entry', { type: 'NFSv4', entries: [null] }],
    ['an unknown type', one({ type: 'permit' })],
    ['a type of the prototype', one({ type: 'constructor' })],
    ['no permissions', one({ permissions: undefined })],
    ['permissions as a number', one({ permissions: 7 })],
    ['too many letters', one({ permissions: 'r'.repeat(65) })],
    ['nobody', one({ who: '' })],
    ['a kind that is none', one({ who: 'host:bob' })],
    ['a special name as a user', one({ who: 'user:OWNER@' })],
    ['a control character', one({ who: 'user:b\u0000b' })],
  ]
  for (const [what, value] of bad) t.throws(() => parseGpfsRest(value), { code: 'invalid' }, what)
  const many = { type: 'NFSv4', entries: Array(1025).fill(one({}).entries[0]) }
  t.throws(() => parseGpfsRest(many), { code: 'too-large' }, 'more entries than there can be')
})

t.test('what the API has no letter for is not sent', async (t) => {
  const rows = [
    makeAce('allow', 0, 0x200, 'OWNER@'),
    makeAce('allow', 0x80, 1, 'OWNER@'),
    makeAce('allow', 0, 1, 'ANONYMOUS@'),
    makeAce('allow', 0, 1, { unknown: 'BATCH@' }),
    makeAce('allow', 0, 1, { user: 'a:b' }),
  ]
  for (const ace of rows) t.throws(() => formatGpfsRest(listOf(ace)), { code: 'unsupported' }, JSON.stringify(ace))
})

/** The example of the layout: base level, three entries, little-endian. */
const example = [
  0x50, 0, 4, 3, 3, 0, 0, 0x80000000, 0x160187, 1, 0, 0x43, 0, 0x1200a1, 2000, 0, 0, 0x80000000, 0x120080, 3,
]
const bytesOf = (words: readonly number[]) => new Uint8Array(new Uint32Array(words).buffer)

t.test('the structure of libgpfs is read and written word by word', async (t) => {
  const aces = [
    makeAce('allow', 0, 0x160187, 'OWNER@'),
    makeAce('allow', 0x43, 0x1200a1, { group: '2000' }),
    makeAce('allow', 0, 0x120080, 'EVERYONE@'),
  ]
  t.same(decodeGpfsStruct(bytesOf(example)), { aces })
  t.same(encodeGpfsStruct({ aces }), bytesOf(example))
  const padded = new Uint8Array(200)
  padded.set(bytesOf(example), 0)
  t.same(decodeGpfsStruct(padded), { aces }, 'a buffer may be longer than what is in it')
  const flagged = { aces: [makeAce('deny', 0, 6, { user: '1001' })], flags: 3 }
  t.same(decodeGpfsStruct(encodeGpfsStruct(flagged)), flagged, 'flags of the list')
  const request = new Uint8Array(64)
  requestGpfsStruct(request, 64)
  t.same([...new Uint32Array(request.buffer, 0, 5)], [64, 0, 4, 3, 0])
})

t.test('a structure whose numbers do not fit together is refused', async (t) => {
  const changed = (index: number, word: number) => bytesOf(example.with(index, word))
  const bad: ReadonlyArray<readonly [string, Uint8Array]> = [
    ['nothing', new Uint8Array()],
    ['half a head', bytesOf(example.slice(0, 4))],
    ['longer than the buffer', changed(0, 0x54)],
    ['shorter than its entries', changed(0, 0x4c)],
    ['more entries than fit', changed(4, 4)],
    ['far more entries than fit', changed(4, 0xffffffff)],
    ['an unknown level', changed(1, 2)],
    ['an unknown version', changed(2, 5)],
    ['a default ACL', changed(3, 2)],
    ['an unknown type of entry', changed(5, 4)],
    ['unknown flags', changed(6, 0x100)],
    ['unknown rights', changed(8, 0x200)],
    ['unknown internal flags', changed(7, 0xc0000000)],
  ]
  for (const [what, bytes] of bad) t.throws(() => decodeGpfsStruct(bytes), { code: 'invalid' }, what)
  t.equal(decodeGpfsStruct(changed(2, 1)), undefined, 'a traditional ACL is none of ours')
  t.same(decodeGpfsStruct(changed(9, 9))?.aces[0]?.who, { unknown: '9@' }, 'an unknown special matches nobody')
})

t.test('what GPFS has no bit for is not put', async (t) => {
  const put = (ace: Acl['aces'][number]) => () => encodeGpfsStruct({ aces: [ace] })
  t.throws(put(makeAce('allow', 0, 0x200, 'OWNER@')), { code: 'unsupported' })
  t.throws(put(makeAce('allow', 0x100, 1, 'OWNER@')), { code: 'unsupported' })
  t.throws(put(makeAce('allow', 0, 1, 'AUTHENTICATED@')), { code: 'unsupported' })
  t.throws(put(makeAce('allow', 0, 1, { user: 'bob@desy.de' })), { code: 'invalid' })
  const many = Array.from({ length: 1025 }, () => makeAce('allow', 0, 1, 'OWNER@'))
  t.throws(() => encodeGpfsStruct({ aces: many }), { code: 'too-large' })
})
