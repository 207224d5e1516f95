/** What `portolan check` says of mounts over NFS. */

import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { checkNfs, parseMounts } from '../../gateway/checks/nfs.ts'
import { parseConfig } from '../../gateway/config.ts'

/** As proc_pid_mountinfo(5) has it. */
const mountinfo = `22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
40 22 0:41 / /data/dust rw,relatime shared:21 - nfs4 dust:/dust rw,vers=4.2,sec=sys,clientaddr=10.0.0.1
41 22 0:42 / /data/with\\040blank rw - nfs nas:/x rw,vers=3
42 22 0:43 / /data/safe rw master:3 - nfs4 safe:/ rw,vers=4.1,sec=krb5p
43 40 8:2 / /data/dust/local rw - xfs /dev/sdb1 rw
`

/** A tree in `etc` that is mounted, and a link to it. */
function here(etc: string): string {
  mkdirSync(join(etc, 'nas'))
  symlinkSync('nas', join(etc, 'link'))
  return `44 22 0:44 / ${realpathSync(join(etc, 'nas'))} rw - nfs4 nas:/ rw,sec=sys\n`
}

function world(t: Test, { idmapd, more = {} }: { idmapd?: string; more?: Record<string, string> } = {}) {
  const etc = mkdtempSync(join(tmpdir(), 'portolan-check-'))
  t.teardown(() => rmSync(etc, { recursive: true, force: true }))
  writeFileSync(join(etc, 'mountinfo'), mountinfo + here(etc))
  if (idmapd !== undefined) writeFileSync(join(etc, 'idmapd.conf'), idmapd)
  mkdirSync(join(etc, 'idmapd.conf.d'))
  for (const [name, text] of Object.entries(more)) writeFileSync(join(etc, 'idmapd.conf.d', name), text)
  return async (named: string, enforce: string, groups: Record<string, number> = {}, more = '') => {
    const root = named.replace('ETC', etc)
    const text = [
      'domain: example.org',
      'listen: [{ address: 127.0.0.1, port: 0 }]',
      'state: { directory: state }',
      `mounts: [{ path: /m, enforce: ${enforce}, backend: { type: posix, root: ${JSON.stringify(root)}${more} } }]`,
    ].join('\n')
    const found: string[] = []
    const accounts = async () => new Map(Object.entries(groups))
    const means = { mountinfo: join(etc, 'mountinfo'), etc, accounts }
    await checkNfs(parseConfig(text, '/etc/p.yaml'), means, (part, { subject, level, text }) => {
      found.push(`${part} ${subject} ${level}: ${text}`)
    })
    return found
  }
}

t.test('mount points are read with their blanks', (t) => {
  const found = parseMounts(mountinfo)
  t.match(found[2], { at: '/data/with blank', type: 'nfs', options: ['rw', 'vers=3'] })
  t.equal(found.length, 5)
  t.same(parseMounts('rubbish\n\n1 2 3 - '), [])
  t.end()
})

t.test('the domain of idmapd.conf must be that of the gateway where NFSv4 is mounted', async (t) => {
  const good = world(t, { idmapd: '[General]\nVerbosity = 0\n# Domain = other.org\nDomain = Example.ORG\n' })
  t.match(await good('/data/dust/a', 'gateway'), [/^nfs idmap ok: NFSv4 names are of example\.org here too/])
  t.same(await good('/data/with blank', 'gateway'), [], 'NFSv3 has numbers')
  t.same(await good('/data/dust/local/a', 'gateway'), [], 'another file system inside')
  t.same(await good('/data/dusty', 'gateway'), [], 'another name')
  t.match(await good('ETC/link', 'gateway'), [/^nfs idmap ok/], 'where the tree really is')
  const bad = world(t, { idmapd: '[General]\nDomain = localdomain\n' })
  t.match(await bad('/data/dust', 'gateway'), [/^nfs idmap error: .* of localdomain .* set Domain = example\.org/])
  const none = world(t, { idmapd: '[Mapping]\nDomain = example.org\n' })
  t.match(await none('/data/dust', 'gateway'), [/^nfs idmap warning: .* names no Domain/])
  t.match(await world(t)('/data/dust', 'gateway'), [/^nfs idmap warning/], 'without the file')
  const later = world(t, {
    idmapd: '[General]\nDomain = a.org\n',
    more: { '10.conf': '[General]\nDomain=example.org\n' },
  })
  t.match(await later('/data/dust', 'gateway'), [/^nfs idmap ok/])
})

t.test('sixteen groups are told of where the kernel decides over AUTH_SYS', async (t) => {
  const run = world(t, { idmapd: '[General]\nDomain = example.org\n' })
  t.match(
    (await run('/data/dust', 'native', { alice: 16 }))[1],
    /^mount \/m groups warning: sec=sys carries 16 groups.*manage-gids.*None of the 1 account looked at/,
  )
  t.match(
    (await run('/data/dust', 'native', { alice: 3, vo: 17 }))[1],
    /^mount \/m groups error: .* lost for vo \(17\): let the server/,
  )
  t.match(await run('/data/with blank', 'native'), [/groups warning/], 'NFSv3 as well')
  t.equal((await run('/data/safe', 'native', { vo: 99 })).length, 1, 'not with sec=krb5')
  t.equal((await run('/data/dust', 'gateway', { vo: 99 })).length, 1, 'not where the gateway decides')
  t.same(await run('/data', 'native', { vo: 17 }), [], 'not of what is mounted inside and not entered')
  const inside = await run('/data', 'native', { vo: 17 }, ', crossMounts: true')
  t.match(inside, [/^nfs idmap ok/, /^mount \/m groups error/])
  t.equal(inside.length, 2, 'once, of however many')
})
