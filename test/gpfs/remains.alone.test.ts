/** What a command leaves behind when it ends before those it has started. */

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { scaleByCommands } from '../../backends/gpfs/commands.ts'

const calm = new AbortController().signal

t.test('a command that leaves others running with its output open is ended with them', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-remains-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const command = join(directory, 'mmgetacl')
  writeFileSync(command, `#!/bin/sh\nsleep 600 &\necho $! > ${directory}/left\nexit 0\n`)
  chmodSync(command, 0o755)
  const { acls, close } = scaleByCommands({ directory, fileSystem: 'a', deadline: 1000 })
  t.teardown(close)
  await t.rejects(acls.read('/x', calm), { code: 'unavailable' })
  const left = Number(readFileSync(join(directory, 'left'), 'utf8'))
  t.teardown(() => {
    if (isThere(left)) process.kill(left, 'SIGKILL')
  })
  for (let i = 0; i < 100 && isThere(left); i++) await sleep(20)
  t.notOk(isThere(left))
})

/** Zombies, which nobody may be there to collect, aside. */
function isThere(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.startsWith('Z') === false
  } catch {
    return false
  }
}
