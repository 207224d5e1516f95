/** What all open files of a mount share. */

import { Pool } from './pool.ts'
import { Readers } from './streams.ts'

export interface Memory {
  /** Of what was read ahead. */
  readonly read: Pool
  /** Of what was not written out yet. */
  readonly written: Pool
  readonly readers: Readers
}

export interface MemoryOptions {
  /** Bytes; 128 MiB unless told otherwise. */
  readonly read?: number
  /** Bytes; 32 MiB unless told otherwise. */
  readonly written?: number
}

export function createMemory(options: MemoryOptions = {}): Memory {
  const { read = 128 * 2 ** 20, written = 32 * 2 ** 20 } = options
  return { read: new Pool(read), written: new Pool(written), readers: new Readers() }
}
