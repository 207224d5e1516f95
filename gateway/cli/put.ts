/** `portolan put`: a local file or standard input into the namespace, all or nothing. */

import { type FileHandle, open } from 'node:fs/promises'
import { basename } from 'node:path'
import { Readable } from 'node:stream'
import { Command } from 'commander'
import { checkName, parsePath } from '../core/path.ts'
import { connect, type EndpointOptions, withEndpoint } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { harmless, sayJson } from './output.ts'
import { progress } from './progress.ts'

interface PutOptions extends EndpointOptions {
  readonly new?: boolean
  readonly ifMatch?: string
}

export function putCommand(): Command {
  return withEndpoint(new Command('put').description('upload a file; nobody sees it before it is whole'))
    .argument('<file>', 'local file, or - for standard input')
    .argument('<path>', 'absolute path in the namespace; with a final slash the directory to put it in')
    .option('--new', 'fail if there is a file already')
    .option('--if-match <etag>', 'fail if the file is not this version any more')
    .action(async (file: string, text: string, options: PutOptions) => {
      if (options.new && options.ifMatch !== undefined) throw new UsageError('--new and --if-match exclude each other')
      const path = parsePath(targetOf(file, text))
      const client = await connect(options)
      const source = await openSource(file)
      const meter = progress(harmless(path), source.size)
      try {
        const uploaded = await client.put(
          path,
          source.stream.on('error', (error) => meter.destroy(error)).pipe(meter),
          {
            ...(source.size === undefined ? {} : { size: source.size }),
            ...(options.new ? { onlyNew: true } : {}),
            ...(options.ifMatch === undefined ? {} : { ifMatch: options.ifMatch }),
          },
        )
        if (options.json) await sayJson({ path, ...uploaded })
      } finally {
        source.stream.destroy()
        client.close()
      }
    })
}

function targetOf(file: string, text: string): string {
  if (!text.endsWith('/')) return text
  if (file === '-') throw new UsageError('standard input has no name: give the whole path')
  const name = basename(file)
  checkName(name)
  return text + name
}

async function openSource(file: string): Promise<{ readonly stream: Readable; readonly size: number | undefined }> {
  if (file === '-') return { stream: process.stdin, size: undefined }
  const handle = await open(file).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${file}: cannot be read (${error.code})`)
  })
  const found = await handle.stat()
  if (found.isDirectory()) {
    await handle.close()
    throw new UsageError(`${file} is a directory; put takes files`)
  }
  if (!found.isFile()) return { stream: handle.createReadStream(), size: undefined }
  // What is written to the file from now on is not sent: the size is announced.
  const { size } = found
  return { stream: size === 0 ? await empty(handle) : handle.createReadStream({ end: size - 1 }), size }
}

async function empty(handle: FileHandle): Promise<Readable> {
  await handle.close()
  return Readable.from([])
}
