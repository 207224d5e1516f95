/** What programs must find in a directory, by name: for mounts, and for a local directory, which says that the proofs are right. */

import { sqlite } from './databases.ts'
import { Fsx } from './fsx.ts'
import { fio, manyProcesses, randomReads } from './loads.ts'
import { compiling, coreutils, gitClone, rsync, tarTree } from './programs.ts'

/** Works in an empty directory of its own; `scale` of 1 is what `npm test` asks of a mount. Throws where it is not so. */
export type Proof = (directory: string, scale: number) => Promise<void>

export const proofs: Readonly<Record<string, Proof>> = {
  coreutils: (directory) => coreutils(directory),
  'a compiler and a linker': (directory) => compiling(directory),
  'tar out and in': (directory) => tarTree(directory),
  'rsync -a': (directory) => rsync(directory),
  'git clone and build': (directory) => gitClone(directory),
  'SQLite with a rollback journal': (directory) => sqlite(directory, 'delete'),
  'SQLite with a write-ahead log': (directory) => sqlite(directory, 'wal'),
  'random reads by Python': (directory, scale) => randomReads(directory, Math.ceil(64 * scale), Math.ceil(400 * scale)),
  'fio with verification': (directory, scale) => fio(directory, Math.ceil(16 * scale)),
  'many processes': (directory, scale) => manyProcesses(directory, Math.ceil(200 * scale)),
  'random operations beside a model': async (directory, scale) => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const fsx = new Fsx(directory, seed)
    try {
      fsx.run(Math.ceil(100_000 * scale))
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
    } finally {
      fsx.close()
    }
  },
}
