/** The tree that every server serves: 1,000 files of 4 KiB, one of 1 GiB, and for listings a million names. */

import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'

export interface Data {
  readonly tree: string
  readonly smallFiles: number
  /** Bytes of `big`. */
  readonly bigSize: number
}

export function prepare(work: string): Data {
  const tree = `${work}/tree`
  const smallFiles = 1000
  const bigSize = 2 ** 30
  mkdirSync(`${tree}/user/small`, { recursive: true })
  for (let index = 0; index < smallFiles; index++)
    writeFileSync(`${tree}/user/small/${index}`, Buffer.alloc(4096, index))
  const big = openSync(`${tree}/user/big`, 'w')
  const block = Buffer.alloc(2 ** 20, 'portolan')
  for (let written = 0; written < bigSize; written += block.length) writeSync(big, block)
  closeSync(big)
  mkdirSync(`${tree}/user/many`)
  mkdirSync(`${tree}/user/put`)
  // Readable for a server that runs as www-data.
  execFileSync('chmod', ['-R', 'a+rX', work])
  execFileSync('chmod', ['a+rwx', `${tree}/user/put`])
  return { tree, smallFiles, bigSize }
}

/** Makes `count` empty files in `user/many`; a minute for a million. */
export function makeMany(tree: string, count: number): void {
  for (let index = 0; index < count; index++) closeSync(openSync(`${tree}/user/many/event-${index}.h5`, 'w'))
}
