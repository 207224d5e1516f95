/** Resources "user", "quota", "space", "qos-management" and "labels" of the frontend (user guide, Frontend). */

import { Failure } from './failure.ts'
import { json, type RestCall } from './frontend.ts'
import { describeNode } from './frontend-attributes.ts'
import type { QuotaOptions } from './options.ts'
import type { Answer } from './serving.ts'

/** Whom a credential stands for; nobody is refused. */
export async function userResource({ login }: RestCall): Promise<Answer> {
  if (login.uid === undefined) return json(200, { status: 'ANONYMOUS' })
  return json(200, {
    status: 'AUTHENTICATED',
    uid: login.uid,
    gids: login.gids,
    username: login.name,
    homeDirectory: login.home,
    rootDirectory: login.root,
    ...(login.isAdmin ? { roles: ['admin'], unassertedRoles: ['admin'] } : {}),
  })
}

/** An answer is a list, also for one id. Off where nobody has set quotas. */
export async function quotaResource({ site, ask, login, rest }: RestCall): Promise<Answer> {
  const [, type = '', id = ''] = rest.split('/')
  if (type !== 'user' && type !== 'group') throw new Failure('missing', 'HTTP 404 Not Found')
  if (site.options.quotas === undefined) throw new Failure('off', 'dCache is not configured for quotas')
  if (ask.method !== 'GET') throw new Failure('denied', 'Requires admin privileges.')
  if (login.uid === undefined) throw new Failure('denied', 'Permission denied')
  const own = type === 'user' ? login.uid : login.gids[0]
  const isOwn = ask.url.searchParams.get('user') === 'true'
  const wanted = id !== '' ? Number(id) : isOwn ? own : undefined
  const found = site.quotas.limits.filter((limit) => limit.type === type && (wanted ?? limit.id) === limit.id)
  return json(
    200,
    found.toSorted((a, b) => `${a.id}`.localeCompare(`${b.id}`)).map((limit) => quota(limit, site.quotas.usage(limit))),
  )
}

function quota(limit: QuotaOptions, usage: { readonly custodial: number; readonly replica: number }): unknown {
  return {
    id: limit.id,
    type: limit.type.toUpperCase(),
    custodial: usage.custodial,
    replica: usage.replica,
    output: 0,
    custodialLimit: limit.custodialLimit,
    replicaLimit: limit.replicaLimit,
  }
}

export async function spaceResource({ site, login, rest }: RestCall): Promise<Answer> {
  if (rest !== '/tokens') throw new Failure('missing', 'HTTP 404 Not Found')
  if (login.uid === undefined) throw new Failure('denied', 'Permission denied')
  const { spaces = [] } = site.options
  return json(
    200,
    spaces.map(({ description, size, used = 0 }, index) => ({
      id: index + 1,
      retentionPolicy: 'REPLICA',
      accessLatency: 'ONLINE',
      linkGroupId: 1,
      sizeInBytes: size,
      usedSizeInBytes: used,
      allocatedSpaceInBytes: 0,
      creationTime: site.clock.now(),
      description,
      state: 'RESERVED',
    })),
  )
}

const transitions: Readonly<Record<string, readonly string[]>> = {
  disk: ['disk+tape'],
  tape: ['disk+tape'],
  'disk+tape': ['tape'],
  volatile: [],
}

export async function qosResource({ login, rest }: RestCall): Promise<Answer> {
  if (login.uid === undefined) throw new Failure('denied', 'Permission denied')
  const [, , type = '', name = ''] = rest.split('/')
  if (type !== 'file' && type !== 'directory') throw new Failure('missing', 'HTTP 404 Not Found')
  if (name === '') return json(200, { name: Object.keys(transitions), message: 'successful', status: '200' })
  const transition = transitions[name]
  if (!transition) throw new Failure('missing', `${name} does not exist`)
  const isTape = name.includes('tape')
  return json(200, {
    status: '200',
    message: 'successful',
    backendCapability: {
      name,
      transition,
      metadata: {
        cdmi_data_redundancy_provided: name === 'disk+tape' ? '2' : '1',
        cdmi_geographic_placement_provided: ['DE'],
        cdmi_latency_provided: isTape && !name.includes('disk') ? '600000' : '100',
      },
    },
  })
}

/** A label's files, as children of a directory that is none. */
export async function labelsResource({ site, login, rest }: RestCall): Promise<Answer> {
  if (login.uid === undefined) throw new Failure('denied', 'Permission denied')
  const label = rest.slice(1)
  const facets = {
    locality: false,
    locations: false,
    qos: false,
    xattr: false,
    labels: true,
    checksum: false,
    optional: false,
  }
  const children = [...site.tree.all()]
    .filter((node) => node.labels.has(label))
    .map((node) => ({ fileName: site.tree.pathOf(node), ...describeNode(site, node, facets) }))
  return json(200, { fileType: 'DIR', children })
}
