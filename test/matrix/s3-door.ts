/** S3, as a door of the matrix. The bucket has the name of the mount. */

import { createHash } from 'node:crypto'
import { sign } from '../s3-door/signing.ts'
import { type Attempt, type Cell, isClosed, type MatrixDoor } from './doors.ts'
import type { MatrixAction } from './oracle.ts'
import type { Request, Talk } from './talk.ts'

const tags = '<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>'
const tagged = { 'content-md5': createHash('md5').update(tags).digest('base64') }

export function s3Door(talk: Talk, host: () => string): MatrixDoor {
  const send = ({ identity }: Cell, { method, path, headers = {}, body }: Request) => {
    const plain = { host: host(), ...headers }
    const key = 'is' in identity.s3 ? identity.s3.is : undefined
    const signed = key ? sign({ method, target: path, headers: plain, body, key }).headers : plain
    return talk.send({ method, path, headers: signed, body })
  }
  const attempt = (
    object: Attempt['object'],
    ask: (path: string, free: string) => Request,
    takes?: Attempt['takes'],
    beside?: MatrixAction,
  ): Attempt => ({
    object,
    ...(takes && { takes }),
    ...(beside && { beside }),
    run: async (cell) => {
      const request = ask(cell.path, cell.free)
      const { status, text } = await send(cell, request)
      if (status === 403) return false
      if (status >= 200 && status < 300) return true
      throw new Error(`${cell.identity.name} ${request.method} ${request.path} by S3 gave ${status}: ${text}`)
    },
  })
  const noMoves = { not: 'S3 has no rename' }
  const noAttributes = { not: 'S3 has no such attributes' }
  const noAcls = { not: 'ACLs of S3 are not those of the storage' }
  return {
    name: 's3',
    closedTo: ({ s3 }) => isClosed(s3),
    attempts: {
      // What S3 knows of an object goes with its bytes, so all of it is for whoever may read them (docs/sign-in.md).
      stat: attempt(
        'file',
        (path) => ({
          method: 'GET',
          path: `${path}?attributes`,
          headers: { 'x-amz-object-attributes': 'ObjectSize' },
        }),
        ['read'],
      ),
      list: attempt('directory', (path) => ({
        method: 'GET',
        path: `/lab?list-type=2&delimiter=%2F&prefix=${encodeURIComponent(`${path.slice('/lab/'.length)}/`)}`,
      })),
      read: attempt('file', (path) => ({ method: 'GET', path })),
      create: attempt('nothing', (path) => ({ method: 'PUT', path, body: 'new' })),
      replace: attempt('file', (path) => ({ method: 'PUT', path, body: 'newer' })),
      edit: { not: 'S3 replaces objects as a whole' },
      mkdir: attempt('nothing', (path) => ({ method: 'PUT', path: `${path}/`, body: '' })),
      remove: attempt('file', (path) => ({ method: 'DELETE', path })),
      'move-away': noMoves,
      'move-in-file': noMoves,
      'move-in-directory': noMoves,
      'set-times-now': noAttributes,
      'set-attributes': noAttributes,
      'set-mode': noAttributes,
      'set-owner': noAttributes,
      'read-properties': attempt('file', (path) => ({ method: 'GET', path: `${path}?tagging` }), ['read']),
      'write-properties': attempt(
        'file',
        (path) => ({ method: 'PUT', path: `${path}?tagging`, headers: tagged, body: tags }),
        ['read', 'write-properties'],
      ),
      'read-acl': noAcls,
      'write-acl': noAcls,
      stage: { not: 'objects that are on no tape are not restored' },
      locality: { not: 'S3 tells the storage class with the attributes' },
    },
    others: [
      {
        name: 'parts',
        action: 'create',
        closedTo: ({ caller }) => (caller.user === undefined ? 'an upload in parts belongs to somebody' : undefined),
        attempt: attempt('nothing', (path) => ({ method: 'POST', path: `${path}?uploads` })),
      },
      { name: 'head', action: 'read', attempt: attempt('file', (path) => ({ method: 'HEAD', path })) },
      {
        name: 'copy',
        action: 'read',
        attempt: attempt(
          'file',
          (path, free) => ({ method: 'PUT', path: free, headers: { 'x-amz-copy-source': path } }),
          undefined,
          'create',
        ),
      },
    ],
  }
}
