/** `portolan ls`: names and attributes of a directory, or of one file. */

import { Command } from 'commander'
import type { Client } from '../../mounts/client/client.ts'
import type { RemoteEntry } from '../../mounts/client/shapes.ts'
import { StorageError } from '../core/errors.ts'
import { compareNames } from '../core/names.ts'
import { type Path, parsePath } from '../core/path.ts'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { harmless, humanSize, jsonText, say } from './output.ts'

interface LsOptions extends EndpointOptions {
  readonly long?: boolean
  readonly human?: boolean
  readonly directory?: boolean
  readonly locality?: boolean
}

/** A directory of at most so many entries is sorted; a bigger one comes as the storage lists it. */
const sortable = 10_000

export function lsCommand(): Command {
  return withEndpoint(new Command('ls').description('list a directory, sorted by name unless it is huge'))
    .argument('[path]', 'absolute path in the namespace', '/')
    .option('-l, --long', 'with type, size and time')
    .option('-H, --human', 'sizes as 1.5K, 20M (with --long)')
    .option('-L, --locality', 'with where the bytes are: disk, tape or both')
    .option('-d, --directory', 'the directory itself, not what is in it')
    .action(async (text: string, options: LsOptions) => {
      const path = parsePath(text)
      const client = await connect(options)
      try {
        const entries = options.directory ? itself(client, path) : listOrFile(client, path)
        for await (const entry of sortedIfSmall(entries)) {
          await say(options.json ? jsonText(entry) : lineOf(entry, options))
        }
      } finally {
        client.close()
      }
    })
}

async function* listOrFile(client: Client, path: Path): AsyncGenerator<RemoteEntry> {
  try {
    yield* client.list(path)
  } catch (error) {
    // A file is no directory, but can be shown by itself. What is not there at all is told by the first error.
    const { code } = StorageError.from(error)
    if (code !== 'not-directory' && code !== 'not-found') throw error
    const entry = await client.stat(path).catch(() => undefined)
    if (!entry) throw error
    yield entry
  }
}

async function* itself(client: Client, path: Path): AsyncGenerator<RemoteEntry> {
  yield await client.stat(path)
}

async function* sortedIfSmall(entries: AsyncIterable<RemoteEntry>): AsyncGenerator<RemoteEntry> {
  let waiting: RemoteEntry[] | undefined = []
  for await (const entry of entries) {
    if (!waiting) yield entry
    else if (waiting.push(entry) > sortable) {
      yield* waiting
      waiting = undefined
    }
  }
  if (waiting) yield* waiting.sort((a, b) => compareNames(a.name, b.name))
}

function lineOf(entry: RemoteEntry, options: LsOptions): string {
  const line = options.long ? longLine(entry, options) : shortLine(entry)
  return options.locality ? `${harmless(entry.locality ?? '-').padEnd(localityWidth)} ${line}` : line
}

/** Of the longest word, disk-and-tape. */
const localityWidth = 13

function shortLine({ name, type }: RemoteEntry): string {
  return `${harmless(name)}${type === 'directory' ? '/' : ''}`
}

const letters = { file: '-', directory: 'd', symlink: 'l', other: '?' } as const

function longLine(entry: RemoteEntry, { human }: LsOptions): string {
  const { name, type, size, modified, mode, target } = entry
  const bytes = size === undefined ? '-' : human ? humanSize(size) : String(size)
  const time = modified === undefined ? '-' : harmless(modified.slice(0, 19).replace('T', ' '))
  const arrow = target === undefined ? '' : ` -> ${harmless(target)}`
  const bits = mode === undefined ? '?????????' : modeText(mode)
  return `${letters[type]}${bits} ${bytes.padStart(human ? 6 : 14)} ${time.padEnd(19)} ${harmless(name)}${arrow}`
}

/** rwxr-x--- with s and t as ls(1) shows them. */
function modeText(mode: number): string {
  const text = [...'rwxrwxrwx'].map((letter, index) => ((mode >> (8 - index)) & 1 ? letter : '-'))
  for (const [bit, at, letter] of [
    [0o4000, 2, 's'],
    [0o2000, 5, 's'],
    [0o1000, 8, 't'],
  ] as const) {
    if (mode & bit) text[at] = text[at] === 'x' ? letter : letter.toUpperCase()
  }
  return text.join('')
}
