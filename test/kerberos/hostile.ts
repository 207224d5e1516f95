/**
 * Shows the library tokens that somebody has tampered with, thousands of them, in a process of its own. Prints who was
 * let in by them, how many reached the library past the look before it, and by how many bytes a token the process has
 * grown. For tests.
 */

import { openLibrary } from '../../acl/identity/kerberos/library.ts'
import { requireKerberosToken } from '../../acl/identity/kerberos/spnego.ts'
import { Dice, mutated } from '../dice.ts'

const [keytab = '', replays = '', token = '', rounds = '0'] = process.argv.slice(2)
const library = await openLibrary({ keytab, replays })
const good = Buffer.from(token, 'base64')
const dice = new Dice(20_261_122)
/** Lengths that lie, and beginnings of elements. */
const pieces = [
  '\x80',
  '\x84\xff\xff\xff\xff',
  '\x82\xff\xff',
  '\x60\x80',
  '\x30\x00',
  '\x6e\x82',
  'NTLMSSP\0',
] as const

const clients = new Set<string>()
const first = 1000
let passed = 0
let before = 0
for (let round = 0; round < Number(rounds); round++) {
  if (round === first) before = process.memoryUsage.rss()
  const bytes = mutated(good, dice, [...pieces])
  // The library has to bear those as well that it never sees.
  const accepted = bytes.length > 0 ? await library.accept(bytes, () => {}) : undefined
  if (accepted) clients.add(accepted.client)
  try {
    requireKerberosToken(bytes)
    passed++
  } catch {
    // Most are refused there.
  }
}
const grown = (process.memoryUsage.rss() - before) / Math.max(1, Number(rounds) - first)
console.log(JSON.stringify({ clients: [...clients], passed, grown: Math.round(grown) }))
