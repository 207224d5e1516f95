/** Answers that are not what RFC 4511 says: none of them reaches the parser, which would not come back from some. */

import { BerWriter, MessageParser } from 'ldapts'
import t from 'tap'
import { isAnswer } from '../../acl/identity/ldap/shape.ts'
import { Secret } from '../../acl/secret.ts'
import { Dice, mutated } from '../dice.ts'
import { ActiveDirectory } from '../doubles/active-directory/server.ts'
import { optionsFor, outcome, worldOf } from './directory.ts'
import { Way } from './way.ts'

function message(
  operation: number,
  write: (writer: BerWriter) => void,
  controls?: (writer: BerWriter) => void,
): Buffer {
  const writer = new BerWriter()
  writer.startSequence()
  writer.writeInt(2)
  writer.startSequence(operation)
  write(writer)
  writer.endSequence()
  if (controls) {
    writer.startSequence(0xa0)
    controls(writer)
    writer.endSequence()
  }
  writer.endSequence()
  return writer.buffer
}

function result(writer: BerWriter, code = 0): void {
  writer.writeEnumeration(code)
  writer.writeString('')
  writer.writeString('a text')
}

function attribute(writer: BerWriter, name: string, values: readonly string[]): void {
  writer.startSequence()
  writer.writeString(name)
  writer.startSequence(0x31)
  for (const value of values) writer.writeString(value)
  writer.endSequence()
  writer.endSequence()
}

function cookie(writer: BerWriter): void {
  writer.startSequence()
  writer.writeString('1.2.840.113556.1.4.319')
  writer.writeBuffer(Buffer.from('3005020100040178', 'hex').subarray(0, 7), 0x04)
  writer.endSequence()
}

const entry = message(0x64, (writer) => {
  writer.writeString('uid=alice,dc=x')
  writer.startSequence()
  attribute(writer, 'uid', ['alice'])
  attribute(writer, 'mail', ['a@x', 'b@x'])
  attribute(writer, 'empty', [])
  writer.endSequence()
})
const answers = [
  entry,
  message(0x65, (writer) => result(writer), cookie),
  message(0x61, (writer) => result(writer, 49)),
  message(0x73, (writer) => writer.writeString('ldap://elsewhere/')),
  message(0x78, (writer) => {
    result(writer)
    writer.writeString('1.3.6.1.4.1.1466.20036', 0x8a)
  }),
]

t.test('real answers pass', async (t) => {
  for (const answer of answers) t.ok(isAnswer(answer), answer.toString('hex').slice(0, 20))
})

t.test('what a wrong length makes of one does not', async (t) => {
  const at = (text: string) => entry.indexOf(text) - 1
  for (const text of ['uid=alice', 'uid', 'alice', 'a@x']) {
    for (const length of [0, 0x7f, 0x80, 0x84]) {
      const bad = Buffer.from(entry)
      bad[text === 'alice' ? entry.lastIndexOf('alice') - 1 : at(text)] = length
      t.notOk(isAnswer(bad), `${text} ${length}`)
    }
  }
  // A string where a list should be: its bytes would be read as elements.
  const typed = Buffer.from(entry)
  typed[entry.indexOf('mail') - 4] = 0x04
  t.notOk(isAnswer(typed))
})

t.test('the parser comes back from everything that passes', async (t) => {
  const dice = new Dice(20_261_122)
  let passed = 0
  for (let time = 0; time < 20_000; time++) {
    const bad = mutated(dice.of([entry, ...answers]), dice, ['\x30\x00', '\x04\x81', '\xff', '\x31\x02\x04\x00'])
    if (!isAnswer(bad)) continue
    passed++
    const parser = new MessageParser()
    parser.on('error', () => {})
    parser.read(bad, new Map())
  }
  t.ok(passed > 500, `${passed} of them`)
})

t.test('whatever comes, a look-up ends with an account or a refusal', async (t) => {
  const reader = { dn: 'CN=reader,DC=x', password: 'reader-secret' }
  const people = { objectClass: ['posixAccount'], uid: ['alice'], uidNumber: ['20001'], gidNumber: ['20000'] }
  const server = await ActiveDirectory.start(t, [{ dn: 'uid=alice,dc=x', attributes: people }], {
    [reader.dn]: reader.password,
  })
  const dice = new Dice(7)
  const way = await Way.open(t, {
    to: Number(new URL(server.url).port),
    change: (answer) => mutated(answer, dice, ['\x30\x00', '\x04\x81', '\xff']),
  })
  const seen = new Map<string, number>()
  for (let time = 0; time < 80; time++) {
    const place = { base: 'dc=x' }
    const bind = { dn: reader.dn, password: new Secret(reader.password) }
    const { source } = worldOf(
      t,
      optionsFor('rfc2307', { servers: [way.url], deadline: 50, bind, users: place, groups: place }),
    )
    const said = await outcome(source.find('alice'))
    const word = typeof said === 'string' ? (said.split(' ')[0] ?? '') : 'answer'
    seen.set(word, (seen.get(word) ?? 0) + 1)
    await source.close()
  }
  t.same(
    [...seen.keys()].filter((word) => !['answer', 'unavailable', 'denied'].includes(word)),
    [],
    [...seen].join(' '),
  )
})
