/** The provider that others run (npm oidc-provider), with the device flow (RFC 8628), and a person who follows its pages. */

import { once } from 'node:events'
import http, { type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

/** What is used of the library, which brings no types. */
type Library = {
  readonly default: new (issuer: string, settings: object) => { callback(): RequestListener }
}

const name = 'oidc-provider'

export interface DeviceProvider {
  readonly url: string
  readonly clientId: string
  /** Requests by their path, such as `/token`. */
  readonly asked: string[]
  /** Somebody opens the address, signs in with this name and agrees. */
  agree(address: string, user: string): Promise<void>
}

/** Tokens live for `lifetime` seconds; refresh tokens are good once. */
export async function startDeviceProvider(t: Test, audience: string, lifetime = 300): Promise<DeviceProvider> {
  const { default: Provider } = (await import(name)) as Library
  const server = http.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const clientId = 'portolan-cli'
  const provider = new Provider(url, {
    clients: [
      {
        client_id: clientId,
        token_endpoint_auth_method: 'none',
        redirect_uris: [],
        response_types: [],
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
        application_type: 'native',
      },
    ],
    cookies: { keys: ['test'] },
    findAccount: (_context: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id }) }),
    rotateRefreshToken: true,
    scopes: ['openid', 'offline_access'],
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          ...{ scope: '', audience, accessTokenTTL: lifetime },
          ...{ accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } },
        }),
      },
    },
  })
  const asked: string[] = []
  const answer = provider.callback()
  server.on('request', (request, response) => {
    asked.push(new URL(request.url ?? '', url).pathname)
    answer(request, response)
  })
  return { url, clientId, asked, agree: (address, user) => new Person(user).agree(address) }
}

/** A browser with cookies that fills in forms. */
class Person {
  readonly #user: string
  readonly #cookies = new Map<string, string>()

  constructor(user: string) {
    this.#user = user
  }

  async agree(address: string): Promise<void> {
    let { url, text } = await this.#visit(address)
    for (let step = 0; step < 8; step++) {
      const form = /<form[^>]*>[\s\S]*?<\/form>/.exec(text)?.[0]
      if (form === undefined) return
      const action = /action="([^"]*)"/.exec(form)?.[1] ?? url
      const fields = new URLSearchParams()
      for (const [input] of form.matchAll(/<input[^>]*>/g)) {
        const field = /name="([^"]*)"/.exec(input)?.[1]
        const value = /value="([^"]*)"/.exec(input)?.[1] ?? ''
        if (field !== undefined) fields.set(field, field === 'login' || field === 'password' ? this.#user : value)
      }
      if (/name="confirm"|confirm/.test(form) && fields.has('user_code')) fields.set('confirm', 'yes')
      ;({ url, text } = await this.#visit(new URL(action.replaceAll('&amp;', '&'), url).href, fields))
    }
    throw new Error(`the provider asks on and on: ${text}`)
  }

  async #visit(address: string, form?: URLSearchParams): Promise<{ url: string; text: string }> {
    const cookie = [...this.#cookies].map(([key, value]) => `${key}=${value}`).join('; ')
    const answer = await fetch(address, {
      redirect: 'manual',
      headers: { cookie, accept: 'text/html' },
      ...(form && { method: 'POST', body: form }),
    })
    for (const line of answer.headers.getSetCookie()) {
      const [, key = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      this.#cookies.set(key, value)
    }
    const { status } = answer
    const location = answer.headers.get('location')
    if (status >= 300 && status < 400 && location !== null) return this.#visit(new URL(location, address).href)
    const text = await answer.text()
    if (status >= 400) throw new Error(`${status} ${address} ${text}`)
    return { url: address, text }
  }
}
