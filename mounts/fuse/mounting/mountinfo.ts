/** What is mounted where, as this process sees it (proc_pid_mountinfo(5)). Asks no file system, so it never hangs. */

import { readdir, readFile, readlink } from 'node:fs/promises'

/** The type of our mounts. */
export const mountType = 'fuse.portolan'

export interface Mounted {
  /** `major:minor` as stat(2) shows it. */
  readonly device: string
  readonly directory: string
  readonly type: string
  readonly source: string
  readonly options: readonly string[]
}

/** The latest last: it is what is seen at a directory that several are mounted on. */
export async function mounts(): Promise<readonly Mounted[]> {
  return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'))
}

export function parseMountinfo(text: string): readonly Mounted[] {
  return text.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ', 2)
    const [, , device, , directory, own] = before?.split(' ') ?? []
    const [type, source, ofAll] = after?.split(' ') ?? []
    if (device === undefined || directory === undefined || type === undefined || source === undefined) return []
    const options = [...(own ?? '').split(','), ...(ofAll ?? '').split(',')]
    return [{ device, directory: plain(directory), type, source: plain(source), options }]
  })
}

/** What is seen at a directory, which is absolute and without symbolic links. */
export async function mountedAt(directory: string): Promise<Mounted | undefined> {
  return (await mounts()).findLast((mounted) => mounted.directory === directory)
}

/** Where a mount is seen, which may have been moved; `isCovered`: something else is mounted over it. */
export async function placeOf(
  device: string,
): Promise<{ readonly directory: string; readonly isCovered: boolean } | undefined> {
  const all = await mounts()
  const found = all.findLast((mounted) => mounted.device === device)
  if (!found) return undefined
  const { directory } = found
  return { directory, isCovered: all.findLast((mounted) => mounted.directory === directory) !== found }
}

/** A directory as it stands there. */
export function escaped(directory: string): string {
  return directory.replace(/[ \t\n\\]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, '0')}`)
}

/** Blanks and the like are written as \\040. */
function plain(text: string): string {
  const bytes = text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
  return /\\[2-3]/.test(text) ? Buffer.from(bytes, 'latin1').toString('utf8') : bytes
}

/** Processes that have a file or directory below it in use, as far as we may look. */
export async function usersOf(directory: string): Promise<readonly number[]> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const found: number[] = []
  for (const pid of processes) {
    const open = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const link of ['cwd', 'root', ...open.map((fd) => `fd/${fd}`)]) {
      const target = await readlink(`/proc/${pid}/${link}`).catch(() => '')
      if (target !== directory && !target.startsWith(`${directory}/`)) continue
      found.push(pid)
      break
    }
  }
  return found
}
