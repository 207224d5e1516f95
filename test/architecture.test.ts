/** The walls between the rooms: who may import whom, and how long a file may be (docs/architecture.md). */

import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import t from 'tap'

const home = resolve(import.meta.dirname, '..')
const sources = globSync('{gateway,acl,backends,mounts}/**/*.ts', { cwd: home }).toSorted()

interface Import {
  readonly from: string
  /** A file of ours relative to the top, or a package. */
  readonly to: string
  readonly typeOnly: boolean
}

/** Import and export lines of one file, also those over several lines. */
function importsOf(file: string): Import[] {
  const text = readFileSync(resolve(home, file), 'utf8')
  const found: Import[] = []
  for (const [, kind, target] of text.matchAll(/^(?:import|export)\s+(type\s)?[^'";]*?from\s+'([^']+)'/gms)) {
    found.push({ from: file, to: locate(file, target ?? ''), typeOnly: kind !== undefined })
  }
  for (const [, target] of text.matchAll(/(?:^import|\bimport\()\s*'([^']+)'/gms)) {
    found.push({ from: file, to: locate(file, target ?? ''), typeOnly: false })
  }
  return found
}

function locate(file: string, target: string): string {
  return target.startsWith('.') ? relative(home, resolve(home, dirname(file), target)) : target
}

/** A rule: files below `room` may import of ours only what `may` matches (types only where `types` does). */
interface Wall {
  readonly room: RegExp
  readonly may: RegExp
  readonly types?: RegExp
}

const plainCore = /^gateway\/core\/(path|errors)\.ts$/
const doors = 'webdav|uploads|s3|nfs|web|api'

const walls: readonly Wall[] = [
  { room: plainCore, may: plainCore },
  {
    room: /^acl\/(?!identity\/)/,
    may: /^acl\/(?!identity\/)|^gateway\/core\/(path|errors)\.ts$/,
    types: /^backends\/backend\.ts$/,
  },
  {
    room: /^acl\/identity\//,
    may: /^acl\/|^gateway\/core\/(path|errors)\.ts$/,
    types: /^gateway\/state\/state\.ts$|^backends\/backend\.ts$/,
  },
  {
    room: /^backends\/(backend|editing|kept|resuming|services|tape)\.ts$/,
    may: /^$/,
    types:
      /^acl\/|^backends\/(backend|editing|kept|resuming|services|tape)\.ts$|^gateway\/core\/(path|errors|call)\.ts$/,
  },
  {
    room: /^backends\/posix\//,
    may: /^backends\/(posix\/|(backend|digesting|recording)\.ts)|^acl\/(?!identity)|^gateway\/core\/(path|errors|call)\.ts$/,
  },
  {
    room: /^backends\/gpfs\//,
    may: /^backends\/((gpfs|posix)\/|(backend|digesting|recording)\.ts)|^acl\/(?!identity)|^gateway\/core\/(path|errors|call)\.ts$/,
  },
  {
    // The one back end that stands on another one: docs/decisions/0011-dust-stands-on-gpfs.md.
    room: /^backends\/dust\//,
    may: /^backends\/((dust|gpfs|posix)\/|(backend|digesting|recording)\.ts)|^acl\/(?!identity)|^gateway\/core\/(path|errors|call)\.ts$/,
  },
  {
    room: /^backends\/memory\//,
    may: /^backends\/(memory\/|(backend|digesting|recording)\.ts)|^acl\/(?!identity)|^gateway\/core\/(path|errors|call)\.ts$/,
  },
  {
    room: /^gateway\/core\//,
    may: /^gateway\/core\/|^backends\/digesting\.ts$|^acl\/(?!identity)|^mounts\/namespace\.ts$/,
    types: /^backends\/backend\.ts$|^gateway\/state\/state\.ts$/,
  },
  {
    room: /^mounts\/(namespace|crossroads)\.ts$/,
    may: /^mounts\/crossroads\.ts$|^gateway\/core\/(path|errors|call)\.ts$|^acl\/acl\.ts$/,
    types: /^backends\/backend\.ts$|^acl\//,
  },
  {
    room: /^mounts\/(client|fuse)\//,
    may: /^mounts\/(client|fuse)\/|^acl\/(?!identity)|^gateway\/core\/(path|errors)\.ts$/,
    types: /^$/,
  },
  {
    room: /^gateway\/state\//,
    may: /^gateway\/state\/|^gateway\/core\/(path|errors)\.ts$|^acl\/secret\.ts$/,
    types: /^backends\/backend\.ts$/,
  },
  {
    room: /^gateway\/http\//,
    may: /^gateway\/(http|core|web)\/|^acl\/(?!identity)/,
    types: /^acl\/identity\/identity\.ts$|^backends\/backend\.ts$/,
  },
  ...doors.split('|').map((door) => ({
    room: new RegExp(`^gateway/${door}/`),
    may: new RegExp(`^gateway/(${door}|http|core|web)/|^acl/(?!identity)`),
    types: /^acl\/identity\/identity\.ts$|^backends\/backend\.ts$/,
  })),
]

t.test('every import stays inside its walls', async (t) => {
  for (const file of sources) {
    const wall = walls.find(({ room }) => room.test(file))
    if (!wall) continue
    for (const { to, typeOnly } of importsOf(file)) {
      if (!existsSync(resolve(home, to)) || !to.endsWith('.ts')) continue
      const allowed = wall.may.test(to) || (typeOnly && (wall.types?.test(to) ?? false))
      if (!allowed) t.fail(`${file} imports ${to}${typeOnly ? ' (types)' : ''}`)
    }
  }
  t.ok(sources.length > 10, `${sources.length} files seen`)
})

t.test('a pure ACL does no input or output', async (t) => {
  for (const file of sources.filter((name) => /^acl\/(?!identity\/)/.test(name))) {
    const outside = importsOf(file).filter(
      ({ to }) => to.startsWith('node:') && !['node:util', 'node:buffer', 'node:crypto'].includes(to),
    )
    t.same(outside, [], file)
  }
})

t.test('only the core calls back ends, only the composition root makes them', async (t) => {
  const makers = /^gateway\/(core|serve|worker|supervisor|demo|check|config|privileges)/
  for (const file of sources.filter((name) => !name.startsWith('backends/') && !makers.test(name))) {
    const reached = importsOf(file).filter(({ to, typeOnly }) => to.startsWith('backends/') && !typeOnly)
    t.same(reached, [], file)
  }
})

t.test('a file has one subject: 400 lines, tests 600', async (t) => {
  const tests = globSync('{test,bench}/**/*.ts', { cwd: home })
  for (const [files, limit] of [
    [sources, 400],
    [tests, 600],
  ] as const) {
    for (const file of files) {
      const lines = readFileSync(resolve(home, file), 'utf8').split('\n').length - 1
      if (lines > limit) t.fail(`${file} has ${lines} lines, ${limit} are allowed`)
    }
  }
  t.pass('counted')
})
