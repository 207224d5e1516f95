/** PROPFIND (RFC 4918, section 9.1): one walk and one listing, told page by page. */

import type { Entry } from '../../backends/backend.ts'
import { StorageError } from '../core/errors.ts'
import type { Discovery } from '../core/locking.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Method } from '../http/options.ts'
import { parsePropfind } from './bodies.ts'
import { receiveXml } from './body.ts'
import { deadAmong } from './dead.ts'
import { ConditionError } from './errors.ts'
import { discoveryOf, optional, subjectOf } from './extras.ts'
import { type Depth, depthOf } from './headers.ts'
import { type Members, membersOf } from './members.ts'
import { hrefOf, sendMultistatus } from './multistatus.ts'
import { type Dead, makePlan, type Plan } from './plan.ts'

export const propfind: Method = {
  action: 'stat',
  async run(x) {
    const depth = depthOf(x)
    const minimal = wantsMinimal(x)
    const plan = makePlan(parsePropfind(await receiveXml(x)), { minimal })
    const found = await look(x, depth, plan)
    const { entry } = found
    const isDirectory = entry.type === 'directory'
    if (x.slash && !isDirectory) throw new StorageError('not-directory', 'this is not a directory')
    const headers = ['Vary', 'Prefer, Brief', ...(minimal ? ['Preference-Applied', 'return=minimal'] : [])]
    if (isDirectory && !x.slash) headers.push('Content-Location', hrefOf(x.path, true))
    await sendMultistatus(x, responses(x, plan, found), headers)
  },
}

const none: Dead = new Map()

interface Found {
  readonly entry: Entry
  /** Of a directory whose members are wanted. */
  readonly members?: Members
}

async function look(x: Exchange, depth: Depth, plan: Plan): Promise<Found> {
  const { storage } = x.door
  if (depth === 1) {
    try {
      x.action = 'list'
      return await membersOf(x, plan)
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'not-directory') throw error
      x.action = 'stat'
    }
  }
  const entry = await storage.stat(x.call, x.path)
  if (depth === 'infinity' && entry.type === 'directory') {
    const condition = '<D:propfind-finite-depth/>'
    throw new ConditionError(403, 'unsupported', 'ask with Depth 0 or 1; without one it is infinity', condition)
  }
  return { entry }
}

type Locks = Promise<Discovery | undefined> | undefined

/** The first members are made ready while what is told of the directory itself is asked for. */
async function* responses(x: Exchange, plan: Plan, { entry, members }: Found): AsyncGenerator<string> {
  const locks: Locks = plan.extras.has('locks') ? discoveryOf(x) : undefined
  const others = members?.responses(plan, locks)
  const first = others?.next()
  // Who comes to it hears of it.
  first?.catch(() => {})
  try {
    yield await selfOf(x, entry, plan, locks)
    if (!others) return
    for (let step = await first; step && !step.done; step = await others.next()) yield step.value
  } finally {
    await others?.return(undefined)
  }
}

/** The response of the resource that was named. */
async function selfOf(x: Exchange, entry: Entry, plan: Plan, locks: Locks): Promise<string> {
  const [subject, dead] = await Promise.all([
    subjectOf(x, entry, plan.extras, locks),
    plan.dead === 'none' ? none : deadOf(x),
  ])
  return plan.respond(subject, dead)
}

/** Whoever may not read them, or is where there are none, sees none. */
async function deadOf(x: Exchange): Promise<Dead> {
  const properties = await optional(x.door.storage.getProperties(x.call, x.path))
  return properties ? deadAmong(properties) : none
}

/** RFC 7240, and the older header of Microsoft's clients. */
function wantsMinimal({ request: { headers } }: Exchange): boolean {
  const { prefer, brief } = headers
  return /(?:^|[,\s])return="?minimal/i.test(String(prefer ?? '')) || brief === 't'
}
