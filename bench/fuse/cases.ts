/** What is done in each mount, in turn. */

import { execFile, execFileSync } from 'node:child_process'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { median, resident } from '../measure.ts'
import type { Figure } from '../report.ts'
import { type Mounted, type MountName, mount, mountNames, type Setting } from './mounts.ts'

const execute = promisify(execFile)
/** Milliseconds that one program may take in one mount. */
const limitOf = ({ isQuick }: Setting) => (isQuick ? 45_000 : 5 * 60_000)

/** The most memory that each mount was seen with, in bytes. */
export const memory = new Map<MountName, number>()

/** Seconds; infinite for what failed or took too long. */
async function timed(command: string, args: readonly string[], timeout = 10 * 60_000): Promise<number> {
  const began = performance.now()
  try {
    await execute(command, args, { maxBuffer: 2 ** 28, timeout })
  } catch (error) {
    console.log(`  ${command} ${args.at(-1)}: ${String((error as { stderr?: string }).stderr ?? error).slice(0, 300)}`)
    return Number.POSITIVE_INFINITY
  }
  return (performance.now() - began) / 1000
}

interface Turns {
  /** As whoever writes has to set a mount up. */
  readonly writes?: boolean
  readonly rounds?: number
}

/**
 * Runs `work` in fresh mounts of each, in turn, and watches their memory: the median of the rounds. One is enough of what
 * failed or took too long.
 */
async function each(
  setting: Setting,
  work: (mounted: Mounted) => Promise<number>,
  { writes = false, rounds = setting.isQuick ? 1 : 3 }: Turns = {},
): Promise<Readonly<Record<MountName, number>>> {
  const found: Record<MountName, number[]> = { portolan: [], rclone: [], s3fs: [] }
  for (let round = 0; round < rounds; round++) {
    for (const name of mountNames) {
      const before = found[name]
      if (before.some((figure) => figure === 0 || figure === Number.POSITIVE_INFINITY)) continue
      const mounted = await mount(name, setting, writes)
      const watching = setInterval(() => {
        memory.set(name, Math.max(memory.get(name) ?? 0, resident(mounted.pid)))
      }, 250)
      try {
        before.push(await work(mounted))
      } finally {
        clearInterval(watching)
        await mounted.stop()
      }
    }
  }
  return { portolan: median(found.portolan), rclone: median(found.rclone), s3fs: median(found.s3fs) }
}

const best = (figures: Readonly<Record<MountName, number>>) => Math.max(figures.rclone, figures.s3fs)
const quickest = (figures: Readonly<Record<MountName, number>>) => Math.min(figures.rclone, figures.s3fs)
const dd = (from: string, to: string, ...more: string[]) => [`if=${from}`, `of=${to}`, 'bs=1M', 'status=none', ...more]

export async function sequential(setting: Setting): Promise<Figure[]> {
  const { gateway, tree, work } = setting
  const { size } = statSync(`${tree}/user/big`)
  const rate = (seconds: number) => size / seconds
  const warm: number[] = []
  const cold = await each(setting, async ({ name, directory }) => {
    const seconds = await timed('dd', dd(`${directory}/big`, '/dev/null'))
    if (name === 'portolan') {
      for (let count = 0; count < 3; count++) warm.push(rate(await timed('dd', dd(`${directory}/big`, '/dev/null'))))
    }
    return rate(seconds)
  })
  const header = ['-H', gateway.authorization]
  const curl: number[] = []
  for (let count = 0; count < 3; count++) {
    curl.push(rate(await timed('curl', ['-sSf', ...header, '-o', '/dev/null', `${gateway.url}/bench/user/big`])))
  }
  const local = rate(await timed('dd', dd(`${tree}/user/big`, '/dev/null')))
  const raw = { ...cold, curl: median(curl) }
  const gib = `${size / 2 ** 30} GiB`
  rmSync(`${work}/tmp`, { recursive: true, force: true })
  return [
    {
      what: `read of ${gib} in order, cold, against the best peer`,
      value: cold.portolan / best(cold),
      unit: 'x',
      goal: { atLeast: 2 },
      raw,
    },
    {
      what: `read of ${gib} in order, cold, against curl`,
      value: cold.portolan / median(curl),
      unit: 'x',
      goal: { atLeast: 0.5 },
    },
    {
      what: `read of ${gib} again, against the page cache of the local file`,
      value: median(warm) / local,
      unit: 'x',
      goal: { atLeast: 0.8 },
      raw: { mount: median(warm), local },
    },
  ]
}

/** Seconds of one range request of 4 KiB over a connection that stays. */
async function rangeRequest({ gateway }: Setting): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const authorization = gateway.authorization.replace('Authorization: ', '')
  const once = (offset: number) =>
    new Promise<void>((done, fail) => {
      const headers = { authorization, range: `bytes=${offset}-${offset + 4095}` }
      get(`${gateway.url}/bench/user/big`, { agent, headers }, (answer) => {
        answer.resume().on('end', done).on('error', fail)
      }).on('error', fail)
    })
  const count = 3000
  let began = 0
  for (let index = -500; index < count; index++) {
    if (index === 0) began = performance.now()
    await once(((index * 7919 + 10 ** 7) % 65536) * 4096)
  }
  agent.destroy()
  return (performance.now() - began) / 1000 / count
}

export async function random(setting: Setting): Promise<Figure[]> {
  const program = resolve(import.meta.dirname, 'random-reads.ts')
  const rates = await each(setting, async ({ directory }) => {
    const { stdout } = await execute(process.execPath, [program, `${directory}/big`, setting.isQuick ? '2' : '8'])
    return Number(stdout)
  })
  const request = await rangeRequest(setting)
  return [
    {
      what: 'random reads of 4 KiB, one thread, against rclone',
      value: rates.portolan / rates.rclone,
      unit: 'x',
      goal: { atLeast: 20 },
      raw: rates,
    },
    {
      what: 'time of a random read of 4 KiB, in HTTP range requests',
      value: 1 / rates.portolan / request,
      unit: 'x',
      goal: { atMost: 3 },
      raw: { 'read us': 1e6 / rates.portolan, 'request us': request * 1e6 },
    },
  ]
}

export async function writing(setting: Setting): Promise<Figure[]> {
  const size = setting.isQuick ? 2 ** 29 : 2 ** 32
  const rates = await each(setting, async ({ name, directory }) => {
    const file = `${directory}/put/${name}`
    const seconds = await timed('dd', dd('/dev/zero', file, `count=${size / 2 ** 20}`, 'conv=fsync'))
    // s3fs and rclone upload after fsync(2) where they keep what is written first.
    const there = `${setting.tree}/user/put/${name}`
    if (statSync(there, { throwIfNoEntry: false })?.size !== size) console.log(`  ${name}: not complete after fsync`)
    rmSync(there, { force: true })
    return size / seconds
  })
  return [
    {
      what: `write of ${size / 2 ** 30} GiB with fsync, against the best peer`,
      value: rates.portolan / best(rates),
      unit: 'x',
      goal: { atLeast: 1 },
      raw: rates,
    },
  ]
}

export async function listing(setting: Setting): Promise<Figure[]> {
  const seconds = await each(setting, ({ directory }) => timed('ls', ['-lR', `${directory}/listed`], limitOf(setting)))
  const seenBefore = async ({ name, directory }: Mounted) => {
    if (name !== 'portolan') return Number.NaN
    const [first = ''] = readdirSync(`${directory}/listed`)
    const names = readdirSync(`${directory}/listed/${first}`).map((each) => `listed/${first}/${each}`)
    const rate = (top: string) => {
      const began = performance.now()
      let count = 0
      for (; performance.now() - began < 1000; ) {
        for (const each of names) statSync(`${top}/${each}`)
        count += names.length
      }
      return count / ((performance.now() - began) / 1000)
    }
    rate(directory)
    return rate(directory) / rate(`${setting.tree}/user`)
  }
  const again = await each(setting, seenBefore)
  const files = Number(
    execFileSync('sh', ['-c', `find ${setting.tree}/user/listed -type f | wc -l`], { encoding: 'utf8' }),
  )
  return [
    {
      what: `ls -lR of ${files.toLocaleString('en')} files, cold, against the best peer`,
      value: quickest(seconds) / seconds.portolan,
      unit: 'x',
      goal: { atLeast: 3 },
      raw: seconds,
    },
    {
      what: 'stat of files seen before, against the local directory',
      value: again.portolan,
      unit: 'x',
      goal: { atLeast: 0.8 },
    },
  ]
}

/** Bytes and files below a directory, without what git keeps for itself. */
function contentOf(directory: string): string {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && !`${entry.parentPath}/`.includes('/.git/'),
  )
  const bytes = files.reduce((sum, { parentPath, name }) => sum + statSync(`${parentPath}/${name}`).size, 0)
  return `${bytes} bytes in ${files.length} files`
}

/** Seconds until the gateway's tree has all of it; rclone and s3fs upload after close(2) where they keep what is written. */
async function uploaded(from: string, to: string, limit: number): Promise<number> {
  const expected = contentOf(from)
  const began = performance.now()
  for (let seen = ''; seen !== expected; ) {
    if (performance.now() - began > limit) return Number.POSITIVE_INFINITY
    try {
      seen = contentOf(to)
    } catch {
      // A file was replaced between the two looks at it.
    }
    if (seen !== expected) await pause(100)
  }
  return (performance.now() - began) / 1000
}

export async function cloning(setting: Setting): Promise<Figure[]> {
  const repository = `${setting.work}/repository`
  const returned: Record<MountName, number> = { portolan: 0, rclone: 0, s3fs: 0 }
  const whole = await each(
    setting,
    async ({ name, directory }) => {
      const there = `${setting.tree}/user/put/${name}.clone`
      const words = ['clone', '-q', '--no-hardlinks', repository, `${directory}/put/${name}.clone`]
      const seconds = await timed('git', words, limitOf(setting))
      returned[name] = seconds
      const rest = Number.isFinite(seconds) ? await uploaded(repository, there, limitOf(setting)) : 0
      rmSync(there, { recursive: true, force: true, maxRetries: 20 })
      return seconds + rest
    },
    // Minutes of each peer.
    { writes: true, rounds: 1 },
  )
  const figure = (what: string, seconds: Readonly<Record<MountName, number>>): Figure => ({
    what,
    value: quickest(seconds) / seconds.portolan,
    unit: 'x',
    goal: { atLeast: 2 },
    raw: seconds,
  })
  return [
    figure('git clone until the gateway has every file, against the best peer', whole),
    figure('git clone until it returns, against the best peer', returned),
  ]
}
