/** What `portolan mount` takes: options of the command line, and of /etc/fstab (`-o a,b=c`). */

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isAbsolute, join, resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { stateDirectory } from '../../mounts/client/credentials/logins.ts'
import type { MountOptions } from '../../mounts/fuse/mount.ts'
import { parsePath } from '../core/path.ts'
import { UsageError } from './exit.ts'

/** As Commander gives them. */
export interface MountWords {
  readonly foreground?: boolean
  readonly supervise?: boolean
  readonly readOnly?: boolean
  readonly subdir?: string
  readonly allowOther?: boolean
  readonly identity: 'own' | 'per-process'
  readonly timeout: number
  readonly nearline: 'wait' | 'fail'
  readonly tokenFile?: string
  readonly as?: string
  readonly auth?: 'auto' | 'token' | 'kerberos' | 'none'
  readonly ca?: string
  readonly insecure?: boolean
  readonly account?: { readonly uid: number; readonly gid: number }
  readonly uid?: number
  readonly gid?: number
  readonly otherUid?: number
  readonly otherGid?: number
  readonly numericIds?: boolean
  readonly cacheDir?: string
  readonly cacheSize?: number
  readonly log?: string
  readonly verbose?: boolean
  readonly json?: boolean
}

export function withMountOptions(command: Command): Command {
  return command
    .option('-f, --foreground', 'stay in the foreground, and write the log to standard error')
    .option('--supervise', 'keep the mount over a crash: a second process holds it and starts the first anew')
    .option('--read-only', 'refuse every change')
    .option('--subdir <path>', 'mount this directory of the namespace (default: the path of the URL)')
    .option('--allow-other', 'let other users in, each with a credential of their own (--identity per-process)')
    .addOption(
      new Option('--identity <whose>', 'whose credential is used: own, or that of each process that asks (per-process)')
        .choices(['own', 'per-process'])
        .default('own'),
    )
    .option('--timeout <seconds>', 'after which an operation fails that the gateway does not answer', seconds, 60)
    .addOption(
      new Option('--nearline <how>', 'opening a file that is on tape only: fails at once, or waits until it is on disk')
        .choices(['fail', 'wait'])
        .default('fail'),
    )
    .option('--token-file <file>', 'bearer token; read again when it changes (default: as the other commands find one)')
    .option('--as <user>', 'be this user of the demo')
    .addOption(new Option('--auth <how>', 'sign in by').choices(['auto', 'token', 'kerberos', 'none']))
    .option('--ca <file>', 'PEM of the authority to trust (default: $PORTOLAN_CA, else the usual ones)')
    .option('--insecure', 'send the token over plain HTTP to another machine')
    .option(
      '--account <uid:gid>',
      'let this account in, and nobody else; only root may name another (default: you)',
      account,
    )
    .option('--uid <number>', 'show this user as the owner of your files (default: you)', id)
    .option('--gid <number>', 'show this group at your files (default: yours)', id)
    .option('--other-uid <number>', 'show this user as the owner of all other files (default: nobody, 65534)', id)
    .option('--other-gid <number>', 'show this group at all other files (default: 65534)', id)
    .option('--numeric-ids', 'show numeric owners of the storage as they are: this machine has the same accounts')
    .option('--cache-dir <directory>', 'keep blocks of files that are read at random here')
    .option('--cache-size <size>', 'of it at most, as 10G', bytes)
    .option(
      '--log <where>',
      'syslog, stderr, or a file (default: syslog, without one ~/.local/state/portolan/mount.log; in the foreground stderr)',
    )
    .option('-o <options>', 'options as in /etc/fstab: token_file=FILE,ro,_netdev', collect)
    .option('-v, --verbose', 'say how it was mounted')
    .option('--json', 'print JSON')
}

function seconds(text: string): number {
  const value = Number(text)
  if (!/^\d{1,6}$/.test(text) || value < 1) throw new InvalidArgumentError('Expected seconds, at least 1.')
  return value
}

function id(text: string): number {
  const value = Number(text)
  // The largest number of 32 bits means nobody (chown(2)).
  if (!/^\d{1,10}$/.test(text) || value >= 0xffff_ffff) throw new InvalidArgumentError('Expected a number.')
  return value
}

function account(text: string): { readonly uid: number; readonly gid: number } {
  const [uid = '', gid = '', ...rest] = text.split(':')
  if (rest.length > 0) throw new InvalidArgumentError('Expected two numbers, as 1000:1000.')
  return { uid: id(uid), gid: id(gid) }
}

function bytes(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,12})([KMGT]?)$/i.exec(text) ?? []
  const value = Number(digits) * 1024 ** ' KMGT'.indexOf(unit.toUpperCase() || ' ')
  if (digits === undefined || !Number.isSafeInteger(value)) throw new InvalidArgumentError('Expected a size, as 10G.')
  return value
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

/** Of mount(8), systemd.mount(5) and the kernel; they are dealt with before us, or by us in any case. */
const generic =
  /^(rw|defaults|auto|noauto|nofail|_netdev|users?|nousers?|owner|group|dev|nodev|suid|nosuid|exec|(no|rel|strict|lazy)?atime|nodiratime|async|x-.*|X-.*|comment=.*)$/

/** Puts what `-o` holds in the place of the same options. Throws UsageError. */
export function takeMountFileOptions(command: Command): void {
  const texts = (command.opts() as { o?: readonly string[] }).o ?? []
  // A comma that belongs to a value has a backslash before it.
  for (const word of texts.flatMap((text) => text.match(/(?:\\.|[^,\\])+/g) ?? [])) {
    if (generic.test(word)) continue
    const [, name = '', value] = /^([^=]+)(?:=(.*))?$/s.exec(word.replace(/\\(.)/g, '$1')) ?? []
    const long = name === 'ro' ? '--read-only' : `--${name.replaceAll('_', '-')}`
    const option = command.options.find((each) => each.long === long)
    if (!option) throw new UsageError(`-o ${name}: there is no such option (see --help)`)
    if (option.required !== (value !== undefined)) {
      throw new UsageError(`-o ${name}: ${option.required ? 'a value is missing' : 'it takes no value'}`)
    }
    command.parseOptions(value === undefined ? [long] : [long, value])
  }
}

/** Everything that can be told from the words alone is refused here. Throws UsageError. */
export async function mountOptionsOf(url: string, directory: string, words: MountWords): Promise<MountOptions> {
  // No other command needs it, and it takes time to load.
  const { logTo } = await import('../../mounts/fuse/keeper/log.ts')
  if (words.allowOther && words.identity !== 'per-process') {
    throw new UsageError("--allow-other needs --identity per-process: one person's token is not lent to others")
  }
  if (words.tokenFile !== undefined && (words.auth === 'none' || words.auth === 'kerberos')) {
    throw new UsageError(`--auth ${words.auth} sends no token, and --token-file names one`)
  }
  if ((words.cacheDir === undefined) !== (words.cacheSize === undefined)) {
    throw new UsageError('--cache-dir and --cache-size go together')
  }
  if (words.account && (words.allowOther || process.geteuid?.() !== 0)) {
    throw new UsageError('--account is for root, and does not go with --allow-other')
  }
  const own = words.account ?? { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
  refuseBelow(resolve(directory), words)
  const { origin, top } = gatewayOf(url, words.subdir)
  const caFile = words.ca ?? (process.env.PORTOLAN_CA || undefined)
  const auth = words.auth ?? 'auto'
  return {
    ...{ origin, top, source: url },
    directory: isAbsolute(directory) ? directory : resolve(directory),
    readOnly: words.readOnly ?? false,
    allowOther: words.allowOther ?? false,
    ...(words.account && { account: words.account }),
    perProcess: words.identity === 'per-process',
    timeout: words.timeout,
    nearline: words.nearline,
    ownership: {
      mine: { uid: words.uid ?? own.uid, gid: words.gid ?? own.gid },
      others: {
        uid: await shownId('--other-uid', words.otherUid, { map: 'uid_map', own: own.uid }),
        gid: await shownId('--other-gid', words.otherGid, { map: 'gid_map', own: own.gid }),
      },
      numeric: words.numericIds ?? false,
    },
    anonymous: auth === 'none',
    credential: {
      tokenFile: words.tokenFile === undefined ? undefined : resolve(words.tokenFile),
      tickets: auth === 'kerberos' ? 'required' : auth === 'auto' ? 'if-any' : undefined,
    },
    ...(words.cacheDir !== undefined && {
      cache: { directory: resolve(words.cacheDir), size: words.cacheSize ?? 0 },
    }),
    ca: caFile === undefined ? undefined : await readAuthority(caFile),
    insecure: words.insecure ?? false,
    log: logTo(logPlace(words), directory),
  }
}

/** What the mount makes for its work cannot be made in the mount: it would wait for itself. What it reads is there before. */
function refuseBelow(directory: string, { cacheDir, log }: MountWords): void {
  const named = {
    '--cache-dir': cacheDir,
    '--log': log === 'syslog' || log === 'stderr' ? undefined : log,
  }
  for (const [option, path] of Object.entries(named)) {
    if (path !== undefined && resolve(path).startsWith(`${directory}/`)) {
      throw new UsageError(`${option} ${path}: is below the directory that is mounted on`)
    }
  }
}

function gatewayOf(url: string, subdir: string | undefined) {
  // They are left out where it is parsed, and would be in what `mount` and `df` show.
  const parsed = /[\u0000-\u0020\u007f]/.test(url) ? null : URL.parse(url)
  // Not repeated: it may hold a password.
  if (!parsed) throw new UsageError('the URL of the gateway is none')
  if (parsed.username !== '' || parsed.password !== '') {
    throw new UsageError(`${parsed.origin}: a URL holds no user name and no password`)
  }
  if (parsed.search !== '' || parsed.hash !== '') throw new UsageError(`${url}: a mount has no query and no fragment`)
  let path: string
  try {
    path = decodeURIComponent(parsed.pathname)
  } catch {
    throw new UsageError(`${url}: the path is not percent-encoded UTF-8`)
  }
  if (subdir !== undefined && path !== '/') throw new UsageError(`${url} names a directory already, so no --subdir`)
  return { origin: new URL(parsed.origin), top: parsePath(subdir ?? path) }
}

const nobody = 65_534

/**
 * An id for what belongs to others. The kernel changes nothing of whom its user namespace does not know
 * (user_namespaces(7)), so where nobody is not known there, all is shown as one's own.
 */
async function shownId(
  option: string,
  asked: number | undefined,
  { map, own }: { readonly map: 'uid_map' | 'gid_map'; readonly own: number },
): Promise<number> {
  const ranges = (await readFile(`/proc/self/${map}`, 'latin1')).trim().split('\n')
  const isKnown = (id: number) =>
    ranges.some((range) => {
      const [first = 0, , count = 0] = range.trim().split(/\s+/).map(Number)
      return id >= first && id < first + count
    })
  if (asked === undefined) return isKnown(nobody) ? nobody : own
  if (!isKnown(asked)) throw new UsageError(`${option} ${asked}: this user namespace knows no such id`)
  return asked
}

function logPlace({ log, foreground }: MountWords): string {
  if (log === undefined) {
    if (foreground && !process.connected) return 'stderr'
    // Containers have none.
    return existsSync('/dev/log') ? 'syslog' : join(stateDirectory(process.env), 'mount.log')
  }
  return log === 'syslog' || log === 'stderr' ? log : resolve(log)
}

async function readAuthority(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`--ca ${file}: cannot be read (${error.code})`)
  })
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new UsageError(`--ca ${file}: holds no PEM certificate`)
  return text
}
