/** Programs as a user starts them, with what they said when they fail. */

import { spawn } from 'node:child_process'

export interface Started {
  readonly cwd?: string
  readonly input?: string
  /** Besides those of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** Exit statuses that are no failure, besides 0. */
  readonly also?: readonly number[]
}

/** Resolves to the standard output of a program that ended well; throws with what it wrote otherwise. */
export async function run(program: string, args: readonly string[], started: Started = {}): Promise<string> {
  const { cwd, input = '', env = {}, also = [] } = started
  const child = spawn(program, args, {
    ...(cwd !== undefined && { cwd }),
    env: { ...process.env, LC_ALL: 'C.UTF-8', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const output: Buffer[] = []
  const errors: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
  // Programs that read nothing end before all was written.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [code, signal] = await new Promise<[number | null, string | null]>((done, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => done([code, signal]))
  })
  const text = Buffer.concat(output).toString()
  if (code === 0 || (code !== null && also.includes(code))) return text
  const told = `${Buffer.concat(errors).toString()}${text}`.slice(-3000)
  throw new Error(`${program} ${args.join(' ').slice(0, 300)} ended with ${signal ?? `status ${code}`}:\n${told}`)
}

/** A script of sh(1) that ends at its first failure, which it shows, with the directory as its own. */
export function shell(cwd: string, script: string, args: readonly string[] = []): Promise<string> {
  return run('/bin/sh', ['-euxc', script, 'sh', ...args], { cwd })
}

/** Throws unless both are the same text. */
export function same(found: unknown, expected: unknown, what: string): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)]
  if (one !== other) throw new Error(`${what}: expected ${other?.slice(0, 1000)}, found ${one?.slice(0, 1000)}`)
}
