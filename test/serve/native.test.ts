import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createDevelopmentIssuer } from '../../acl/identity/development-issuer.ts'
import { run } from './running.ts'
import { audience, configText, get, issuer } from './world.ts'

const needsRoot = process.geteuid?.() !== 0 && 'needs root, to start as root and make files of others'

const account = 4999
const exclusive = 0o2000000

/** A program that stands for systemd-notify and tells what it was given. */
function notifier(t: Test): { readonly environment: NodeJS.ProcessEnv; readonly told: string } {
  const bin = mkdtempSync(join(tmpdir(), 'portolan-notify-'))
  t.teardown(() => rmSync(bin, { recursive: true, force: true }))
  const told = join(bin, 'told')
  const script = `#!/bin/sh\n{ grep Cap /proc/self/status; stat -L -c 'open %d:%i' /proc/self/fd/*; } >>${told} 2>&1\n`
  writeFileSync(join(bin, 'systemd-notify'), script, { mode: 0o755 })
  chownSync(bin, account, account)
  chmodSync(bin, 0o755)
  return { environment: { NOTIFY_SOCKET: '/nowhere', PATH: `${bin}:${process.env.PATH}` }, told }
}

function statusOf(pid: number | undefined): string {
  return readFileSync(`/proc/${pid}/status`, 'utf8')
}

function childrenOf(parent: number | undefined): number[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger)
  return pids.filter((pid) => {
    try {
      return statusOf(pid).includes(`\nPPid:\t${parent}\n`)
    } catch {
      // It has ended.
      return false
    }
  })
}

/** Which file a path leads to, whatever root and mounts the one who looks has. */
function fileOf(path: string): string {
  const { dev, ino } = statSync(path)
  return `${dev}:${ino}`
}

/** Of each descriptor of this directory, whether programs that the process starts get it. */
function handedOn(pid: number | undefined, directory: string): boolean[] {
  const open = readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return fileOf(`/proc/${pid}/fd/${fd}`) === fileOf(directory)
    } catch {
      // Closed meanwhile, or a socket.
      return false
    }
  })
  return open.map((fd) => {
    const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1]
    return (Number.parseInt(flags ?? '0', 8) & exclusive) === 0
  })
}

t.test(
  'started as root it serves as another account, and the kernel decides as the caller',
  { skip: needsRoot },
  async (t) => {
    let token = ''
    const { environment, told } = notifier(t)
    const configure = async (directory: string) => {
      const tree = join(directory, 'trees/data')
      mkdirSync(tree, { recursive: true })
      for (const [name, owner] of [
        ['hers', 4001],
        ['his', 4002],
      ] as const) {
        writeFileSync(join(tree, name), name, { mode: 0o600 })
        chownSync(join(tree, name), owner, owner)
      }
      writeFileSync(join(directory, 'accounts.yaml'), 'users: { alice: { uid: 4001, gid: 4001 } }\n')
      const development = await createDevelopmentIssuer(join(directory, 'issuer'), issuer)
      token = await development.sign({ sub: 'alice', aud: audience })
      for (const name of ['', 'state', 'logs']) {
        mkdirSync(join(directory, name), { recursive: true })
        chownSync(join(directory, name), account, account)
      }
      return configText(directory, { workers: 1 })
        .replace('workers:', `runAs: { uid: ${account}, gid: ${account} }\nworkers:`)
        .replace('}, }', '} }')
        .replace('} }\n', '}, enforce: native }\n')
    }
    const gateway = await run(t, configure, undefined, environment)
    await gateway.ready()
    const supervisor = gateway.process.pid
    const status = statusOf(supervisor)
    t.match(status, new RegExp(`^Uid:\\t${account}\\t`, 'm'))
    t.match(status, /^CapPrm:\t00000000000000c0$/m)
    const hers = await get(gateway, '/data/hers', token)
    t.equal(hers.status, 200)
    t.equal(await hers.text(), 'hers')
    t.equal((await get(gateway, '/data/his', token)).status, 403)
    const [worker, ...others] = childrenOf(supervisor)
    t.same(others, [])
    const switching = /^CapPrm:\t00000000000000c0\nCapEff:\t00000000000000c0$/m
    t.match(statusOf(worker), switching, 'the worker has the capabilities')
    t.match(statusOf(worker), /^CapAmb:\t0000000000000000$/m, 'and what it starts has not')
    const top = join(gateway.directory, 'trees/data')
    for (const pid of [supervisor, worker]) {
      const descriptors = handedOn(pid, top)
      t.ok(descriptors.length > 0)
      t.notOk(descriptors.includes(true), 'nor a way to the tree that root opened')
    }
    gateway.signal('SIGTERM')
    t.equal(await gateway.ended, 0)
    const given = readFileSync(told, 'utf8')
    t.match(given, /^CapPrm:\t0000000000000000$/m, 'nor has what the supervisor starts beside workers')
    t.notMatch(given, /^Cap(Prm|Eff|Amb):\t0*[1-9a-f]/m)
    t.match(given, /^open \d+:\d+$/m, 'it has descriptors')
    t.notOk(given.split('\n').includes(`open ${fileOf(top)}`), 'and none of the tree')
  },
)
