/** A gateway over the memory back end, and the command that talks to it. */

import type { Test } from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { alice, callOf, openDoor, type Setting, store } from '../http/door.ts'
import { portolan, type Run, type RunOptions } from './running.ts'

export interface World extends Setting {
  readonly url: string
  /** As alice, unless another token is given. */
  run(words: readonly string[], options?: RunOptions & { readonly as?: string }): Promise<Run>
}

/** Holds /data/dir and /data/hello.txt, which everybody may read and alice may change. */
export async function world(t: Test): Promise<World> {
  const setting = await openDoor(t)
  const url = `http://127.0.0.1:${setting.port}`
  await setting.storage.mkdir(callOf(alice), parsePath('/data/dir'))
  await store(setting.storage, '/data/hello.txt', 'hello world\n')
  return {
    ...setting,
    url,
    run: (words, { as = 'alice', env, ...rest } = {}) =>
      portolan(words, { ...rest, env: { PORTOLAN_URL: url, BEARER_TOKEN: as, ...env } }),
  }
}
