/** Resource "events" of the frontend (user guide, Frontend, "events"). */

import { bodyObject, numberOf, textOf, textsOf } from './bodies.ts'
import type { Channel } from './channels.ts'
import { Failure } from './failure.ts'
import { json, type RestCall } from './frontend.ts'
import type { Answer } from './serving.ts'

export async function eventsResource(call: RestCall): Promise<Answer> {
  const { site, login, rest } = call
  if (login.uid === undefined) throw new Failure('denied', 'anonymous access not allowed')
  const [, top = '', id = '', subscriptions = '', type = '', subscription = ''] = rest.split('/')
  if (top === 'eventTypes' && id === '') return json(200, ['inotify', 'metronome'])
  if (top === '') return json(200, metadata)
  if (top !== 'channels') throw new Failure('missing', 'HTTP 404 Not Found')
  if (id === '') return await channelsResource(call)
  const channel = site.channels.get(login, id)
  if (subscriptions === '') return await channelResource(call, channel)
  if (type === '')
    return json(
      200,
      [...channel.subscriptions.keys()].map((key) => channel.urlOf(key)),
    )
  if (type !== 'inotify') throw new Failure('bad-request', `Unknown event type: ${type}`)
  return subscription === '' ? await subscribe(call, channel) : subscriptionResource(call, channel, subscription)
}

const metadata = {
  channels: { maximumPerUser: 128, lifetimeWhenDisconnected: { minimum: 1, maximum: 86_400, default: 300 } },
}

async function channelsResource({ site, ask, login, base }: RestCall): Promise<Answer> {
  if (ask.method === 'GET') {
    const clientId = ask.url.searchParams.get('client-id')
    const own = site.channels.all().filter(({ owner }) => owner.uid === login.uid)
    return json(
      200,
      own.filter((channel) => clientId === null || (channel.clientId ?? '') === clientId).map(({ url }) => url),
    )
  }
  if (ask.method !== 'POST') throw new Failure('unsupported', 'HTTP 405 Method Not Allowed')
  const isEmpty = Number(ask.headers['content-length'] ?? 0) === 0
  const clientId = isEmpty ? undefined : (await bodyObject(ask))['client-id']
  const channel = site.channels.open(login, base, typeof clientId === 'string' ? clientId : undefined)
  return { status: 201, headers: { Location: channel.url } }
}

async function channelResource({ site, ask }: RestCall, channel: Channel): Promise<Answer> {
  switch (ask.method) {
    case 'GET': {
      if (!String(ask.headers.accept ?? '').includes('text/event-stream'))
        return json(200, { timeout: channel.timeout })
      const lastId = ask.headers['last-event-id']
      const body = site.channels.read(channel, lastId === undefined ? undefined : String(lastId))
      return { status: 200, headers: { 'Content-Type': 'text/event-stream' }, body }
    }
    case 'PATCH':
      channel.setTimeout(numberOf(await bodyObject(ask), 'timeout'))
      return { status: 204 }
    case 'DELETE':
      channel.close()
      return { status: 204 }
    default:
      throw new Failure('unsupported', 'HTTP 405 Method Not Allowed')
  }
}

/** What cannot be watched is a bad request, whatever the reason. */
async function subscribe({ site, ask, login }: RestCall, channel: Channel): Promise<Answer> {
  const selector = await bodyObject(ask)
  const path = site.gate.resolve(login, textOf(selector, 'path'))
  const flags = selector.flags === undefined ? [] : textsOf(selector, 'flags')
  const node = site.gate.look(login, path)
  if (!node) throw new Failure('bad-request', 'Not found: No such file or directory')
  if (flags.includes('IN_ONLYDIR') && node.type !== 'directory')
    throw new Failure('bad-request', 'Failed condition: not a directory')
  try {
    if (node.type === 'directory') site.gate.require(login, 'list', node)
  } catch (error) {
    if (error instanceof Failure) throw new Failure('bad-request', `Permission denied: ${error.message}`)
    throw error
  }
  const { url, isNew } = channel.subscribe(node, flags)
  return { status: isNew ? 201 : 303, headers: { Location: url } }
}

function subscriptionResource({ site, ask }: RestCall, channel: Channel, id: string): Answer {
  if (ask.method === 'DELETE') {
    channel.unsubscribe(id)
    return { status: 204 }
  }
  const subscription = channel.subscriptions.get(id)
  if (!subscription) throw new Failure('missing', 'No such subscription')
  return json(200, { path: site.tree.pathOf(subscription.node), flags: subscription.flags })
}
