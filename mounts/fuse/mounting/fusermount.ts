/** fusermount3, the set-user-ID program of libfuse, with which ordinary users mount and unmount (fusermount3(1)). */

import { spawn } from 'node:child_process'
import { close } from 'node:fs'
import { StorageError } from '../../../gateway/core/errors.ts'
import { receiveDescriptor, socketPair } from './libc.ts'

const program = 'fusermount3'
const otherwise = 'portolan mount URL DIRECTORY -- COMMAND does without'
const missing = `there is no ${program} (package fuse3): ${otherwise}`

export interface FusermountOptions {
  readonly directory: string
  readonly source: string
  readonly readOnly: boolean
  readonly allowOther: boolean
}

/** Mounts, and gives the descriptor of /dev/fuse. */
export async function fusermount(options: FusermountOptions): Promise<number> {
  const { directory, source, readOnly, allowOther } = options
  // A comma would end the name.
  const name = source.replace(/[\\,]/g, (character) => `\\${character}`)
  const words = [readOnly ? 'ro' : 'rw', 'nosuid', 'nodev', `fsname=${name}`, 'subtype=portolan']
  if (allowOther) words.push('allow_other')
  const [ours, theirs] = socketPair()
  const child = spawn(program, ['-o', words.join(','), '--', directory], {
    cwd: '/',
    // What else is in our environment, such as a token, is no business of a program with root's rights.
    env: { PATH: process.env.PATH, _FUSE_COMMFD: '3' },
    stdio: ['ignore', 'ignore', 'pipe', theirs],
  })
  const errors: Buffer[] = []
  child.stderr?.on('data', (data: Buffer) => errors.length < 16 && errors.push(data))
  const ended = new Promise((resolve) => child.once('close', resolve))
  const failed = new Promise<never>((_, reject) => child.once('error', reject))
  try {
    // Its own copy is all it needs; ours would keep the socket from ever ending.
    close(theirs, () => undefined)
    const fd = await Promise.race([receiveDescriptor(ours), failed])
    if (fd === undefined) {
      // What it says may come after the end of the socket.
      await ended
      throw new StorageError('invalid', `${lineOf(Buffer.concat(errors))}; ${otherwise}`)
    }
    return fd
  } catch (error) {
    throw translated(error)
  } finally {
    close(ours, () => undefined)
  }
}

/** The command that takes a mount away whose program has died. */
export function fusermountDetach(directory: string): readonly string[] {
  return [program, '-u', '-q', '-z', '--', directory]
}

/** Only of mounts that the user made. Throws `busy` where something is in use. */
export async function fusermountEnd(directory: string, lazy: boolean): Promise<void> {
  const words = ['-u', ...(lazy ? ['-z'] : []), '--', directory]
  const child = spawn(program, words, { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] })
  const errors: Buffer[] = []
  child.stderr?.on('data', (data: Buffer) => errors.length < 16 && errors.push(data))
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => reject(translated(error)))
    child.once('close', resolve)
  })
  if (status !== 0) throw new StorageError('busy', lineOf(Buffer.concat(errors)))
}

function translated(error: unknown): unknown {
  const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
  return isMissing ? new StorageError('invalid', missing, { cause: error }) : error
}

/** What it said, on one line. */
function lineOf(errors: Buffer): string {
  const [line = ''] = errors.toString('utf8').trim().split('\n')
  return line === '' ? `${program} failed without saying why` : line
}
