/**
 * WebDAV beside Apache mod_dav, nginx and `rclone serve webdav`, in one run on loopback: listings, many small uploads,
 * MKCOL and MOVE, copies between two gateways, and downloads over TLS.
 *
 * Figures are ratios of rounds in which every server takes its turn. A missed goal is printed, it does not fail the run.
 */

import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { prepare } from './http/data.ts'
import { startPortolan } from './http/portolan.ts'
import { apache, nginx, rcloneWebdav } from './peers.ts'
import { type Figure, print } from './report.ts'
import { changes, listing, secureDownload, smallUploads, thirdPartyCopy } from './webdav/cases.ts'

const work = resolve(import.meta.dirname, 'work-webdav')
rmSync(work, { recursive: true, force: true })
mkdirSync(work, { recursive: true })

const data = prepare(work)
mkdirSync(`${data.tree}/user/listed`)
for (let index = 0; index < 10_000; index++) {
  closeSync(openSync(`${data.tree}/user/listed/event-${index}.h5`, 'w', 0o644))
}
const tls = { certificate: `${work}/certificate.pem`, key: `${work}/key.pem` }
const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
const ecdsa = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
execFileSync('openssl', ['req', '-x509', ...ecdsa, ...subject, '-keyout', tls.key, '-out', tls.certificate], {
  stdio: 'ignore',
})
execFileSync('chmod', ['0644', tls.certificate])
execFileSync('chown', ['64990:64990', tls.key])

const source = await startPortolan(work, data, { tls })
const portolan = await startPortolan(work, data, { name: 'second', copiesFrom: [new URL(source.url).host] })
const peers = {
  nginx: await nginx(work, data.tree, tls),
  apache: await apache(work, data.tree),
  rclone: await rcloneWebdav(work, data.tree),
}
const figures: Figure[] = []
try {
  const cases = { listing, smallUploads, changes, thirdPartyCopy, secureDownload }
  const named = process.argv.slice(2)
  for (const [name, measure] of Object.entries(cases)) {
    if (named.length > 0 && !named.includes(name)) continue
    const found = await measure({ portolan, source, peers, data, work })
    figures.push(...found)
    print(found)
  }
} finally {
  await Promise.all([portolan, source, ...Object.values(peers)].map((peer) => peer.stop()))
  rmSync(work, { recursive: true, force: true })
}

const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version }
mkdirSync(resolve(import.meta.dirname, 'results'), { recursive: true })
if (process.argv.length === 2) {
  const file = resolve(import.meta.dirname, 'results/webdav.json')
  writeFileSync(file, `${JSON.stringify({ machine, figures }, null, 2)}\n`)
}
