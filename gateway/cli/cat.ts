/** `portolan cat`: the bytes of a file, to standard output or into a file, going on where a connection broke. */

import { createHash } from 'node:crypto'
import { constants, type FileHandle, open, rename } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Command } from 'commander'
import type { Client } from '../../mounts/client/client.ts'
import { openRemote } from '../../mounts/client/resume.ts'
import { StorageError } from '../core/errors.ts'
import { type Path, parsePath } from '../core/path.ts'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { harmless, sayJson } from './output.ts'
import { progress } from './progress.ts'

interface CatOptions extends EndpointOptions {
  readonly output?: string
  readonly range?: string
}

export function catCommand(): Command {
  return withEndpoint(new Command('cat').description('write the bytes of a file to standard output or into a file'))
    .argument('<path>', 'absolute path in the namespace')
    .option('-o, --output <file>', 'write into this file, whole or not at all; run again to go on where it broke')
    .option('-r, --range <first-last>', 'only these bytes, from 0, the last one included; "100-" is to the end')
    .action(async (text: string, options: CatOptions) => {
      const path = parsePath(text)
      const range = options.range === undefined ? {} : parseRange(options.range)
      if (options.output !== undefined && options.range !== undefined) {
        throw new UsageError('--range goes to standard output: leave out --output')
      }
      const client = await connect(options)
      try {
        if (options.output === undefined) await toStdout(client, path, range)
        else await toFile(client, path, options.output, options.json === true)
      } finally {
        client.close()
      }
    })
}

async function toStdout(client: Client, path: Path, range: { start?: number; end?: number }): Promise<void> {
  const opened = await openRemote(client, path, range)
  const meter = progress(harmless(path), opened.size, process.stderr.isTTY && !process.stdout.isTTY)
  await pipeline(Readable.from(opened.bytes()), meter, process.stdout, { end: false })
}

/** The part that came is kept beside the target under the name of its version, so only what fits is put together. */
async function toFile(client: Client, path: Path, file: string, json: boolean): Promise<void> {
  const { etag, size } = await client.stat(path)
  if (etag === undefined) throw new UsageError(`${harmless(path)} is a directory`)
  const part = `${file}.${createHash('sha256').update(etag).digest('hex').slice(0, 12)}.part`
  const handle = await openPart(part)
  try {
    const start = await resumeAt(handle, size)
    if (size === undefined || start < size) {
      const opened = await openRemote(client, path, { start, ifMatch: etag })
      const meter = progress(harmless(path), size === undefined ? undefined : size - start)
      await pipeline(Readable.from(opened.bytes()), meter, async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) await handle.appendFile(chunk)
      })
      await handle.sync()
    }
    const written = (await handle.stat()).size
    // Another command may be at work on the same part.
    if (size !== undefined && written !== size) throw new StorageError('stale', `${part}: not what was sent; remove it`)
    await rename(part, file)
    if (json) await sayJson({ path, file, etag, size: written, resumedAt: start })
  } finally {
    await handle.close()
  }
}

/** In a directory open to others anyone may plant a link, or bytes, under a name of ours. */
async function openPart(part: string): Promise<FileHandle> {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants
  const handle = await open(part, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o666)
  const found = await handle.stat()
  if (found.isFile() && found.uid === process.geteuid?.()) return handle
  await handle.close()
  throw new UsageError(`${part} is no file of yours: remove it`)
}

/** Where to go on; what is longer than the whole is no part of it. */
async function resumeAt(handle: FileHandle, whole: number | undefined): Promise<number> {
  const { size } = await handle.stat()
  if (whole === undefined || size <= whole) return size
  await handle.truncate(0)
  return 0
}

function parseRange(text: string): { start: number; end?: number } {
  const [, first, last] = /^(\d+)-(\d*)$/.exec(text) ?? []
  if (first === undefined) throw new UsageError('--range takes two numbers such as 0-99, or 100-')
  const start = Number(first)
  if (last === '' || last === undefined) return { start }
  if (Number(last) < start) throw new UsageError('--range: the last byte comes before the first')
  return { start, end: Number(last) + 1 }
}
