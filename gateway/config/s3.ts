/** The section `s3`: where S3 is heard, and which names lead where. */

import { z } from 'zod'
import { isWithin, type Path, parsePath } from '../core/path.ts'
import type { KeyPath } from './problems.ts'
import { hostName, list, origin, path, section } from './values.ts'

export function s3Section<Listener extends z.ZodType>(listener: Listener) {
  return section({
    region: z
      .string('expected a region such as us-east-1')
      .regex(/^[a-z0-9-]{1,64}$/, 'expected a region such as us-east-1')
      .default('us-east-1'),
    /** Names to paths; `{user}` stands for the caller's own name. */
    buckets: z
      .record(bucketName, place(), {
        error: ({ code }) =>
          code === 'invalid_key' ? 'is no bucket name' : 'expected a section of bucket names with paths',
      })
      .default({}),
    /** Buckets that callers make are directories in this one; absent: they make none. */
    root: path.exactOptional(),
    /** Base domains: path style on them, and buckets as names below them. */
    hosts: list(hostName, 100).default([]),
    /** Listeners that hear nothing but S3. */
    listen: list(listener, 64).default([]),
    /** Web pages that browsers let read answers. */
    origins: list(
      z.union([z.literal('*'), origin], 'expected an origin such as https://app.example.org, or *'),
      100,
    ).default([]),
  })
}

const bucketName = z.string().regex(/^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/)

/** A path whose names may hold `{user}`. Kept as text: what it leads to is known with its caller. */
function place() {
  return z.string('expected a path such as /data').transform((given, context) => {
    try {
      return String(parsePath(given))
    } catch {
      context.addIssue('expected a path that begins with / and holds no empty, "." or ".." names')
      return z.NEVER
    }
  })
}

interface Parts {
  readonly publicUrl?: string | undefined
  readonly hosts: readonly string[]
  readonly state: { readonly masterKeyFile?: unknown }
  readonly mounts: ReadonlyArray<{ readonly path: Path }>
  readonly s3?: z.output<ReturnType<typeof s3Section>> | undefined
}

/** What must hold between this section and others; its listeners are checked with the others. */
export function* s3Rules({ publicUrl, hosts, state, mounts, s3 }: Parts): Generator<{
  readonly path: KeyPath
  readonly text: string
}> {
  if (!s3) return
  const others = [...hosts, ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname])]
  for (const [index, host] of s3.hosts.entries()) {
    const taken = others.find((other) => other === host || other.endsWith(`.${host}`))
    if (taken !== undefined) yield { path: ['s3', 'hosts', index], text: `${taken} is a host of the other doors` }
  }
  const leads = (place: Path) => mounts.some(({ path: at }) => isWithin(place, at) || isWithin(at, place))
  for (const [name, place] of Object.entries(s3.buckets)) {
    if (!leads(place as Path)) yield { path: ['s3', 'buckets', name], text: 'leads to no mount' }
  }
  if (s3.root !== undefined && !leads(s3.root)) yield { path: ['s3', 'root'], text: 'leads to no mount' }
  if (s3.hosts.length === 0 && s3.listen.length === 0) {
    yield { path: ['s3'], text: 'is heard nowhere: expected `hosts` or `listen`' }
  }
  if (state.masterKeyFile === undefined) {
    yield { path: ['s3'], text: 'needs `state.masterKeyFile`, which secrets of access keys are sealed with' }
  }
}
