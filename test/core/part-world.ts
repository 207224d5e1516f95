/** Uploads in parts, through one process or several. */

import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Principal } from '../../acl/principal.ts'
import type { CompleteOptions, NewParted, PartedState, PartOptions, PartState } from '../../gateway/core/parts.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Storage, Written } from '../../gateway/core/storage.ts'
import { callBy } from './world.ts'

type Who = string | Principal

export class Parts {
  readonly storage: Storage

  constructor(storage: Storage) {
    this.storage = storage
  }

  async create(who: Who, path: string, options: NewParted = {}): Promise<string> {
    return (await this.made(who, path, options)).id
  }

  made(who: Who, path: string, options: NewParted = {}): Promise<PartedState> {
    return this.storage.parts.create(callBy(who), parsePath(path), options)
  }

  async write(
    who: Who,
    id: string,
    number: number,
    content: string | Buffer | Readable,
    options: PartOptions = {},
  ): Promise<PartState> {
    const sized = content instanceof Readable ? options : { size: Buffer.byteLength(content), ...options }
    const part = await this.storage.parts.write(callBy(who), id, number, sized)
    try {
      if (content instanceof Readable) await pipeline(content, part.body)
      else part.body.end(content)
      return await part.commit()
    } catch (error) {
      await part.discard(error)
      throw error
    }
  }

  complete(who: Who, id: string, numbers: readonly number[], options: CompleteOptions = {}): Promise<Written> {
    const parts = numbers.map((number) => ({ number }))
    return this.storage.parts.complete(callBy(who), id, parts, options)
  }

  async numbers(who: Who, id: string): Promise<number[]> {
    const parts = await this.storage.parts.list(callBy(who), id, { limit: 10_000 })
    return parts.map(({ number }) => number)
  }

  async get(path: string): Promise<string> {
    const reading = await this.storage.read(callBy('alice'), parsePath(path))
    if (reading.kind !== 'bytes') throw new Error(reading.kind)
    const content = Buffer.concat(await reading.stream({ start: 0, end: reading.entry.size }).toArray()).toString()
    await reading.close()
    return content
  }
}

/** Text that tells where it came from. */
export function piece(letter: string, size: number): string {
  return letter.repeat(size)
}
