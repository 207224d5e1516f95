/** Macaroons: vectors of libmacaroons and pymacaroons, the libraries themselves where they are installed, hostile input. */

import { spawnSync } from 'node:child_process'
import koffi from 'koffi'
import t from 'tap'
import {
  attenuate,
  createMacaroon,
  isIntact,
  type Macaroon,
  type MacaroonFormat,
  maxCaveats,
  maxMacaroonLength,
  parseMacaroon,
  serializeMacaroon,
} from '../../acl/macaroon.ts'
import { StorageError } from '../../gateway/core/errors.ts'

// The example of the libmacaroons manual.
const rootKey = Buffer.from('this is our super secret key; only we should know it')
const bank = createMacaroon({ location: 'http://mybank/', identifier: 'we used our secret key', rootKey })
const account = 'account = 3735928559'
const wide = `${'user = "älice"'.repeat(20)}`
const formats: readonly MacaroonFormat[] = ['v1', 'v2']

const v1 =
  'MDAxY2xvY2F0aW9uIGh0dHA6Ly9teWJhbmsvCjAwMjZpZGVudGlmaWVyIHdlIHVzZWQgb3VyIHNlY3JldCBrZXkKMDAxZGNpZCBhY2NvdW50ID0g' +
  'MzczNTkyODU1OQowMDJmc2lnbmF0dXJlIB7-R2PykNvODB0IR3Nn4R9O7kVqZJM89mLXl3LbuCEoCg'

const hex = ({ signature }: Macaroon): string => Buffer.from(signature).toString('hex')

function problem(text: string): string {
  try {
    parseMacaroon(text)
  } catch (error) {
    return `${StorageError.from(error).code}: ${StorageError.from(error).message}`
  }
  return 'none'
}

t.test('signatures are those of libmacaroons', async (t) => {
  t.equal(hex(bank), 'e3d9e02908526c4c0039ae15114115d97fdd68bf2ba379b342aaf0f617d0552f')
  const narrow = attenuate(bank, account)
  t.equal(hex(narrow), '1efe4763f290dbce0c1d08477367e11f4eee456a64933cf662d79772dbb82128')
  t.equal(serializeMacaroon(narrow, 'v1'), v1)
  t.same(parseMacaroon(v1), { macaroon: { ...narrow, signature: Uint8Array.from(narrow.signature) }, format: 'v1' })
})

// Both by pymacaroons 0.13, which writes an empty location where there is none.
const v2 =
  'AgEOaHR0cDovL215YmFuay8CFndlIHVzZWQgb3VyIHNlY3JldCBrZXkAAhRhY2NvdW50ID0gMzczNTkyODU1OQAClgHDqcOpw6nDqcOpw6nDqcOpw6' +
  'nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nD' +
  'qcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6kAAAYgZdyV4rGEiqCrYTVzB3I60P8CehxshBVwy2S-wqmjcVc'
const v2Unlocated =
  'AgEAAhZ3ZSB1c2VkIG91ciBzZWNyZXQga2V5AAIUYWNjb3VudCA9IDM3MzU5Mjg1NTkAApYBw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6' +
  'nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nD' +
  'qcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpAAAGIGXcleKxhIqgq2E1cwdyOtD_AnocbIQVcMtkvsKpo3FX'

t.test('the binary format is that of pymacaroons, with a location and without', async (t) => {
  const caveats = [account, 'é'.repeat(75)]
  t.equal(serializeMacaroon(attenuate(bank, ...caveats), 'v2'), v2, 'also where a length takes two bytes')
  const short = serializeMacaroon(attenuate({ ...bank, location: '' }, ...caveats), 'v2')
  for (const text of [v2, v2Unlocated, short]) {
    const { macaroon, format } = parseMacaroon(text)
    t.same([macaroon.location, macaroon.caveats, format], [text === v2 ? bank.location : '', caveats, 'v2'])
    t.ok(isIntact(macaroon, rootKey))
  }
})

t.test('what was written is read again, in both formats, with padding and without', async (t) => {
  for (const format of formats) {
    for (const caveats of [[], ['a'], ['', 'with\nnewline and blank', 'path:/ü'], [wide, wide]]) {
      const made = attenuate(bank, ...caveats)
      const text = serializeMacaroon(made, format)
      const padded = text.padEnd(Math.ceil(text.length / 4) * 4, '=')
      for (const given of new Set([text, padded])) {
        const read = parseMacaroon(given)
        t.equal(read.format, format)
        t.same(read.macaroon.caveats, caveats)
        t.ok(isIntact(read.macaroon, rootKey))
      }
    }
  }
})

t.test('a caveat that was changed, removed or moved shows, and so does another key', async (t) => {
  const made = attenuate(bank, 'a', 'b')
  t.ok(isIntact(made, rootKey))
  const forged: Readonly<Record<string, Macaroon>> = {
    changed: { ...made, caveats: ['a', 'c'] },
    removed: { ...made, caveats: ['a'] },
    'removed, with the signature of the rest guessed': {
      ...made,
      caveats: [],
      signature: attenuate(bank, 'x').signature,
    },
    moved: { ...made, caveats: ['b', 'a'] },
    'of another identifier': { ...made, identifier: 'we' },
    'cut short': { ...made, signature: made.signature.subarray(0, 31) },
  }
  for (const [name, each] of Object.entries(forged)) t.notOk(isIntact(each, rootKey), name)
  t.notOk(isIntact(made, Buffer.from('another key')))
  t.ok(isIntact({ ...made, location: 'elsewhere' }, rootKey), 'the location is a hint and not signed')
})

t.test('what is no macaroon of ours is refused without being quoted', async (t) => {
  const bytes = Buffer.from(v1, 'base64url')
  const binary = Buffer.from(serializeMacaroon(attenuate(bank, account), 'v2'), 'base64url')
  const packet = (text: string) => `${(text.length + 5).toString(16).padStart(4, '0')}${text}\n`
  const encode = (input: string | Buffer) => Buffer.from(input).toString('base64url')
  const edited = (from: string, to: string) => encode(Buffer.from(bytes.toString('latin1').replace(from, to), 'latin1'))
  const rows: ReadonlyArray<readonly [string, string]> = [
    ['nothing', ''],
    ['a JSON Web Token', 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln'],
    ['the other alphabet', v1.replace('-', '+')],
    ['blanks', `${v1} `],
    ['bits left over', `${encode('00').slice(0, -1)}x`],
    ['JSON', encode('{"v":2,"i":"x","s64":"x"}')],
    ['another version', encode(Buffer.concat([Buffer.of(3), binary.subarray(1)]))],
    ['upper-case lengths', edited('001clocation', '001Clocation')],
    ['a length of nothing', edited('001clocation', '0000location')],
    ['a length beyond the end', edited('001clocation', 'ffffclocation')],
    ['bytes left over', encode(Buffer.concat([bytes, Buffer.of(10)]))],
    ['binary, bytes left over', encode(Buffer.concat([binary, Buffer.of(0)]))],
    ['a short signature', encode(`${packet('location x')}${packet('identifier y')}${packet('signature z')}`)],
    ['no identifier', encode(`${packet('location x')}${packet('cid y')}`)],
    ['a third party', encode(`${packet('location x')}${packet('identifier y')}${packet('cid c')}${packet('vid v')}`)],
    ['binary, a third party', encode(Buffer.of(2, 2, 1, 97, 0, 2, 1, 98, 4, 1, 99, 0, 0, 6, 0))],
    ['binary, a third party with a location', encode(Buffer.of(2, 2, 1, 97, 0, 1, 1, 98, 2, 1, 98, 0, 0, 6, 0))],
    ['a long form of a length', encode(Buffer.of(2, 2, 0x81, 0, 97, 0, 0, 6, 0))],
    ['an endless length', encode(Buffer.of(2, 2, 0xff, 0xff, 0xff, 0xff, 1, 97))],
    ['bytes that are no text', encode(Buffer.of(2, 2, 1, 0xff, 0, 0, 6, 0))],
  ]
  for (const [name, text] of rows) t.match(problem(text), /^invalid: not a macaroon: [a-z0-9 -]+$/i, name)
  for (let end = 1; end < bytes.length; end++) t.match(problem(encode(bytes.subarray(0, end))), /^invalid/)
  for (let end = 1; end < binary.length; end++) t.match(problem(encode(binary.subarray(0, end))), /^invalid/)
})

t.test('size and number of caveats are bounded', async (t) => {
  const many = attenuate(bank, ...Array.from({ length: maxCaveats }, () => 'a'))
  for (const format of formats) {
    t.equal(parseMacaroon(serializeMacaroon(many, format)).macaroon.caveats.length, maxCaveats)
    const more = { ...many, caveats: [...many.caveats, 'a'] }
    t.match(problem(serializeMacaroon(more, format)), /^invalid/)
    t.throws(() => serializeMacaroon(attenuate(bank, 'x'.repeat(maxMacaroonLength)), format), { code: 'invalid' })
  }
  t.throws(() => attenuate(many, 'a'), { code: 'invalid' })
  t.throws(() => serializeMacaroon(attenuate(bank, 'x'.repeat(0x10000)), 'v1'), { code: 'invalid' })
  t.match(problem('M'.repeat(maxMacaroonLength + 1)), /^invalid/)
})

const library = loadLibrary()
const noLibrary = library ? false : 'libmacaroons is not installed (Debian: libmacaroons0)'

t.test('libmacaroons and we agree', { skip: noLibrary }, async (t) => {
  for (const caveats of [[], ['activity:DOWNLOAD'], ['path:/ü', 'before:2030-01-01T00:00:00Z', wide]]) {
    const theirs = library?.make(bank.location, bank.identifier, caveats)
    t.equal(serializeMacaroon(attenuate(bank, ...caveats), 'v1'), theirs)
    t.ok(isIntact(parseMacaroon(theirs ?? '').macaroon, rootKey))
  }
})

/** Another Python may stand before the system's, and know nothing of its packages. */
const python = ['python3', '/usr/bin/python3'].find(
  (each) => spawnSync(each, ['-c', 'import pymacaroons']).status === 0,
)
const noPython = python === undefined && 'pymacaroons is not installed (Debian: python3-pymacaroons)'

t.test('pymacaroons and we agree on both formats', { skip: noPython }, async (t) => {
  const given = JSON.stringify({ key: rootKey.toString(), identifier: bank.identifier, caveats: [account, wide] })
  const run = spawnSync(python ?? '', ['-c', script, given], { encoding: 'utf8' })
  const theirs: unknown = JSON.parse(run.stdout)
  const ours = attenuate(bank, account, wide)
  t.same(theirs, { v1: serializeMacaroon(ours, 'v1'), v2: serializeMacaroon(ours, 'v2') })
})

const script = `
import json, sys
from pymacaroons import Macaroon, MACAROON_V1, MACAROON_V2
given = json.loads(sys.argv[1])
made = {}
for name, version in (('v1', MACAROON_V1), ('v2', MACAROON_V2)):
    m = Macaroon(location='${bank.location}', identifier=given['identifier'], key=given['key'], version=version)
    for caveat in given['caveats']:
        m.add_first_party_caveat(caveat)
    made[name] = m.serialize()
print(json.dumps(made))
`

/** The C library makes macaroons of format 1. */
function loadLibrary() {
  const library = open('libmacaroons.so.0')
  if (!library) return undefined
  const create = library.func(
    'void *macaroon_create(const uint8_t *, size_t, const uint8_t *, size_t, const uint8_t *, size_t, _Out_ int *)',
  )
  const add = library.func('void *macaroon_add_first_party_caveat(void *, const uint8_t *, size_t, _Out_ int *)')
  const serialize = library.func('int macaroon_serialize(void *, _Out_ uint8_t *, size_t, _Out_ int *)')
  const destroy = library.func('void macaroon_destroy(void *)')
  const make = (location: string, identifier: string, caveats: readonly string[]): string => {
    const sized = (text: string): [Buffer, number] => [Buffer.from(text), Buffer.byteLength(text)]
    let macaroon: unknown = create(...sized(location), rootKey, rootKey.length, ...sized(identifier), [0])
    for (const caveat of caveats) {
      const narrower: unknown = add(macaroon, ...sized(caveat), [0])
      destroy(macaroon)
      macaroon = narrower
    }
    const out = Buffer.alloc(maxMacaroonLength)
    serialize(macaroon, out, out.length, [0])
    destroy(macaroon)
    return out.toString('latin1', 0, out.indexOf(0))
  }
  return { make }
}

function open(name: string) {
  try {
    return koffi.load(name)
  } catch {
    return undefined
  }
}
