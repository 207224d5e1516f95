/** How figures are taken: load by wrk and curl, memory from /proc, medians over repeated runs. */

import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'

const execute = promisify(execFile)

export interface Load {
  readonly requestsPerSecond: number
  readonly bytesPerSecond: number
  /** Answers that were no 2xx or 3xx, and socket errors. A figure with errors is no figure. */
  readonly errors: number
}

const units: Readonly<Record<string, number>> = { B: 1, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30 }

/** Runs wrk with one thread. */
export async function wrk(
  url: string,
  options: { connections: number; seconds: number; headers?: readonly string[]; script?: string },
): Promise<Load> {
  const headers = (options.headers ?? []).flatMap((header) => ['-H', header])
  const script = options.script ? ['-s', options.script] : []
  const args = [
    '-t1',
    `-c${options.connections}`,
    `-d${options.seconds}s`,
    '--timeout',
    '30s',
    ...headers,
    ...script,
    url,
  ]
  const { stdout } = await execute('/usr/bin/wrk', args)
  const transfer = /Transfer\/sec:\s+([\d.]+)([KMG]?B)/.exec(stdout)
  const errors = /Non-2xx or 3xx responses: (\d+)/.exec(stdout)
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout)
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0),
    bytesPerSecond: Number(transfer?.[1] ?? 0) * (units[transfer?.[2] ?? 'B'] ?? 1),
    errors: Number(errors?.[1] ?? 0) + (sockets?.slice(1).reduce((sum, text) => sum + Number(text), 0) ?? 0),
  }
}

/** Seconds a command took; throws when it fails. */
export async function seconds(command: string, ...args: string[]): Promise<number> {
  const started = process.hrtime.bigint()
  await execute(command, args, { maxBuffer: 2 ** 20 })
  return Number(process.hrtime.bigint() - started) / 1e9
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** What each server reached, round by round. */
export interface Turns<Name extends string> {
  readonly medians: Readonly<Record<Name, number>>
  /** Median over the rounds of one server's figure by another's of the same round: the machine's drift falls out. */
  ratio(one: Name, other: Name): number
}

/** Runs each in turn: `warm` rounds that do not count, in which code is compiled and caches fill, then those that do. */
export async function inTurn<Name extends string>(
  runs: Readonly<Record<Name, () => Promise<number>>>,
  { rounds = 5, warm = 1 } = {},
): Promise<Turns<Name>> {
  const names = Object.keys(runs) as Name[]
  const seen = new Map<Name, number[]>(names.map((name) => [name, []]))
  for (let round = -warm; round < rounds; round++) {
    for (const name of names) {
      const figure = await runs[name]()
      if (round >= 0) seen.get(name)?.push(figure)
    }
  }
  const of = (name: Name) => seen.get(name) ?? []
  return {
    medians: Object.fromEntries(names.map((name) => [name, median(of(name))])) as Record<Name, number>,
    ratio: (one, other) => median(of(one).map((figure, round) => figure / (of(other)[round] ?? Number.NaN))),
  }
}

/** Process ids of `pid` and all its descendants. */
export function family(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const parent = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))?.[1])
      children.set(parent, [...(children.get(parent) ?? []), Number(name)])
    } catch {
      // It ended while we looked.
    }
  }
  const all = [pid]
  for (const each of all) all.push(...(children.get(each) ?? []))
  return all
}

/** Resident memory of a process and its descendants in bytes, shared pages counted once (PSS). */
export function resident(pid: number): number {
  let sum = 0
  for (const each of family(pid)) {
    try {
      sum += Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${each}/smaps_rollup`, 'utf8'))?.[1] ?? 0) * 1024
    } catch {
      // It ended while we looked.
    }
  }
  return sum
}
