/** Which gateway a command talks to, and as whom. */

import { constants, type FileHandle, open, readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import type { Secret } from '../../acl/secret.ts'
import { Client } from '../../mounts/client/client.ts'
import { Logins, loginsDirectory } from '../../mounts/client/credentials/logins.ts'
import { StoredLogin } from '../../mounts/client/credentials/stored-login.ts'
import { discoverToken, readTokenFile, source, type TokenSource } from '../../mounts/client/token.ts'
import { UsageError } from './exit.ts'

/** Options that every command has which talks to a gateway. */
export interface EndpointOptions {
  readonly url?: string
  readonly ca?: string
  readonly tokenFile?: string
  readonly as?: string
  readonly anonymous?: boolean
  readonly auth?: string
  readonly insecure?: boolean
  readonly json?: boolean
}

const ways = ['auto', 'token', 'kerberos', 'none'] as const

export function withEndpoint(command: Command): Command {
  return command
    .option('--url <url>', 'the gateway (default: $PORTOLAN_URL, else the demo in ./demo)')
    .option('--ca <file>', 'PEM of the authority to trust (default: $PORTOLAN_CA, else the usual ones)')
    .option('--token-file <file>', 'bearer token (default: $BEARER_TOKEN, $BEARER_TOKEN_FILE, bt_uUID)')
    .option('--as <user>', 'be this user of the demo')
    .option(
      '--auth <how>',
      `${ways.join(', ')}: sign in with a token, a Kerberos ticket or whichever there is (default)`,
    )
    .option('--anonymous', 'send no credential: --auth none')
    .option('--insecure', 'send the token or ticket over plain HTTP to another machine')
    .option('--json', 'print JSON')
}

/** What the demo wrote down for programs. */
interface Demo {
  readonly doors: { readonly http?: string; readonly https?: string }
  readonly ca?: string
  readonly users: Readonly<Record<string, { readonly token?: string }>>
}

/** A client for the gateway that the options, the environment or the demo name, with `token` or the one found. Throws UsageError with what to do. */
export async function connect(options: EndpointOptions, token?: Secret): Promise<Client> {
  const named = options.url ?? process.env.PORTOLAN_URL
  const demo = named === undefined || options.as !== undefined ? await findDemo() : undefined
  const url = named ?? demo?.doors.https ?? demo?.doors.http
  if (url === undefined) throw new UsageError('no gateway named: use --url or set PORTOLAN_URL')
  const origin = URL.parse(url)
  // Not repeated: it may hold a password.
  if (!origin) throw new UsageError(`the URL in ${options.url === undefined ? 'PORTOLAN_URL' : '--url'} is none`)
  const ca = await givenCa(options)
  const way = wayOf(options)
  const found = token ?? (await findToken(options, demo))?.token ?? (await loginToken(options, origin, ca))
  if (way === 'token' && found === undefined) {
    throw new UsageError(
      'there is no token: set BEARER_TOKEN or BEARER_TOKEN_FILE, use --token-file, or run portolan login',
    )
  }
  const use = { auto: 'if-any', kerberos: 'required', token: undefined, none: undefined } as const
  return new Client({
    origin,
    token: found,
    tickets: found === undefined ? use[way] : undefined,
    ca,
    insecure: options.insecure,
  })
}

/** PEM of the authority that the options, the environment or the demo name. Throws UsageError for a file without one. */
export async function givenCa({ url, ca }: EndpointOptions): Promise<string | undefined> {
  const isNamed = (url ?? process.env.PORTOLAN_URL) !== undefined
  const file = ca ?? process.env.PORTOLAN_CA ?? (isNamed ? undefined : (await findDemo())?.ca)
  return file === undefined ? undefined : readCa(file)
}

/** Throws UsageError for a way that there is none, and for two that do not go together. */
function wayOf({ auth, anonymous, tokenFile, as }: EndpointOptions): (typeof ways)[number] {
  const given = auth ?? (anonymous ? 'none' : (process.env.PORTOLAN_AUTH ?? 'auto'))
  const way = ways.find((each) => each === given)
  if (way === undefined)
    throw new UsageError(`${auth === undefined ? 'PORTOLAN_AUTH' : '--auth'}: expected ${ways.join(', ')}`)
  if (auth !== undefined && auth !== 'none' && anonymous)
    throw new UsageError('--anonymous and --auth contradict each other')
  if ((tokenFile !== undefined || as !== undefined) && auth !== undefined && way !== 'token' && way !== 'auto') {
    throw new UsageError(`--auth ${way} sends no token, and --token-file or --as names one`)
  }
  // What the environment says does not go against what the command line names.
  return auth === undefined && (tokenFile !== undefined || as !== undefined) && !anonymous ? 'auto' : way
}

/** The token to send, and where it was found; undefined to go without. */
export async function findToken(options: EndpointOptions, demo?: Demo): Promise<TokenSource | undefined> {
  const way = wayOf(options)
  if (way === 'none' || way === 'kerberos') return undefined
  if (options.tokenFile !== undefined) return readTokenFile(options.tokenFile)
  if (options.as === undefined) return discoverToken()
  const known = demo ?? (await findDemo())
  const token = known?.users[options.as]?.token
  if (token === undefined) throw new UsageError(`--as: there is no demo here with a user ${options.as}`)
  return source(token, `the demo's user ${options.as}`)
}

/** Of `portolan login` at that gateway, renewed where it is about to end. */
async function loginToken(options: EndpointOptions, origin: URL, ca: string | undefined): Promise<Secret | undefined> {
  const way = wayOf(options)
  if (way === 'none' || way === 'kerberos') return undefined
  const login = new StoredLogin({ logins: new Logins(loginsDirectory(process.env)), origin: origin.origin, ca })
  try {
    return await login.current()
  } finally {
    await login.close()
  }
}

/** Ours alone, since it says where tokens go; and the demo is on this machine. */
async function findDemo(): Promise<Demo | undefined> {
  for (const file of ['demo/demo.json', 'demo.json']) {
    const text = await readOwn(file)
    if (text === undefined) continue
    const demo = readDemo(text)
    if (!demo) throw new UsageError(`${file} is not what the demo writes`)
    return demo
  }
  return undefined
}

function readDemo(text: string): Demo | undefined {
  try {
    const { doors, users, ca } = JSON.parse(text) as Demo
    const urls = [doors.https, doors.http].filter((url) => url !== undefined)
    const isHere = urls.every((url) => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname))
    return isHere && typeof users === 'object' ? { doors, users, ...(ca === undefined ? {} : { ca }) } : undefined
  } catch {
    // Told by the caller, with the name of the file.
    return undefined
  }
}

async function readOwn(file: string): Promise<string | undefined> {
  let handle: FileHandle
  try {
    // A pipe of that name would be waited for.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch {
    // There is no demo here, or it is not ours to read.
    return undefined
  }
  try {
    const { uid, mode } = await handle.stat()
    return uid === process.geteuid?.() && (mode & 0o022) === 0 ? await handle.readFile('utf8') : undefined
  } finally {
    await handle.close()
  }
}

async function readCa(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`--ca ${file}: cannot be read (${error.code})`)
  })
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new UsageError(`--ca ${file}: holds no PEM certificate`)
  return text
}
