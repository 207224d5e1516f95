/** The parts of Kerberos on HTTP that need no KDC: tokens before Kerberos sees them, keytab files, cookies, bounds. */

import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Epochs } from '../../acl/identity/epochs.ts'
import { Failures } from '../../acl/identity/kerberos/failures.ts'
import { parseKeytab } from '../../acl/identity/kerberos/keytab.ts'
import { NegotiationDesk } from '../../acl/identity/kerberos/negotiation.ts'
import { maxTicketToken, requireKerberosToken } from '../../acl/identity/kerberos/spnego.ts'
import { openTicket, sealTicket } from '../../acl/identity/kerberos/ticket-cookie.ts'
import type { IdentityState } from '../../acl/identity/state.ts'
import { anonymous } from '../../acl/principal.ts'
import type { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { negotiateToken } from '../../gateway/http/negotiate.ts'

function der(tag: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'hex') : part)))
  const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 255]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}

const oids = {
  spnego: '06062b0601050502',
  kerberos: '06092a864886f712010202',
  microsoft: '06092a864882f712010202',
  ntlm: '060a2b06010401823702020a',
  negoex: '060a2b06010401823702021e',
}
const request = der(0x6e, randomBytes(400))
const bare = der(0x60, oids.kerberos, '0100', request)

function negotiation(mechanisms: readonly string[], inner: Buffer | undefined, flags = ''): Buffer {
  const list = der(0xa0, der(0x30, ...mechanisms))
  const token = inner === undefined ? '' : der(0xa2, der(0x04, inner))
  return der(0x60, oids.spnego, der(0xa0, der(0x30, list, flags, token)))
}

function verdict(token: Buffer): string {
  try {
    requireKerberosToken(token)
    return 'kerberos'
  } catch (error) {
    const reason = StorageError.reasonOf(StorageError.from(error))
    return reason?.rule === 'kerberos-token' ? reason.text : String(error)
  }
}

t.test('tokens of Kerberos go on, bare and in SPNEGO', async (t) => {
  t.equal(verdict(bare), 'kerberos')
  t.equal(verdict(negotiation([oids.kerberos], bare)), 'kerberos')
  t.equal(verdict(negotiation([oids.microsoft, oids.kerberos, oids.negoex, oids.ntlm], bare)), 'kerberos', 'of Windows')
  t.equal(verdict(negotiation([oids.kerberos], bare, 'a10403020640')), 'kerberos', 'with flags')
})

t.test('NTLM is refused by its name', async (t) => {
  t.match(verdict(Buffer.from('TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAAKALpHAAAADw==', 'base64')), /NTLM/)
  t.match(verdict(negotiation([oids.ntlm], Buffer.from('NTLMSSP\0'))), /NTLM/)
})

t.test('whatever else comes ends before Kerberos', async (t) => {
  t.match(verdict(negotiation([oids.negoex, oids.kerberos], bare)), /first choice/)
  t.match(verdict(negotiation([oids.kerberos], undefined)), /no token of SPNEGO/)
  t.match(verdict(negotiation([oids.kerberos], der(0x60, oids.ntlm, '0100'))), /no token of Kerberos/)
  t.match(verdict(der(0x60, oids.kerberos, '0200', request)), /no request with a ticket/)
  t.match(verdict(der(0xa1, der(0x30))), /later leg/)
  t.match(verdict(der(0x60, '06062b0601050205', '0100', request)), /mechanism other/)
  for (const token of [Buffer.alloc(0), Buffer.alloc(maxTicketToken + 1, 0x60)]) t.match(verdict(token), /longer/)
  for (const hex of ['60', '6080', '60847fffffff', '6085', '60ff', '600a06092a86', '308004']) {
    t.not(verdict(Buffer.from(hex, 'hex')), 'kerberos', hex)
  }
})

t.test('a token that is cut or changed anywhere never makes the look at it fail otherwise', async (t) => {
  const whole = negotiation([oids.kerberos], bare)
  for (let at = 0; at < 80; at++) {
    t.not(verdict(whole.subarray(0, at)), 'kerberos')
    for (const value of [0, 0x7f, 0x80, 0x84, 0xff]) {
      const changed = Buffer.from(whole)
      changed[at] = value
      t.type(verdict(changed), 'string')
      t.notMatch(verdict(changed), /RangeError|TypeError/)
    }
  }
})

t.test('the header holds exactly one base64 text', async (t) => {
  t.equal(negotiateToken('Negotiate YWJj')?.toString(), 'abc')
  t.equal(negotiateToken('negotiate  YWI=')?.toString(), 'ab')
  t.equal(negotiateToken('Negotiate')?.length, 0)
  for (const header of [undefined, 'Bearer abc', 'Negotiated YWJj', 'Basic YWJj'])
    t.equal(negotiateToken(header), undefined)
  for (const text of ['YWJ', 'YWI', 'Y W', 'YWJj,YWJj', '\x80', 'YW_-', 'YWJj Negotiate']) {
    t.throws(() => negotiateToken(`Negotiate ${text}`), { code: 'invalid' }, text)
  }
})

t.test('a keytab tells whose keys it holds, and never the keys', async (t) => {
  const counted = (text: string) => Buffer.concat([Buffer.from([0, text.length]), Buffer.from(text, 'latin1')])
  const entry = (names: readonly string[], short: number, version?: number) => {
    const parts = [Buffer.from([0, names.length]), counted('DESY.DE'), ...names.map(counted), Buffer.alloc(8)]
    const more = version === undefined ? [] : [Buffer.from([0, 0, version >> 8, version & 255])]
    const body = Buffer.concat([...parts, Buffer.from([short, 0, 18]), counted('k'.repeat(32)), ...more])
    const size = Buffer.alloc(4)
    size.writeInt32BE(body.length)
    return Buffer.concat([size, body])
  }
  const hole = Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0xfc]), Buffer.alloc(4)])
  const start = Buffer.from([5, 2])
  const file = Buffer.concat([start, entry(['HTTP', 'gw.desy.de'], 3), hole, entry(['host', 'gw.desy.de'], 1, 300)])
  t.same(parseKeytab(file), [
    { principal: 'HTTP/gw.desy.de@DESY.DE', version: 3, type: 18 },
    { principal: 'host/gw.desy.de@DESY.DE', version: 300, type: 18 },
  ])
  t.same(parseKeytab(Buffer.concat([start, Buffer.alloc(8)])), [])
  for (const bad of [Buffer.alloc(0), Buffer.from([5, 1]), file.subarray(0, 30), Buffer.from('{"a":1}')]) {
    t.throws(() => parseKeytab(bad), { code: 'invalid' })
  }
  for (let at = 2; at < file.length; at++) {
    const changed = Buffer.from(file)
    changed[at] = 0xff
    try {
      parseKeytab(changed)
    } catch (error) {
      t.type(error, StorageError)
    }
  }
})

function secretsInMemory() {
  const kept = new Map<string, Secret>()
  return {
    names: async () => [...kept.keys()],
    get: async (name: string) => kept.get(name),
    set: async (name: string, value: Secret) => void kept.set(name, value),
    remove: async (name: string) => void kept.delete(name),
  }
}

t.test('a cookie opens with the key of its epoch alone, whole and unchanged', async (t) => {
  const epochs = new Epochs(secretsInMemory(), Date.now)
  const note = { name: 'alice@DESY.DE', issued: 1000, expires: 2000 }
  const text = sealTicket(note, await epochs.current()).reveal()
  t.same(await openTicket(text, epochs), note)
  t.notMatch(text, /alice/)
  t.equal(await openTicket(text, new Epochs(secretsInMemory(), Date.now)), undefined)
  for (const at of [5, 30, 40, text.length - 1]) {
    const other = text[at] === 'A' ? 'B' : 'A'
    t.equal(await openTicket(text.slice(0, at) + other + text.slice(at + 1), epochs), undefined, String(at))
  }
  for (const bad of ['', 'k1', `${text}A`, text.slice(0, -4), text.replace('k1.', 'k2.')]) {
    t.equal(await openTicket(bad, epochs), undefined)
  }
  await epochs.rotate(0)
  t.equal(await openTicket(text, epochs), undefined, 'nothing of an epoch that was ended is good')
})

t.test('an address has so many refused tickets, and more with time', async (t) => {
  let now = 0
  const failures = new Failures(() => now)
  for (let count = 0; count < 30; count++) {
    failures.check('2001:db8::1')
    failures.note('2001:db8::1')
  }
  t.throws(() => failures.check('2001:db8::2'), { code: 'busy' }, 'the same machine')
  failures.check('2001:db8:0:1::1')
  failures.check('192.0.2.1')
  now += 1000
  failures.check('2001:db8::1')
})

t.test('tickets that come together are as few as those that come one by one', async (t) => {
  let seen = 0
  const accept = async () => {
    seen++
    return undefined
  }
  const state = { options: {}, kerberos: { library: { accept } } } as unknown as IdentityState
  const desk = new NegotiationDesk({ state: () => state, admit: () => anonymous })
  const tries = Array.from({ length: 200 }, () => desk.accept(bare, '192.0.2.1'))
  const codes = (await Promise.allSettled(tries)).map((each) => {
    return each.status === 'rejected' ? StorageError.from(each.reason).code : 'accepted'
  })
  t.ok(seen <= 34, `${seen} were looked at`)
  t.same(new Set(codes), new Set(['unauthenticated', 'busy']))
})
