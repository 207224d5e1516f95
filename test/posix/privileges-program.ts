/** Started as root by privileges.test.ts: drops its privileges, says what it has become and waits for signals. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { preparePrivileges } from '../../gateway/privileges.ts'

const { write, ...options } = JSON.parse(process.argv[2] ?? '{}')
const privileges = preparePrivileges(options)
if (!privileges.ready) {
  console.log(JSON.stringify({ refused: privileges.refused, uid: process.getuid?.() }))
  process.exit(3)
}

const status = readFileSync('/proc/thread-self/status', 'utf8')
const line = (name: string): string | undefined => status.match(new RegExp(`^${name}:\\s*(.*)$`, 'm'))?.[1]
const refusedWriting = (): string => {
  try {
    writeFileSync(write.file, 'x')
    return 'written'
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
  }
}
process.on('SIGHUP', () => console.log('hangup'))
process.on('SIGTERM', () => process.exit(0))
console.log(
  JSON.stringify({
    uid: line('Uid'),
    gid: line('Gid'),
    groups: line('Groups')?.trim(),
    effective: line('CapEff'),
    permitted: line('CapPrm'),
    inheritable: line('CapInh'),
    bounding: line('CapBnd'),
    ambient: line('CapAmb'),
    noNewPrivileges: line('NoNewPrivs'),
    umask: line('Umask'),
    cwd: process.cwd(),
    args: process.argv.length,
    write: write ? refusedWriting() : undefined,
    roots: [...privileges.roots].map(([path, fd]) => [path, readdirSync(`/proc/self/fd/${fd}`)]),
  }),
)
setInterval(() => {}, 60_000)
