/** Runs the command as a user would, in a process of its own. */

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import type { Test } from 'tap'

const program = resolve(import.meta.dirname, '../../gateway/cli.ts')

export interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly bytes: Buffer
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly input?: string | Uint8Array
}

/** With no variable of ours but those given, so that no token of who runs the tests is used. */
export async function portolan(words: readonly string[], options: RunOptions = {}): Promise<Run> {
  const { PATH = '' } = process.env
  const child = spawn(process.execPath, [program, ...words], {
    cwd: options.cwd ?? tmpdir(),
    env: { PATH, HOME: tmpdir(), ...options.env },
  })
  const output = buffer(child.stdout)
  const errors = text(child.stderr)
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.on('close', resolve).on('error', reject)
  // The command may end without having read its input.
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  const code = await promise
  const bytes = await output
  return { code, stdout: bytes.toString(), bytes, stderr: await errors }
}

/** A directory that goes with the test. */
export function scratch(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-cli-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
