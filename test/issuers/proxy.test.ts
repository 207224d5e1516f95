/** Certificates that end at nginx, as Debian ships it: told truly, and never by the caller. */

import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { named } from '../gateway/people.ts'
import { makeLab } from '../gateway/tree.ts'
import { CertificateAuthority, forLoopback } from '../peers/certificate-authority.ts'
import { noNginx, startNginx } from '../peers/nginx.ts'
import { ask, type Certifying, headerOf } from './certified.ts'

t.setTimeout(120_000)
const whoami = '/.portolan/api/v1/whoami'

t.test('a certificate comes through nginx', { skip: noNginx }, async (t) => {
  const [grid, own, stranger] = [
    new CertificateAuthority(t),
    new CertificateAuthority(t, '/CN=Own'),
    new CertificateAuthority(t),
  ]
  const server = own.certify('/CN=127.0.0.1', { extensions: forLoopback })
  const alice = grid.certify('/C=DE/O=Grid/CN=Alice')
  const from = '127.0.0.2'
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/lab', make: (top) => makeLab(top).file('alice/note.txt', 'alice', 'hello') }],
    secrets: { 'grid.pem': grid.cert },
    more: {
      listen: [{ address: '127.0.0.1', port: 0, proxyCertificates: { ca: 'grid.pem' } }],
      trustedProxies: [from],
      mapping: [{ certificate: '/C=DE/O=Grid/CN=Alice', account: 'alice' }],
    },
  })
  const proxy = { server, from, to: gateway.port }
  const checking = await startNginx(t, { ...proxy, verify: 'optional', ca: grid.cert })
  const trusting = await startNginx(t, { ...proxy, verify: 'optional_no_ca' })
  const send = (port: number, more: Partial<Certifying> = {}) => ask({ port, ca: own.cert, path: whoami, ...more })
  for (const port of [checking, trusting]) {
    t.equal((await send(port, { by: alice })).json().user, named('alice'))
    t.equal((await send(port, { by: alice, path: '/lab/alice/note.txt' })).text, 'hello')
    t.equal((await send(port)).json().user, null)
    const forged = { 'Client-Cert': headerOf(alice) }
    t.equal((await send(port, { headers: forged })).json().user, null, 'what a caller writes is taken away')
  }
  const other = stranger.certify('/C=DE/O=Grid/CN=Alice')
  t.equal((await send(checking, { by: other })).status, 400, 'nginx checks the chain')
  t.equal((await send(trusting, { by: other })).status, 401, 'and where it does not, the gateway does')
})
