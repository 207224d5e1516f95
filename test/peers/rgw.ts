/**
 * A real S3 server for tests: Ceph's RADOS gateway over a cluster of one monitor and one storage daemon in memory
 * (Debian's ceph-mon, ceph-osd, radosgw and ceph-common). Loopback only, directories of its own, ended by pid.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { answering, freePort } from './ports.ts'

const run = promisify(execFile)

/** What must be installed, each with a file that shows it. */
const needed = {
  'ceph-mon': '/usr/bin/ceph-mon',
  'ceph-osd': '/usr/bin/ceph-osd',
  radosgw: '/usr/bin/radosgw',
  'ceph-common': '/usr/bin/ceph',
  'util-linux': '/usr/bin/setpriv',
} as const

/** Why no gateway can be started here; false where one can. For `skip`. */
export function noRgw(): string | false {
  const missing = Object.entries(needed).filter(([, file]) => !existsSync(file))
  return missing.length > 0 && `missing Debian packages: ${missing.map(([name]) => name).join(', ')}`
}

export interface Rgw {
  readonly endpoint: URL
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  stop(): Promise<void>
}

/** Starts a cluster and its gateway, which takes about ten seconds. Whoever starts it stops it. */
export async function startRgw(): Promise<Rgw> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-rgw-'))
  const children: ChildProcess[] = []
  const stop = async () => {
    for (const child of children.toReversed()) await end(child)
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    return { ...(await boot(directory, children)), stop }
  } catch (cause) {
    const told = ['radosgw', 'osd', 'mon'].map((name) => tail(join(directory, `${name}.out`))).join('\n')
    await stop()
    throw new Error(`the RADOS gateway did not start:\n${told}`, { cause })
  }
}

async function boot(directory: string, children: ChildProcess[]): Promise<Omit<Rgw, 'stop'>> {
  const [monitor, port] = [await freePort(), await freePort()]
  const conf = join(directory, 'ceph.conf')
  const fsid = randomUUID()
  for (const name of ['mon', 'osd', 'run', 'rgw']) mkdirSync(join(directory, name))
  writeFileSync(join(directory, 'keyring'), '')
  writeFileSync(conf, configuration(directory, fsid, monitor, port))
  const start = (name: string, command: string, ...args: string[]) => {
    const log = openSync(join(directory, `${name}.out`), 'a')
    // The signal ends it should the test be killed.
    const words = ['--pdeathsig', 'KILL', command, '-c', conf, ...args, '-f']
    const child = spawn('/usr/bin/setpriv', words, { stdio: ['ignore', log, log], env: environment })
    closeSync(log)
    child.on('error', () => {})
    children.push(child)
  }
  const ceph = (...args: string[]) => command('ceph', '-c', conf, '--connect-timeout', '20', ...args)

  const map = join(directory, 'monmap')
  await command('monmaptool', '--create', '--fsid', fsid, '--addv', 'a', `[v1:127.0.0.1:${monitor}]`, map)
  await command('ceph-mon', '-c', conf, '--mkfs', '-i', 'a', '--monmap', map)
  start('mon', 'ceph-mon', '-i', 'a')
  await answering(monitor)
  const id = (await ceph('osd', 'create')).trim()
  await ceph('osd', 'crush', 'add', `osd.${id}`, '1.0', 'host=one', 'root=default')
  await command('ceph-osd', '-c', conf, '-i', id, '--mkfs')
  start('osd', 'ceph-osd', '-i', id)
  for (let left = 60; !/\b1 up\b/.test(await ceph('osd', 'stat')); left--) {
    if (left === 0) throw new Error('the storage daemon is not up')
    await sleep(200)
  }
  start('radosgw', 'radosgw', '-n', 'client.rgw')
  await answering(port)
  const [accessKeyId, secretAccessKey] = ['PORTOLANKEY', randomUUID()]
  await command(
    'radosgw-admin',
    ...['-c', conf, '-n', 'client.rgw', 'user', 'create', '--uid=portolan', '--display-name=Portolan'],
    ...[`--access-key=${accessKeyId}`, `--secret-key=${secretAccessKey}`],
  )
  return { endpoint: new URL(`http://127.0.0.1:${port}`), region: 'us-east-1', accessKeyId, secretAccessKey }
}

/** Settings as in the Ceph Configuration Reference; one copy of everything, no authentication inside the cluster. */
function configuration(directory: string, fsid: string, monitor: number, port: number): string {
  return `[global]
fsid = ${fsid}
mon host = v1:127.0.0.1:${monitor}
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
osd objectstore = memstore
memstore device bytes = 2147483648
log file = ${directory}/$name.log
admin socket = ${directory}/run/$name.$pid.asok
run dir = ${directory}/run
pid file = ${directory}/run/$name.pid
mon data = ${directory}/mon
osd data = ${directory}/osd
osd max object name len = 2048
osd class update on start = false
osd crush update on start = false
mon osd nearfull ratio = .97
mon osd backfillfull ratio = .98
mon osd full ratio = .99
keyring = ${directory}/keyring
[client.rgw]
rgw data = ${directory}/rgw
rgw frontends = beast endpoint=127.0.0.1:${port} tcp_nodelay=1
rgw thread pool size = 64
`
}

/** Nothing of the caller's that the daemons would heed. */
const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' }

async function command(name: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(name, args, { env: environment, timeout: 60_000 })
  return stdout
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  // What it keeps is in memory and goes with it.
  child.kill('SIGKILL')
  await gone
}

function tail(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').slice(-2000) : ''
}
