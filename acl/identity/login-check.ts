/** Whether people could sign in at an issuer, for `portolan check`: nobody has to, to find out. */

import { genericGrantRequest } from 'openid-client'
import type { Finding } from '../../backends/backend.ts'
import { explainFailure } from './bearer.ts'
import { configure, storageErrorIn } from './login.ts'
import type { IssuerOptions, LoginIssuerOptions } from './options.ts'

/** `redirectUri` is what is to be registered there. Never throws. */
export async function checkLogin(
  login: LoginIssuerOptions,
  issuer: IssuerOptions,
  redirectUri: string,
): Promise<readonly Finding[]> {
  const subject = 'login'
  const found: Finding[] = []
  const tell = (level: Finding['level'], text: string) =>
    void found.push({ subject, level, text: `${login.name}: ${text}` })
  try {
    const configuration = await configure(login, issuer)
    const metadata = configuration.serverMetadata()
    const lacks = (offered: readonly string[] | undefined, wanted: string) => offered?.includes(wanted) === false
    if (lacks(metadata.response_types_supported, 'code')) tell('error', 'it does not offer the authorization code flow')
    if (lacks(metadata.code_challenge_methods_supported, 'S256')) tell('warning', 'it does not say that it knows PKCE')
    for (const scope of login.scopes.filter((each) => lacks(metadata.scopes_supported, each))) {
      tell('warning', `it does not say that it knows the scope ${scope}`)
    }
    const answer = await answerToGuess(configuration, redirectUri)
    if (answer === 'invalid_client' || answer === 'unauthorized_client') {
      tell('error', `it does not accept clientId and clientSecret (${answer})`)
    }
  } catch (error) {
    tell('error', explainFailure(error).text)
  }
  if (found.every(({ level }) => level !== 'error')) tell('ok', `people can sign in; redirect URI: ${redirectUri}`)
  return found
}

/** A code that nobody has is refused for itself only when the client is known (RFC 6749, section 5.2). Throws when nobody answers. */
async function answerToGuess(configuration: Parameters<typeof genericGrantRequest>[0], redirectUri: string) {
  try {
    const guess = { code: 'portolan-check', redirect_uri: redirectUri, code_verifier: 'x'.repeat(43) }
    await genericGrantRequest(configuration, 'authorization_code', guess)
  } catch (error) {
    const failure = storageErrorIn(error)
    if (failure) throw failure
    const { error: code } = error as { readonly error?: unknown }
    return typeof code === 'string' ? code : undefined
  }
  return undefined
}
