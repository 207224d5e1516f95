/** Programs of the users of a machine. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type UserName, users } from '../gateway/people.ts'

export interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** A program of a user, with nothing in its environment but what is told. */
export async function as(user: UserName, env: Readonly<Record<string, string>>, script: string): Promise<Ran> {
  const { uid, gid } = users[user]
  const child = spawn('/bin/sh', ['-c', script], { uid, gid, env: { PATH: '/usr/bin:/bin', ...env }, cwd: '/' })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk) => (out += String(chunk)))
  child.stderr.on('data', (chunk) => (err += String(chunk)))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, out, err }
}
