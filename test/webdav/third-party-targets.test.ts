/** Where third-party copies may lead: hosts, ports, networks, and what a name means by the time it is used. */

import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { mayConnect, parseNetworks } from '../../gateway/webdav/third-party/networks.ts'
import { Targets } from '../../gateway/webdav/third-party/targets.ts'

const nothing = parseNetworks([])
const lab = parseNetworks(['10.1.0.0/16', '127.0.0.0/8', '::1', 'fd00:1::/32', '169.254.0.0/16', '::/0'])

t.test('addresses off the public Internet are refused unless their network is listed', async (t) => {
  for (const [address, unlisted, listed] of [
    ['131.169.40.1', true, true],
    ['2001:638:700::1', true, true],
    ['10.1.2.3', false, true],
    ['10.2.2.3', false, false],
    ['127.0.0.1', false, true],
    ['100.64.0.1', false, false],
    ['172.31.255.255', false, false],
    ['172.32.0.0', true, true],
    ['192.168.1.1', false, false],
    ['192.0.2.1', false, false],
    ['198.18.0.1', false, false],
    ['203.0.113.9', false, false],
    ['::1', false, true],
    ['fd00:1::1', false, true],
    ['2001:db8::1', false, true],
    // Never, whatever is listed.
    ['0.0.0.0', false, false],
    ['169.254.169.254', false, false],
    ['224.0.0.1', false, false],
    ['255.255.255.255', false, false],
    ['::', false, false],
    ['::127.0.0.1', false, false],
    ['::ffff:127.0.0.1', false, false],
    ['::ffff:8.8.8.8', false, false],
    ['::ffff:7f00:1', false, false],
    ['64:ff9b::7f00:1', false, false],
    ['64:ff9b:1::a01:203', false, false],
    ['2002:7f00:1::', false, false],
    ['2001:0:53aa:64c::1', false, false],
    // ISATAP, with the bit for addresses that are unique in the world and without (RFC 5214, section 6.1).
    ['2001:638:700::5efe:10.0.0.1', false, false],
    ['2001:638:700:1:0:5efe:a01:203', false, false],
    ['2001:638:700:1:200:5efe:7f00:1', false, false],
    ['2001:638:700:1:0:5EFE::', false, false],
    ['2001:638:700:1:5efe:0:0:1', true, true],
    ['2001:638:700:1:1:5efe:0:1', true, true],
    ['2001:638:700::5efe', true, true],
    ['fe80::1', false, false],
    ['fe80::1%eth0', false, false],
    ['fec0::1', false, false],
    ['ff02::1', false, false],
    ['100::1', false, false],
    ['localhost', false, false],
    ['', false, false],
  ] as const) {
    t.equal(mayConnect(address, nothing), unlisted, `${address}, nothing listed`)
    t.equal(mayConnect(address, lab), listed, `${address}, lab listed`)
  }
})

t.test('hosts and ports are those of the list', async (t) => {
  for (const [rule, url, expected] of [
    ['se.example.org', 'https://se.example.org/f', true],
    ['se.example.org', 'https://SE.example.ORG./f', true],
    ['se.example.org', 'https://se.example.org:1094/f', true],
    ['se.example.org', 'https://se.example.org:22/f', false],
    ['se.example.org', 'https://se.example.org.evil.example/f', false],
    ['se.example.org', 'https://evil-se.example.org/f', false],
    ['se.example.org:8443', 'https://se.example.org:8443/f', true],
    ['se.example.org:8443', 'https://se.example.org/f', false],
    ['se.example.org:443', 'https://se.example.org/f', true],
    ['*.example.org', 'https://a.b.example.org/f', true],
    ['*.example.org', 'https://example.org/f', false],
    ['*.example.org', 'https://badexample.org/f', false],
    ['*', 'https://anything.example/f', true],
    ['*', 'https://anything.example:25/f', false],
    ['*', 'http://anything.example/f', false],
    ['*', 'https://127.0.0.1/f', false],
    ['*', 'https://2130706433/f', false],
    ['*', 'https://0x7f.1/f', false],
    ['*', 'https://[::ffff:127.0.0.1]/f', false],
    ['*', 'https://[::1]/f', false],
    ['*', 'https://131.169.40.1/f', true],
    ['131.169.40.1', 'https://131.169.40.1/f', true],
    ['[2001:638:700:0::1]', 'https://[2001:638:700::1]/f', true],
  ] as const) {
    const targets = new Targets({ hosts: [rule], networks: [], insecure: false })
    t.equal(
      allowed(() => targets.check(new URL(url))),
      expected,
      `${rule}: ${url}`,
    )
  }
})

t.test('only addresses that are allowed are given to connect to', async (t) => {
  const resolve = async () => [
    { address: '10.0.0.1', family: 4 },
    { address: '131.169.40.1', family: 4 },
    { address: '::ffff:127.0.0.1', family: 6 },
    { address: '2001:638:700::1', family: 6 },
  ]
  const targets = new Targets({ hosts: ['*'], networks: [], insecure: false, resolve })
  const addresses = await targets.resolve(new URL('https://se.example.org/'), new AbortController().signal)
  t.same(
    addresses.map(({ address }) => address),
    ['131.169.40.1', '2001:638:700::1'],
  )
})

t.test('a name without an allowed address is refused, and the reason is not in the message', async (t) => {
  const resolve = async () => [{ address: '169.254.169.254', family: 4 }]
  const targets = new Targets({ hosts: ['*'], networks: [], insecure: false, resolve })
  const error = await targets.resolve(new URL('https://metadata.example/'), new AbortController().signal).then(
    () => undefined,
    (thrown: unknown) => StorageError.from(thrown),
  )
  t.equal(error?.code, 'denied')
  t.notMatch(error?.message, /metadata|169/)
  t.match(error && StorageError.reasonOf(error)?.text, /metadata.example/)
})

t.test('a resolver that hangs is left when the caller goes', async (t) => {
  const targets = new Targets({ hosts: ['*'], networks: [], insecure: false, resolve: () => new Promise(() => {}) })
  const caller = new AbortController()
  const pending = targets.resolve(new URL('https://se.example.org/'), caller.signal)
  caller.abort()
  await t.rejects(pending, { code: 'cancelled' })
})

t.test('what is no host or network is no rule', async (t) => {
  for (const host of ['', 'a b', 'http://x', 'x:0', 'x:70000', '*.*', '**', 'x/y', '[::1'])
    t.throws(() => new Targets({ hosts: [host], networks: [], insecure: false }), { code: 'invalid' }, host)
  for (const network of ['', 'x', '10.0.0.0/33', '::/129', '10.0.0.0/x', '10.0.0.0/', '10.0.0.0/1e1', '10.0.0.0/8/8'])
    t.throws(() => parseNetworks([network]), { code: 'invalid' }, network)
})

function allowed(work: () => void): boolean {
  try {
    work()
    return true
  } catch (error) {
    if (StorageError.from(error).code !== 'denied') throw error
    return false
  }
}
