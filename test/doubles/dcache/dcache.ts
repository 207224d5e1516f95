/**
 * A stand-in for dCache, faithful to its documents: WebDAV door, pools, REST frontend, macaroons and tape, all in
 * one process and in memory.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Gate } from './access.ts'
import { Bulk } from './bulk.ts'
import { Channels } from './channels.ts'
import { Clock } from './clock.ts'
import type { Keeping } from './content.ts'
import { Counters } from './counters.ts'
import { createDoor } from './door.ts'
import { Faults, type Place } from './faults.ts'
import { createFrontend } from './frontend.ts'
import { Logins } from './login.ts'
import { Macaroons } from './macaroons.ts'
import type { DcacheDoubleOptions, UserOptions } from './options.ts'
import { Pools } from './pools.ts'
import { Quotas } from './quotas.ts'
import type { Site } from './site.ts'
import { Tape } from './tape.ts'
import { TestTree } from './test-tree.ts'
import { Tree } from './tree.ts'

export type { DcacheDoubleOptions, ProviderOptions, SeedOptions, UserOptions } from './options.ts'

export interface DcacheDouble {
  /** Ends in "/". */
  readonly webdav: URL
  /** Ends in "/api/v1". */
  readonly frontend: URL
  readonly pools: readonly URL[]
  /** PEM to be trusted, where the doors speak https. */
  readonly ca: string | undefined
  readonly users: readonly UserOptions[]
  /** The namespace as its administrator: no rights are asked. */
  readonly tree: TestTree
  readonly clock: Clock
  readonly faults: Faults
  readonly counters: Counters
  readonly macaroons: Macaroons
  /** Bringing files back from tape takes `tape.delay` milliseconds. */
  readonly tape: Tape
  /** Channels of events, to let them overflow or lose their readers. */
  readonly channels: Channels
  /** Connections to that place are reset and refused until the returned function is called. */
  refuse(place: Place): Promise<() => Promise<void>>
  close(): Promise<void>
}

/** Starts one on free ports of the loopback interface. */
export async function startDcache(options: DcacheDoubleOptions = {}): Promise<DcacheDouble> {
  const clock = new Clock()
  const counters = new Counters()
  const faults = new Faults()
  const spool = new Spool(options)
  const tree = new Tree(clock)
  const poolTls = options.plainPools ? undefined : options.tls
  const pools = new Pools({ count: options.pools ?? 2, tls: poolTls, clock, counters, faults })
  const macaroons = new Macaroons(options, clock)
  const tape = new Tape(clock, counters, pools, options.recallDelay ?? 0)
  // The two that act on the whole site get it before they are in it.
  const site: Site = {
    options,
    clock,
    tree,
    gate: new Gate(tree, options.acls !== false),
    logins: new Logins(options, clock, macaroons),
    macaroons,
    pools,
    tape,
    quotas: new Quotas(tree, options.quotas ?? []),
    keeping: spool.keeping,
    get bulk() {
      return bulk
    },
    get channels() {
      return channels
    },
  }
  const bulk = new Bulk(site)
  const channels = new Channels(site)
  await pools.start(site)
  const testTree = new TestTree(site)
  for (const seed of options.seed ?? []) await testTree.add(seed)
  const door = createDoor(site, options.tls, counters, faults)
  const frontend = createFrontend(site, options.tls, counters, faults)
  await door.start(options.ports?.door)
  await frontend.start(options.ports?.frontend)
  return {
    webdav: door.url,
    frontend: new URL('/api/v1', frontend.url),
    pools: pools.urls,
    ca: options.tls?.cert,
    users: options.users ?? [],
    tree: testTree,
    clock,
    faults,
    counters,
    macaroons,
    tape,
    channels,
    async refuse(place) {
      if (place === 'pool') {
        for (const name of pools.names) await pools.stop(name)
        return async () => {
          for (const name of pools.names) await pools.restart(name)
        }
      }
      const serving = place === 'door' ? door : frontend
      await serving.stop()
      return () => serving.start()
    },
    async close() {
      faults.clear()
      await Promise.all([door.stop(), frontend.stop(), pools.close()])
      clock.stop()
      spool.close()
    },
  }
}

/** Temporary files of large uploads; the directory is made when it is needed. */
class Spool {
  readonly keeping: Keeping
  #directory: string | undefined

  constructor(options: DcacheDoubleOptions) {
    this.keeping = {
      directory: () => {
        this.#directory ??= mkdtempSync(join(tmpdir(), 'dcache-double-'))
        return this.#directory
      },
      memory: options.memory ?? 4 * 1024 * 1024,
      forget: options.forget ?? Number.POSITIVE_INFINITY,
    }
  }

  close(): void {
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true })
  }
}
