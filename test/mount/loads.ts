/** Programs that load a directory: random reads as of an analysis, fio(1), and many processes at once. */

import { join } from 'node:path'
import { run } from './run.ts'

const here = import.meta.dirname

/** Python reads chunks of a file in any order, by read(2) and by a memory map, as HDF5 does it. */
export async function randomReads(directory: string, megabytes = 64, reads = 400): Promise<void> {
  await run('python3', [join(here, 'chunks.py'), join(directory, 'chunks'), String(megabytes), String(reads)])
}

/** The same of a file that is there. */
export async function readAgain(file: string, reads = 400): Promise<void> {
  await run('python3', [join(here, 'chunks.py'), file, '0', String(reads), 'read'])
}

/** fio(1) writes blocks that carry their own checksums, and reads them all back. */
export async function fio(directory: string, megabytes = 16): Promise<void> {
  const standing = ['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--group_reporting', '--thread']
  const jobs = [
    ['--name=sequential', '--rw=write', '--bs=1m', '--end_fsync=1'],
    ['--name=random', '--rw=randwrite', '--bsrange=1k-64k', '--fsync=200', '--numjobs=2'],
    ['--name=mapped', '--rw=randwrite', '--bs=16k', '--ioengine=mmap'],
    ['--name=mixed', '--rw=randrw', '--bs=8k', '--numjobs=2'],
    ['--name=direct', '--rw=randwrite', '--bs=64k', '--direct=1'],
  ]
  for (const job of jobs)
    await run(
      'fio',
      [
        ...job,
        '--ioengine=psync',
        ...job.filter((word) => word.startsWith('--ioengine')),
        ...standing,
        `--directory=${directory}`,
        `--size=${megabytes}m`,
      ],
      { cwd: directory },
    )
}

/** Processes that make files, race for names and count up under locks, all in one directory. */
export async function manyProcesses(directory: string, processes = 200): Promise<void> {
  await run('python3', [join(here, 'crowd.py'), directory, String(processes)])
}
