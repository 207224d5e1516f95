/** `portolan stage`: brings files from tape to disk, and shows or cancels such requests. */

import { setTimeout as sleep } from 'node:timers/promises'
import { Command, InvalidArgumentError } from 'commander'
import type { Client } from '../../mounts/client/client.ts'
import { isFinal, type StagedFile, type StageStatus } from '../../mounts/client/tape.ts'
import { type ErrorCode, StorageError } from '../core/errors.ts'
import { type Path, parsePath } from '../core/path.ts'
import { counter } from './counting.ts'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { exitCode, UsageError } from './exit.ts'
import { complain, harmless, say, sayJson, table } from './output.ts'
import type { Status } from './program.ts'
import { filesBelow } from './walking.ts'

interface StageOptions extends EndpointOptions {
  readonly recursive?: boolean
  readonly lifetime?: number
  readonly wait?: boolean
}

/** Files of one request; more become several. */
const batch = 10_000
/** Milliseconds between two questions, growing from the first to the last. */
const firstPause = 1000
const lastPause = 30_000
/** Failures in a row after which waiting is given up. */
const patience = 10
/** What may be over by the next question. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['busy', 'unavailable', 'timeout'])

export function stageCommand(status: Status): Command {
  const command = withEndpoint(new Command('stage').description('bring files from tape to disk and keep them there'))
    .usage('[options] <path...> | status <id> | cancel <id>')
    .argument('<path...>', 'absolute paths in the namespace')
    .option('-r, --recursive', 'all files below directories')
    .option('--lifetime <time>', 'how long they stay on disk, such as 2h or 7d', lifetime)
    .option('--wait', 'until all are on disk')
    .action(async (texts: string[], options: StageOptions) => {
      const paths = texts.map(parsePath)
      await within(options, async (client) => {
        status.code = await stageAll(client, paths, options)
      })
    })
  command.addCommand(statusCommand(status))
  command.addCommand(cancelCommand())
  return command
}

function statusCommand(status: Status): Command {
  return withEndpoint(new Command('status').description('how far a request is'))
    .argument('<id>', 'the request')
    .action(async (id: string, _own: unknown, command: Command) => {
      const options: EndpointOptions = command.optsWithGlobals()
      await within(options, async (client) => {
        const found = await client.stageStatus(id)
        if (options.json) await sayJson(found)
        else await say(table(found.files.map(row)))
        status.code = codeOf([found])
      })
    })
}

function cancelCommand(): Command {
  return withEndpoint(new Command('cancel').description('stop waiting for files of a request, or for all of them'))
    .argument('<id>', 'the request')
    .argument('[path...]', 'these files only')
    .action(async (id: string, texts: string[], _own: unknown, command: Command) => {
      const paths = texts.map(parsePath)
      await within(command.optsWithGlobals(), async (client) => {
        const left = paths.length > 0 ? paths : await unfinished(client, id)
        for (let at = 0; at < left.length; at += batch) await client.cancelStage(id, left.slice(at, at + batch))
      })
    })
}

/** Runs `work` with a client of its own. */
export async function within(options: EndpointOptions, work: (client: Client) => Promise<void>): Promise<void> {
  const client = await connect(options)
  try {
    await work(client)
  } finally {
    client.close()
  }
}

async function unfinished(client: Client, id: string): Promise<string[]> {
  const { files } = await client.stageStatus(id)
  return files.filter((file) => !isFinal(file)).map(({ path }) => path)
}

async function stageAll(client: Client, paths: readonly Path[], options: StageOptions): Promise<number> {
  const ids: string[] = []
  let code: number = exitCode.done
  const send = async (files: readonly Path[]) => {
    const id = await client.stage(files, options.lifetime)
    ids.push(id)
    if (!options.json && !options.wait) await say(id)
  }
  let files: Path[] = []
  for (const path of paths) {
    const found = options.recursive ? filesBelow(client, path, () => (code = exitCode.failed)) : [path]
    for await (const file of found) {
      if (files.push(file) < batch) continue
      await send(files)
      files = []
    }
  }
  if (files.length > 0) await send(files)
  if (ids.length === 0 && code === exitCode.done) throw new UsageError('there are no files')
  const requests = options.wait ? await waitFor(client, ids) : await statusOf(client, ids)
  if (options.json) for (const request of requests) await sayJson(request)
  else complainOf(requests)
  return Math.max(code, codeOf(requests, options.wait ? ['FAILED', 'CANCELLED'] : ['FAILED']))
}

async function statusOf(client: Client, ids: readonly string[]): Promise<StageStatus[]> {
  const requests: StageStatus[] = []
  for (const id of ids) requests.push(await client.stageStatus(id))
  return requests
}

/** Asks until nothing is waited for any more, less and less often. */
async function waitFor(client: Client, ids: readonly string[]): Promise<StageStatus[]> {
  const meter = counter(ids.length === 1 ? `request ${ids[0]}` : `${ids.length} requests`)
  const done = new Map<string, StageStatus>()
  try {
    for (let pause = firstPause, failures = 0; ; pause = Math.min(pause * 1.3, lastPause)) {
      try {
        for (const id of ids) {
          const before = done.get(id)
          if (!before?.files.every(isFinal)) done.set(id, await client.stageStatus(id))
        }
        failures = 0
      } catch (error) {
        if (!passing.has(StorageError.from(error).code) || ++failures > patience) throw error
      }
      const files = [...done.values()].flatMap((request) => request.files)
      meter.show(countsOf(files))
      if (done.size === ids.length && files.every(isFinal)) return [...done.values()]
      await sleep(pause)
    }
  } finally {
    meter.end()
  }
}

function countsOf(files: readonly StagedFile[]) {
  const ready = files.filter(({ state }) => state === 'COMPLETED').length
  const lost = files.filter(({ state }) => state === 'FAILED' || state === 'CANCELLED').length
  return { total: files.length, ready, lost }
}

/** Files that will not come, each with the reason; the rest is shown by `stage status`. */
function complainOf(requests: readonly StageStatus[]): void {
  for (const { files } of requests) {
    for (const { path, state, error } of files) {
      if (state === 'FAILED') complain(`${harmless(path)}: ${harmless(error ?? 'failed')}`)
      else if (state === 'CANCELLED') complain(`${harmless(path)}: cancelled`)
    }
  }
}

/** Whether a file is in one of these states. */
function codeOf(requests: readonly StageStatus[], failed: ReadonlyArray<StagedFile['state']> = ['FAILED']): number {
  const isFailed = ({ state }: StagedFile) => failed.includes(state)
  return requests.some(({ files }) => files.some(isFailed)) ? exitCode.failed : exitCode.done
}

function row({ path, state, error }: StagedFile): string[] {
  return [state, `${harmless(path)}${error === undefined ? '' : `: ${harmless(error)}`}`]
}

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** `2h` as seconds. */
function lifetime(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  const seconds = Number(digits) * (units[unit] ?? Number.NaN)
  if (Number.isSafeInteger(seconds) && seconds > 0) return seconds
  throw new InvalidArgumentError('A time is written such as 90s, 30m, 2h or 7d.')
}
