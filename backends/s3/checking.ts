/** For `portolan check`: what the store can do, and what in the bucket no path can name. */

import { randomUUID } from 'node:crypto'
import {
  DeleteObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { StorageError } from '../../gateway/core/errors.ts'
import { root } from '../../gateway/core/path.ts'
import type { Finding } from '../backend.ts'
import type { Desk } from './desk.ts'
import { compareBytes, decodeKey, isName, reserved } from './keys.ts'
import { headOfKey } from './looking.ts'
import type { Trial } from './trials.ts'

/** Pages of 1,000 keys that are looked through. */
const mostPages = 200
/** Seconds that the clocks may differ: as much as a look at times can bear. */
const skew = 5

export async function check(desk: Desk): Promise<readonly Finding[]> {
  try {
    const trials = [await trial(desk, 'absent'), await trial(desk, 'match'), await trial(desk, 'complete')]
    const found = [...trials, await clock(desk), await top(desk)]
    return [
      { subject: 'reachable', level: 'ok', text: `bucket ${desk.store.bucket} answers` },
      ...found,
      ...(await keys(desk)),
    ]
  } catch (error) {
    const { message, code } = StorageError.from(error)
    return [{ subject: 'reachable', level: 'error', text: `bucket ${desk.store.bucket}: ${message} (${code})` }]
  }
}

async function trial(desk: Desk, which: Trial): Promise<Finding> {
  const subject = `condition-${which}`
  if (await desk.trials.honoured(which, undefined)) {
    return { subject, level: 'ok', text: `the store itself keeps this condition on writing (${which})` }
  }
  const text = `the store does not keep this condition on writing (${which}): only gateways of one state store are safe from each other`
  return { subject, level: 'warning', text }
}

async function clock(desk: Desk): Promise<Finding> {
  const Key = desk.keys.trial(randomUUID())
  const object = { Bucket: desk.store.bucket, Key }
  await desk.store.request({}, (client, options) =>
    client.send(new PutObjectCommand({ ...object, Body: Buffer.from('x') }), options),
  )
  try {
    const { modified } = await headOfKey(desk, Key, root, { signal: desk.store.alive(undefined) })
    const seconds = Math.round(Math.abs(Date.now() - Number(modified / 1_000_000n)) / 1000)
    const level = seconds > skew ? 'warning' : 'ok'
    return { subject: 'clock', level, text: `the store’s clock differs by ${seconds} s` }
  } finally {
    await desk.store.request({ again: true }, (client, options) =>
      client.send(new DeleteObjectCommand(object), options),
    )
  }
}

async function top(desk: Desk): Promise<Finding> {
  const kept = await desk.sidecars.read(root, undefined)
  const acl = kept?.content === 'unreadable' ? undefined : (kept?.content.acl ?? desk.options.rootAcl)
  if (acl) return { subject: 'root-acl', level: 'ok', text: 'the top has an ACL' }
  return { subject: 'root-acl', level: 'warning', text: 'the top has no ACL, so nobody may do anything' }
}

/** Where a listing goes on. */
interface After {
  readonly StartAfter?: string
  readonly ContinuationToken?: string
}

/** Keys whose names are none, and objects that the directory of the same name hides. */
async function keys(desk: Desk): Promise<readonly Finding[]> {
  const { prefix } = desk.keys
  const own = `${prefix}${reserved}/`
  let bad = 0
  let shadowed = 0
  let waiting: string[] = []
  let after: After | undefined = {}
  let pages = 0
  for (; after && pages < mostPages; pages++) {
    const input = { Bucket: desk.store.bucket, Prefix: prefix, EncodingType: 'url' as const, ...after }
    const answer: ListObjectsV2CommandOutput = await desk.store.request({ again: true }, (client, options) =>
      client.send(new ListObjectsV2Command(input), options),
    )
    const { NextContinuationToken: token, IsTruncated, EncodingType, Contents = [] } = answer
    after = IsTruncated && token ? { ContinuationToken: token } : undefined
    // There are as many sidecars as objects.
    const isAmongOwn = decodeKey(Contents.at(-1)?.Key ?? '', EncodingType)?.startsWith(own)
    if (after && isAmongOwn) after = { StartAfter: `${own}\u{10ffff}` }
    for (const { Key } of Contents) {
      const key = decodeKey(Key ?? '', EncodingType)
      if (key?.startsWith(own)) continue
      if (key === undefined || !namesOfKey(key.slice(prefix.length)).every(isName)) {
        bad++
        continue
      }
      const hidden = waiting.filter((file) => key.startsWith(`${file}/`))
      shadowed += hidden.length
      waiting = waiting.filter(
        (file) => !hidden.includes(file) && key.startsWith(file) && compareBytes(key, `${file}/`) < 0,
      )
      if (!key.endsWith('/')) waiting.push(key)
    }
  }
  const scope = after ? `of the first ${pages * 1000} keys` : 'of all keys'
  return [
    finding('bad-names', bad, `${scope}, ${bad} have names that no path can hold; they are not shown`),
    finding('shadowed', shadowed, `${scope}, ${shadowed} are files hidden by a directory of the same name`),
  ]
}

function namesOfKey(rest: string): string[] {
  return rest === '' ? [] : rest.replace(/\/$/, '').split('/')
}

function finding(subject: string, count: number, text: string): Finding {
  return { subject, level: count > 0 ? 'warning' : 'ok', text }
}
