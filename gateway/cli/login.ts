/** `portolan login` and `portolan logout`: a token got with a browser anywhere, kept for this user and this gateway. */

import { Command } from 'commander'
import type { Invitation } from '../../mounts/client/credentials/issuer.ts'
import { Logins, loginsDirectory } from '../../mounts/client/credentials/logins.ts'
import type { LoginOption } from '../../mounts/client/shapes.ts'
import { isOpenWay } from '../../mounts/client/trust.ts'
import { StorageError } from '../core/errors.ts'
import { connect, type EndpointOptions, givenCa } from './endpoint.ts'
import { UsageError } from './exit.ts'
import { complain, harmless, say, sayJson } from './output.ts'

interface LoginOptions extends EndpointOptions {
  readonly issuer?: string
  readonly clientId?: string
  readonly scope?: readonly string[]
}

export function loginCommand(): Command {
  return withGateway(
    new Command('login').description('get a token with a browser, here or on another machine, and keep it'),
  )
    .option('--issuer <url>', 'where to log in: address or name (default: the one that the gateway names)')
    .option('--client-id <id>', 'the client of the issuer to log in with (default: as the gateway says)')
    .option('--scope <scope...>', 'what the token is to be good for (default: as the gateway says)')
    .addHelpText('after', loginHelp)
    .action(async (options: LoginOptions) => {
      const { origin, offered } = await gatewayOf(options)
      const { issuer: name, clientId, scopes } = chosen(options, offered)
      const { Issuer } = await loadIssuer()
      const issuer = await Issuer.find({ issuer: name, clientId, ca: await givenCa(options) })
      const stop = new AbortController()
      const interrupted = () => stop.abort(new StorageError('cancelled', 'interrupted'))
      process.once('SIGINT', interrupted)
      try {
        const tokens = await issuer.login(scopes, (invitation) => invite(invitation, options), stop.signal)
        const logins = new Logins(loginsDirectory(process.env))
        await logins.alone(origin, () => logins.keep({ origin, issuer: name, clientId, scopes, ...tokens }))
        if (tokens.refreshToken === undefined) {
          complain(`${harmless(name)} gave no refresh token: the login ends with the token it gave`)
        }
        if (options.json) await sayJson({ origin, issuer: name, loggedIn: true })
        else await say(`Logged in at ${harmless(name)} for ${harmless(origin)}.`)
      } finally {
        process.off('SIGINT', interrupted)
      }
    })
}

export function logoutCommand(): Command {
  return withGateway(
    new Command('logout').description('forget the token of `portolan login`, and tell its issuer'),
  ).action(async (options: EndpointOptions) => {
    const client = await connect({ ...options, anonymous: true })
    const { origin } = client
    client.close()
    const logins = new Logins(loginsDirectory(process.env))
    const { login, wasThere } = await logins.alone(origin, async () => {
      // Not before: a mount may be renewing it. Also when the file is damaged it is to go.
      const login = await logins.find(origin).catch(() => undefined)
      return { login, wasThere: await logins.forget(origin) }
    })
    if (!wasThere) throw new UsageError(`nobody is logged in for ${origin}`)
    try {
      const { Issuer } = await loadIssuer()
      const issuer = login && (await Issuer.find({ ...login, ca: await givenCa(options) }))
      // The longer-lived one first.
      for (const token of [login?.refreshToken, login?.accessToken]) if (token) await issuer?.revoke(token)
    } catch (error) {
      complain(`forgotten here, but ${StorageError.from(error).message}`)
    }
    if (options.json) await sayJson({ origin, loggedIn: false })
    else await say(`Logged out of ${harmless(origin)}.`)
  })
}

/** No other command needs it, and it takes time to load. */
const loadIssuer = () => import('../../mounts/client/credentials/issuer.ts')

const loginHelp = `
The address and the code that it prints are opened in any browser; nothing has to be installed there. The tokens are kept in
$XDG_STATE_HOME/portolan/logins (else ~/.local/state/portolan/logins), in a file for each gateway that only you can read, and
are renewed by whatever command or mount uses them. A token in BEARER_TOKEN, BEARER_TOKEN_FILE or bt_uUID goes before them.`

function withGateway(command: Command): Command {
  return command
    .option('--url <url>', 'the gateway (default: $PORTOLAN_URL, else the demo in ./demo)')
    .option(
      '--ca <file>',
      'PEM of the authority to trust, at the issuer too (default: $PORTOLAN_CA, else the usual ones)',
    )
    .option('--json', 'print JSON')
}

async function gatewayOf(
  options: LoginOptions,
): Promise<{ readonly origin: string; readonly offered: readonly LoginOption[] }> {
  const client = await connect({ ...options, anonymous: true })
  try {
    // Whoever lies on the way could name an issuer of his own, and no token would be sent there anyway.
    if (isOpenWay(new URL(client.origin))) {
      throw new UsageError(`${client.origin}: nobody logs in over plain HTTP to another machine; use https://`)
    }
    return { origin: client.origin, offered: await client.loginOptions() }
  } finally {
    client.close()
  }
}

/** Throws UsageError where it has to be said more exactly. */
function chosen({ issuer, clientId, scope }: LoginOptions, offered: readonly LoginOption[]): Omit<LoginOption, 'name'> {
  const names = offered.map(({ name }) => name).join(', ')
  const fitting =
    issuer === undefined ? offered : offered.filter((each) => each.issuer === issuer || each.name === issuer)
  const [first, second] = fitting
  if (second) throw new UsageError(`several issuers are offered; choose one with --issuer: ${names}`)
  if (first) return { issuer: first.issuer, clientId: clientId ?? first.clientId, scopes: scope ?? first.scopes }
  if (issuer === undefined) {
    throw new UsageError('this gateway names no issuer to log in at; use --issuer with --client-id, or a token')
  }
  if (clientId === undefined)
    throw new UsageError(`--issuer: the gateway names no such issuer (${names || 'none'}); give --client-id too`)
  return { issuer, clientId, scopes: scope ?? ['openid', 'offline_access'] }
}

async function invite({ address, code, whole }: Invitation, options: LoginOptions): Promise<void> {
  if (options.json) return sayJson({ address, code, ...(whole !== undefined && { whole }) })
  await say(`Open ${harmless(address)} in a browser and enter the code ${harmless(code)}`)
  if (whole !== undefined) await say(`or open ${harmless(whole)}`)
}
