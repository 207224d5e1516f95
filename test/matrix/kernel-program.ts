/**
 * Tries things as a user and says of each whether the kernel let it. Started as root, it becomes that user for good
 * (setgroups, setgid and setuid clear all capabilities, capabilities(7)): nothing of the gateway is in between.
 * Standard input: one line of JSON. Standard output: a list of true and false.
 */

import fs from 'node:fs'
import { text } from 'node:stream/consumers'

export interface Trial {
  readonly action: string
  readonly path: string
  readonly free: string
}

export interface Trials {
  readonly uid: number
  readonly gid: number
  readonly gids: readonly number[]
  readonly trials: readonly Trial[]
}

const { O_CREAT, O_EXCL, O_RDONLY, O_TRUNC, O_WRONLY } = fs.constants
const open = (path: string, flags: number) => fs.closeSync(fs.openSync(path, flags, 0o600))

const acts: Readonly<Record<string, (trial: Trial) => void>> = {
  stat: ({ path }) => void fs.lstatSync(path),
  locality: ({ path }) => void fs.lstatSync(path),
  // An ACL is told to whoever may see the mode (acl(5)).
  'read-acl': ({ path }) => void fs.lstatSync(path),
  list: ({ path }) => void fs.readdirSync(path),
  read: ({ path }) => open(path, O_RDONLY),
  create: ({ path }) => open(path, O_WRONLY | O_CREAT | O_EXCL),
  replace: ({ path }) => open(path, O_WRONLY | O_TRUNC),
  mkdir: ({ path }) => fs.mkdirSync(path),
  remove: ({ path }) => fs.unlinkSync(path),
  'move-away': ({ path, free }) => fs.renameSync(path, free),
  'move-in-file': ({ path, free }) => fs.renameSync(free, path),
  'move-in-directory': ({ path, free }) => fs.renameSync(free, path),
  'set-attributes': ({ path }) => fs.utimesSync(path, 1, 1),
  'set-mode': ({ path }) => fs.chmodSync(path, 0o644),
  'write-acl': ({ path }) => fs.chmodSync(path, 0o644),
  // Extended user attributes are guarded like the content (xattr(7)).
  'read-properties': ({ path }) => open(path, O_RDONLY),
  'write-properties': ({ path }) => open(path, O_WRONLY),
}

function isLet(trial: Trial): boolean {
  const act = acts[trial.action]
  if (!act) throw new Error(`there is no act for ${trial.action}`)
  try {
    act(trial)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'EPERM') return false
    throw error
  }
}

const { uid, gid, gids, trials }: Trials = JSON.parse(await text(process.stdin))
process.setgroups?.([...gids])
process.setgid?.(gid)
process.setuid?.(uid)
process.umask(0)
if (process.getuid?.() !== uid) throw new Error('the user did not change')
process.stdout.write(JSON.stringify(trials.map(isLet)))
