/** Where the mounts are measured: a tree with what the cases need, and a gateway that serves it. */

import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { startPortolan } from '../http/portolan.ts'
import { makeKey, type Setting } from './mounts.ts'

export interface Place {
  readonly setting: Setting
  /** Ends the gateway and removes everything. */
  end(): Promise<void>
}

/** What the cases find in the directory of the user, by their names. */
const contents: Readonly<Record<string, (user: string, isQuick: boolean) => void>> = {
  sequential: (user, isQuick) => fill(`${user}/big`, isQuick ? 2 ** 29 : 2 ** 32),
  random: (user, isQuick) => fill(`${user}/big`, isQuick ? 2 ** 29 : 2 ** 30),
  listing: (user, isQuick) => {
    for (let index = 0; index < (isQuick ? 5 : 100); index++) {
      const directory = `${user}/listed/run-${index}`
      mkdirSync(directory, { recursive: true })
      for (let file = 0; file < 1000; file++) closeSync(openSync(`${directory}/event-${file}.h5`, 'w'))
    }
  },
}

/** `work` is made anew. */
export async function openPlace(work: string, cases: readonly string[], isQuick: boolean): Promise<Place> {
  const tree = `${work}/tree`
  rmSync(work, { recursive: true, force: true })
  mkdirSync(`${tree}/user/put`, { recursive: true })
  for (const name of cases) contents[name]?.(`${tree}/user`, isQuick)
  if (cases.includes('cloning')) makeRepository(`${work}/repository`, isQuick ? 500 : 5000)
  chmodSync(work, 0o755)
  execFileSync('chmod', ['-R', 'a+rwX', tree])
  const gateway = await startPortolan(work, { tree, smallFiles: 0, bigSize: 0 })
  const setting = { gateway, work, tree, isQuick }
  const end = async () => {
    await gateway.stop()
    rmSync(work, { recursive: true, force: true })
  }
  try {
    await makeKey(setting)
    return { setting, end }
  } catch (error) {
    await end()
    throw error
  }
}

/** Random bytes: nothing on the way can make them shorter. */
function fill(file: string, size: number): void {
  execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=4M', `count=${size / 2 ** 22}`, 'status=none'])
}

function makeRepository(repository: string, files: number): void {
  for (let index = 0; index < files; index++) {
    const directory = `${repository}/part-${index % 50}`
    mkdirSync(directory, { recursive: true })
    const text = `export const value${index} = ${index}\n`.repeat(1 + (index % 200))
    writeFileSync(`${directory}/source-${index}.ts`, text)
  }
  const git = (...args: string[]) => execFileSync('git', ['-C', repository, ...args], { stdio: 'ignore' })
  git('init', '-q')
  git('add', '.')
  git('-c', 'user.name=bench', '-c', 'user.email=bench@example.org', 'commit', '-q', '-m', 'all')
}
