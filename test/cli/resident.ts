/**
 * Commands run one after the other in one process that stays, which costs a fraction of a process for each. For what
 * commands do and say; how the program starts and ends is for `portolan` of running.ts.
 */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { portolan, Run, RunOptions } from './running.ts'

/** What the process is asked, and what it answers: `code`, `stdout` and `stderr` of a `Run`. */
export interface Order {
  readonly words: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly input: string
}
export type Told = Pick<Run, 'code' | 'stdout' | 'stderr'>

/** The process ends with the test. All commands run in the directory for temporary files. */
export function resident(t: Test): typeof portolan {
  const { PATH = '' } = process.env
  const standing = { PATH, HOME: tmpdir() }
  const child = fork(join(import.meta.dirname, 'resident-process.ts'), {
    cwd: tmpdir(),
    env: standing,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  t.teardown(() => void child.kill())
  let last: Promise<unknown> = Promise.resolve()
  const play = async (words: readonly string[], { env, input = '' }: RunOptions): Promise<Run> => {
    const answer = once(child, 'message')
    child.send({ words, env: { ...standing, ...env }, input: String(input) } satisfies Order)
    const [told]: Told[] = await Promise.race([answer, ended])
    if (told === undefined) throw new Error('there is no answer')
    return { ...told, bytes: Buffer.from(told.stdout) }
  }
  const ended = once(child, 'exit').then(() => {
    throw new Error('the process of commands has ended')
  })
  ended.catch(() => {})
  return (words, options = {}) => {
    const run = last.then(() => play(words, options))
    last = run.catch(() => {})
    return run
  }
}
