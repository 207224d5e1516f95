/** What an upload that failed must not leave: hidden names, rows of the journal, open files without a name. */

import { readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { stagingPrefix } from '../../backends/posix/options.ts'
import type { TestGateway } from '../gateway/harness.ts'

/** All of it that belongs to one mount's tree, each by a name that says where it is. */
export function leftovers(gateway: TestGateway, tree: string): string[] {
  return [...hiddenNames(tree), ...journalRows(gateway), ...unnamedFiles(gateway, tree)]
}

/**
 * Makes what a dead process left old enough for the sweep of the next start, which spares what is young: a process
 * that only seems dead may still be at work. Call it while no process of the gateway is alive.
 */
export function letAge(gateway: TestGateway): void {
  const database = new DatabaseSync(join(gateway.directory, 'state/state.sqlite'), { timeout: 5000 })
  try {
    database.exec('UPDATE journal SET added = added - 3600000; UPDATE holders SET expires = 0')
  } finally {
    database.close()
  }
}

function hiddenNames(tree: string): string[] {
  const names = readdirSync(tree, { recursive: true }).map(String)
  return names.filter((name) => (name.split('/').at(-1) ?? '').startsWith(stagingPrefix))
}

function journalRows(gateway: TestGateway): string[] {
  const database = new DatabaseSync(join(gateway.directory, 'state/state.sqlite'), { readOnly: true, timeout: 5000 })
  try {
    return database
      .prepare('SELECT place FROM journal')
      .all()
      .map(({ place }) => `journal: ${String(place)}`)
  } finally {
    database.close()
  }
}

/** Files that a process of the gateway still holds open though no name leads to them. */
function unnamedFiles(gateway: TestGateway, tree: string): string[] {
  return gateway.pids().flatMap((pid) =>
    descriptors(pid)
      .filter((target) => target.startsWith(`${tree}/`) && target.endsWith(' (deleted)'))
      .map((target) => `open in ${pid}: ${target}`),
  )
}

/** Descriptors of a file that the gateway's processes hold. */
export function openFiles(gateway: Pick<TestGateway, 'pids'>, file: string): string[] {
  return gateway.pids().flatMap((pid) => descriptors(pid).filter((target) => target === file))
}

function descriptors(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      // Closed meanwhile.
      return []
    }
  })
}
